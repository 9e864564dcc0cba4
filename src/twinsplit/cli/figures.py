"""The verbs of the papers: figure and claims."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, final

import tyro
from tyro.conf import Positional, arg

from twinsplit.cli.options import HERE, Compute, DryRun, Scale

OUT = Path("twinsplit-out/figures")
FigureName = Positional[
    Annotated[
        str,
        arg(
            metavar="NAME",
            help="fig1b, fig3b, fig4a, fig4b, fig5, fig6, fig9, fig10, fig11 (biased generalization, sequences); "
            "fig1a, fig2, fig7, fig8 "
            "(the same, images); gahb-psnr, gahb-twins, gahb-bases, gahb-onset, gahb-rates, rp-lpips, rp-attributes, rp-identities "
            "(two denoisers); gtv1, gtv2, gtv3, gtv-twins "
            "(generalization through variance)",
        ),
    ]
]
GivenRuns = Annotated[
    tuple[Path, ...],
    arg(
        name="run",
        metavar="RUN",
        help="for fig1b to fig11 of sequences, and fig1a, fig2 and fig8: draw from this run, imported or your own, instead of training "
        "(repeat it for fig3b and fig6); it is measured, and never trained; --scale and --seed then decide nothing",
    ),
    tyro.conf.UseAppendAction,
]
FigureData = Annotated[
    Path | None,
    arg(help="for the figures of images: a prepared data folder instead of the built-in digits; at paper scale it must be CelebA's"),
]
LpipsWeights = Annotated[
    Path | None,
    arg(help='for rp-lpips: order by LPIPS with these weights (lpips.LPIPS(net="vgg") by safetensors.torch.save_model); without, by SSIM'),
]
Judged = Positional[Annotated[tuple[Path, ...], arg(metavar="[RUN|FIGURE]...", help="run folders, or figure files such as OUT/fig5.png")]]


@final
@dataclass(frozen=True)
class TrainingOptions:
    """The runs that a figure trains."""

    scale: Annotated[Scale, arg(help="smoke (seconds), laptop, or paper (the published setting)")] = "laptop"
    seed: Annotated[int, arg(help="of data and models")] = 0
    seeds: Annotated[
        int | None,
        arg(
            help="splits per run, for fig1a to fig11: one network on each, two for fig1b and fig6 (default: 3 smoke; 6 laptop, 5 for "
            "images, 4 for fig1b and fig6; 15 paper); for gahb figures and rp-lpips: networks at every N or of every class, each on a "
            "split of its own (default: 3 smoke; 4 laptop; 2 paper; 3 for gahb-rates); for rp-attributes and rp-identities: pairs of "
            "networks for each kind of split (default: 3 smoke, 6 laptop and paper)"
        ),
    ] = None


USUAL = TrainingOptions()


def figure(
    name: FigureName,
    *,
    out: Path = OUT,
    runs: GivenRuns = (),
    data: FigureData = None,
    lpips_weights: LpipsWeights = None,
    training: TrainingOptions = USUAL,
    dry_run: DryRun = False,
    compute: Compute = HERE,
) -> None:
    """Make a published figure: PNG, PDF, its numbers (parquet and JSON) and its configuration. What
    stands is not made again.

    Args:
        out: the folder to write into
    """
    from twinsplit.papers.catalogue import Options, make, plan

    options = Options(training.scale, out, training.seed, training.seeds, runs, data, lpips_weights)
    with compute.executor() as executor:
        for line in plan(name, options, executor) if dry_run else make(name, options, executor):
            print(line, flush=True)


def claims(
    paths: Judged = (),
    *,
    scale: Scale = "laptop",
    repeats: int = 3,
    seeds: int | None = None,
    out: Path = OUT,
    document: Path | None = None,
    json: bool = False,
    compute: Compute = HERE,
) -> None:
    """Judge C1..C6 of biased generalization: holds, does not hold, or not enough power, each with
    its statistics and intervals.

    What the judgement needs is measured first; what stands is not measured again. Runs that are
    named are not trained on: those made elsewhere never, and one whose training has not ended is
    judged at the checkpoints it has. Without paths, runs are made first.

    Args:
        scale: without paths: the setting of the runs that are made
        repeats: without paths: independent runs, with seeds 0, 1, ...
        seeds: without paths: networks per run, each with a seed and a split of its own
        out: without paths: the folder of figures whose runs are used, or made
        document: also write the verdicts as a Markdown page
        json: print everything as JSON
    """
    from twinsplit.papers.bg import claims_report
    from twinsplit.runs.places import check_file

    if document is not None:
        check_file(document)
    with compute.executor() as executor:
        if paths:
            runs = [path for path, _ in claims_report.runs_of(paths)]
        else:
            planned = claims_report.planned(scale, repeats, seeds, out)
            runs = [claims_report.made(path, recipe, executor) for path, recipe in planned]
        judged = [claims_report.judge(path, executor) for path in runs]
    if document is not None:
        claims_report.write_document(document, judged)
    print(claims_report.as_json(judged) if json else claims_report.as_text(judged))
