"""List the image files of a folder in natural order, and the files that cannot be used, with the
reason."""

import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import final

from twinsplit.data.images.decoding import SUFFIXES, Problem
from twinsplit.errors import InputError

NUMBER = re.compile(r"([0-9]+)")
# Pictures that are not read are told by a suffix that pictures have, or by their first bytes.
UNREAD_SUFFIXES = """
    .apng .arw .avif .cr2 .cr3 .cur .dds .dib .dng .emf .eps .exr .hdr .heic .heif .hif .icns .ico .j2c .j2k .jp2 .jpf .jpm .jps .jpx
    .jxl .jxr .mpo .nef .orf .pbm .pcx .pic .pnm .psb .psd .qoi .raf .rw2 .sgi .svg .svgz .tga .wbmp .wdp .wmf .xbm .xcf .xpm
"""
UNREAD = frozenset(UNREAD_SUFFIXES.split())
READ_BYTES = 32
SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (6, b"\0\0\0\0", "BMP"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftyphev", "HEIF"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"JXL \r\n\x87\n", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"qoif", "QOI"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
)
BEGINS = {"WebP": b"RIFF", "BMP": b"BM"}  # what else these two begin with: their other bytes alone say too little


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """An image to read: name (relative, with /), bytes and time of modification (ns), which tell
    whether it changed since."""

    name: str
    bytes: int = 0
    modified: int = 0


@final
@dataclass(frozen=True)
class Listing:
    """entries: in natural order of their names. problems: what cannot be used. others: files that
    are no pictures."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    others: tuple[str, ...] = ()


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Orders "2.jpg" before "10.jpg", folder by folder; equal keys only for equal names."""
    parts = [part for folder in name.split("/") for part in (*NUMBER.split(folder), "/")]
    return tuple((0, int(part), "") if part[:1].isdecimal() and part.isascii() else (1, 0, part) for part in parts), name


def scan(folder: Path) -> Listing:
    """All files below `folder`; links to files are followed, links to folders are reported."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", "give the folder that holds the images")
    entries: list[Entry] = []
    problems: list[Problem] = []
    others: list[str] = []
    for path, name in _walk(folder, problems):
        found = _entry(path, name)
        if isinstance(found, Problem):
            problems.append(found)
        elif found is None:
            others.append(name)
        else:
            entries.append(found)
    entries.sort(key=lambda entry: natural_key(entry.name))
    clashes = _clashes(entries)
    refused = {problem.path for problem in clashes}
    kept = tuple(entry for entry in entries if entry.name not in refused)
    return Listing(kept, tuple(sorted([*problems, *clashes], key=lambda p: natural_key(p.path))), tuple(sorted(others)))


def _walk(folder: Path, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """(path, name) of everything below that is not a folder."""

    def unreadable(error: OSError) -> None:
        problems.append(Problem(os.path.relpath(error.filename, folder), f"cannot be read: {error.strerror}"))

    for where, folders, files in os.walk(folder, onerror=unreadable):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        for name in [*links, *files]:
            path = os.path.join(where, name)
            yield path, os.path.relpath(path, folder).replace(os.sep, "/")


def _entry(path: str, name: str) -> Entry | Problem | None:
    """Return None for a file that is no picture, neither by its suffix nor by its first bytes."""
    try:
        name.encode()
        found = os.stat(path)
    except UnicodeEncodeError:
        return Problem(name.encode(errors="backslashreplace").decode(), "a name that is not UTF-8")
    except OSError as error:
        return Problem(name, f"cannot be read: {error.strerror or error}")
    if stat.S_ISDIR(found.st_mode):
        return Problem(name, "a link to a folder, which is not followed")
    if not stat.S_ISREG(found.st_mode):
        return Problem(name, "not a plain file")
    if PurePosixPath(name).suffix.lower() not in SUFFIXES:
        return _not_read(path, name)
    return Entry(name, found.st_size, found.st_mtime_ns)


def _not_read(path: str, name: str) -> Problem | None:
    """Return a problem for a picture in a format that is not read, None for any other file."""
    try:
        reason = _unread_picture(Path(path))
    except OSError as error:
        return Problem(name, f"cannot be read: {error.strerror or error}")
    return Problem(name, reason) if reason else None


def _unread_picture(path: Path) -> str | None:
    """Return why a file whose suffix is not read is a picture all the same, or None.

    Raises OSError where the file cannot be read.
    """
    suffix = PurePosixPath(path.name).suffix.lower()
    if suffix in UNREAD:
        return f"a picture in a format that is not read ({suffix}): convert it"
    with path.open("rb") as file:
        kind = kind_of(file.read(READ_BYTES))
    return kind and f"a picture by its first bytes ({kind}) under a name that is not read: rename or convert it"


def kind_of(content: bytes) -> str | None:
    """Return the picture format that a file begins with, or None."""
    found = (kind for at, mark, kind in SIGNATURES if content.startswith(mark, at) and content.startswith(BEGINS.get(kind, b"")))
    return next(found, None)


def _clashes(entries: list[Entry]) -> list[Problem]:
    """Return the names that differ from an earlier one only by case, Unicode form or suffix."""
    first: dict[str, str] = {}
    problems = []
    for entry in entries:
        path = PurePosixPath(entry.name)
        known = first.setdefault(unicodedata.normalize("NFC", str(path.with_suffix(""))).casefold(), entry.name)
        if known != entry.name:
            problems.append(Problem(entry.name, f"the same name as {known}, but for its case, spelling or type"))
    return problems
