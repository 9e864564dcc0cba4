"""Which training images are nearest to a sample: by correlation ([GAHB]), and ordered again by what the eye would say ([RP]).

Images of one colour correlate with nothing. They are left out on both sides and counted: of a sample the value is NaN.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twinsplit.errors import InputError
from twinsplit.execution.local import Executor
from twinsplit.measures.perceptual import (
    COUNT,
    SAVED,
    SMALLEST_SIDE,
    Distance,
    Lpips,
    constant,
    enlargement,
    nearest_by_correlation,
    perceptual_distances,
    spearman,
    ssim_distance,
)
from twinsplit.report.pictures import Samples
from twinsplit.runs.files import fingerprint
from twinsplit.runs.rows import Rows, as_table
from twinsplit.runs.store import Run
from twinsplit.worlds.evaluator import Measured
from twinsplit.worlds.images.world import ImageWorld

CLOSEST = "closest"
BLANK = 255  # shown beside a sample that has no closest image


@final
@dataclass(frozen=True, eq=False)
class Near:
    """The training images nearest to a network's samples. varied: (g,) bool, the samples that have a value, m of them; correlations and
    rows: (m, count), highest first; left_out: training images of one colour.
    """

    varied: Tensor
    correlations: Tensor
    rows: Tensor
    left_out: int

    @classmethod
    def of(cls, samples: Tensor, training: Tensor, count: int) -> "Near":
        """Of samples (g, ...) among training images (N, ...): `count`, or all where there are fewer."""
        varied, usable = ~constant(samples), (~constant(training)).nonzero()[:, 0]
        left_out = len(training) - len(usable)
        if not len(usable):
            return cls(torch.zeros_like(varied), torch.empty(0, 0), torch.empty(0, 0, dtype=torch.int64), left_out)
        found, rows = nearest_by_correlation(samples[varied], training[usable], min(count, len(usable)))
        return cls(varied, found, usable[rows], left_out)

    def whole(self, values: Tensor) -> NDArray[np.float32]:
        """(g,) of values (m,)."""
        found = torch.full((len(self.varied),), float("nan"))
        found[self.varied] = values.float()
        return found.numpy()


def measure_closest(run: Run[Any], world: ImageWorld, step: int, executor: Executor) -> Iterator[Measured]:
    """A row per network: the correlation of each sample with the training image that correlates best; these images beside the table."""
    if step in run.measured(CLOSEST):
        return
    images, rows = [], []
    for name, samples, training in _of_networks(run, world, step):
        near = Near.of(samples, training, 1)
        images.append(_pictures(near, training))
        best = near.whole(near.correlations[:, 0] if len(near.correlations) else torch.empty(0))
        rows.append(name | {"constant_images": near.left_out, "values": best})
    run.write_tensors(CLOSEST, step, {"images": torch.stack(images)})
    run.write_table(CLOSEST, step, as_table(step, rows))
    yield Measured(step, (CLOSEST,))


def _of_networks(run: Run[Any], world: ImageWorld, step: int) -> Iterator[tuple[dict[str, int], Tensor, Tensor]]:
    """Name, samples (g, C, H, W) and training images (N, C, H, W) in [0, 1] of every network."""
    samples = torch.from_numpy(Samples.read(run, step).images).float() / 255
    for k, (member, own) in enumerate(zip(world.load(run, step).members, samples, strict=True)):
        yield {"member": k, "split": member.split, "seed": member.seed}, own, world.pictures[0][member.split]


def _pictures(near: Near, training: Tensor) -> Tensor:
    """(g, C, H, W) levels of the closest image of each sample."""
    found = torch.full((len(near.varied), *training.shape[1:]), BLANK, dtype=torch.uint8)
    if len(near.rows):
        found[near.varied] = (training[near.rows[:, 0]] * 255).round().clamp(0, 255).to(torch.uint8)
    return found


@final
@dataclass(frozen=True, eq=False)
class Eye:
    """A perceptual distance. name: SSIM or LPIPS; sha256: of the weights, empty where there are none."""

    name: str
    sha256: str
    distance: Distance

    @classmethod
    def of(cls, weights: Path | None) -> "Eye":
        """LPIPS with the weights in a file, or SSIM; InputError where they do not load."""
        if weights is None:
            return SSIM
        try:
            content = weights.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read --lpips-weights {weights}: {error.strerror}", SAVED) from error
        return cls("LPIPS", fingerprint(content), Lpips(weights))

    @property
    def table(self) -> str:
        """Of what is measured: another distance, or other weights, is another measurement."""
        return "_".join(part for part in ("reranked", self.name.lower(), self.sha256[:16]) if part)

    def caption(self, side: int) -> str:
        """In a caption, for images of `side` pixels."""
        factor = enlargement(side) if self.sha256 else 1  # of the weights' network alone
        return self.name if factor == 1 else f"{self.name} (images enlarged {factor} times, to the {SMALLEST_SIDE} pixels that VGG needs)"

    def to_json(self) -> dict[str, Any]:
        """What decides it."""
        return {"distance": self.name} | ({"weights_sha256": self.sha256} if self.sha256 else {})


SSIM = Eye("SSIM", "", ssim_distance)


def measure_reranked(eye: Eye, run: Run[Any], world: ImageWorld, step: int, executor: Executor) -> Iterator[Measured]:
    """A row per network and quantity: of each sample, whether its nearest training image changes when the `count` that correlate best are
    ordered by the distance instead, and how far both orders agree.
    """
    if step in run.measured(eye.table):
        return
    rows: Rows = []
    for name, samples, training in _of_networks(run, world, step):
        near = Near.of(samples, training, COUNT)
        about = name | eye.to_json() | {"count": near.rows.shape[1], "constant_images": near.left_out}
        rows += [about | {"quantity": quantity, "values": values} for quantity, values in _reranked(near, samples, training, eye.distance)]
    run.write_table(eye.table, step, as_table(step, rows))
    yield Measured(step, (eye.table,))


def _reranked(near: Near, samples: Tensor, training: Tensor, distance: Distance) -> list[tuple[str, NDArray[np.float32]]]:
    """changed: 1 or 0; agreement: Spearman's correlation of the two orders."""
    if not len(near.rows):
        return [(quantity, near.whole(torch.empty(0))) for quantity in ("changed", "agreement")]
    distances = perceptual_distances(samples[near.varied], training, near.rows, distance)
    pairs = zip(near.correlations.numpy(), distances.numpy(), strict=True)
    agreement = torch.tensor([spearman(-a, b) for a, b in pairs])
    return [("changed", near.whole(distances.argmin(1) != 0)), ("agreement", near.whole(agreement))]
