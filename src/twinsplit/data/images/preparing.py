"""From raw images to a data folder: decoded in parallel, chunk by chunk, so that a killed command
goes on where it was.

Each chunk is one file in OUT/.cache, named by what decides its content. Nothing is dropped in
silence: what cannot be used is listed in OUT/problems.json, and refused unless the caller asks to
leave it out.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from twinsplit.data.images.decoding import Decoded, Problem, read_content
from twinsplit.data.images.folder import ImageData, load_images, read_problems, read_table, store_images
from twinsplit.data.images.frame import Bytes, Frame, UnusableError
from twinsplit.data.images.listing import Entry, Listing
from twinsplit.data.images.sources import Source
from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.runs.files import fingerprint, hold, read_json, write_bytes, write_json
from twinsplit.runs.progress import progress

if TYPE_CHECKING:
    import pandas as pd

MODIFIED = "modified.json"
CHUNK_IMAGES, CHUNK_BYTES = 1024, 1 << 23
OURS = {".cache", ".lock", "images.npy", "files.parquet", "labels.parquet", "problems.json", "data.json", MODIFIED}
ELSEWHERE = "choose another --out, or remove it"
Treatment: TypeAlias = Callable[[list[Problem], Path], None]


def refuse(problems: list[Problem], report: Path) -> None:
    """Refuse unusable files: the default treatment."""
    if problems:
        raise InputError(
            f"{_counted(problems)} cannot be used (first: {problems[0]}; all in {report})",
            "mend or remove them, or add --leave-out to go on without them",
        )


def leave_out(problems: list[Problem], report: Path) -> None:
    """Leave unusable files out of the data and keep them in the report."""


def _counted(problems: list[Problem]) -> str:
    return f"{len(problems)} file{'s' if len(problems) > 1 else ''}"


@final
@dataclass(frozen=True)
class _Chunk:
    """Some entries of a source, and the file their pixels go to."""

    source: Source
    frame: Frame
    entries: tuple[Entry, ...]
    file: Path


def prepare(source: Source, frame: Frame, out: Path, executor: Executor, treatment: Treatment = refuse) -> ImageData:
    """Decode everything `source` lists into the data folder `out`, or open the one that exists for
    the same request."""
    listing = source.listing()
    _check_place(out, source)
    request = _request(source, frame, listing)
    if (out / "data.json").is_file():
        _check_existing(source, frame, listing, out, request)
        return _existing(out, treatment)
    out.mkdir(parents=True, exist_ok=True)
    with closing(hold(out)):
        chunks = _chunks(source, frame, listing.entries, _Cache(out / ".cache", request))
        _decode(chunks, len(listing.entries), executor)
        _finish(listing, chunks, out, request, treatment)
    shutil.rmtree(out / ".cache", ignore_errors=True)
    return load_images(out)


def _request(source: Source, frame: Frame, listing: Listing) -> dict[str, Any]:
    """What decides the result, without reading the images: where they come from, how they are
    framed, their names and sizes."""
    files = [(entry.name, entry.bytes) for entry in listing.entries] + [(p.path, p.reason) for p in listing.problems]
    return {"source": source.describe(), "frame": frame.to_json(), "listing_sha256": fingerprint(json.dumps(files).encode())}


def _check_place(out: Path, source: Source) -> None:
    if source.root is not None and out.resolve().is_relative_to(source.root.resolve()):
        raise InputError(f"{out} lies in the folder of the images", "choose an --out elsewhere")
    if out.exists() and (not out.is_dir() or any(p.name not in OURS and p.suffix != ".part" for p in out.iterdir())):
        raise InputError(f"{out} exists and holds something else", ELSEWHERE)


def _check_existing(source: Source, frame: Frame, listing: Listing, out: Path, request: dict[str, Any]) -> None:
    """InputError where the finished folder is not what is asked for: other names or sizes, or files
    that were rewritten."""
    description = read_json(out / "data.json")
    if not isinstance(description, dict) or {name: description.get(name) for name in request} != request:
        raise InputError(f"{out} holds other images, or the files have changed since", ELSEWHERE)
    if name := _rewritten(source, frame, out, listing.entries):
        raise InputError(f"{out} was made from other files: they have changed since (first: {Problem(name, 'rewritten')})", ELSEWHERE)


def _note_times(out: Path, entries: tuple[Entry, ...]) -> None:
    """Write each file's time of modification (ns), by name."""
    write_json(out / MODIFIED, {entry.name: entry.modified for entry in entries})


def _rewritten(source: Source, frame: Frame, out: Path, entries: tuple[Entry, ...]) -> str | None:
    """Return the first file whose content has changed since `out` was made, or None.

    A file with another time of modification is read and its SHA-256 compared with files.parquet: an
    image may be rewritten in place without changing its size (BMP, PPM, TIFF).
    """
    known = read_json(out / MODIFIED) if (out / MODIFIED).is_file() else {}  # older folders lack it: every file is read
    later = [entry for entry in entries if known.get(entry.name) != entry.modified]
    if not later:
        return None
    files = read_table(out / "files.parquet")
    hashes = dict(zip(files["name"], files["sha256"], strict=True))
    found = next((entry.name for entry in later if _differs(source, frame, entry, hashes.get(entry.name))), None)
    if found is None:
        _note_times(out, entries)
    return found


def _differs(source: Source, frame: Frame, entry: Entry, sha256: str | None) -> bool:
    """Whether an image has changed, or a file that was left out can be used now."""
    path = source.path_of(entry)
    try:
        if path is None or sha256 is None:
            return source.decode(entry, frame).sha256 != sha256
        return fingerprint(read_content(path)) != sha256
    except UnusableError:
        return sha256 is not None


def _existing(out: Path, treatment: Treatment) -> ImageData:
    """Open the finished folder."""
    treatment(read_problems(out), out / "problems.json")
    shutil.rmtree(out / ".cache", ignore_errors=True)
    return load_images(out)


@final
@dataclass(frozen=True)
class _Cache:
    """Names the chunk files by all that decides their content."""

    folder: Path
    request: dict[str, Any]

    def file(self, entries: tuple[Entry, ...]) -> Path:
        decides = [self.request["source"], self.request["frame"], [(entry.name, entry.bytes, entry.modified) for entry in entries]]
        return self.folder / f"{fingerprint(json.dumps(decides).encode())}.safetensors"


def _chunks(source: Source, frame: Frame, entries: tuple[Entry, ...], cache: _Cache) -> list[_Chunk]:
    rows = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // int(np.prod(frame.shape))))
    parts = [entries[i : i + rows] for i in range(0, len(entries), rows)]
    return [_Chunk(source, frame, part, cache.file(part)) for part in parts]


def _decode(chunks: list[_Chunk], total: int, executor: Executor) -> None:
    done = 0
    with progress("decode", total) as report:
        for count in executor.map(_decode_chunk, chunks):
            done += count
            report(done)


def _decode_chunk(chunk: _Chunk) -> int:
    """Write the chunk's file unless it exists; return how many entries it covers."""
    if not _is_whole(chunk.file):
        write_bytes(chunk.file, _encode_chunk(chunk))
    return len(chunk.entries)


def _is_whole(file: Path) -> bool:
    try:
        with safe_open(file, framework="numpy"):
            return True
    except (OSError, SafetensorError):
        return False


def _encode_chunk(chunk: _Chunk) -> bytes:
    kept: list[tuple[str, Decoded]] = []
    problems: list[tuple[str, str]] = []
    for entry in chunk.entries:
        try:
            kept.append((entry.name, chunk.source.decode(entry, chunk.frame)))
        except UnusableError as reason:
            problems.append((entry.name, str(reason)))
    pixels = np.stack([d.pixels for _, d in kept]) if kept else np.zeros((0, *chunk.frame.shape), np.uint8)
    files = [(name, decoded.bytes, decoded.sha256) for name, decoded in kept]
    return save({"pixels": pixels}, metadata={"files": json.dumps(files), "problems": json.dumps(problems)})


def _notes(chunks: list[_Chunk], name: str) -> Iterator[Any]:
    """Yield the rows of "files" or "problems", chunk after chunk."""
    for chunk in chunks:
        with safe_open(chunk.file, framework="numpy") as file:
            yield from json.loads(file.metadata()[name])


def _pixels(chunks: list[_Chunk]) -> Iterator[Bytes]:
    for chunk in chunks:
        with safe_open(chunk.file, framework="numpy") as file:
            yield file.get_tensor("pixels")


def _finish(listing: Listing, chunks: list[_Chunk], out: Path, request: dict[str, Any], treatment: Treatment) -> None:
    """Report what cannot be used; then write the folder."""
    problems = [*listing.problems, *(Problem(*found) for found in _notes(chunks, "problems"))]
    write_json(out / "problems.json", {"problems": [asdict(p) for p in problems], "not_images": list(listing.others)})
    treatment(problems, out / "problems.json")
    if not chunks or (files := _file_table(chunks)).empty:
        raise InputError(f"no usable image among {len(listing.entries) + len(listing.problems)} files", "check the folder")
    source, frame = chunks[0].source, chunks[0].frame
    labels = source.labels(files["name"].tolist())
    about = request | {"white": source.white, "left_out": len(problems), "repeated_files": int(files["sha256"].duplicated().sum())}
    about |= {"order": "rows of files.parquet", "normalisation": "none here: each split is centred by its own mean"}
    _note_times(out, listing.entries)
    store_images(out, _pixels(chunks), (len(files), *frame.shape), (files, labels), about)


def _file_table(chunks: list[_Chunk]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(list(_notes(chunks, "files")), columns=["name", "bytes", "sha256"])
