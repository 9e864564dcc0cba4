"""Pictures for tests: smooth ones, and files that are not what they seem."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture in colour with structure at several scales."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (7, 6, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray(np.clip(picture + generator.normal(0, 12, picture.shape), 0, 255).astype(np.uint8))


def file_of(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that announces width x height pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 4096)) + chunk(b"IEND", b"")


def animated(kind: str) -> bytes:
    frames = [smooth(40, 40, seed).convert("P" if kind == "GIF" else "RGB") for seed in range(3)]
    return file_of(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)


def with_alpha(level: int) -> Image.Image:
    picture = smooth(40, 40).convert("RGBA")
    picture.putalpha(level)
    return picture


def hostile() -> dict[str, tuple[bytes, str]]:
    """Files by name, each with a word of the reason to refuse it."""
    jpeg = file_of(smooth(60, 60), "JPEG")
    return {
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "text.jpg": (b"Not a picture at all.\n", "not a readable picture"),
        "empty.png": (b"", "zero bytes"),
        "bomb.png": (bomb(60_000, 60_000), "pixels"),
        "large.png": (bomb(9_000, 9_000), "pixels"),
        "moving.gif": (animated("GIF"), "animated"),
        "still no.png": (animated("PNG"), "animated"),
        "pages.tiff": (animated("TIFF"), "animated"),
        "clear.png": (file_of(with_alpha(120), "PNG"), "transparent"),
        "deep.tiff": (file_of(Image.fromarray(np.ones((40, 40), np.float32)), "TIFF"), "mode F"),
        "small.png": (file_of(smooth(8, 60), "PNG"), "too few"),
        "cut header.png": (file_of(smooth(40, 40), "PNG")[:20], "not a readable picture"),
        "script.webp": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n", "not a readable picture"),
    }
