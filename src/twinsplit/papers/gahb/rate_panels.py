"""The axes of gahb-rates: output against input PSNR of a class with its best rate, and the slopes of all classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.data.synthetic import DISC_PARAMETERS, CAlphaImages, DiscImages, ImageClass, fresh
from twinsplit.exact.fields import field_error
from twinsplit.measures.statistics import mean_over
from twinsplit.papers.gahb.panels import INPUT, OUTPUT, levels
from twinsplit.papers.gahb.rate_measures import BEST, ERRORS, FITTED, PICTURES
from twinsplit.papers.lines import Floats, bare, interval_of, over_members
from twinsplit.report.figure import Axes, ImageGrid, Line, number
from twinsplit.report.pictures import sheet
from twinsplit.report.stored import LEVEL
from twinsplit.runs.rows import Table, values
from twinsplit.runs.store import Run

if TYPE_CHECKING:
    import pyarrow as pa

REGIONS = 64  # images whose smooth regions are denoised exactly


@final
@dataclass(frozen=True, eq=False)
class Rated:
    """A class measured. sigmas: (s,) descending; x: (s,) input PSNR; y: (s, K) output PSNR of each network, of the mean squared error."""

    name: str
    kind: ImageClass
    run: Run[Any]
    sigmas: Floats
    x: Floats
    y: Floats

    @classmethod
    def read(cls, name: str, kind: ImageClass, run: Run[Any]) -> "Rated":
        """From what the run stores."""
        table = Table.read(run, ERRORS)
        sigmas = np.unique(table.columns["sigma"])[::-1]
        x = [table.where(sigma=s, of="input").means.mean() for s in sigmas]
        y = [table.where(sigma=s, of="output").means for s in sigmas]
        return cls(name, kind, run, sigmas, decibels(np.array(x)), decibels(np.array(y)))

    @property
    def fitted(self) -> NDArray[np.bool_]:
        """(s,) the levels that slopes are fitted to."""
        return (self.sigmas >= FITTED[0]) & (self.sigmas <= FITTED[1])

    @property
    def slopes(self) -> Floats:
        """(K,) of each network."""
        return slopes(self.x[self.fitted], self.y[self.fitted])

    @property
    def on_grid(self) -> Floats | None:
        """(s,) best output PSNR of the smooth regions alone, which are exact on a grid; None for a class that has none."""
        if not isinstance(self.kind, CAlphaImages):
            return None
        ids = fresh(REGIONS)
        return decibels(np.array([field_error(self.kind, ids, s) for s in self.sigmas]))


def decibels(errors: Floats) -> Floats:
    """PSNR of mean squared errors of images in [0, 1]; not a number where an estimate is not positive."""
    found: Floats = -10 * np.log10(np.where(errors > 0, errors, np.nan))
    return found


def slopes(x: Floats, y: Floats) -> Floats:
    """(K,) least-squares slopes of the columns of y (s, K) against x (s,)."""
    centred = x - x.mean()
    found: Floats = centred @ y / (centred @ centred)
    return found


def curve(rated: Rated) -> Axes:
    """A class: its networks, the theoretical slope through their level, and what is known exactly."""
    value, low, high = spread(rated.slopes)
    known = "" if np.isnan(low) else f" ({low:.2f} to {high:.2f})"
    networks = over_members(f"networks, slope {value:.2f}{known}", rated.x, rated.y, "blue")
    x, y = rated.x[rated.fitted], rated.y[rated.fitted]
    theory = bare(f"slope {rated.kind.slope:.2f}, theory", x, y.mean() + rated.kind.slope * (x - x.mean()), "red", "dash")
    identity = bare("nothing removed", rated.x, rated.x, "grey", "dot")
    return Axes(rated.name, INPUT, OUTPUT, (networks, theory, *known_lines(rated), identity), x_scale="linear")


def known_lines(rated: Rated) -> list[Line]:
    """What is exact: of discs the best denoiser and its law in low noise; of C^alpha images the smooth regions."""
    if rated.on_grid is not None:
        return [bare("smooth regions alone, exact", rated.x, rated.on_grid, "green", "solid")]
    assert isinstance(rated.kind, DiscImages)
    law = bare("5 sigma² / pixels", rated.x, rated.x + 10 * np.log10(rated.kind.size**2 / DISC_PARAMETERS), "green", "dot")
    return [best(rated), law]


def best(rated: Rated) -> Line:
    """The best denoiser's PSNR with the interval of its mean error over images, which holds that of its particles."""
    table = rated.run.table(BEST)
    sigmas = np.array(table.column("sigma").to_pylist())
    found = [mean_over(row, "samples") for row in values(table)]
    low, high = np.array([m.interval(LEVEL) or (np.nan, np.nan) for m in found]).T
    x = np.interp(-sigmas, -rated.sigmas, rated.x)
    return Line("best possible", x, decibels(np.array([m.value for m in found])), decibels(high), decibels(low), "green")


def spread(each: Floats) -> tuple[float, float, float]:
    """Mean over networks with Student's interval; its ends are no numbers where networks are too few."""
    mean = mean_over(each, "members")
    low, high = interval_of(mean) or (np.nan, np.nan)
    return mean.value, low, high


def against_alpha(classes: Sequence[Rated]) -> Axes:
    """Fitted and theoretical slopes of the C^alpha classes."""
    regular = [rated for rated in classes if rated.on_grid is not None]
    alphas = np.array([rated.kind.describe()["alpha"] for rated in regular])
    fine = np.linspace(alphas[0], alphas[-1], 60)
    grid = [slopes(rated.x[rated.fitted], rated.on_grid[rated.fitted, None])[0] for rated in regular if rated.on_grid is not None]
    lines = (
        over_members("networks", alphas, np.stack([rated.slopes for rated in regular]), "blue"),
        bare("alpha / (alpha + 1)", fine, fine / (fine + 1), "red", "dash"),
        bare("smooth regions alone, exact", alphas, np.array(grid), "green", "solid"),
    )
    return Axes("fitted slopes", "alpha", "dB of output per dB of input", lines, x_scale="linear")


def slope_table(classes: Sequence[Rated]) -> "pa.Table":
    """A row per class: the theoretical slope, that of each network, their mean and interval."""
    import pyarrow as pa

    rows = []
    for rated in classes:
        value, low, high = spread(rated.slopes)
        rows.append({"class": rated.name, "theory": rated.kind.slope, "slope": value, "low": number(low), "high": number(high)})
        rows[-1] |= {"networks": rated.slopes.tolist()}
    return pa.Table.from_pylist(rows)


def best_table(rated: Rated) -> "pa.Table":
    """A row per noise level: the best denoiser's mean squared error with its standard error over images, and networks on the same ones."""
    import pyarrow as pa

    table = rated.run.table(BEST)
    rows = []
    for sigma, effective, errors in zip(*(table.column(name).to_pylist() for name in ("sigma", "effective")), values(table), strict=True):
        mean, networks = mean_over(errors, "samples"), same_images(rated.run, sigma, len(errors))
        rows.append({"sigma": sigma, "images": len(errors), "error": mean.value, "standard_error": mean.standard_error})
        rows[-1] |= {"fewest_effective_particles": effective, "networks": networks.tolist()}
        rows[-1]["decibels_lost"] = (10 * np.log10(networks / mean.value)).tolist() if mean.value > 0 else None
    return pa.Table.from_pylist(rows)


def same_images(run: Run[Any], sigma: float, images: int) -> Floats:
    """(K,) mean squared error of each network on the first fresh images at a noise level."""
    rows = [row for row in run.table(ERRORS).to_pylist() if row["of"] == "output" and row["sigma"] == sigma]
    return np.array([np.mean(row["values"][:images]) for row in rows])


def grid(rated: Rated) -> ImageGrid:
    """Fresh images, noised and denoised by the first network."""
    found: Mapping[str, Any] = rated.run.tensors(PICTURES, rated.run.steps()[-1])
    rows = [list(levels(found[key].numpy())) for key in ("clean", "noisy", "denoised")]
    return ImageGrid(rated.name, sheet(rows), ("fresh image", "noised", "denoised"))
