"""The bits of a few smoke runs: recorded on first use on a kind of machine, compared from then on, whatever the commit.

The record is TWINSPLIT_GOLDEN or .pytest-golden in the checkout, one file for each kind of machine (processor, libraries). Where bits are
meant to change, delete it. `benchmarks/same_bits.py` compares two commits in everything they make.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import pytest

from commands import run_in

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from golden.content import Contents, contents, from_json, to_json, without
from golden.difference import differences
from golden.machine import fingerprint, machine

FOLDER = Path(os.environ.get("TWINSPLIT_GOLDEN") or Path(__file__).parents[1] / ".pytest-golden")
COMMANDS = (
    "train --scale smoke --out sequences --workers 1",
    "measure sequences --workers 1",
    "onset sequences",
    "train recipe.toml --out digits --workers 1",
    "measure digits test_loss sample_split_divergence sample_similarity --workers 1",
)
RECIPE = """
world = "images"
base = "smoke"
data = {splits = 2, split_size = 6, held_out = 6, order = "shuffled"}
diffusion = {T = 50}
network = {channels = [8, 8], layers_per_block = 1, attention = [1]}
training = {steps = 4, batch = 4, loss = "noise", precision = "float32", checkpoints = 2, first_checkpoint = 2, ema_decay = 0.9}
measuring = {times = [3, 8], generated = 4, sampling_steps = 3, train_images = 4}
"""


def made(folder: Path) -> Contents:
    """What the commands leave in an empty folder, but for the recipe."""
    folder.mkdir()
    (folder / "recipe.toml").write_text(RECIPE)
    for line in COMMANDS:
        done = run_in(folder, *line.split())
        assert done.returncode == 0, done.stderr
    return without(contents(folder), ["bytes"])


def told(before: Contents, after: Contents) -> str:
    """The files that differ."""
    return "\n".join(map(str, differences(before, after)))


def test_the_same_commands_make_the_same_bits_as_ever_on_this_kind_of_machine(tmp_path: Path) -> None:
    record = FOLDER / f"{fingerprint([machine(), COMMANDS, RECIPE])}.json"
    found = made(tmp_path / "now")
    assert {one.kind for one in found.values()} == {"tensors", "table", "JSON"}
    if record.exists():
        before = from_json(json.loads(record.read_text(encoding="utf-8")))
        assert not differences(before, found), f"other bits than {record} records (A: there, B: now)\n{told(before, found)}"
        return
    again = made(tmp_path / "again")
    assert not differences(found, again), f"two runs of the same commands differ\n{told(found, again)}"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(to_json(found), indent=1) + "\n", encoding="utf-8")
    warnings.warn(f"recorded the bits of this kind of machine in {record}; compared from now on", pytest.PytestWarning, stacklevel=1)
