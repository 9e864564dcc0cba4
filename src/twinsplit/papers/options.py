"""What a published figure is asked for with, whoever asks."""

from dataclasses import dataclass
from pathlib import Path
from typing import final


@final
@dataclass(frozen=True)
class FigureOptions:
    """Name a figure and what it is drawn from.

    name: of the figure, such as fig4a. scale: smoke, laptop or paper. out: the folder to write
    into. seed: of data and models. seeds: splits, networks or pairs of networks; None takes the
    number of the scale. runs: run folders to draw from instead of training. data: a prepared data
    folder instead of the built-in digits. lpips_weights: a file of weights to order by LPIPS
    instead of SSIM. device: where networks compute.
    """

    name: str
    scale: str = "laptop"
    out: Path = Path("twinsplit-out/figures")
    seed: int = 0
    seeds: int | None = None
    runs: tuple[Path, ...] = ()
    data: Path | None = None
    lpips_weights: Path | None = None
    device: str = "cpu"
