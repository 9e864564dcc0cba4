"""What the page says of samples, in a sentence each: copies of training images, the two-sample test, Fréchet distances."""

from collections.abc import Iterator
from typing import Any

from twinsplit.measures.memorization import memorized_fraction
from twinsplit.runs.store import Run

Row = dict[str, Any]


def notes(run: Run[Any]) -> str:
    """All that is measured, at the last step with samples."""
    return " ".join([memorized(run), *two_sample(run), *frechet(run)])


def _last(run: Run[Any], name: str) -> tuple[int, list[Row]]:
    """The last step of a measurement, and its rows there."""
    step = run.measured(name)[-1]
    return step, [row for row in run.table(name).to_pylist() if row["step"] == step]


def memorized(run: Run[Any]) -> str:
    """The memorized fraction of the network with the most, with both intervals."""
    step, rows = _last(run, "memorization")
    found = [memorized_fraction(row["values"]) for row in rows if (row["source"], row["quantity"]) == ("generated", "gap_ratio")]
    most = max(found, key=lambda fraction: fraction.value)
    resampled, exact = (f"{low:.1%} to {high:.1%}" for low, high in (most.bootstrap, most.exact))
    return (
        f"At step {step:,} the network with the most copies of training images has {most.count} among {most.samples} samples "
        f"({most.value:.1%}; {most.level:.0%} intervals over its samples: bootstrap {resampled}, of a binomial {exact}); over all "
        f"{len(found)} networks there are {sum(fraction.count for fraction in found)}."
    )


def two_sample(run: Run[Any]) -> Iterator[str]:
    """The two-sample test of every network, where it was made."""
    if not run.measured("two_sample"):
        return
    step, rows = _last(run, "two_sample")
    closer, coincidence = ([row for row in rows if row["statistic"] == name] for name in ("closer", "coincidence"))
    one = closer[0]
    yield (
        f"Two-sample test at step {step:,}, of {one['generated']} samples of each network against {one['held_out']} held-out images, "
        f"permuted {one['draws']:,} times: a sample is nearer to its network's training images than a held-out image is with "
        f"probability {_told(closer)}; the nearest other image is of the same kind for a share of {_told(coincidence)}. Ranges are "
        f"over {len(closer)} networks, and each p is of one network alone."
    )


def _told(rows: list[Row]) -> str:
    values, least = [row["values"][0] for row in rows], min(row["p_value"] for row in rows)
    return f"{min(values):.2f} to {max(values):.2f} ({rows[0]['expected']:.2f} if they do not differ; smallest p {least:.3f})"


def frechet(run: Run[Any]) -> Iterator[str]:
    """Fréchet distances of features, where they were measured, beside those of real images."""
    if not run.measured("fid"):
        return
    step, rows = _last(run, "fid")
    made, real = ([row for row in rows if row["source"] == source] for source in ("generated", "training"))
    ranges = [f"{min(r['values'][0] for r in side):.4g} to {max(r['values'][0] for r in side):.4g}" for side in (made, real)]
    yield (
        f"Fréchet distance to the {rows[0]['held_out']} held-out images at step {step:,}, of features from a local file (SHA-256 "
        f"{rows[0]['features_sha256'][:16]}): {ranges[0]} for {made[0]['images']} samples of a network, {ranges[1]} for "
        f"{real[0]['images']} training images of a split."
    )
