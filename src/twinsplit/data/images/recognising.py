"""Which files are pictures although they are not read: by a suffix that pictures have, or by their first bytes."""

from pathlib import Path, PurePosixPath

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


def unread_picture(path: Path) -> str | None:
    """Why the file at `path`, whose suffix is none that is read, is a picture all the same; None where nothing says so.

    Raises OSError where the file cannot be read.
    """
    suffix = PurePosixPath(path.name).suffix.lower()
    if suffix in UNREAD:
        return f"a picture in a format that is not read ({suffix}): convert it"
    with path.open("rb") as file:
        kind = kind_of(file.read(READ_BYTES))
    return kind and f"a picture by its first bytes ({kind}) under a name that is not read: rename or convert it"


def kind_of(content: bytes) -> str | None:
    """The format that a file with these first bytes has, where it is one of pictures."""
    found = (kind for at, mark, kind in SIGNATURES if content.startswith(mark, at) and content.startswith(BEGINS.get(kind, b"")))
    return next(found, None)
