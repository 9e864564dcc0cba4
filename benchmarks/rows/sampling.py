"""Reverse diffusion with the full network, its samples dealt to one-thread workers, against the plain loop over steps with an eager float32
network on all threads.
"""

from itertools import pairwise

import torch
from torch import Tensor

from rows.case import Case, Row, Size, compare, products
from rows.plain_network import PlainTransformer
from rows.training import TINY, flops
from twinsplit.diffusion.sampler import Ancestral, strided_times
from twinsplit.diffusion.schedule import Schedule
from twinsplit.diffusion.series import Member
from twinsplit.execution.local import available_cores, open_executor
from twinsplit.networks.network_denoiser import NetworkDenoiser
from twinsplit.networks.transformer import Transformer
from twinsplit.noise.reference import Noise
from twinsplit.training.ensemble import Ensemble
from twinsplit.worlds.sequences.generation import Generation, generate, generate_all

SIZES = {"full": (256, 500, 10, 4), "tiny": (4, 20, 4, 2)}  # sequences, steps, steps of ours, steps of the reference


def plain_sample(network: PlainTransformer, x: Tensor, schedule: Schedule, times: tuple[int, ...], z: Tensor) -> Tensor:
    """DDPM's reverse steps between neighbouring times, from x (n, L, q) with normals z (steps, n, L, q)."""
    for i, (t, s) in enumerate(pairwise(times)):
        with torch.no_grad():
            x_0 = network(x, torch.full((len(x),), t)).softmax(-1)
        mean, variance = schedule.reverse(x, x_0, t, s)
        x = mean + variance.sqrt().float() * z[i]
    return x


def row(size: Size, rounds: int) -> Row:
    """The one row."""
    count, steps, ours, few = SIZES[size]
    spec = Transformer() if size == "full" else Transformer(**vars(TINY))
    ensemble = Ensemble.initial(spec, (Member(0, 0),), Noise(0))
    denoiser, network = ensemble.member(0), PlainTransformer(spec).load(ensemble.parameters, 0).eval()
    assert isinstance(denoiser, NetworkDenoiser)
    schedule, shape = Schedule.diffusion_lm(), (spec.length, spec.vocab_size)
    x_T, z = torch.randn(count, *shape), torch.randn(few, count, *shape)

    def plan(steps: int) -> Generation:
        return Generation(Ancestral(schedule, strided_times(schedule.T, steps)), count, shape, Noise(0, "sampling"), "bfloat16")

    with open_executor(min(2, available_cores())) as workers:
        case = Case(
            "sampling_full",
            5,
            f"{count} sequences x {steps} steps, {spec.layers} layers, width {spec.width}; ours: {ours}, reference: {few}, by proportion",
            lambda: generate_all(plan(ours), [denoiser], workers),
            lambda: plain_sample(network, x_T, schedule, strided_times(schedule.T, few), z),
            lambda: check(plan(few), denoiser, network),
            steps,
            ours,
            few,
            steps * flops(spec, count * spec.length) / 3,
            products(),
        )
        return compare(case, rounds)


def check(plan: Generation, denoiser: NetworkDenoiser, network: PlainTransformer) -> str:
    """From the same x_T and step noise, the share of equal tokens; AssertionError below 99%."""
    ids, times = torch.arange(plan.count), plan.sampler.times
    x_T = plan.noise.child("x_T").normal(0, ids, plan.shape, torch.float32)
    z = torch.stack([plan.noise.child("steps").normal(t, ids, plan.shape, torch.float32) for t in times[:-1]])
    expected = plain_sample(network, x_T, plan.sampler.schedule, times, z).argmax(-1)
    share = float((generate(plan, denoiser) == expected).float().mean())
    assert share >= 0.99, f"only {share:.1%} of the tokens are equal"
    return f"{share:.1%} of the tokens equal"


ROWS = {"sampling_full": row}
