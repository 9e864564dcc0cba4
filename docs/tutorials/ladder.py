"""Tutorial: what two denoisers on disjoint data say together.   python docs/tutorials/ladder.py [--scale smoke] [--out DIR]

Two lines of work train a diffusion model on disjoint halves of the data. Kadkhodaie et al. [GAHB] add data and see the two networks draw
the same images. Biased generalization [BG] holds the data fixed and sees them part, along training, while the test loss still falls. Here
both are looked at on the same networks. The same command goes on where it stopped; the networks are those of
`twinsplit figure gahb-onset`, to the bit: with its folder as --out nothing is trained.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from twinsplit import Blind, Noise, Onset, Run, correlation, denoising_psnr
from twinsplit.execution.local import available_cores, open_executor
from twinsplit.measures.statistics import Mean, mean_over_pairs
from twinsplit.papers.catalogue import FIGURES, Options, make
from twinsplit.papers.gahb.together import Rung
from twinsplit.report.pictures import Samples
from twinsplit.worlds.images.world import ImageWorld

SIGMA = 50 / 255  # where denoising is judged
NOISE = Noise(0, "tutorial")


@dataclass(frozen=True)
class Seen:
    """What one rung shows. alike, shuffled: correlation of samples at the end; before: where twins agree best (None if not reached).

    advantage: decibels by which networks denoise what they learned from better than held-out images.
    """

    n: int
    advantage: float
    alike: Mean
    shuffled: float
    before: Mean | None
    lost: Mean | None
    onset: Onset


def say(title: str, text: str) -> None:
    print(f"\n{title}\n{'-' * len(title)}\n{text}", flush=True)


def pair_correlations(rung: Rung, step: int, shift: int = 0) -> np.ndarray:
    """(pairs,) mean correlation of sample i of one network with sample i + shift of another; shift 0: from the same noise."""
    images = torch.from_numpy(Samples.read(rung.run, step).images).double()
    found = [correlation(images[a], images[b].roll(shift, 0)).mean() for a, b in combinations(range(len(images)), 2)]
    return torch.stack(found).numpy()


def shuffled(rung: Rung, step: int) -> float:
    """The mean correlation of all samples of different noise."""
    others = range(1, rung.run.recipe.measuring.generated)
    return float(np.mean([pair_correlations(rung, step, shift).mean() for shift in others]))


def over_pairs(values: np.ndarray, networks: int) -> Mean:
    """Their mean, with an error that knows that pairs share networks."""
    return mean_over_pairs(values, np.array(list(combinations(range(networks), 2))))


def training_advantage(rung: Rung) -> float:
    """Decibels between denoised training images and denoised held-out images, a mean over networks, at the end."""
    world = ImageWorld.of(rung.run.recipe)
    ensemble, (training, held_out) = world.load(rung.run, rung.moments.end), world.pictures
    differences = []
    for k, member in enumerate(ensemble.members):
        denoiser = ensemble.member(k)
        assert isinstance(denoiser, Blind)
        own, ids = training[member.split], torch.from_numpy(world.splits.rows[member.split])
        seen = denoising_psnr(denoiser, own, SIGMA, NOISE, ids)[:, 1].mean()
        unseen = denoising_psnr(denoiser, held_out, SIGMA, NOISE, torch.from_numpy(world.splits.held_out))[:, 1].mean()
        differences.append(float(seen - unseen))
    return float(np.mean(differences))


def look(rung: Rung) -> Seen:
    """All that is told of a rung."""
    networks, moments = len(rung.run.recipe.members), rung.moments
    last = pair_correlations(rung, moments.end)
    best = None if moments.onset is None else pair_correlations(rung, moments.onset)
    return Seen(
        rung.run.recipe.data.split_size,
        training_advantage(rung),
        over_pairs(last, networks),
        shuffled(rung, moments.end),
        None if best is None else over_pairs(best, networks),
        None if best is None else over_pairs(best - last, networks),
        rung.onset,
    )


def caption(mean: Mean | None) -> str:
    """A number with its 95% interval."""
    if mean is None:
        return "unknown, since they still come nearer"
    bounds = mean.interval(0.95)
    return f"{mean.value:.3f}" + (f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else "")


def rows(seen: Sequence[Seen], text: str) -> str:
    """A line per rung."""
    return "\n".join(
        f"  N = {s.n:5,}  " + text.format(s=s, alike=caption(s.alike), before=caption(s.before), lost=caption(s.lost)) for s in seen
    )


def place(step: float | None) -> str:
    return "at no step of these" if step is None else f"at step {step:,.0f}"


def show_ladder(rungs: Sequence[Rung]) -> None:
    """What the networks learn from."""
    recipe = rungs[-1].run.recipe
    sizes = ", ".join(f"{rung.run.recipe.data.split_size:,}" for rung in rungs)
    say(
        "1. One ladder",
        f"{recipe.data.splits} disjoint splits of real handwritten digits, cut to N = {sizes} images:\n"
        "a smaller rung is the beginning of a larger one. "
        "On each rung one network per split, blind (not told the noise level),\n"
        f"the same number of steps ({recipe.training.steps:,}) and of images seen. "
        f"All are judged on the same {recipe.data.held_out} held-out digits.",
    )


def show_convergence(seen: Sequence[Seen]) -> None:
    """[GAHB]'s view."""
    say(
        "2. Add data: from copies to a common distribution",
        "At the end of training. How many decibels better a network denoises its own images than held-out ones (memorization), and the\n"
        "correlation of what two networks draw from the same noise, over pairs (between samples of different noise in brackets []):\n"
        + rows(seen, "{s.advantage:+.2f} dB   twins {alike} [{s.shuffled:.3f}]"),
    )


def show_onset(seen: Sequence[Seen]) -> None:
    """[BG]'s view."""
    lines = [
        f"  N = {s.n:5,}  agree best {place(s.onset.onset.step)}, test loss lowest {place(s.onset.test_loss_minimum.step)}: "
        f"{s.onset.verdict}"
        for s in seen
    ]
    say("3. Hold the data, and train on", "Where the twins agree best, and where the test loss is lowest:\n" + "\n".join(lines))


def show_together(seen: Sequence[Seen]) -> None:
    """Both at once, and no more than the numbers show."""
    parted = [s.n for s in seen if s.lost is not None and (bounds := s.lost.interval(0.95)) is not None and bounds[0] > 0]
    lost = f"for N = {', '.join(f'{n:,}' for n in parted)}" if parted else "for no N with certainty"
    say(
        "4. Together",
        "Correlation of the samples where the predictions agree best, and what of it is gone at the end:\n"
        + rows(seen, "{before}; gone: {lost}")
        + f"\nTraining past that step made the twins' samples less alike {lost}. How far two denoisers converge is a property of the\n"
        "amount of data and of the step at which they were stopped: a curve against N alone has chosen the step already.",
    )


def main(words: Sequence[str] | None = None) -> list[Seen]:
    """The whole way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=("smoke", "laptop"), default="laptop")
    parser.add_argument("--out", type=Path, default=Path("twinsplit-out/ladder"))
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes to train with; the result is the same")
    options = parser.parse_args(words)
    asked = Options(options.scale, options.out)
    with open_executor(options.workers) as executor:
        files = make("gahb-onset", asked, executor)
    runs = [Run.open(options.out / "runs" / name) for name in FIGURES["gahb-onset"].recipes(asked)]
    rungs = [Rung.of(run) for run in runs]
    show_ladder(rungs)
    seen = [look(rung) for rung in rungs]
    show_convergence(seen)
    show_onset(seen)
    show_together(seen)
    say("5. The figure", str(next(file for file in files if file.suffix == ".png")))
    return seen


if __name__ == "__main__":
    main()
