"""What stands below [BG]'s hierarchical figures: what bands and marks are, and over what; with the numbers of the runs that are shown."""

from collections.abc import Sequence

from twinsplit.papers.lines import DOTS, MINIMA, OVER_NETWORKS, OVER_PAIRS, OVER_SPLITS
from twinsplit.pipeline.landmarks import LOSS, NEAREST, checkpoint_at, landmark_of
from twinsplit.pipeline.replicates import level_of
from twinsplit.report.stored import LEVEL
from twinsplit.runs.rows import Table
from twinsplit.runs.store import Run
from twinsplit.worlds.sequences.uturns import DROPPED, MEMORIZED

NOISE = "Noise is the same for all checkpoints, networks and oracles."
Runs = Sequence[Run]


def held_out(runs: Runs) -> str:
    """Whom the held-out sequences are apart from. Each run's are apart from its own splits; one and the same set is so from all."""
    sets = {(data["sha256"], *data["rows"]["held_out"]) for data in (run.read_json("data.json") for run in runs)}
    if len(runs) > 1 and len(sets) == 1:
        return f"All runs have the same held-out sequences, which share no content with any of their splits. {NOISE}"
    return f"Held-out sequences share no content with the splits of {'their' if len(runs) > 1 else 'the'} run. {NOISE}"


def open_ended(runs: Runs, *names: str) -> str:
    """What a title means by "not reached"."""
    missing = not all(landmark_of(run, name).reached for run in runs for name in names)
    return " Not reached: the curve is lowest at the first or last checkpoint, and is shown there." if missing else ""


def sequential(runs: Runs) -> str:
    """fig. 1b, 6."""
    lonely = [run for run in runs if run.recipe.training.seeds_per_split < 2]
    whose = "no split" if len(lonely) == len(runs) else " and ".join(f"no split of {run.path.name}" for run in lonely)
    missing = f" Pairs on the same data are not shown: {whose} has two networks." if lonely else ""
    return f"{OVER_SPLITS} {OVER_PAIRS} {DOTS}{missing} {held_out(runs)}"


def profiles(runs: Runs) -> str:
    """fig. 3b."""
    exact = sorted({level_of(run) for run in runs})
    of = " and ".join(f"k = {k}" for k in exact)
    peaks = f"Dashed line and upright band: the peak of {of}, and its {LEVEL:.0%} interval over splits, no finer than the times measured."
    return f"{OVER_NETWORKS} {peaks}{open_ended(runs, LOSS)} {held_out(runs)}"


def neighbours(runs: Runs) -> str:
    """fig. 4a."""
    return f"{OVER_NETWORKS} {MINIMA} {held_out(runs)}"


def terms(runs: Runs) -> str:
    """fig. 4b: held-out sequences leave out what the splits hold, which shows in their excess."""
    excess = " and ".join(f"{held_out_excess(run):+.2g}" for run in runs)
    return (
        f"{OVER_NETWORKS} All networks meet the same held-out sequences, so these bands do not count how sequences differ. On fresh ones "
        "the excess is 0 in expectation; held-out ones leave out what the splits contain, are a little rarer than fresh ones, and have "
        f"{excess} nats per token at the test-loss minimum. {MINIMA} {held_out(runs)}"
    )


def held_out_excess(run: Run) -> float:
    """At the test-loss minimum, averaged over times, networks and held-out sequences."""
    table = Table.read(run, "loss_decomposition").where(data="test", times="all", term="excess", step=checkpoint_at(run, LOSS))
    return float(table.means.mean())


def uturns(runs: Runs) -> str:
    """fig. 5."""
    return (
        "Overlap with the start after noising to t and denoising back, over that of the exact oracle from the same noised starts. Train "
        "starts are a network's own training sequences; its test starts are those of the network on the next split: over all networks "
        f"both are the same sequences.{''.join(map(_dropped, runs))} {OVER_NETWORKS}{open_ended(runs, NEAREST, LOSS)}"
    )


def _dropped(run: Run) -> str:
    """Splits of imported networks may share contents."""
    own = run.read_json(DROPPED, list) if (run.path / DROPPED).is_file() else []
    shared = sum(one["shared"] for one in own)
    return f" Left out: {shared} sequences that splits share." if shared else ""


def neighbours_and_uturns(runs: Runs) -> str:
    """fig. 9, 10."""
    return f"{uturns(runs)} {MINIMA}"


def random_uturns(runs: Runs) -> str:
    """fig. 11."""
    points = " and ".join(str(min(MEMORIZED, run.recipe.data.split_size)) for run in runs)
    return (
        f"Networks at the test-loss minimum, the empirical denoiser of {points} training sequences, and belief propagation BP_k. Red band: "
        f"{LEVEL:.0%} Student interval over networks; the exact denoisers are means over the same starts and noise.{open_ended(runs, LOSS)}"
    )
