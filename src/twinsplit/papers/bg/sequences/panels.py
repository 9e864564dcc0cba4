"""The axes of [BG]'s hierarchical figures, each from one run's stored measurements."""

import numpy as np

from twinsplit.onset.minima import LeftOut, find_minima
from twinsplit.papers.bg.claims import overlap_ratios, peak_of, profile
from twinsplit.papers.lines import EPOCH, bare, epochs, landmarks, late_range, member_line, minimum_point, over_members, pair_line, size
from twinsplit.pipeline.landmarks import LOSS, NEAREST, SPLIT, landmark_of
from twinsplit.pipeline.replicates import level_of, member_curve, neighbour_divergences, pair_curve, splits_of
from twinsplit.report.figure import Axes, HorizontalLine, Line, VerticalLine, as_floats
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run
from twinsplit.worlds.sequences.uturns import EXACT_RANDOM, RANDOM

SEQUENCE, TOKEN = "nats per sequence", "nats per token"
TIME = "diffusion time t / T"
RELATIVE = "overlap with the start / oracle's"
WITHIN = {"test": ("oracle_divergence", "sample_split_divergence"), "train": ("train_oracle_divergence", "train_split_divergence")}


def sequential(run: Run, data: str) -> Axes:
    """KL(BP_k || model) for every k, and between networks, along training on one kind of data ([BG] fig. 1b, 6), with all minima."""
    of_oracles, of_pairs = WITHIN[data]
    drawn = _to_oracles(run, of_oracles) + _between(run, of_pairs)
    minima = find_minima([curve for _, curve in drawn])
    spots = tuple(minimum_point(run, minima.turn(curve.name), line) for line, curve in drawn)
    where = "held-out sequences" if data == "test" else "the networks' own training data"
    title = f"{size(run)}, on {where}, t = {run.recipe.measuring.time_fraction:g} T"
    return Axes(title, EPOCH, f"divergence ({SEQUENCE})", tuple(line for line, _ in drawn), y_scale="log", spots=spots)


def _to_oracles(run: Run, measure: str) -> list[tuple[Line, LeftOut]]:
    """KL(BP_k || model) for every k: drawn, and as what its minimum is found from, named as in the claims."""
    table = Table.read(run, measure)
    ks = sorted(set(table.columns["truncation"].tolist()))
    lines = [member_line(run, table.where(truncation=k), f"KL(BP_{k}, model)", f"k{k}") for k in ks]
    return list(zip(lines, [member_curve(run, f"BP_{k}", measure, np.log, truncation=k) for k in ks], strict=True))


def _between(run: Run, measure: str) -> list[tuple[Line, LeftOut]]:
    """Divergences of networks on different splits and, where there are any, of those on one."""
    table = Table.read(run, measure)
    apart = table.columns["split_a"] != table.columns["split_b"]
    twins, same = table.rows(apart), table.rows(~apart)
    found = [(pair_line(run, twins, "twins: disjoint data", "ink"), pair_curve(run, SPLIT, twins))]
    if not apart.all():
        found.append((pair_line(run, same, "same data, other seed", "grey", "dash"), pair_curve(run, "same data", same)))
    return found


def profiles(run: Run) -> Axes:
    """KL(BP_k || model) against diffusion time at the test-loss minimum ([BG] fig. 3b)."""
    at = landmark_of(run, LOSS)
    truncations = sorted(set(Table.read(run, "time_profile").columns["truncation"].tolist()))
    lines = tuple(profile_line(run, at.step, k) for k in truncations)
    peak = (_peak(run, at.step, level_of(run)),)
    return Axes(f"{size(run)}, {at}", TIME, f"KL(BP_k, model) ({SEQUENCE})", lines, peak, x_scale="linear")


def _peak(run: Run, step: int, k: int) -> VerticalLine:
    """Where the divergence to BP_k is largest, as claim C3 has it."""
    times, values = profile(run, step, k)
    found, T = peak_of(times, values, splits_of(run)), run.recipe.diffusion.T
    x, low, high = (None if t is None else t / T for t in (found.step, *found.interval))
    return VerticalLine(f"peak of k = {k}" + (" (not reached)" if x is None else ""), x, low, high, f"k{k}")


def neighbours(run: Run) -> Axes:
    """The nearest-neighbour divergence along training ([BG] fig. 4a)."""
    lines = (neighbour_line(run),)
    title = f"{size(run)}: nearest training sequence, {run.recipe.measuring.generated:,} samples each"
    return Axes(title, EPOCH, "KL(generated, held-out) (nats)", lines, landmarks(run, NEAREST, LOSS), y_range=late_range(lines))


def losses(run: Run) -> Axes:
    """Train and test loss along training ([BG] fig. 4a)."""
    names = (("test_loss", "test loss", "red"), ("train_loss", "training loss", "green"))
    lines = tuple(member_line(run, Table.read(run, name), text, colour) for name, text, colour in names)
    title = f"{size(run)}: losses averaged over t"
    return Axes(title, EPOCH, f"cross-entropy ({TOKEN})", lines, landmarks(run, NEAREST, LOSS), y_range=late_range(lines))


def terms(run: Run, times: str, term: str) -> Axes:
    """One term of the loss, oracle or excess, on test and training data ([BG] fig. 4b)."""
    late = times == "fixed"
    table = Table.read(run, "fixed_time_decomposition") if late else Table.read(run, "loss_decomposition").where(times="all")
    kinds = (("test", "red", "held-out"), ("train", "green", "training"))
    lines = [member_line(run, table.where(data=data, term=term), f"{term} term, {text} data", colour) for data, colour, text in kinds]
    at = f"at t = {run.recipe.measuring.decomposition_fraction:g} T" if late else "averaged over t"
    rules = (HorizontalLine("0", 0.0),) if term == "excess" else ()
    return Axes(
        f"{size(run)}: {term} term, {at}", EPOCH, TOKEN, tuple(lines), landmarks(run, SPLIT, LOSS), rules, y_range=late_range(lines)
    )


def uturns(run: Run, minimum: str, text: str) -> Axes:
    """Overlap after a U-turn relative to the oracle's at one of the minima, train against test starts ([BG] fig. 5)."""
    at = landmark_of(run, minimum)
    lines = tuple(uturn_line(run, at.step, data, colour) for data, colour in (("train", "red"), ("test", "blue")))
    return Axes(f"{size(run)}, {text} ({at})", TIME, RELATIVE, lines, rules=(HorizontalLine("the oracle", 1.0),), x_scale="linear")


def random_uturns(run: Run) -> Axes:
    """U-turns from uniformly random sequences at the test-loss minimum: networks, the empirical denoiser, and BP_k ([BG] fig. 11)."""
    at = landmark_of(run, LOSS)
    exact, networks = Table.read(run, EXACT_RANDOM), Table.read(run, RANDOM).where(step=at.step)
    T = run.recipe.diffusion.T
    times = sorted(set(networks.columns["t"].tolist()))
    values = as_floats([networks.where(t=t).means for t in times]).reshape(len(times), -1)
    lines = [over_members("networks", as_floats(times) / T, values, "red")]
    for name in dict.fromkeys(exact.columns["model"].tolist()):
        rows, dashed = exact.where(model=name), name == "empirical"
        colour = "green" if dashed else f"k{name[3:]}"
        lines.append(bare(name, as_floats(rows.columns["t"]) / T, rows.means, colour, "dash" if dashed else "solid"))
    return Axes(f"{size(run)}, {at}", TIME, "overlap with the random start", tuple(lines), x_scale="linear")


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
