"""Modules of one's own on tensors of one's own, and networks that a plain loop has trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import twinsplit as ts
from foreign_world import MLP
from twinsplit.errors import InputError
from twinsplit.recipes import Repeating
from twinsplit.runs.rows import Table
from twinsplit.worlds.tensors import Samples

SCHEDULE = ts.Schedule.diffusion_lm(50)
FEW = {"batch": 8, "checkpoints": 7, "first_checkpoint": 2}
SMALL = Repeating(generated=6, sampling_steps=5)


class Flat(nn.Module):
    """Any sample shape: a linear layer on all entries."""

    def __init__(self, entries: int) -> None:
        super().__init__()
        self.layer = nn.Linear(entries + 1, entries)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.layer(torch.cat([x_t.flatten(1), t[:, None] / 50], 1)).view_as(x_t)


class Logits(nn.Module):
    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(vocab_size, vocab_size)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.layer(x_t)


@pytest.mark.parametrize("shape", [(3,), (2, 5), (1, 4, 6), (1, 2, 3, 2)], ids=["vectors", "series", "images", "volumes"])
def test_any_module_on_any_tensor(shape: tuple[int, ...], tmp_path: Path) -> None:
    samples = torch.randn(90, *shape, generator=torch.Generator().manual_seed(0))
    module = Flat(samples[0].numel())
    twins = ts.fit(module, samples, splits=3, steps=24, out=tmp_path / "run", process=SCHEDULE, training=FEW, measuring=SMALL)
    onset = ts.decide(ts.measure(twins))
    assert (onset.members, len(twins.run.steps())) == (3, 7)
    again = ts.fit(module, samples, splits=3, steps=24, out=tmp_path / "run", process=SCHEDULE, training=FEW, measuring=SMALL)
    assert again.run.steps() == twins.run.steps()  # resumed, not trained again
    with pytest.raises(InputError, match="--out"):
        ts.fit(Flat(samples[0].numel()), samples, splits=3, steps=24, out=tmp_path / "run", process=SCHEDULE, training=FEW)


def test_tokens(tmp_path: Path) -> None:
    tokens = torch.randint(0, 4, (200, 5), generator=torch.Generator().manual_seed(1))
    twins = ts.fit(Logits(4), tokens, splits=2, steps=20, out=tmp_path / "run", process=SCHEDULE, training=FEW, measuring=SMALL)
    ts.measure(twins)
    loss = Table.read(twins.run, "test_loss")
    assert 0 < loss.means[-1] < 3 * np.log(4)


@pytest.mark.parametrize(
    ("module", "key"),
    [(nn.Linear(5, 5), "module fails"), (nn.Sequential(nn.BatchNorm1d(2)), "BatchNorm1d")],
    ids=["wrong shape", "running statistics"],
)
def test_a_module_that_does_not_fit_is_refused(module: nn.Module, key: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=key):
        ts.fit(module, torch.randn(60, 2), splits=2, steps=5, out=tmp_path / "run", process=SCHEDULE)
    assert not (tmp_path / "run").exists()


def test_splits_share_no_content() -> None:
    samples = torch.randint(0, 9, (300, 2), generator=torch.Generator().manual_seed(3)).float()  # 81 contents, each a few times
    dealt = Samples.deal(samples, 3, size=20, held_out=10)
    sets = [{tuple(row) for row in part.tolist()} for part in (*dealt.splits, dealt.held_out)]
    assert all(not (a & b) for i, a in enumerate(sets) for b in sets[:i])


class Plain(ts.Denoiser[ts.Gaussian]):
    """A network of a plain loop, read as a denoiser."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    @torch.no_grad()
    def forward(self, x_t: Tensor, t: int | Tensor) -> ts.Gaussian:
        times = torch.as_tensor(t).expand(len(x_t))
        signal, sigma = (scale.float()[:, None] for scale in SCHEDULE.scales(times))
        return ts.Gaussian((x_t - sigma * self.module(x_t, times)) / signal, ((sigma / signal) ** 2)[:, 0])


def train_plainly(samples: Samples, steps: tuple[int, ...]) -> dict[int, list[Plain]]:
    """Somebody's loop: it knows nothing of twinsplit."""
    kept: dict[int, list[Plain]] = {step: [] for step in steps}
    for split, own in enumerate(samples.splits):
        torch.manual_seed(split)
        module = MLP(16)
        optimizer = torch.optim.Adam(module.parameters(), 3e-3)
        for step in range(1, steps[-1] + 1):
            x_0, t = own[torch.randint(len(own), (16,))], torch.randint(1, 51, (16,))
            eps = torch.randn_like(x_0)
            loss = (module(SCHEDULE.noised(x_0, t, eps), t) - eps).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step in kept:
                copy = MLP(16)
                copy.load_state_dict(module.state_dict())
                kept[step].append(Plain(copy))
    return kept


def test_networks_of_a_plain_loop_get_decision_and_page(tmp_path: Path) -> None:
    """No run folder of ours stands behind them: a series and data are enough."""
    pytest.importorskip("plotly", reason="needs plotly: pip install 'twinsplit[report]'")
    samples = Samples.deal(torch.randn(120, 2, generator=torch.Generator().manual_seed(2)), 3)
    steps = (2, 4, 8, 16, 24, 32, 40, 60)
    series = ts.KeptInMemory(tuple(ts.Member(k, k) for k in range(3)), train_plainly(samples, steps))
    judged = ts.study(series, samples, SCHEDULE, out=tmp_path / "judged", measuring=SMALL)
    onset = ts.decide(ts.measure(judged))
    assert onset.verdict in ("bias_precedes_test_minimum", "no_bias_before_test_minimum", "not_enough_power")
    assert judged.run.measured("test_loss") == steps
    page = ts.report(judged).read_text()
    assert "learning_rate" not in page  # nobody said how they were trained


def test_a_series_of_unknown_splits_is_refused(tmp_path: Path) -> None:
    samples = Samples(torch.randn(2, 8, 2), torch.randn(8, 2))
    series = ts.KeptInMemory((ts.Member(0, 0), ts.Member(5, 1)), {1: [Plain(MLP(4)), Plain(MLP(4))]})
    with pytest.raises(InputError, match="split 5"):
        ts.study(series, samples, SCHEDULE, out=tmp_path / "judged")
    assert not (tmp_path / "judged").exists()
