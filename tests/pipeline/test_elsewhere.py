"""Whatever an executor's device computes comes out as on the CPU: training, every measure and every sampler on a pretended accelerator.

Tolerances: the general path stands for the compiled one there, so numbers differ by float32 rounding, and a token may turn.
"""

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from every_stage import WORK, cases, trained
from pretended import PLACE, Elsewhere, pretended
from twinsplit.execution.local import Inline
from twinsplit.pipeline import stages as pipeline
from twinsplit.runs.store import Run

THERE = str(PLACE)


@pytest.fixture(autouse=True)
def nameless_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast, which is off in float32, refuses the pretended device by its name."""
    monkeypatch.setattr(torch, "autocast", lambda *args, enabled: nullcontext() if not enabled else pytest.fail("float32 alone"))


def test_the_pretended_device_refuses_what_a_real_one_refuses() -> None:
    here = torch.ones(3)
    with pretended():
        there = here.to(PLACE)
        assert isinstance(there, Elsewhere)
        assert (there * 2 + 1).cpu().tolist() == [3.0, 3.0, 3.0]
        with pytest.raises(RuntimeError, match="two devices"):
            there + here
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()


@pytest.mark.parametrize("case", WORK)
def test_everything_is_measured_there_as_here(case: str, tmp_path: Path) -> None:
    recipe, work = cases(steps=12, checkpoints=6)[case], WORK[case]
    if case == "images":
        pytest.importorskip("diffusers", reason="needs diffusers: pip install 'twinsplit[images]'")
    here = trained(tmp_path / "here", recipe, Inline())
    work(here)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    last = sorted((tmp_path / "there" / "measurements").glob(f"*/step_{here.run.steps()[-1]:08d}.parquet"))
    for table in last:
        table.unlink()
    with pretended():
        there = pipeline.resume(tmp_path / "there", Inline(THERE))
        work(there)
    assert len(last) >= 8
    for table in last:
        alike(here.run, there.run, table.parent.stem)


def alike(here: Run[Any], there: Run[Any], name: str) -> None:
    """The same rows at the last step; values equal but for rounding, which may turn a few tokens and the order of equal neighbours."""
    step = here.steps()[-1]
    first, second = ([row for row in run.table(name).to_pylist() if row["step"] == step] for run in (here, there))
    for a, b in zip(first, second, strict=True):
        assert {k: v for k, v in a.items() if isinstance(v, int | str)} == {k: v for k, v in b.items() if isinstance(v, int | str)}
        near = np.isclose(a["values"], b["values"], rtol=2e-3, atol=2e-4)
        assert near.mean() > 0.9, (name, a["values"], b["values"])


@pytest.mark.parametrize("case", WORK)
def test_networks_train_there_as_here(case: str, tmp_path: Path) -> None:
    """All members in one shard there, one by one here. Adam's first steps have the size of the rate, however small a gradient is."""
    recipe = cases(steps=4, checkpoints=2)[case]
    if case == "images":
        pytest.importorskip("diffusers", reason="needs diffusers: pip install 'twinsplit[images]'")
    here = trained(tmp_path / "here", recipe, Inline())
    with pretended():
        there = trained(tmp_path / "there", recipe, Inline(THERE))
    assert there.device == THERE
    found, expected = (torch.cat([value.flatten() for _, value in sorted(session.run.load(4).items())]) for session in (there, here))
    assert torch.isclose(found, expected, rtol=1e-2, atol=1e-4).float().mean() > 0.97
