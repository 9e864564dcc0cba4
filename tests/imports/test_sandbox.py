"""The walls around the readers hold by themselves: memory, time, files, programs, connections."""

import subprocess
import sys
from pathlib import Path

import pytest

WALLS = """
import os, socket, subprocess, sys
from pathlib import Path
from twinsplit.errors import InputError
from twinsplit.imports import sandbox
sandbox.limit(SECONDS, 0)
sandbox.forbid_programs()
try:
    TRIED
except (InputError, MemoryError, OSError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def tried(tmp_path: Path, what: str, seconds: int = 60) -> "subprocess.CompletedProcess[str]":
    code = WALLS.replace("TRIED", what).replace("SECONDS", str(seconds))
    return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("os.system('touch sentinel')", "tried os.system"),
        ("subprocess.run(['touch', 'sentinel'])", "tried subprocess.Popen"),
        ("os.fork()", "tried os.fork"),
        ("os.execv('/bin/touch', ['touch', 'sentinel'])", "tried os.exec"),
        ("os.posix_spawn('/bin/touch', ['touch', 'sentinel'], {})", "tried os.posix_spawn"),
        ("socket.socket().connect(('127.0.0.1', 9))", "tried socket."),
        ("bytearray(3 << 30)", "MemoryError"),
        ("Path('large').write_bytes(bytes(80 << 20))", "File too large"),
    ],
)
def test_what_the_walls_stop(tmp_path: Path, what: str, says: str) -> None:
    done = tried(tmp_path, what)
    assert done.returncode == 1, done.stderr
    assert says in done.stderr
    assert not (tmp_path / "sentinel").exists()


def test_time_runs_out(tmp_path: Path) -> None:
    assert tried(tmp_path, "while True: pass", seconds=1).returncode < 0


def test_what_is_harmless_passes(tmp_path: Path) -> None:
    assert tried(tmp_path, "Path('small').write_bytes(bytes(1000))").returncode == 0
    assert (tmp_path / "small").stat().st_size == 1000
