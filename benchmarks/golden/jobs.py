"""What is compared: every verb, world, measure and figure at sizes of seconds, as commands that a user could type.

A job has a folder of its own, ../NAME of the other jobs, and is the unit of comparison; what shares runs is one job, so that nothing is
trained twice.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final


@final
@dataclass(frozen=True)
class Step:
    """One command. says: the file that takes what it prints; "": the log, which is not compared."""

    words: tuple[str, ...]
    says: str = ""


@final
@dataclass(frozen=True)
class Job:
    """files: written into the job's folder before its first step. needs: jobs whose folders it reads. variables: of its environment."""

    name: str
    about: str
    steps: tuple[Step, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


def twinsplit(line: str, says: str = "") -> Step:
    """`twinsplit LINE`."""
    return Step(("twinsplit", *shlex.split(line)), says)


def props(line: str) -> Step:
    """Files that the next commands are given (props.py)."""
    return Step(("props", *shlex.split(line)))


def figures(names: str, options: str = "") -> tuple[Step, ...]:
    """Figures of one folder, at smoke scale."""
    return tuple(twinsplit(f"figure {name} --scale smoke --out . --workers 1 {options}") for name in names.split())


def judged(run: str, names: str = "") -> tuple[Step, ...]:
    """Measure these of a run, or what is measured where nothing is named, and decide."""
    return twinsplit(f"measure {run} {names} --workers 1"), twinsplit(f"onset {run} --json", f"{run}-onset.json")


NONE: Mapping[str, str] = {}
SEQUENCE_MEASURES = (
    "sample_split_divergence oracle_divergence test_loss train_loss fixed_time_loss loss_decomposition fixed_time_decomposition "
    "train_split_divergence train_oracle_divergence nearest_neighbours"
)
IMAGE_MEASURES = (
    "sample_split_divergence test_loss train_loss fixed_time_loss noise_similarity noise_difference train_noise_similarity "
    "train_noise_difference memorization sample_similarity two_sample"
)
SEQUENCES = """
name = "golden"
[data]
depth = 2
vocab_size = 4
rules_per_symbol = 2
samples = 2000
splits = 3
split_size = 6
held_out = 32
[diffusion]
T = 50
[network]
width = 16
layers = 1
heads = 2
feedforward = 32
dropout = {dropout}
[training]
steps = 30
batch = 6
learning_rate = 3e-3
checkpoints = 6
first_checkpoint = 3
save_every = 10
{training}
[measuring]
generated = 16
sampling_steps = 10
profile_times = 6
profile_sequences = 16
uturn_starts = 12
uturn_repetitions = 2
"""
IMAGES = """
name = "golden"
world = "images"
[data]
splits = {splits}
split_size = 12
held_out = 16
{data}
[diffusion]
T = 50
{diffusion}
[network]
{network}
[training]
steps = 20
batch = 6
learning_rate = 1e-3
loss = "noise"
precision = "float32"
checkpoints = 6
first_checkpoint = 3
save_every = 8
{training}
[measuring]
times = [3, 5, 8, 10]
generated = 4
sampling_steps = {sampling_steps}
train_images = 8
{measuring}
"""
UNET = 'kind = "unet"\nchannels = [8, 8]\nlayers_per_block = 1\nattention = [1]\ndropout = 0.0'


def sequences(training: str, dropout: float = 0.0) -> str:
    """A recipe of the hierarchical world."""
    return SEQUENCES.format(training=training, dropout=dropout)


def images(
    data: str = 'order = "shuffled"',
    diffusion: str = "",
    network: str = UNET,
    training: str = 'schedule = "constant"',
    measuring: str = "",
    splits: int = 3,
    sampling_steps: int = 5,
) -> str:
    """A recipe of the image world."""
    parts = {"data": data, "diffusion": diffusion, "network": network, "training": training, "measuring": measuring}
    return IMAGES.format(splits=splits, sampling_steps=sampling_steps, **parts)


RECIPES = {
    "two-seeds": sequences('seeds_per_split = 2\nprecision = "float32"\nschedule = "constant"\nema_decay = 0.9'),
    "fixed-time": sequences('times = "fixed"\nfixed_time = 8\nprecision = "float32"\nschedule = "published"'),
    "rounded": sequences('precision = "bfloat16"\nloss = "squared_error"\nweighting = "vlb"\ntimes = "critical"\nschedule = "warmup"', 0.1),
}
IMAGE_RECIPES = {
    "blind": images(
        diffusion='schedule = "sqrt_sigma"',
        network='kind = "blind"\nwidth = 4\nblocks = 2',
        training='schedule = "halving"\nepoch_samples = 24',
        measuring='sampler = "ascent"\nstep_size = 0.1',
        sampling_steps=200,
    ),
    "two-seeds": images(training='schedule = "constant"\nseeds_per_split = 2\nema_decay = 0.9', measuring='sampler = "ddim"'),
    "fixed-time": images(training='schedule = "constant"\ntimes = "fixed"\nfixed_time = 8'),
    "faces": images(
        data='path = "../data/celeba"\nmanifest = "../data/split-attribute.json"\nfilter = "haar"\ngains = [0.5, 1.0, 2.0]',
        network=UNET.replace("dropout = 0.0", "dropout = 0.1"),
        splits=2,
    ),
    "colour": images(data='path = "../data/colour"\norder = "shuffled"\nfilter = "pca"\ncomponents = 8\nnormalisation = "image"', splits=2),
}


def recipe_job(
    name: str,
    recipe: str,
    world: str,
    measures: str,
    more: tuple[Step, ...] = (),
    needs: tuple[str, ...] = (),
    variables: Mapping[str, str] = NONE,
) -> Job:
    """Train a recipe, measure everything, decide, write the page."""
    steps = (twinsplit("train recipe.toml --out run --workers 1"), *judged("run", measures), *more, twinsplit("report run"))
    return Job(f"{world}-{name}", f"a recipe of {world}: {name}", steps, {"recipe.toml": recipe.lstrip()}, needs, variables)


DEEPER = "--vocab-size 4 --depth 3 --rules-per-symbol 3"  # so many sequences that splits share few
CLAIMS = twinsplit("claims run --json --document verdicts.md --workers 1", "claims.json")
DATA = Job(
    "data",
    "every kind of `twinsplit data`",
    (
        twinsplit("data digits --out digits"),
        twinsplit("data grammar --samples 500 --vocab-size 4 --depth 2 --rules-per-symbol 2 --out grammar"),
        twinsplit("data grammar --samples 100 --factorised 2 --seed 3 --out factorised"),
        twinsplit(f"data grammar --samples 400 {DEEPER} --out deeper"),
        twinsplit("data faces --make 80 --people 24 --out faces --workers 1"),
        twinsplit("data celeba faces --size 8 --out celeba --workers 1"),
        twinsplit("data celeba faces --size 12 --framing gahb --out cropped --workers 1"),
        twinsplit("data folder faces/img_align_celeba --size 8 --colour rgb --out colour --workers 1"),
        props("pixels theirs/pixels.npy"),
        twinsplit("data arrays theirs/pixels.npy --size 8 --colour mean --out arrays"),
        props("hub theirs/hub"),
        twinsplit("data hub theirs/hub --column picture --size 8 --colour mean --out hub"),
        twinsplit("data calpha --make 12 --size 16 --out calpha --workers 1"),
        twinsplit("data discs --make 12 --size 16 --out discs --workers 1"),
        twinsplit("data duplicates celeba --threshold 0.98 --out duplicates.json --device cpu"),
        twinsplit("data split celeba --attribute Male --out split-attribute.json"),
        twinsplit("data split celeba --identities --threshold 0.98 --device cpu --out split-identities.json"),
        twinsplit("data split celeba --ladder 4,16 --duplicates duplicates.json --out split-ladder.json"),
        *(twinsplit(f"data check {name}", "checked.txt") for name in ("digits", "grammar", "celeba", "calpha")),
    ),
)
JOBS = (
    DATA,
    Job(
        "sequences",
        "quickstart, then every measure by name",
        (
            twinsplit("quickstart --scale smoke --out run --workers 1"),
            *judged("run", SEQUENCE_MEASURES),
            twinsplit("train --scale smoke --data ../data/grammar --seed 3 --out twins --workers 1"),
            *judged("twins"),
        ),
        needs=("data",),
    ),
    Job(
        "images",
        "quickstart on digits, every measure by name, figures of the run, export",
        (
            twinsplit("quickstart --world digits --scale smoke --out run --workers 1"),
            *judged("run", IMAGE_MEASURES),
            props("features theirs/features.pt"),
            twinsplit("measure run fid --features theirs/features.pt --workers 1"),
            twinsplit("report run"),
            twinsplit("figure fig2 --run run --out . --workers 1"),
            twinsplit("export run --out exported --member 1"),
        ),
    ),
    recipe_job("two-seeds", RECIPES["two-seeds"], "sequences", SEQUENCE_MEASURES, (CLAIMS,)),
    recipe_job("fixed-time", RECIPES["fixed-time"], "sequences", SEQUENCE_MEASURES),
    recipe_job("rounded", RECIPES["rounded"], "sequences", SEQUENCE_MEASURES, variables={"TWINSPLIT_BFLOAT16": "yes"}),
    Job(
        "sequences-without-kernels",
        "the torch twins of the compiled kernels",
        (twinsplit("train --scale smoke --out run --workers 1"), *judged("run", SEQUENCE_MEASURES)),
        variables={"TWINSPLIT_KERNELS": "torch"},
    ),
    *(recipe_job(name, IMAGE_RECIPES[name], "images", IMAGE_MEASURES) for name in ("blind", "two-seeds", "fixed-time")),
    *(recipe_job(name, IMAGE_RECIPES[name], "images", IMAGE_MEASURES, needs=("data",)) for name in ("faces", "colour")),
    Job(
        "import",
        "another code's data and checkpoints: measured, judged, drawn",
        (
            props("sequences ../data/deeper/sequences.npy theirs"),
            twinsplit(f"import data theirs/dataset.npy --out data --trusted {DEEPER}"),
            twinsplit("import checkpoints theirs/results --data data --out run --held-out 40 --trusted"),
            *judged("run", SEQUENCE_MEASURES),
            CLAIMS,
            twinsplit("report run"),
            twinsplit("figure fig4b --run run --out . --workers 1"),
        ),
        needs=("data",),
    ),
    Job(
        "figures-sequences",
        "[BG] on sequences, and the claims of its run",
        (
            *figures("fig1b fig3b fig4a fig4b fig5 fig6 fig9 fig10 fig11"),
            twinsplit("claims --scale smoke --repeats 1 --out . --json --document verdicts.md --workers 1", "claims.json"),
        ),
    ),
    Job("figures-images", "[BG] on images", figures("fig1a fig2 fig7 fig8")),
    Job("figures-ladder", "[GAHB] and [RP] on nested splits", figures("gahb-psnr gahb-twins gahb-bases rp-lpips gahb-onset")),
    Job("figures-controlled", "[RP] on controlled splits", figures("rp-attributes rp-identities")),
    Job("figures-rates", "[GAHB] on images whose best rate is known", figures("gahb-rates")),
    Job("figures-variance", "generalization through variance", figures("gtv1 gtv2 gtv3 gtv-twins")),
    Job(
        "figures-data",
        "figures of a given data folder",
        (*figures("fig1a", "--data ../data/celeba --seed 1"), *figures("gahb-psnr", "--data ../data/digits --seed 1 --seeds 2")),
        needs=("data",),
    ),
)
BY_NAME = {job.name: job for job in JOBS}


def with_needs(names: tuple[str, ...]) -> tuple[Job, ...]:
    """The named jobs and those whose folders they read, in order."""
    wanted = {*names, *(need for name in names for need in BY_NAME[name].needs)}
    return tuple(job for job in JOBS if job.name in wanted)
