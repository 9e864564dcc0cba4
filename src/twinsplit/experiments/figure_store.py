"""A figure on disk: NAME.png, NAME.pdf, its tables as Parquet and JSON, and the configuration; each file whole or not at all."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file beside `path`, flush it to the disk and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def image(drawing: "Figure", kind: str) -> bytes:
    """The drawing as a PNG or PDF, without the date, so that the same numbers give the same file."""
    stream = BytesIO()
    metadata: dict[str, Any] = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    drawing.savefig(stream, format=kind, dpi=DPI, metadata=metadata)
    return stream.getvalue()


def parquet(table: pa.Table) -> bytes:
    """The table as a Parquet file."""
    stream = BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def write_bytes(path: Path, content: bytes) -> Path:
    """A file with this content, whole or not at all."""
    return write_whole(path, lambda temporary: temporary.write_bytes(content))


def store_figure(out: Path, name: str, drawing: "Figure", tables: Mapping[str, pa.Table], configuration: Mapping[str, Any]) -> list[Path]:
    """Write the figure NAME into the folder `out`; returns the paths, the configuration last: where it is, all the rest is."""
    written = [write_bytes(out / f"{name}.{kind}", image(drawing, kind)) for kind in ("png", "pdf")]
    for part, table in tables.items():
        written.append(write_bytes(out / f"{name}-{part}.parquet", parquet(table)))
        written.append(write_bytes(out / f"{name}-{part}.json", json.dumps(table.to_pydict(), allow_nan=False).encode()))
    text = json.dumps({"figure": name, **configuration}, indent=2, sort_keys=True) + "\n"
    return [*written, write_bytes(out / f"{name}-config.json", text.encode())]
