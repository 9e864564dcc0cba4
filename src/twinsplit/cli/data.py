"""The command line of `twinsplit data`: parsing only, one class per kind of data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, final

from tyro.conf import Positional, arg, subcommand

Colour = Literal["grey", "mean", "rgb"]
Framing = Literal["centre", "gahb"]
Out = Annotated[Path, arg(help="the data folder to write; the same command goes on where it was stopped")]
Workers = Annotated[int, arg(help="decoding processes; 0 takes one per core, and the bytes are the same for any number")]
LeaveOut = Annotated[bool, arg(help="go on without the files that cannot be used; they stay listed in OUT/problems.json")]
Size = Annotated[int, arg(help="pixels a side")]
Prepared = Positional[Annotated[Path, arg(metavar="FOLDER", help="a folder of images that `twinsplit data` wrote")]]
Threshold = Annotated[float, arg(help="correlation in absolute value above which the later of two images is a duplicate")]
Device = Annotated[str | None, arg(help="where duplicates are sought (default: cuda where there is one, else cpu); the answer is the same")]
ColourOption = Annotated[Colour, arg(help="grey (luma), mean (of red, green and blue) or rgb")]


@final
@dataclass(frozen=True)
class DataGrammar:
    """Draw sequences from a tree grammar into a folder with a fingerprint, for `train --data`."""

    out: Path
    """the data folder to write"""
    samples: int = 40_000
    """sequences to draw"""
    seed: int = 0
    """of the sequences"""
    vocab_size: int = 6
    """symbols (q)"""
    depth: int = 4
    """levels of the tree (l); a sequence has 2^depth tokens"""
    rules_per_symbol: int = 4
    """allowed productions of each symbol (q_eff)"""
    sigma: float = 1.0
    """spread of the logits of the productions"""
    grammar_seed: int = 0
    """of the rules; the defaults with seed 0 are the published grammar"""
    factorised: int = 0
    """top levels (k) replaced by independent transitions from the root: BP_k is then exact"""

    def run(self) -> None:
        from twinsplit.cli.verbs import data_grammar

        data_grammar(self)


@final
@dataclass(frozen=True)
class DataCelebA:
    """Prepare CelebA from its own layout: img_align_celeba/*.jpg with the tables of attributes, identities and partition beside it."""

    folder: Positional[Annotated[Path, arg(metavar="DIR", help="the folder that holds img_align_celeba")]]
    out: Out
    size: Size = 32
    colour: ColourOption = "grey"
    framing: Framing = "centre"
    """centre (shorter side scaled, bilinear, middle kept) or gahb (the middle 160 x 160, bicubic)"""
    leave_out: LeaveOut = False
    workers: Workers = 0

    def run(self) -> None:
        from twinsplit.cli.data_verbs import data_celeba

        data_celeba(self)


@final
@dataclass(frozen=True)
class DataFolder:
    """Prepare any folder of images (JPEG, PNG, WebP, TIFF, BMP, GIF of one frame), searched to the bottom."""

    folder: Positional[Annotated[Path, arg(metavar="DIR")]]
    out: Out
    size: Size = 32
    colour: ColourOption = "grey"
    leave_out: LeaveOut = False
    workers: Workers = 0

    def run(self) -> None:
        from twinsplit.cli.data_verbs import data_folder

        data_folder(self)


@final
@dataclass(frozen=True)
class DataArrays:
    """Prepare images from a .npy or .npz file: (n, H, W), (n, H, W, C) or (n, C, H, W), uint8 or floats in [0, 1]."""

    file: Positional[Annotated[Path, arg(metavar="FILE")]]
    out: Out
    key: str = ""
    """the array of an .npz that holds several"""
    size: Annotated[int | None, arg(help="pixels a side (default: as they are)")] = None
    colour: Annotated[Colour | None, arg(help="grey (luma), mean or rgb (default: as they are)")] = None
    leave_out: LeaveOut = False

    def run(self) -> None:
        from twinsplit.cli.data_verbs import data_arrays

        data_arrays(self)


@final
@dataclass(frozen=True)
class DataHub:
    """Prepare a Hugging Face data set (extra `hub`): a folder that `save_to_disk` wrote, or a name on the hub."""

    name: Positional[Annotated[str, arg(metavar="NAME")]]
    out: Out
    split: str = "train"
    """the split to take, where there are several"""
    column: str = "image"
    """the column that holds the images"""
    size: Size = 32
    colour: ColourOption = "grey"
    leave_out: LeaveOut = False
    workers: Workers = 0

    def run(self) -> None:
        from twinsplit.cli.data_verbs import data_hub

        data_hub(self)


@final
@dataclass(frozen=True)
class DataDigits:
    """Write scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, as a data folder."""

    out: Out

    def run(self) -> None:
        from twinsplit.cli.data_verbs import data_digits

        data_digits(self.out)


@final
@dataclass(frozen=True)
class DataFaces:
    """Draw faces into a folder of exactly CelebA's layout, with tables, for `data celeba`. Nobody is portrayed."""

    out: Path
    """the raw folder to write"""
    make: int = 2_000
    """images; image i is the same whatever this number"""
    people: int = 1_000
    """the pool that each image shows one of"""
    seed: int = 0
    """of people and images"""
    workers: Annotated[int, arg(help="drawing processes; 0 takes one per core, and the bytes are the same for any number")] = 0

    def run(self) -> None:
        from twinsplit.cli.data_verbs import data_faces

        data_faces(self)


Make = Annotated[int, arg(help="images; image i is the same whatever this number")]
Drawers = Annotated[int, arg(help="drawing processes; 0 takes one per core, and the bytes are the same for any number")]


@final
@dataclass(frozen=True)
class DataCAlpha:
    """Draw C^alpha images, regular regions and contours whose best denoising rate is known, as a data folder (docs/rates.md)."""

    out: Out
    alpha: float = 2.0
    """regularity of the regions and of the contour between them"""
    size: Size = 80
    make: Make = 100_000
    seed: int = 0
    """of the images"""
    workers: Drawers = 0

    def run(self) -> None:
        from twinsplit.cli.data_verbs import data_calpha

        data_calpha(self)


@final
@dataclass(frozen=True)
class DataDiscs:
    """Draw discs of five parameters, whose best denoiser is known, as a data folder (docs/rates.md)."""

    out: Out
    size: Size = 80
    make: Make = 100_000
    seed: int = 0
    """of the images"""
    workers: Drawers = 0

    def run(self) -> None:
        from twinsplit.cli.data_verbs import data_discs

        data_discs(self)


@final
@dataclass(frozen=True)
class DataDuplicates:
    """List the images that nearly repeat an earlier one: correlation above the threshold, either sign. The folder is not altered."""

    folder: Prepared
    out: Annotated[Path | None, arg(help="the list to write (default: FOLDER-duplicates.json, beside the folder)")] = None
    threshold: Threshold = 0.95
    device: Device = None

    def run(self) -> None:
        from twinsplit.cli.split_verbs import data_duplicates

        data_duplicates(self)


@final
@dataclass(frozen=True)
class DataSplit:
    """Split images in two groups, by one of --attribute, --identities and --ladder, into a manifest for a recipe's data.manifest."""

    folder: Prepared
    out: Path
    """the manifest (JSON) to write"""
    attribute: str = ""
    """attributes joined by &, each perhaps after !: the images that this is true of, and as many of the others"""
    identities: Annotated[bool, arg(help="no identity in both groups, and groups of nearly equal size")] = False
    ladder: Annotated[str, arg(metavar="N,N,...", help="the first N and the last N images, for each N, nested")] = ""
    seed: Annotated[int | None, arg(help="of the drawn orders, for --attribute and --identities (default 0)")] = None
    duplicates: Annotated[
        Path | None,
        arg(help="a list of `data duplicates` to take out first (default, as published: none for --attribute, else sought now)"),
    ] = None
    threshold: Annotated[float | None, arg(help="of the duplicates that are sought now (default 0.95)")] = None
    device: Device = None

    def run(self) -> None:
        from twinsplit.cli.split_verbs import data_split

        data_split(self)


@final
@dataclass(frozen=True)
class DataCheck:
    """Verify a data folder, of sequences or of images, against its fingerprint."""

    folder: Positional[Path]
    """a folder that `twinsplit data` wrote"""

    def run(self) -> None:
        from twinsplit.cli.data_verbs import data_check

        data_check(self.folder)


@final
@dataclass(frozen=True)
class Data:
    """Make or prepare a data set, with a fingerprint."""

    kind: (
        Annotated[DataGrammar, subcommand("grammar")]
        | Annotated[DataDigits, subcommand("digits")]
        | Annotated[DataFaces, subcommand("faces")]
        | Annotated[DataCAlpha, subcommand("calpha")]
        | Annotated[DataDiscs, subcommand("discs")]
        | Annotated[DataCelebA, subcommand("celeba")]
        | Annotated[DataFolder, subcommand("folder")]
        | Annotated[DataArrays, subcommand("arrays")]
        | Annotated[DataHub, subcommand("hub")]
        | Annotated[DataDuplicates, subcommand("duplicates")]
        | Annotated[DataSplit, subcommand("split")]
        | Annotated[DataCheck, subcommand("check")]
    )

    def run(self) -> None:
        self.kind.run()
