"""The lines that only the hierarchical world has."""

import numpy as np

from twinsplit.papers.bg.claims import overlap_ratios, profile
from twinsplit.papers.lines import epochs, over_members
from twinsplit.pipeline.replicates import neighbour_divergences
from twinsplit.report.figure import Line
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run

SEQUENCE, TOKEN = "nats per sequence", "nats per token"


def neighbour_line(run: Run, text: str = "nearest-neighbour divergence") -> Line:
    """KL(generated, held-out) of the distance to the nearest training sequence."""
    steps, values = neighbour_divergences(run)
    return over_members(text, epochs(run, steps), values, "purple")


def profile_line(run: Run, step: int, k: int) -> Line:
    """KL(BP_k || model) against t/T."""
    times, values = profile(run, step, k)
    return over_members(f"k = {k}" + (" (exact)" if k == 0 else ""), times / run.recipe.diffusion.T, values, f"k{k}")


def uturn_line(run: Run, step: int, data: str, colour: str) -> Line:
    """Overlap relative to the oracle's, against t/T."""
    times = np.unique(Table.read(run, "uturns").columns["t"])
    ratios = overlap_ratios(run, step, data)
    return over_members(f"{data} starts", times / run.recipe.diffusion.T, ratios, colour)
