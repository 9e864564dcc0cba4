"""Reports with made-up curves of the shape that real runs have, for tests and screenshots."""

from dataclasses import replace
from typing import Any

import numpy as np

from twinsplit.onset.decision import Gap, Onset, Rise, Turn
from twinsplit.report.figure import Axes, Bars, FloatArray, HorizontalLine, ImageGrid, Line, focus
from twinsplit.report.model import Definition, Report

STEPS = np.unique(np.geomspace(12, 4000, 40).round())
BAYES = 1.293
HOSTILE = """</script><img src=x onerror="window.broken=1"><!--<script>window.broken=2</script> & "quoted" 'text'"""
HOSTILE += " $title {{ 7 * 7 }} <b>bold</b> \u202edrowkcab\u2067 \u2028"


def bump(centre: float, width: float) -> FloatArray:
    """A hump in log step."""
    return np.exp(-0.5 * (np.log(STEPS / centre) / width) ** 2)


def sigmoid(centre: float, sharpness: float) -> FloatArray:
    """A smooth stair in log step."""
    return 1.0 / (1.0 + np.exp(-sharpness * np.log(STEPS / centre)))


def line(name: str, label: str, colour: str, mean: FloatArray, spread: float, steps: FloatArray = STEPS) -> Line:
    """A curve with a little optimizer noise and a band."""
    noise = np.random.default_rng(len(name)).normal(size=len(mean))
    mean = mean + 0.2 * spread * noise
    wide = spread * (1 + 0.3 * np.sin(np.log(steps)))
    return Line(label, steps, mean, mean - wide, mean + wide, colour, name=name, band="90% interval over members and sequences")


def axes(key: str, title: str, unit: str, lines: tuple[Line, ...], note: str, **more: Any) -> Axes:
    """Axes along training."""
    return Axes(title, "optimizer step", unit, lines, key=key, note=note, **more)


def main_panels() -> tuple[Axes, ...]:
    """The twins' disagreement and the loss."""
    split = 1.7 * bump(70, 0.75) + 0.36 * sigmoid(60, 4) + 0.55 * sigmoid(1900, 2.0)
    same = 1.0 * bump(70, 0.75) + 0.2 * sigmoid(60, 4) + 0.04 * sigmoid(2300, 2.4)
    rest = 0.49 * (1 - sigmoid(95, 2.2))
    test = BAYES + 0.014 + rest + 0.05 * sigmoid(5600, 4)
    losses = (
        line("test_loss", "test loss", "red", test, 0.005),
        line("train_loss", "train loss", "purple", BAYES + 0.01 + rest - 0.05 * sigmoid(1600, 2), 0.005),
    )
    disagreement = (
        line("sample_split_divergence", "twins on disjoint data", "blue", split, 0.05),
        line("seed_divergence", "twins on the same data, other seed", "green", same, 0.03),
    )
    return (
        axes(
            "split",
            "How much the twins disagree",
            "nats per sequence",
            disagreement,
            "Where this curve turns upward, the twins begin to learn their own samples instead of what both data sets share.",
            y_range=(0.0, 1.05),
        ),
        axes(
            "loss",
            "Loss",
            "nats per token",
            losses,
            "The lowest test loss is where early stopping would end training.",
            rules=(HorizontalLine(f"lowest possible: {BAYES}", BAYES),),
            y_range=focus(losses, 150),
        ),
    )


def detail_panels() -> tuple[Axes, ...]:
    """Divergence to the oracles, decomposition, nearest neighbours."""
    oracles = tuple(
        line(
            f"oracle_divergence_k{k}",
            f"k = {k}" + (", exact" if k == 0 else ""),
            f"k{k}",
            3.2 * (1 - sigmoid(90, 1.8)) + 0.25 + 0.3 * k * sigmoid(900 / (k + 1), 2.5),
            0.05,
        )
        for k in range(4)
    )
    falling = 0.4 * (1 - sigmoid(100, 2))
    parts = (
        line("oracle_term_train", "oracle term, train", "green", BAYES + 0.02 - 0.03 * sigmoid(1800, 2), 0.004),
        line("oracle_term_test", "oracle term, test", "red", BAYES + 0.02 + falling, 0.004),
        line("excess_term_train", "excess term, train", "slate", -0.06 * sigmoid(1500, 2), 0.004),
    )
    neighbours = (
        line("nearest_neighbour_divergence", "generated against held-out", "blue", 0.5 * bump(40, 1) + 0.2 * sigmoid(2500, 2) + 0.01, 0.02),
    )
    return (
        axes("oracle", "Distance to the exact answer", "nats per sequence", oracles, "Coarser truncations (larger k) are reached earlier."),
        axes(
            "decomposition",
            "What the loss is made of",
            "nats per token",
            parts,
            "The excess term falls only on data that the model was trained on.",
        ),
        axes(
            "neighbours",
            "Nearest-neighbour divergence",
            "nats",
            neighbours,
            "How far the distances to training data differ from those of held-out data.",
        ),
    )


def histogram(step: int, moment: str, shift: float) -> Axes:
    """Distances 0..8; a positive shift moves generated sequences towards the training data."""
    distance = np.arange(9.0)
    held_out = np.exp(-0.5 * ((distance - 3.1) / 0.9) ** 2)
    generated = np.exp(-0.5 * ((distance - 3.1 + shift) / 0.9) ** 2)
    held_out, generated = held_out / held_out.sum(), generated / generated.sum()
    spread = 0.15 * np.sqrt(generated * (1 - generated)) * 0.3
    note = f"Divergence between the two distributions: {0.5 * shift**2:.2g} nats. 20,000 generated sequences."
    bars = Bars("generated", distance, generated, np.maximum(generated - spread, 0), generated + spread, band="95% interval over networks")
    unseen = Line("held-out data", distance, held_out, np.full(9, np.nan), np.full(9, np.nan), "ink", "dot")
    named = {"key": f"distances_step_{step}", "note": note, "y_range": (0.0, 0.6), "y_percent": True, "x_scale": "linear"}
    return Axes(f"{moment}: step {step:,}", "distance to the nearest training sequence", "share", (unseen,), bars=(bars,), **named)


DEFINITIONS = (
    Definition(
        "Sample-split divergence",
        "How far apart two models are that were trained on disjoint halves of the data, at the same noised held-out inputs.",
        "D = E ∑ᵢ KL( p₁(x₀ⁱ | x_t) ‖ p₂(x₀ⁱ | x_t) ),  t = 0.15 T",
        "Garnier-Brun et al. 2026, arXiv 2603.03469, section 3",
    ),
    Definition(
        "Test loss",
        "Cross-entropy of the clean tokens given the noised ones, on sequences that are in no split.",
        "−E log p(x₀ | x_t) / L",
        "ibid., eq. 2",
    ),
    Definition(
        "Onset",
        "The step where the sample-split divergence turns upward after its first fall, located by a smooth fit in log step.",
        "",
        "twinsplit",
    ),
)

UNKNOWN = (None, None)


def turn(step: float | None, low: float | None, high: float | None) -> Turn:
    """A minimum, not reached where its step is None."""
    return Turn(step, (low, high), step is not None)


BIASED = Onset(
    verdict="bias_precedes_test_minimum",
    reason="In all 2,000 bootstrap resamples the divergence turned before the test loss, by a factor of 1.5 to 3.7 in steps.",
    onset=turn(643.0, 512.0, 858.0),
    test_loss_minimum=turn(1580.0, 1190.0, 2210.0),
    gap=Gap(0.9, (0.4, 1.3), 937.0, (400.0, 1600.0)),
    rise=Rise(0.152, (0.09, 0.21), 0.1, 1580.0, 0.8),
    conditional=False,
    tolerance=0.4,
    level=0.9,
    draws=2000,
    members=4,
    pairs=6,
    sequences=4000,
)


def biased() -> Report:
    """The ordinary case: bias first."""
    return Report(
        title="When did the twins start to lean on their own samples?",
        subtitle="Depth-3 grammar, 4 twins on disjoint splits of 256 sequences, 4,000 steps",
        onset=BIASED,
        checkpoint="checkpoints/step_00000609.safetensors",
        main=main_panels(),
        details=detail_panels(),
        distances=(histogram(643, "At the onset", 0.05), histogram(1580, "At the test-loss minimum", 0.55)),
        definitions=DEFINITIONS,
        configuration={
            "data": {"vocab_size": 6, "depth": 3, "rules_per_symbol": 4, "sigma": 1.0},
            "network": {"width": 64, "layers": 3, "heads": 4, "dropout": 0.0},
            "training": {
                "members": 4,
                "samples_per_split": 256,
                "batch_size": 128,
                "learning_rate": 1e-3,
                "average": 0.995,
                "mixed_precision": False,
            },
            "seed": 0,
        },
        environment={"twinsplit": "0.1.0", "python": "3.11.9", "torch": "2.9.1+cpu", "platform": "Linux-6.1-x86_64", "threads": 2},
        data={
            "fingerprint": "sha256:9f2c71d0a55b8e3f1c4d6a7b8e9f00112233445566778899aabbccddeeff0011",
            "splits": [256] * 4,
            "held_out": 4000,
        },
        command="twinsplit quickstart --seed 0 --out runs/demo",
        caveats=(
            "Four members give six pairs; intervals over so few are rough.",
            "The measurement is at one noise level, t = 0.15 T; other levels may turn elsewhere.",
        ),
        created="2026-03-14 15:09 UTC",
    )


def unreached() -> Report:
    """Bias, while the test loss is still falling at the end."""
    onset = replace(BIASED, test_loss_minimum=turn(None, 3100.0, None), gap=Gap(None, (1.5, None), None, (2400.0, None)))
    return replace(biased(), onset=onset, distances=(histogram(643, "At the onset", 0.05), histogram(4000, "At the end", 0.7)))


def unbiased() -> Report:
    """No biased phase."""
    reason = "The divergence turned together with the test loss: the interval of the ratio of their steps, 0.8 to 1.3, contains 1."
    onset = replace(BIASED, verdict="no_bias_before_test_minimum", onset=turn(1710.0, 1300.0, 2400.0), reason=reason)
    return replace(biased(), onset=onset, checkpoint=None)


def underpowered() -> Report:
    """Neither turning point was reached."""
    nothing = {"gap": Gap(None, UNKNOWN, None, UNKNOWN), "reason": "Neither curve turned within 4,000 steps."}
    onset = replace(BIASED, verdict="not_enough_power", onset=turn(None, None, None), test_loss_minimum=turn(None, 2900.0, None), **nothing)
    return replace(biased(), onset=onset, checkpoint=None, distances=(histogram(4000, "At the end", 0.1),))


def hostile() -> Report:
    """Text that tries to leave its place, and numbers that are missing."""
    report = biased()
    panel = report.main[0]
    gaps = replace(panel.lines[0], label=HOSTILE, name=HOSTILE, y=np.append(np.nan, panel.lines[0].y[1:]), band=HOSTILE)
    rules = (HorizontalLine(HOSTILE, 0.3),)
    first = replace(panel, title=HOSTILE, y_label=HOSTILE, x_label=HOSTILE, note=HOSTILE, lines=(gaps,), rules=rules, key=HOSTILE)
    grid = ImageGrid(HOSTILE, np.zeros((8, 8, 1), np.uint8), (HOSTILE,), HOSTILE)
    return replace(
        report,
        title=HOSTILE,
        subtitle=HOSTILE,
        onset=replace(BIASED, reason=HOSTILE),
        checkpoint=HOSTILE,
        main=(first, *report.main[1:]),
        details=(first, *report.details),
        distances=(replace(report.distances[0], title=HOSTILE, note=HOSTILE),),
        galleries=(grid,),
        definitions=(Definition(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        configuration={HOSTILE: {HOSTILE: [HOSTILE, float("nan"), None, True]}},
        environment={HOSTILE: object()},
        data={HOSTILE: HOSTILE},
        command=HOSTILE,
        caveats=(HOSTILE,),
        created=HOSTILE,
    )


ALL = {"biased": biased, "unreached": unreached, "unbiased": unbiased, "underpowered": underpowered, "hostile": hostile}
