"""Parts of samples, and what becomes of them in crews of several sizes."""

from dataclasses import dataclass
from typing import final

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twinsplit.diffusion.denoiser import Categorical, Denoiser
from twinsplit.diffusion.sampler import Ancestral, strided_times
from twinsplit.diffusion.schedule import Schedule
from twinsplit.diffusion.series import Member
from twinsplit.execution.local import Inline, open_executor
from twinsplit.networks.transformer import Transformer
from twinsplit.noise.reference import Noise
from twinsplit.training.ensemble import Ensemble
from twinsplit.worlds.parts import draw_parts
from twinsplit.worlds.sequences.generation import Generation, generate, generate_all


@final
@dataclass(frozen=True, eq=False)
class Named(Denoiser[Categorical]):
    """Knows its number only."""

    number: int

    def forward(self, x_t: Tensor, t: int | Tensor) -> Categorical:
        raise AssertionError("nobody asks")


def name_both(denoiser: Named, ids: Tensor) -> list[tuple[int, int]]:
    return [(denoiser.number, int(i)) for i in ids]


@given(networks=st.integers(1, 4), count=st.integers(1, 20), at_once=st.integers(1, 25))
def test_every_sample_of_every_network_once_and_in_order(networks: int, count: int, at_once: int) -> None:
    found = draw_parts(name_both, [Named(k) for k in range(networks)], count, at_once, Inline())
    assert [[pair for part in parts for pair in part] for parts in found] == [[(k, i) for i in range(count)] for k in range(networks)]
    assert max(len(part) for parts in found for part in parts) <= at_once


@pytest.mark.parametrize("workers", [1, 3])
def test_more_workers_than_networks_draw_the_same_samples(workers: int) -> None:
    """Two networks, 300 samples of 8 tokens each: two parts of a network, so that three workers all have some."""
    spec, schedule = Transformer(length=8, width=16, layers=1, heads=2, feedforward=32), Schedule.diffusion_lm(50)
    ensemble = Ensemble.initial(spec, (Member(0, 0), Member(1, 1)), Noise(3))
    generation = Generation(Ancestral(schedule, strided_times(50, 5)), 300, (8, 6), Noise(4))
    with open_executor(workers) as executor:
        found = generate_all(generation, ensemble.denoisers(), executor)
    for k, samples in enumerate(found):
        denoiser = ensemble.member(k)
        assert samples.shape == (300, 8)
        assert torch.equal(samples, generate(generation, denoiser))  # type: ignore[arg-type]
    assert not torch.equal(*found)
