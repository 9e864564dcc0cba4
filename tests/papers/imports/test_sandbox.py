"""The walls around the readers hold by themselves: memory, time, files, programs, connections."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from authors import write_data

WALLS = """
import os, socket, subprocess, sys
from pathlib import Path
from twinsplit.errors import InputError
from twinsplit.papers.imports import sandbox
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


MUTANTS = """
import io, json, random, sys, warnings
from pathlib import Path
import numpy as np
import torch
from twinsplit.papers.imports import sandbox
kind, count = sys.argv[1], int(sys.argv[2])
warnings.simplefilter("ignore")
sandbox.limit(120, 1 << 20)
sandbox.forbid_programs()
content = Path("whole").read_bytes()
dice = random.Random(0)
said = []
for i in range(count):
    mutant = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        mutant[dice.randrange(len(mutant))] = dice.randrange(256)
    Path("mutant").write_bytes(mutant)
    Path(str(i)).mkdir()
    said.append(sandbox.answer(kind, Path(str(i)), [Path("mutant")]))
print(json.dumps(said))
"""


@pytest.mark.parametrize(("kind", "count"), [("data", 600), ("checkpoint", 300)])
def test_every_damage_is_an_answer(tmp_path: Path, kind: str, count: int) -> None:
    """Bytes changed at random: the reader reads, or refuses with a reason, and never fails otherwise."""
    if kind == "data":
        write_data(tmp_path / "whole.npy", 8)
        (tmp_path / "whole.npy").rename(tmp_path / "whole")
    else:
        torch.save({"model_state_dict": {"a": torch.ones(3, 2), "b": torch.zeros(2)}, "epoch": 3}, tmp_path / "whole")
    done = subprocess.run(
        [sys.executable, "-c", MUTANTS, kind, str(count)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    refused = [answer for answer in said if "what" in answer]
    assert len(said) == count
    assert count / 20 < len(refused) < count
    assert all(answer["remedy"] for answer in refused)
