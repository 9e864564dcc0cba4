"""gtv1, gtv2 and gtv3 drawn from their tables, for print: one colour per meaning, bands and lines named where they stand."""

from math import pi
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from twinsplit.papers.gtv.settings import HALF, POINT_SETS, circle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
Array = NDArray[np.float64]
Tables = dict[str, pa.Table]
MEASURED, CAVITY, SANDWICH, EXACT, STILL = "#b2182b", "#2166ac", "#67a9cf", "#888888", "#444444"
NARROWEST = 8.5  # inches: legends and titles need as much even over a single panel
STYLE = {
    "no variance": ("expected weights, P → ∞, no variance", STILL, ":"),
    "many samples": ("theory, first order in 1/P", SANDWICH, "--"),
    "few samples": ("theory, finite P (cavity)", CAVITY, "-"),
}
ROTATIONS = {0.0: "0", pi / 8: "π/8", pi / 4: "π/4"}


def canvas(rows: int, columns: int, size: tuple[float, float], **options: Any) -> "tuple[Figure, NDArray[Any]]":
    """A figure of rows x columns axes, `size` inches each, that never touches pyplot's global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(columns * size[0], NARROWEST), rows * size[1] + 0.9), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def where(table: pa.Table, **wanted: float | str) -> pa.Table:
    """The rows whose columns equal the wanted values."""
    for name, value in wanted.items():
        table = table.filter(pc.equal(table[name], value))
    return table


def values(table: pa.Table, name: str) -> Array:
    """(rows,) one column."""
    return np.asarray(table[name], dtype=np.float64)


def square(table: pa.Table, name: str) -> Array:
    """(n, n) one column over a square grid, ready for imshow: first axis y, upwards."""
    column = values(table, name)
    side = round(len(column) ** 0.5)
    return column.reshape(side, side).T


def unique(table: pa.Table, name: str) -> list[Any]:
    """The values of a column in order of appearance."""
    return list(dict.fromkeys(table[name].to_pylist()))


def draw_gtv1(tables: Tables) -> "Figure":
    """Share of noise in what a denoiser is taught, over the plane, per point set and noise level ([GTV] figure 1)."""
    table = tables["fraction"]
    sets, times = unique(table, "set"), unique(table, "t")
    figure, axes = canvas(len(sets), len(times), (1.9, 1.7), sharex=True, sharey=True)
    for row, name in zip(axes, sets, strict=True):
        for ax, t in zip(row, times, strict=True):
            shown = ax.imshow(square(where(table, set=name, t=t), "fraction"), extent=(-2, 2, -2, 2), origin="lower", vmin=0, vmax=1)
            ax.plot(*zip(*POINT_SETS[name], strict=True), "o", color=MEASURED, markeredgecolor="white", markersize=4)
            ax.set_xticks([-2, 0, 2], ["−2", "0", "2"])
            ax.set_yticks([-2, 0, 2], ["−2", "0", "2"])
        row[0].set_ylabel(f"{name}\n$x_2$")
    for ax, t in zip(axes[0], times, strict=True):
        ax.set_title(f"σ² = {t:g}", fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("$x_1$")
    figure.colorbar(shown, ax=axes, shrink=0.5, label="noise in the target: tr C / (tr C + |score|²)")
    figure.suptitle("Share of noise in the target of denoising, by noise variance σ² (data: red points)", fontsize=11)
    return figure


def draw_line(ax: "Axes", density: pa.Table, exact: pa.Table, distance: pa.Table) -> None:
    """One panel of gtv2: what was measured, what was predicted, and the distance between them."""
    x = values(density, "x")
    ax.plot(values(exact, "x"), values(exact, "flow"), color=EXACT, lw=0.8, label="exact denoiser, same 30 steps")
    quartiles = values(density, "quartile_1"), values(density, "quartile_3")
    ax.fill_between(x, *quartiles, color=MEASURED, alpha=0.2, lw=0, label="middle half of the fitted models")
    ax.plot(x, values(density, "average"), color=MEASURED, lw=1.3, label="average of the fitted models")
    for name in ("many samples", "few samples"):
        label, colour, dash = STYLE[name]
        ax.plot(x, values(density, name), color=colour, ls=dash, lw=1.0, label=label)
    far, floor = values(distance, "few samples")[0], values(distance, "sampling")[0]
    names = f"P = {values(distance, 'P')[0]:g}, ε = {values(distance, 'eps')[0]:g}"
    ax.set_title(f"{names}\ncavity off by TV {far:.2f}, sampling {floor:.2f}", fontsize=7)
    ax.set(xlim=(-HALF, HALF), ylim=(0, 2.6), xticks=[-1, 0, 1])


def draw_gtv2(tables: Tables) -> "Figure":
    """Average density learned on a line per time cutoff and P, with the theory laid over it ([GTV] figure 2)."""
    density, exact, distance = (tables[name] for name in ("density", "exact", "distance"))
    cutoffs, sizes = unique(density, "eps"), [P for P in unique(density, "P") if P <= 1024]
    figure, axes = canvas(len(cutoffs) + 1, len(sizes), (2.1, 2.1), height_ratios=[*(1.0 for _ in cutoffs), 1.6])
    for row, eps in zip(axes, cutoffs, strict=False):
        for ax, P in zip(row, sizes, strict=True):
            draw_line(ax, where(density, eps=eps, P=P), where(exact, eps=eps), where(distance, eps=eps, P=P))
            ax.set_xlabel("x", fontsize=8)
        row[0].set_ylabel("density (1 / unit of x)", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    for ax in axes[-1]:
        ax.remove()
    for ax, eps in zip(split_row(figure, axes, len(cutoffs)), cutoffs, strict=True):
        draw_distances(ax, where(distance, eps=eps), f"ε = {eps:g}")
    return figure


def split_row(figure: "Figure", axes: "NDArray[Any]", count: int) -> "list[Axes]":
    """`count` axes across the last row of a grid of axes."""
    grid = axes[-1, 0].get_subplotspec().get_gridspec()
    inner = grid[-1, :].subgridspec(1, count)
    return [figure.add_subplot(inner[0, i]) for i in range(count)]


def draw_distances(ax: "Axes", distance: pa.Table, title: str) -> None:
    """Distance between prediction and experiment against P, above what sampling alone gives."""
    P = values(distance, "P")
    ax.fill_between(P, 0, values(distance, "sampling"), color="#dddddd", lw=0, label="sampling error alone (expected)")
    for name, (label, colour, dash) in STYLE.items():
        ax.plot(P, values(distance, name), color=colour, ls=dash, marker="o", ms=3, lw=1.2, label=label)
    ax.set_xscale("log", base=2)
    ax.set_xticks(P, [f"{p:g}" for p in P], fontsize=7)
    ax.minorticks_off()
    top = max(float(values(distance, name).max()) for name in STYLE)
    ax.set(ylim=(0, 1.9 * top), xlabel="P, samples a model is fitted to", ylabel="distance (TV)")
    ax.set_title(f"prediction to experiment, {title}", fontsize=9)
    ax.legend(fontsize=6.5, frameon=False, loc="upper right")


def draw_circle(ax: "Axes", density: pa.Table, column: str, top: float, rotation: float) -> Any:
    """One heatmap of gtv3; colours follow the square root of the density, so that the bridges between points show."""
    from matplotlib.colors import PowerNorm

    shown = ax.imshow(square(density, column), extent=(-HALF, HALF, -HALF, HALF), origin="lower", norm=PowerNorm(0.5, 0, top), cmap="magma")
    ax.plot(*circle(rotation).T.numpy(), "o", color="none", markeredgecolor="cyan", markersize=6)
    ax.set_xticks([-1, 0, 1], ["−1", "0", "1"])
    ax.set_yticks([-1, 0, 1], ["−1", "0", "1"])
    return shown


def draw_gtv3(tables: Tables) -> "Figure":
    """Average density learned on a circle per features and rotation, above the theory's ([GTV] figure 3), and distances against P."""
    density, distance = tables["density"], tables["distance"]
    kinds, rotations = unique(density, "features"), unique(density, "rotation")
    figure, axes = canvas(2 * len(kinds) + 1, len(rotations), (2.6, 2.4), height_ratios=[*(1.0 for _ in range(2 * len(kinds))), 1.2])
    for k, kind in enumerate(kinds):
        top = float(np.quantile(values(where(density, features=kind), "average"), 0.998))
        for r, rotation in enumerate(rotations):
            here, far = where(density, features=kind, rotation=rotation), where(distance, features=kind, rotation=rotation)
            for ax, column, word in zip(
                axes[2 * k : 2 * k + 2, r], ("average", "few samples"), ("fitted models", "theory (cavity)"), strict=True
            ):
                shown = draw_circle(ax, here, column, top, rotation)
                ax.set_title(f"{kind}, {ROTATIONS.get(rotation, f'{rotation:g}')}: {word}", fontsize=8)
            tv, floor = values(far, "few samples")[0], values(far, "sampling")[0]
            axes[2 * k + 1, r].set_xlabel("$x_1$")
            ax.text(0.03, 0.97, f"TV {tv:.2f} (sampling {floor:.2f})", transform=ax.transAxes, va="top", fontsize=7, color="white")
        for row in (2 * k, 2 * k + 1):
            axes[row, 0].set_ylabel("$x_2$")
        figure.colorbar(shown, ax=axes[2 * k : 2 * k + 2], shrink=0.6, label="density (1 / unit area), square-root colours")
    for ax in axes[-1]:
        ax.remove()
    middle = rotations[len(rotations) // 2]
    for ax, kind in zip(split_row(figure, axes, len(kinds)), kinds, strict=True):
        title = f"{kind} features, rotated {ROTATIONS.get(middle, f'{middle:g}')}"
        draw_distances(ax, where(distance, features=kind, rotation=middle), title)
    return figure
