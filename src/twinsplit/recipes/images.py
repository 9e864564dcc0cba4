"""Recipes of the image world, and their presets."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

from twinsplit.errors import require_sizes
from twinsplit.recipes.parts import Diffusion, RunRecipe, Training, require
from twinsplit.recipes.registry import Entry, enter

Normal = Literal["none", "channel", "image"]


@final
@dataclass(frozen=True)
class Images:
    """The images and how they are split.

    path: a prepared folder (`twinsplit data celeba`, `folder`, `arrays`, `hub`, `digits`); empty for the built-in digits.
    manifest: a split manifest of that folder (`twinsplit data split`): the two splits are then the first images of its two groups.
    splits: number of disjoint splits; split_size: images in each (n); held_out: images measured on, the last ones that share no content
    with any split.
    order: as listed in the data (published: split i is images [i n, (i+1) n)), or shuffled by the recipe's seed.
    stride: images from the beginning of a split to that of the next, at least split_size, so that splits of several sizes are nested;
    0: split_size.
    normalisation: what is taken off a split's images: nothing, the mean level of each channel (published), or the mean image;
    scale: what they are then divided by (1, as published, or more contrast).
    filter: none; pca keeps `components` of all training splits; haar multiplies the details of three scales by `gains` (coarse, medium,
    fine).
    """

    path: str = ""
    splits: int = 15
    split_size: int = 1_024
    held_out: int = 2_048
    order: Literal["listed", "shuffled"] = "listed"
    normalisation: Normal = "channel"
    scale: float = 1.0
    filter: Literal["none", "pca", "haar"] = "none"
    components: int = 0
    gains: tuple[float, ...] = (1.0, 1.0, 1.0)
    manifest: str = ""
    stride: int = 0

    def __post_init__(self) -> None:
        require(self.splits >= 2, f"data.splits = {self.splits}", "twins need at least 2 disjoint splits")
        require_sizes("data", split_size=self.split_size, held_out=self.held_out)
        require(self.split_size >= 2, "data.split_size = 1", "give 2 or more: samples are compared with the two nearest training images")
        grouped = not self.manifest or (self.splits, self.order) == (2, "listed")
        require(grouped, f"data.splits = {self.splits}, {self.order}, with a manifest", 'give splits = 2 and order = "listed"')
        require(not self.stride or self.stride >= self.split_size, f"data.stride = {self.stride}", "give at least split_size, or 0")
        require(0 < self.scale < float("inf"), f"data.scale = {self.scale}", "give a positive one")
        require(len(self.gains) == 3, f"data.gains = {list(self.gains)}", "give three: coarse, medium, fine")
        chosen = (self.components > 0) == (self.filter == "pca")
        require(chosen, f"data.components = {self.components} with filter {self.filter!r}", 'give them with filter = "pca", and only then')


@final
@dataclass(frozen=True)
class UNetSizes:
    """Sizes of the U-Net (see networks.unet.UNet); attention: the levels that have it, 0 the finest."""

    kind: Literal["unet"] = "unet"
    channels: tuple[int, ...] = (32, 64, 128)
    layers_per_block: int = 2
    attention: tuple[int, ...] = (1, 2)
    norm_groups: int = 8
    dropout: float = 0.1


@final
@dataclass(frozen=True)
class BlindSizes:
    """Sizes of the blind U-Net (see networks.blind_unet.BlindUNet), which is told neither time nor noise level."""

    kind: Literal["blind"] = "blind"
    width: int = 64
    blocks: int = 3


@final
@dataclass(frozen=True)
class ImageMeasuring:
    """What is measured at every checkpoint, always on the same noised images.

    time_fraction: the fixed time of the divergence that decides, as t/T; times: those of the similarities ([BG] fig. 2).
    With fixed-time training the divergence, test and training loss are measured at the time that is learned.
    noise_draws: noised copies of each held-out image. train_images: images of each split that are measured on, at most split_size.
    generated: samples drawn per network; sampling_steps: reverse steps used, at most T; sampler: ancestral, or DDIM with eta = 0; of blind
    networks ascent, in at most sampling_steps steps, with its first step step_size (h0), the share injected (beta) of noise, and the
    noise level sigma_end at which it ends.
    """

    time_fraction: float = 0.1
    times: tuple[int, ...] = (50, 100, 150, 200)
    noise_draws: int = 1
    train_images: int = 1_024
    generated: int = 512
    sampling_steps: int = 1_000
    sampler: Literal["ancestral", "ddim", "ascent"] = "ancestral"
    step_size: float = 0.01
    injected: float = 0.1
    sigma_end: float = 0.1

    def __post_init__(self) -> None:
        require(0 < self.time_fraction <= 1, f"measuring.time_fraction {self.time_fraction}", "choose one in (0, 1]")
        times = self.times == tuple(sorted(set(self.times))) and min(self.times, default=0) >= 1
        require(times, f"measuring.times = {list(self.times)}", "list times from 1 in ascending order")
        require_sizes("measuring", noise_draws=self.noise_draws, train_images=self.train_images)
        require_sizes("measuring", generated=self.generated, sampling_steps=self.sampling_steps)


@final
@dataclass(frozen=True)
class ImageRecipe(RunRecipe):
    """A whole run in the image world; the defaults are [BG]'s for CelebA, whose folder `data.path` must name.

    Two steps of 512 images are an epoch; 50 checkpoints, evenly spaced from epoch 10 to epoch 4,999.
    """

    diffusion: Diffusion = field(default_factory=lambda: Diffusion(T=1_000))
    training: Training = field(
        default_factory=lambda: Training(
            steps=9_998,
            batch=512,
            learning_rate=1e-4,
            schedule="constant",
            loss="noise",
            precision="float32",
            checkpoints=50,
            first_checkpoint=20,
            spacing="linear",
        )
    )
    data: Images = field(default_factory=Images)
    network: UNetSizes | BlindSizes = field(default_factory=UNetSizes)
    measuring: ImageMeasuring = field(default_factory=ImageMeasuring)
    world: ClassVar[str] = "images"
    samples_called: ClassVar[str] = "images"

    def __post_init__(self) -> None:
        super().__post_init__()
        blind = (self.network.kind == "blind", self.diffusion.schedule.endswith("_sigma"), self.measuring.sampler == "ascent")
        remedy = 'with network.kind = "blind" choose diffusion.schedule = "sqrt_sigma" or "uniform_sigma" and measuring.sampler = "ascent"'
        require(len(set(blind)) == 1, f"network {self.network.kind}, {self.diffusion.schedule}, {self.measuring.sampler}", remedy)
        require(self.training.loss == "noise", f"training.loss = {self.training.loss!r} with images", 'choose "noise"')
        require(self.training.weighting == "uniform", f"training.weighting = {self.training.weighting!r} with images", 'choose "uniform"')
        last = max(self.measuring.times)
        require(last <= self.diffusion.T, f"time {last} lies after T = {self.diffusion.T}", "choose times within 1..T")


DIGITS = ImageRecipe(
    name="laptop",
    data=Images(splits=5, split_size=256, held_out=500, order="shuffled"),
    network=UNetSizes(channels=(16, 32), layers_per_block=1, attention=(1,), dropout=0.0),
    training=Training(
        steps=1_300, batch=64, learning_rate=1e-3, schedule="constant", loss="noise", ema_decay=0.995, precision="float32",
        checkpoints=28, first_checkpoint=40, save_every=500,
    ),
    measuring=ImageMeasuring(generated=64, sampling_steps=100, train_images=256),
)  # fmt: skip

DIGITS_SMOKE = ImageRecipe(
    name="smoke",
    data=Images(splits=3, split_size=16, held_out=24, order="shuffled"),
    diffusion=Diffusion(T=50),
    network=UNetSizes(channels=(8, 8), layers_per_block=1, attention=(1,), dropout=0.0),
    training=Training(
        steps=24, batch=8, learning_rate=1e-3, schedule="constant", loss="noise", ema_decay=0.9, precision="float32",
        checkpoints=7, first_checkpoint=3, save_every=10,
    ),
    measuring=ImageMeasuring(times=(3, 5, 8, 10), generated=6, sampling_steps=5, train_images=8),
)  # fmt: skip

IMAGE_PRESETS: dict[str, ImageRecipe] = {"smoke": DIGITS_SMOKE, "laptop": DIGITS, "paper": ImageRecipe()}
enter(Entry(ImageRecipe.world, ImageRecipe, IMAGE_PRESETS, "twinsplit.worlds.images.world:ImageWorld", "digits"))
