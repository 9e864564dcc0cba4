"""Generalization through variance, figure by figure: gtv1, gtv2, gtv3 and the twins in closed form ([GTV]; PROTOCOL section 5).

tables = gtv2_tables("laptop")  # pure: the numbers, as plain columns
drawing = draw_gtv2(tables)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, final

import pyarrow as pa
import torch
from torch import Tensor

from twinsplit.diffusion.continuous import VarianceClock
from twinsplit.exact.linear.population import Population
from twinsplit.exact.point_masses import PointMasses
from twinsplit.noise.reference import Noise
from twinsplit.papers.figure import FIGURES, Options, PrintOnly, PublishedFigure, Recipes
from twinsplit.papers.gtv.drawings import Tables, draw_gtv1, draw_gtv2, draw_gtv3
from twinsplit.papers.gtv.sampling import Prediction, coarser, densities, fitted, oracle_density, predict, sampling_noise
from twinsplit.papers.gtv.settings import (
    CIRCLE,
    FRACTION_GRID,
    FRACTION_TIMES,
    LINE,
    POINT_SETS,
    RIDGE,
    STEPS,
    Circle,
    Line,
    Setting,
    points,
)
from twinsplit.papers.gtv.twins import TWINS, draw_twins, twins_tables
from twinsplit.papers.scales import at_scale
from twinsplit.pipeline.stages import Session
from twinsplit.runs.store import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COARSE = 50  # cells per coordinate on which 2-D densities are compared


def table(columns: Mapping[str, object], rows: int) -> pa.Table:
    """Columns of length `rows`; numbers and names are repeated."""
    return pa.table({k: v.flatten().numpy() if isinstance(v, Tensor) else pa.array([v] * rows) for k, v in columns.items()})


def plane(side: Tensor) -> Tensor:
    """(n, n, 2) the points of a square grid, first axis x."""
    return torch.stack(torch.meshgrid(side, side, indexing="ij"), -1)


def gtv1_tables(scale: str, seed: int = 0) -> Tables:
    """Share of noise in the proxy score, tr C / (tr C + |score|^2), on [-2, 2]^2 ([GTV] figure 1); nothing is random, whatever the seed."""
    x = plane(torch.linspace(-2, 2, at_scale(FRACTION_GRID, scale), dtype=torch.float64))
    parts = []
    for (name, rows), t in product(POINT_SETS.items(), FRACTION_TIMES):
        world = PointMasses(points([*rows]), VarianceClock())
        columns = {"set": name, "t": t, "x": x[..., 0], "y": x[..., 1], "fraction": world.variance_fraction(x, t)}
        parts.append(table(columns, x[..., 0].numel()))
    return {"fraction": pa.concat_tables(parts)}


def distances(setting: Setting, each: Tensor, prediction: Prediction, cells: int) -> dict[str, float]:
    """Total variation between the measured average and every prediction, and what sampling alone would give."""
    grid = replace(setting.grid, cells=(cells,) * each[0].ndim)
    shown = replace(setting, grid=grid)
    all_models = torch.stack([coarser(setting, density, cells) for density in each])
    predicted = {name: coarser(setting, density, cells) for name, density in prediction.average.items()}
    result = {name: float(grid.total_variation(all_models.mean(0), density)) for name, density in predicted.items()}
    return result | {"sampling": (sampling_noise(shown, all_models) ** 2 + prediction.noise**2) ** 0.5}


def line_panel(line: Line, setting: Setting, population: Population, noise: Noise) -> tuple[pa.Table, pa.Table]:
    """The densities over x, and the distances, of one condition of gtv2."""
    each = densities(setting, fitted(setting, noise, line.models), noise, line.samples)
    prediction = predict(setting, population, noise, (line.imagined, line.imagined_samples))
    x = setting.grid.centres()
    quartiles = {f"quartile_{q}": each.quantile(q / 4, 0) for q in (1, 3)}
    names = {"eps": setting.world.span[0], "P": float(setting.P)}
    shown = table({**names, "x": x, "average": each.mean(0), **quartiles, **{str(k): v for k, v in prediction.average.items()}}, len(x))
    return shown, table({**names, **distances(setting, each, prediction, line.cells)}, 1)


def gtv2_tables(scale: str, seed: int = 0) -> Tables:
    """Average learned density of the three points on a line ([GTV] figure 2), with the theory's, and their distance against P."""
    line, noise = at_scale(LINE, scale), Noise(seed, "gtv2")
    parts, exact = [], []
    for eps in line.eps:
        base = line.setting(eps, line.sizes[0])
        population = Population(base.features, base.world, line.times, line.nodes)
        x, flow = base.grid.centres(), oracle_density(base, noise, line.samples)
        exact.append(table({"eps": eps, "x": x, "flow": flow, "density": base.world.oracle.log_density(x[:, None], eps).exp()}, len(x)))
        parts += [line_panel(line, replace(base, P=P), population, noise) for P in line.sizes]
        if eps == max(line.eps):
            fewer = replace(line, samples=line.samples // 5)
            parts += [line_panel(fewer, replace(base, P=P), population, noise) for P in line.further]
    density, distance = (pa.concat_tables(column) for column in zip(*parts, strict=True))
    return {"density": density, "distance": distance, "exact": pa.concat_tables(exact)}


def circle_panel(circle: Circle, setting: Setting, population: Population, noise: Noise) -> tuple[pa.Table, pa.Table]:
    """The densities over (x, y), and the distances, of one condition of gtv3, without the columns that name it."""
    each = densities(setting, fitted(setting, noise, circle.models), noise, circle.samples)
    prediction = predict(setting, population, noise, (circle.imagined, circle.imagined_samples))
    x = plane(setting.grid.centres())
    columns = {"x": x[..., 0], "y": x[..., 1], "average": each.mean(0), "few samples": prediction.average["few samples"]}
    far = distances(setting, each, prediction, min(COARSE, circle.cells))
    return table(columns, x[..., 0].numel()), table({"P": float(setting.P), **far}, 1)


def gtv3_tables(scale: str, seed: int = 0) -> Tables:
    """Average learned density of four points on a circle ([GTV] figure 3), with the theory's, and their distance against P."""
    circle, noise = at_scale(CIRCLE, scale), Noise(seed, "gtv3")
    shown, far = [], []
    for kind, rotation in product(circle.kinds, circle.rotations):
        setting = circle.setting(kind, rotation, circle.P)
        population = Population(setting.features, setting.world, circle.times, circle.nodes)
        middle = rotation == circle.rotations[len(circle.rotations) // 2]
        for P in (circle.P, *(circle.further if middle else ())):
            size = circle if P == circle.P else replace(circle, samples=circle.samples // 5)
            density, distance = circle_panel(size, replace(setting, P=P), population, noise)
            named = [("features", kind), ("rotation", rotation)]
            shown += [with_names(density, named)] if circle.P == P else []
            far.append(with_names(distance, named))
    return {"density": pa.concat_tables(shown), "distance": pa.concat_tables(far)}


def with_names(rows: pa.Table, names: Sequence[tuple[str, str | float]]) -> pa.Table:
    """The table with constant columns in front."""
    for name, value in reversed(names):
        rows = rows.add_column(0, name, pa.array([value] * len(rows)))
    return rows


@final
@dataclass(frozen=True)
class LinearFigure(PublishedFigure):
    """A figure without runs: its tables from (scale, seed), its drawing from the tables, and its settings at every scale."""

    tables: Callable[[str, int], Tables]
    drawing: "Callable[[Tables], Figure]"
    settings: Callable[[str], dict[str, Any]]
    takes: ClassVar[tuple[str, ...]] = ()

    def recipes(self, options: Options) -> Recipes:
        return {}

    def configuration(self, options: Options, recipes: Recipes) -> dict[str, Any]:
        settings = self.settings(options.scale)
        return {"scale": options.scale, "seed": options.seed, "ridge": RIDGE, "steps": STEPS, "settings": settings}

    def measure(self, options: Options, before: Sequence[Run[Any]], session: Session[Any]) -> None:
        raise AssertionError("there are no runs")

    def draw(self, options: Options, runs: Sequence[Run[Any]]) -> PrintOnly:
        tables = self.tables(options.scale, options.seed)
        return PrintOnly(self.drawing(tables), tables)


NAMES = FIGURES.register(
    LinearFigure(
        "gtv1", "Noise in the target of denoising", gtv1_tables, draw_gtv1, lambda scale: {"grid": at_scale(FRACTION_GRID, scale)}
    ),
    LinearFigure(
        "gtv2", "Average learned density of points on a line", gtv2_tables, draw_gtv2, lambda scale: asdict(at_scale(LINE, scale))
    ),
    LinearFigure(
        "gtv3", "Average learned density of points on a circle", gtv3_tables, draw_gtv3, lambda scale: asdict(at_scale(CIRCLE, scale))
    ),
    LinearFigure("gtv-twins", "Divergence of linear twins", twins_tables, draw_twins, lambda scale: asdict(at_scale(TWINS, scale))),
)
