"""Files: written whole or not at all, read strictly."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from twinsplit.errors import InputError
from twinsplit.runs import files
from twinsplit.runs.files import encode_tensors, read_json, write_blocks, write_bytes, write_json, write_many

TENSORS = {"weights.a": torch.arange(6.0).view(2, 3), "weights.b": torch.ones(2)}


def test_equal_tensors_have_equal_bytes() -> None:
    assert encode_tensors(TENSORS, {"step": 1, "a": 2}) == encode_tensors(dict(reversed(TENSORS.items())), {"a": 2, "step": 1})


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "free"), (errno.EROFS, "writable"), (errno.EACCES, "writable"), (errno.EDQUOT, "free")],
)
def test_a_disk_that_refuses_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def refuse(*_: object) -> None:
        raise OSError(code, "refused")

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(InputError, match=rf"cannot write .*{remedy}.*intact"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_blocks_that_stop_coming_leave_the_old_file(tmp_path: Path) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    write_blocks(tmp_path / "file", [b"o", b"ld"])
    with pytest.raises(KeyboardInterrupt):
        write_blocks(tmp_path / "file", blocks())
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"file": b"old"}


def test_many_files_are_each_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {tmp_path / "in" / f"{i}.jpg": bytes([i]) for i in range(4)}

    def stop() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "sync", stop)
        with pytest.raises(KeyboardInterrupt):
            write_many(contents)
    assert not list(tmp_path.rglob("*.jpg"))
    write_many(contents)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == contents
    with pytest.raises(InputError, match="cannot write"):
        write_many({tmp_path / "in" / "0.jpg" / "below": b""})


@pytest.mark.parametrize(
    "text", ["[]", "[1]", "5", "null", '"a"', "{", "[" * 100_000, '{"a": ' + "9" * 5_000 + "}", '{"a": "\\ud800"}', ""]
)
def test_stored_json_is_an_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(InputError, match=r"data\.json.*restore the file"):
        read_json(tmp_path / "data.json")


def test_what_an_object_must_hold_is_checked(tmp_path: Path) -> None:
    write_json(tmp_path / "status.json", {"command": "twinsplit", "step": None, "level": 1.5})
    assert read_json(tmp_path / "status.json", command=str, step=int | None, level=float)["step"] is None
    for entries in ({"command": int}, {"stage": str}, {"stage": object}):
        with pytest.raises(InputError, match=f"status.json holds no {next(iter(entries))!r}"):
            read_json(tmp_path / "status.json", **entries)
    write_json(tmp_path / "list.json", [1])
    assert read_json(tmp_path / "list.json", list) == read_json(tmp_path / "list.json", object) == [1]


def test_json_is_strict(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match="restore"):
        read_json(tmp_path / "x.json")
