"""Files that are written whole or not at all: a temporary file, fsync, rename.

Tensors are safetensors, tables parquet, the rest JSON; no pickle is read or written. What the
system refuses is an InputError with its remedy.
"""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from twinsplit.errors import InputError
from twinsplit.runs.parsing import parse

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

Kind: TypeAlias = type | UnionType
REMEDY_READ = "restore the file from a copy, or delete it and run again"
AGAIN = "and run the same command again: what was written before is intact"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def fingerprint(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and through to the disk."""
    write_blocks(path, [content])


def write_blocks(path: Path, blocks: Iterable[bytes]) -> None:
    """As `write_bytes`, block by block, for content that does not fit in memory."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, blocks)
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: Path | str, error: OSError) -> InputError:
    """Return the error for a file that could not be written: a full disk, or another fault of the place."""
    remedy = "free some space" if error.errno in FULL else "make the place writable"
    return InputError(f"cannot write {path}: {error.strerror or error}", f"{remedy}, or choose another, {AGAIN}")


def _replace(path: Path, blocks: Iterable[bytes]) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(blocks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_many(files: Mapping[Path, bytes]) -> None:
    """As `write_bytes` for many small files that can be computed again: each whole or not at all,
    with one flush for all."""
    parts = {path: path.with_name(f".{path.name}.part") for path in files}
    try:
        for path, part in parts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(files[path])
        os.sync()
        for path, part in parts.items():
            os.replace(part, path)
    except OSError as error:
        raise _unwritten(error.filename, error) from error


def hold(folder: Path) -> IO[bytes]:
    """Lock a folder while the returned file is open; the system releases the lock when this process ends."""
    import fcntl

    try:
        file = (folder / ".lock").open("wb")
    except OSError as error:
        raise InputError(
            f"cannot write {folder / '.lock'}: {error.strerror}", "make the folder writable, or choose another --out"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise InputError(f"another process works on {folder}", "wait for it, stop it, or choose another --out") from error
    return file


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (no NaN), indented, with a final newline."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, kind: Kind = dict, **entries: Kind) -> Any:
    """Read a JSON file that twinsplit wrote; raise InputError where it is not of `kind` (`object`:
    any) or lacks an entry of the given type."""
    try:
        value = parse(path.read_text(encoding="utf-8"), json.loads)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist", "run the stage that writes it, or check the path") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}", REMEDY_READ) from error
    lacking = [name for name, wanted in entries.items() if not _holds(value, name, wanted)]
    if lacking or not isinstance(value, kind):
        what = f"no {lacking[0]!r} as twinsplit writes it" if lacking else "not what twinsplit writes there"
        raise InputError(f"{path} holds {what}", REMEDY_READ)
    return value


def _holds(value: Any, name: str, wanted: Kind) -> bool:
    return isinstance(value, dict) and name in value and isinstance(value[name], wanted)


def encode_tensors(tensors: Mapping[str, "Tensor"], note: Mapping[str, Any]) -> bytes:
    """Encode tensors as safetensors with one metadata entry, so that equal content has equal bytes."""
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(plain, metadata={"twinsplit": json.dumps(note, sort_keys=True)})


def encode_table(table: "pa.Table") -> bytes:
    """Encode a table as parquet with a checksum in each page, so that a flipped byte is an error
    and never a wrong number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    content: bytes = sink.getvalue().to_pybytes()
    return content
