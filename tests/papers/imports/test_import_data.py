"""The authors' data file in all its layouts becomes our data folder; what is no array of integers is refused and never carried out."""

import contextlib
import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from authors import GRAMMAR, object_array
from twinsplit.data.sequences import load_sequences
from twinsplit.errors import InputError
from twinsplit.papers.imports.header import npy_header, untrusted_data
from twinsplit.papers.imports.reader import environment, read_array
from twinsplit.papers.imports.sequences import import_sequences

TOKENS = GRAMMAR.sample(40, 3).numpy()

LAYOUTS = {
    "lists": object_array(TOKENS.tolist()),
    "tuples": object_array([tuple(row) for row in TOKENS.tolist()]),
    "integer arrays": object_array(list(TOKENS.astype(np.int64))),
    "big-endian arrays": object_array(list(TOKENS.astype(">i2"))),
    "numpy integers": object_array([list(row.astype(np.int32)) for row in TOKENS]),
    "object rows": TOKENS.astype(object),
    "object rows in Fortran order": np.asfortranarray(TOKENS.astype(object)),
    "plain": TOKENS.astype(np.uint8),
    "plain in Fortran order": np.asfortranarray(TOKENS.astype(">i4")),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_tokens(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "data.npy", LAYOUTS[name], allow_pickle=True)
    assert np.array_equal(read_array(tmp_path / "data.npy"), TOKENS)


def test_numpy_1_wrote_other_module_names(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.save(content, LAYOUTS["integer arrays"], allow_pickle=True)
    # a short string is preceded by its length: a byte that has to change with it
    old = content.getvalue().replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
    old = old.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert b"numpy._core" not in old
    assert b"numpy.core" in old
    (tmp_path / "data.npy").write_bytes(_without_frames(old))
    assert np.array_equal(read_array(tmp_path / "data.npy"), TOKENS)


def _without_frames(content: bytes) -> bytes:
    """Protocol 4 puts content in frames of a given length, which no longer holds: drop the marks."""
    start = content.index(b"\x80\x04")
    body = content[start:]
    if body[2:3] == b"\x95":
        body = body[:2] + body[11:]
    return content[:start] + body


def test_a_data_folder_of_ours(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", LAYOUTS["lists"], allow_pickle=True)
    data, impossible = import_sequences(tmp_path / "data.npy", GRAMMAR, {"sigma": 1.0}, 0.0)
    data.save(tmp_path / "out")
    again = load_sequences(tmp_path / "out")
    assert impossible == 0
    assert np.array_equal(again.sequences, TOKENS)
    assert again.sequences.dtype == np.int8
    assert np.array_equal(again.grammar.rules, GRAMMAR.rules)
    assert again.origin["imported"] == "data.npy"


def test_sequences_that_the_grammar_cannot_make_are_counted(tmp_path: Path) -> None:
    allowed = {tuple(row) for row in GRAMMAR.enumerate()[0].tolist()}
    bad = next(row for row in np.ndindex(4, 4, 4, 4) if row not in allowed)
    np.save(tmp_path / "data.npy", object_array([*TOKENS.tolist(), list(bad)]), allow_pickle=True)
    with pytest.raises(InputError, match=r"2\.439% of the sequences \(1 of 41, first: row 40\) are impossible"):
        import_sequences(tmp_path / "data.npy", GRAMMAR, {}, 0.0)
    data, fraction = import_sequences(tmp_path / "data.npy", GRAMMAR, {}, 0.05)
    assert (fraction, data.origin["impossible"]) == (1 / 41, 1)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (object_array([[0, 1, 2, 3], [0, 1]]), "different lengths: 4 in row 0, 2 in row 1"),
        (object_array([[0, 1, 2, "3"]]), "row 0 is no sequence of integers"),
        (object_array([[0, 1, 2, 3.0]]), "row 0 is no sequence of integers"),
        (object_array([[0, 1, True, 3]]), "row 0 is no sequence of integers"),
        (object_array([[0, 1, 2, [3]]]), "row 0 is no sequence of integers"),
        (object_array([{"a": 1}]), "row 0 is no sequence of integers"),
        (object_array([[0, 1, 2, 2**70]]), "does not fit in 64 bits"),
        (object_array([np.zeros(4)]), "values of type 'f8', not integers"),
        (object_array([]), "no token"),
        (np.array({"a": 1}, dtype=object), "1 or 2 axes"),
        (np.zeros((3, 4)), "not integers of shape"),
        (np.zeros(4, dtype=np.int64), "not integers of shape"),
        (object_array([[0, 1, 2, 9]]), r"tokens 0..9.*--vocab-size"),
        (object_array([[0, 1, 2, 256]]), r"tokens 0..256.*--vocab-size"),
        (object_array([[0, 1, -2, 3]]), r"tokens -2..3.*--vocab-size"),
        (object_array([[0, 1]]), r"shape \(1, 2\).*set --depth"),
    ],
)
def test_arrays_that_are_no_sequences(tmp_path: Path, array: Any, says: str) -> None:
    np.save(tmp_path / "data.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=says):
        import_sequences(tmp_path / "data.npy", GRAMMAR, {}, 0.0)


def npy(body: bytes, shape: str = "(1,)", descr: str = "'|O'") -> bytes:
    """A .npy file with a header of ours and any body."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


class Program:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def text(module: str, name: str, argument: str) -> bytes:
    """A call as a protocol-4 pickle, for names that cannot be reached by pickling: module, dotted name, one text."""
    parts = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    return b"\x80\x04" + parts + b"\x93" + b"\x8c" + bytes([len(argument)]) + argument.encode() + b"\x85R."


def hostile(sentinel: Path) -> dict[str, tuple[bytes, str]]:
    """Name -> a .npy file that would leave a sentinel, and what its refusal says."""
    touch = f"touch {sentinel}"
    python = f"open({str(sentinel)!r}, 'w')"
    inside = io.BytesIO()
    np.save(inside, object_array([[0, 1], Program(os.system, touch)]), allow_pickle=True)
    return {
        "os.system": (npy(pickle.dumps(Program(os.system, touch))), "posix.system"),
        "os.system in an element": (inside.getvalue(), "posix.system"),
        "eval": (npy(pickle.dumps(Program(eval, python))), "builtins.eval"),
        "getattr chain": (npy(pickle.dumps(Program(getattr, [], "append"))), "builtins.getattr"),
        "a dotted name": (npy(text("numpy", "ndarray.__class__.__base__", "x")), "numpy.ndarray.__class__.__base__"),
        "a module of numpy": (npy(text("numpy._core.multiarray", "np.os.system", touch)), "numpy._core.multiarray.np.os.system"),
        "numpy.load": (npy(pickle.dumps(Program(np.load, str(sentinel)))), "numpy"),
        "numpy.fromfile": (npy(text("numpy._core.multiarray", "fromfile", "/etc/passwd")), "numpy._core.multiarray.fromfile"),
        "runstring": (npy(text("numpy.testing._private.utils", "runstring", python)), "runstring"),
        "memmap": (npy(text("numpy", "memmap", str(sentinel))), "numpy.memmap"),
        "record arrays": (npy(text("numpy", "recarray", "x")), "numpy.recarray"),
        "a persistent id": (npy(b"\x80\x04\x8c\x01x\x51."), "its pickle cannot be read"),
        "an extension code": (npy(b"\x80\x04\x82\x01."), "its pickle cannot be read"),
        "calling an array": (npy(b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93)R."), "its pickle cannot be read"),
        "a class to instantiate": (npy(b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93)\x81."), "its pickle cannot be read"),
        "another pickle's end": (npy(b"N."), "no array of shape"),
        "nothing": (npy(b""), "its pickle cannot be read"),
    }


@pytest.mark.parametrize("name", hostile(Path("/nowhere")))
def test_programs_are_not_run(tmp_path: Path, name: str) -> None:
    sentinel = tmp_path / "sentinel"
    content, says = hostile(sentinel)[name]
    (tmp_path / "data.npy").write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read_array(tmp_path / "data.npy")
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not sentinel.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["data.npy"]


def test_the_sentinel_would_be_left_by_an_ordinary_reader(tmp_path: Path) -> None:
    """So that the test above can fail: NumPy's own reader runs the very same file."""
    (tmp_path / "data.npy").write_bytes(hostile(tmp_path / "sentinel")["os.system"][0])
    with contextlib.suppress(Exception):
        np.load(tmp_path / "data.npy", allow_pickle=True)
    assert (tmp_path / "sentinel").exists()


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.save(content, LAYOUTS["integer arrays"], allow_pickle=True)
    whole = content.getvalue()
    for end in (0, 5, 60, 130, len(whole) // 2, len(whole) - 1):
        (tmp_path / "data.npy").write_bytes(whole[:end])
        with pytest.raises(InputError):
            read_array(tmp_path / "data.npy")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (npy(bytes(32), "(1000000000000, 4)", "'<i8'"), "promises 32000000000000 bytes and 32 follow"),
        (npy(bytes(32), "(-2, -2)", "'<i8'"), "not integers of shape"),
        (npy(pickle.dumps(None), "(1000000000000,)"), "no array of shape"),
        (npy(pickle.dumps(np.empty((1 << 40, 0), dtype=object), 4), "(1099511627776, 0)"), "no token"),
        (npy(b"\x80\x04N" + b"r\xff\xff\xff\x7f."), "more memory than its size explains"),
        (npy(b"", "(" + "1," * 5000 + ")"), "no .npy file"),
        (npy(b"", "__import__('os')"), "no .npy file"),
        (b"PK\x03\x04" + bytes(100), "no .npy file"),
    ],
)
def test_bombs_and_headers_that_lie(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "data.npy").write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_array(tmp_path / "data.npy")


def test_a_reader_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.npy")
    with pytest.raises(InputError, match="is no file"):
        read_array(tmp_path / "data.npy")
    np.save(tmp_path / "big.npy", TOKENS)
    with pytest.raises(InputError, match="took more than 0 s and was stopped"):
        read_array(tmp_path / "big.npy", seconds=0)


def test_the_sandbox_inherits_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    assert "hush" not in str(environment(tmp_path))
    assert {"PATH", "HOME", "TMPDIR", "PYTHONPATH"} <= set(environment(tmp_path))


def test_without_trust_only_the_header_is_read(tmp_path: Path) -> None:
    (tmp_path / "data.npy").write_bytes(hostile(tmp_path / "sentinel")["os.system"][0])
    said = str(untrusted_data(tmp_path / "data.npy"))
    assert "can run whatever its author wrote" in said
    assert "--trusted" in said
    assert npy_header(tmp_path / "data.npy").pickled
    assert not (tmp_path / "sentinel").exists()
