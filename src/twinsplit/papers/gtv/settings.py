"""The settings of [GTV]'s three figures at every scale: which worlds, features, sizes and how many models."""

from dataclasses import dataclass
from math import cos, pi, sin
from typing import Literal, final

import torch
from torch import Tensor

from twinsplit.diffusion.continuous import VariancePreserving
from twinsplit.diffusion.flow import Euler
from twinsplit.exact.linear.draws import World
from twinsplit.exact.linear.features import FourierModes, GaussianBumps, ProductFeatures, same_axes
from twinsplit.measures.histograms import Grid
from twinsplit.papers.scales import Scale

Kind = Literal["gaussian", "fourier"]
AXES: dict[Kind, type[GaussianBumps] | type[FourierModes]] = {"gaussian": GaussianBumps, "fourier": FourierModes}
HALF = 1.5  # features and histograms lie on [-HALF, HALF] in every coordinate
RIDGE = 0.1
STEPS = 30

POINT_SETS: dict[str, list[tuple[float, float]]] = {
    "polygon": [(cos(i * pi / 3), sin(i * pi / 3)) for i in range(6)],
    "line": [(v, v) for v in (-1.0, -0.6, -0.2, 0.2, 0.6, 1.0)],
    "blend": [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0.5, -1), (1, -1)],
    "random": [(-1, -1), (-0.9, 1), (-0.3, 0.2), (0.1, -0.1), (0.2, -0.1), (0.9, 0.7)],
}
FRACTION_TIMES = (0.05, 0.1, 0.2, 0.5, 0.75)
FRACTION_GRID: dict[Scale, int] = {"smoke": 20, "laptop": 100, "paper": 100}


def points(rows: list[tuple[float, ...]]) -> Tensor:
    """(M, D) float64."""
    return torch.tensor(rows, dtype=torch.float64)


def circle(rotation: float) -> Tensor:
    """(4, 2): four points on the unit circle, the first at angle `rotation` (radians)."""
    return points([(cos(i * pi / 2 + rotation), sin(i * pi / 2 + rotation)) for i in range(4)])


@final
@dataclass(frozen=True, eq=False)
class Setting:
    """One condition: a world, the features fitted to it, the flow that samples, the histogram, and P."""

    world: World
    features: ProductFeatures
    flow: Euler
    grid: Grid
    P: int
    ridge: float = RIDGE


def condition(data: Tensor, kind: Kind, count: int, eps: float, P: int, grid: Grid) -> Setting:
    """A condition as published: times on [eps, 1], `count` features per coordinate and for time, 30 Euler steps."""
    process = VariancePreserving()
    features = same_axes(AXES[kind], data.shape[1], count, HALF, (eps, 1.0))
    flow = Euler(process, tuple(process.times(eps, 1.0, STEPS).tolist()))
    return Setting(World(data, process, (eps, 1.0)), features, flow, grid, P)


@final
@dataclass(frozen=True)
class Line:
    """gtv2: three points on a line. `further` are larger P, at the largest eps, for the distance alone; `imagined` theory models."""

    eps: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    sizes: tuple[int, ...] = (64, 128, 256, 512, 1024)
    further: tuple[int, ...] = (2048, 4096, 8192)
    features: int = 16
    models: int = 100
    samples: int = 100_000
    imagined: int = 400
    imagined_samples: int = 5_000
    cells: int = 200
    times: int = 96
    nodes: int = 128

    def setting(self, eps: float, P: int) -> Setting:
        """One panel."""
        return condition(points([(-1,), (0,), (1,)]), "gaussian", self.features, eps, P, Grid.around(-HALF, HALF, self.cells))


@final
@dataclass(frozen=True)
class Circle:
    """gtv3: four points on a circle. `further` are larger P, at the middle rotation, for the distance alone."""

    rotations: tuple[float, ...] = (0.0, pi / 8, pi / 4)
    kinds: tuple[Kind, ...] = ("gaussian", "fourier")
    P: int = 500
    further: tuple[int, ...] = (1000, 2000)
    eps: float = 1e-2
    features: int = 10
    models: int = 100
    samples: int = 100_000
    imagined: int = 200
    imagined_samples: int = 5_000
    cells: int = 200
    times: int = 48
    nodes: int = 64

    def setting(self, kind: Kind, rotation: float, P: int) -> Setting:
        """One panel."""
        return condition(circle(rotation), kind, self.features, self.eps, P, Grid.cube(HALF, self.cells, 2))


LINE: dict[Scale, Line] = {
    "smoke": Line((1e-2,), (64, 256), (), 8, 6, 1_000, 20, 300, 40, 48, 64),
    "laptop": Line(models=40, samples=10_000, imagined=200, imagined_samples=2_000, further=(4096,)),
    "paper": Line(),
}
CIRCLE: dict[Scale, Circle] = {
    "smoke": Circle(
        rotations=(0.0,),
        P=100,
        further=(),
        features=5,
        models=4,
        samples=2_000,
        imagined=8,
        imagined_samples=1_000,
        cells=20,
        times=24,
        nodes=24,
    ),
    "laptop": Circle(models=20, samples=20_000, imagined=50, imagined_samples=8_000, further=(), cells=100),
    "paper": Circle(),
}
