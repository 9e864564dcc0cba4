"""What a folder holds, as short digests: tensors, columns and values by name, to the bit, however they are packed.

Left out is what says when and where: environment.json, status.json, the hashes of manifest.json (the tensors are read themselves), times of
files, locks, and what this script itself wrote for a job (`theirs`).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LEFT_OUT = ("environment.json", "status.json", "manifest.json", "modified.json", ".lock")
THEIRS = "theirs"  # the folder of files that commands are given
TABLE = ".parquet"
DRAWN = "drawing"
DRAWINGS = (".png", ".pdf", ".html")
SHORT = 72  # characters of a value that are kept as they are


@final
@dataclass(frozen=True)
class Content:
    """A file, or a data set of several files. parts: tensor, column or key -> its type and digest, or its value where that is short."""

    kind: str
    parts: Mapping[str, str]


Contents = dict[str, Content]


def contents(folder: Path) -> Contents:
    """All that a folder holds, by path within it; a folder NAME.parquet is one table."""
    return {str(path.relative_to(folder)): content(path) for path in _units(folder)}


def content(path: Path) -> Content:
    """One file, or one data set."""
    if path.suffix in READERS:
        return READERS[path.suffix](path)
    kind = DRAWN if path.suffix in DRAWINGS else "bytes"
    return Content(kind, {"": _short(path.read_bytes())})


def one_hash(found: Mapping[str, Content]) -> str:
    """One digest of everything but drawings."""
    return _short(json.dumps({path: dict(one.parts) for path, one in found.items() if one.kind != DRAWN}, sort_keys=True).encode())


def _units(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.suffix != TABLE and path.name != THEIRS:
            yield from _units(path)
        elif path.name != THEIRS and path.name not in LEFT_OUT:
            yield path


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


def _tensors(path: Path) -> Content:
    """Safetensors: eight bytes that give the length of a JSON header, the header, the numbers."""
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    header: dict[str, Any] = json.loads(whole[8:start])
    header.pop("__metadata__", None)
    return Content("tensors", {name: _tensor(entry, whole[start:]) for name, entry in sorted(header.items())})


def _tensor(entry: Mapping[str, Any], numbers: bytes) -> str:
    first, last = entry["data_offsets"]
    return f"{entry['dtype']}{entry['shape']} {_short(numbers[first:last])}"


def _table(path: Path) -> Content:
    files = sorted(path.glob(f"*{TABLE}")) if path.is_dir() else [path]
    table = pa.concat_tables([pq.read_table(BytesIO(file.read_bytes())) for file in files], promote_options="default")
    return Content("table", {name: column_digest(table.column(name)) for name in sorted(table.column_names)})


def column_digest(column: pa.ChunkedArray) -> str:
    """A column by its values in order, whatever the chunks that hold them."""
    digest = hashlib.sha256()
    for block in _blocks(pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)):
        digest.update(block)
    return f"{column.type}[{len(column)}] {digest.hexdigest()[:20]}"


def _blocks(array: pa.Array) -> Iterator[bytes]:
    """Which values there are, then the values: lists by their lengths and what is in them, numbers by their bits, the rest as text."""
    kind = array.type
    yield array.is_null().to_numpy(zero_copy_only=False).tobytes()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield pc.list_value_length(array).fill_null(-1).to_numpy(zero_copy_only=False).tobytes()
        yield from _blocks(array.flatten())
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        yield array.drop_null().to_numpy(zero_copy_only=False).tobytes()
    else:
        yield json.dumps(array.to_pylist(), default=str).encode()


def _json(path: Path) -> Content:
    return Content("JSON", dict(_leaves("", json.loads(path.read_text(encoding="utf-8")))))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Objects are taken apart key by key; lists and plain values are leaves. Floats are written so that they are read back to the bit."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _leaves(f"{name}.{key}" if name else key, value[key])
        return
    text = json.dumps(value, sort_keys=True)
    yield name, text if len(text) <= SHORT else f"{type(value).__name__} {_short(text.encode())}"


def _arrays(path: Path) -> Content:
    array = np.load(path, allow_pickle=False)
    return Content("array", {"": f"{array.dtype}{list(array.shape)} {_short(array.tobytes())}"})


READERS = {".safetensors": _tensors, TABLE: _table, ".json": _json, ".npy": _arrays}


def to_json(found: Mapping[str, Content]) -> dict[str, Any]:
    """Plain nested data."""
    return {path: {"kind": one.kind, "parts": dict(one.parts)} for path, one in found.items()}


def from_json(stored: Mapping[str, Any]) -> Contents:
    """What `to_json` made."""
    return {path: Content(one["kind"], one["parts"]) for path, one in stored.items()}


def without(found: Mapping[str, Content], kinds: Iterable[str]) -> Contents:
    """The files of all other kinds."""
    left = set(kinds)
    return {path: one for path, one in found.items() if one.kind not in left}
