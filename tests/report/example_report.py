"""Reports with made-up curves of the shape that real runs have, for tests and screenshots."""

from dataclasses import replace

import numpy as np

from twinsplit.report.model import Decision, Definition, FloatArray, Histogram, Level, Panel, Report, Series, focus

STEPS = np.unique(np.geomspace(12, 4000, 40).round())
BAYES = 1.293
HOSTILE = """</script><img src=x onerror="window.broken=1"><!--<script>window.broken=2</script> & "quoted" 'text' $title <b>bold</b>"""


def bump(centre: float, width: float) -> FloatArray:
    """A hump in log step."""
    return np.exp(-0.5 * (np.log(STEPS / centre) / width) ** 2)


def sigmoid(centre: float, sharpness: float) -> FloatArray:
    """A smooth stair in log step."""
    return 1.0 / (1.0 + np.exp(-sharpness * np.log(STEPS / centre)))


def series(name: str, label: str, panel: str, mean: FloatArray, spread: float, unit: str = "nats per sequence") -> Series:
    """A curve with a little optimizer noise and a band."""
    noise = np.random.default_rng(len(name)).normal(size=len(mean))
    mean = mean + 0.2 * spread * noise
    wide = spread * (1 + 0.3 * np.sin(np.log(STEPS)))
    return Series(name, label, STEPS, mean, mean - wide, mean + wide, "90% interval over members and sequences", unit, panel)


def main_panels() -> tuple[Panel, ...]:
    """The twins' disagreement and the loss."""
    split = 1.7 * bump(70, 0.75) + 0.36 * sigmoid(60, 4) + 0.55 * sigmoid(1900, 2.0)
    same = 1.0 * bump(70, 0.75) + 0.2 * sigmoid(60, 4) + 0.04 * sigmoid(2300, 2.4)
    rest = 0.49 * (1 - sigmoid(95, 2.2))
    test = BAYES + 0.014 + rest + 0.05 * sigmoid(5600, 4)
    losses = (
        series("test_loss", "test loss", "loss", test, 0.005, "nats per token"),
        series("train_loss", "train loss", "loss", BAYES + 0.01 + rest - 0.05 * sigmoid(1600, 2), 0.005, "nats per token"),
    )
    disagreement = (
        series("sample_split_divergence", "twins on disjoint data", "split", split, 0.05),
        series("seed_divergence", "twins on the same data, other seed", "split", same, 0.03),
    )
    return (
        Panel(
            "split",
            "How much the twins disagree",
            "nats per sequence",
            disagreement,
            "Where this curve turns upward, the twins begin to learn their own samples instead of what both data sets share.",
            place="main",
            y_range=(0.0, 1.05),
        ),
        Panel(
            "loss",
            "Loss",
            "nats per token",
            losses,
            "The lowest test loss is where early stopping would end training.",
            place="main",
            levels=(Level("lowest possible", BAYES),),
            y_range=focus(losses, 150),
        ),
    )


def detail_panels() -> tuple[Panel, ...]:
    """Divergence to the oracles, decomposition, nearest neighbours."""
    oracles = tuple(
        series(
            f"oracle_divergence_k{k}",
            f"k = {k}" + (", exact" if k == 0 else ""),
            "oracle",
            3.2 * (1 - sigmoid(90, 1.8)) + 0.25 + 0.3 * k * sigmoid(900 / (k + 1), 2.5),
            0.05,
        )
        for k in range(4)
    )
    falling = 0.4 * (1 - sigmoid(100, 2))
    parts = (
        series("oracle_term_train", "oracle term, train", "decomposition", BAYES + 0.02 - 0.03 * sigmoid(1800, 2), 0.004, "nats per token"),
        series("oracle_term_test", "oracle term, test", "decomposition", BAYES + 0.02 + falling, 0.004, "nats per token"),
        series("excess_term_train", "excess term, train", "decomposition", -0.06 * sigmoid(1500, 2), 0.004, "nats per token"),
    )
    neighbours = (
        series(
            "nearest_neighbour_divergence",
            "generated against held-out",
            "neighbours",
            0.5 * bump(40, 1) + 0.2 * sigmoid(2500, 2) + 0.01,
            0.02,
            "nats",
        ),
    )
    return (
        Panel(
            "oracle",
            "Distance to the exact answer",
            "nats per sequence",
            oracles,
            "Coarser truncations (larger k) are reached earlier.",
            palette="ordered",
        ),
        Panel(
            "decomposition",
            "What the loss is made of",
            "nats per token",
            parts,
            "The excess term falls only on data that the model was trained on.",
        ),
        Panel(
            "neighbours",
            "Nearest-neighbour divergence",
            "nats",
            neighbours,
            "How far the distances to training data differ from those of held-out data.",
        ),
    )


def histogram(step: int, moment: str, shift: float) -> Histogram:
    """Distances 0..8; a positive shift moves generated sequences towards the training data."""
    distance = np.arange(9.0)
    held_out = np.exp(-0.5 * ((distance - 3.1) / 0.9) ** 2)
    generated = np.exp(-0.5 * ((distance - 3.1 + shift) / 0.9) ** 2)
    held_out, generated = held_out / held_out.sum(), generated / generated.sum()
    spread = 0.15 * np.sqrt(generated * (1 - generated)) * 0.3
    note = f"Divergence between the two distributions: {0.5 * shift**2:.2g} nats."
    return Histogram(step, moment, distance, generated, generated - spread, generated + spread, held_out, 20_000, note)


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

BIASED = Decision(
    verdict="bias_precedes_test_minimum",
    onset_step=643.0,
    onset_interval=(512.0, 858.0),
    test_loss_minimum_step=1580.0,
    test_loss_minimum_interval=(1190.0, 2210.0),
    reason="In all 2,000 bootstrap resamples the divergence turned before the test loss, by a factor of 1.5 to 3.7 in steps.",
    rise=0.152,
    rise_interval=(0.09, 0.21),
    checkpoint="checkpoints/step_00000609.safetensors",
)


def biased() -> Report:
    """The ordinary case: bias first."""
    return Report(
        title="When did the twins start to lean on their own samples?",
        subtitle="Depth-3 grammar, 4 twins on disjoint splits of 256 sequences, 4,000 steps",
        decision=BIASED,
        panels=main_panels() + detail_panels(),
        histograms=(histogram(643, "at the onset", 0.05), histogram(1580, "at the test-loss minimum", 0.55)),
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
    decision = replace(BIASED, test_loss_minimum_step=None, test_loss_minimum_interval=(3100.0, None), rise=None, rise_interval=None)
    return replace(biased(), decision=decision, histograms=(histogram(643, "at the onset", 0.05), histogram(4000, "at the end", 0.7)))


def unbiased() -> Report:
    """No biased phase."""
    reason = "The divergence turned together with the test loss: the interval of the ratio of their steps, 0.8 to 1.3, contains 1."
    decision = replace(
        BIASED, verdict="no_bias_before_test_minimum", onset_step=1710.0, onset_interval=(1300.0, 2400.0), reason=reason, rise=None
    )
    return replace(biased(), decision=replace(decision, checkpoint=None))


def underpowered() -> Report:
    """Neither turning point was reached."""
    return replace(
        biased(),
        decision=Decision("not_enough_power", None, None, None, (2900.0, None), "Neither curve turned within 4,000 steps."),
        histograms=(histogram(4000, "at the end", 0.1),),
    )


def hostile() -> Report:
    """Text that tries to leave its place, and numbers that are missing."""
    report = biased()
    panel = report.panels[0]
    gaps = replace(panel.series[0], label=HOSTILE, mean=np.append(np.nan, panel.series[0].mean[1:]), band=HOSTILE, unit=HOSTILE)
    levels = (Level(HOSTILE, 0.3),)
    first = replace(panel, title=HOSTILE, y_label=HOSTILE, note=HOSTILE, series=(gaps,), levels=levels)
    return replace(
        report,
        title=HOSTILE,
        subtitle=HOSTILE,
        decision=replace(BIASED, reason=HOSTILE, checkpoint=HOSTILE),
        panels=(first, *report.panels[1:]),
        histograms=(replace(report.histograms[0], moment=HOSTILE, note=HOSTILE),),
        definitions=(Definition(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        configuration={HOSTILE: {HOSTILE: [HOSTILE, float("nan"), None, True]}},
        environment={HOSTILE: object()},
        data={HOSTILE: HOSTILE},
        command=HOSTILE,
        caveats=(HOSTILE,),
        created=HOSTILE,
    )


ALL = {"biased": biased, "unreached": unreached, "unbiased": unbiased, "underpowered": underpowered, "hostile": hostile}
