"""The verbs of `twinsplit data` that make, prepare and check data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from twinsplit.cli.options import PUBLISHED, GrammarOptions, processes
from twinsplit.errors import InputError

if TYPE_CHECKING:
    from twinsplit.data.images.decoding import Problem
    from twinsplit.data.images.frame import Frame
    from twinsplit.data.images.sources import Source
    from twinsplit.data.synthetic import ImageClass

Colour = Literal["grey", "mean", "rgb"]
Framing = Literal["centre", "gahb"]
Out = Annotated[Path, arg(help="the data folder to write; the same command goes on where it was stopped")]
Decoders = Annotated[int, arg(help="decoding processes; 0 takes one per core, and the bytes are the same for any number")]
Drawers = Annotated[int, arg(help="drawing processes; 0 takes one per core, and the bytes are the same for any number")]
LeaveOut = Annotated[bool, arg(help="go on without the files that cannot be used; they stay listed in OUT/problems.json")]
Size = Annotated[int, arg(help="pixels a side")]
ColourOption = Annotated[Colour, arg(help="grey (luma), mean (of red, green and blue) or rgb")]
OwnSize = Annotated[int | None, arg(help="pixels a side (default: as they are)")]
OwnColour = Annotated[Colour | None, arg(help="grey (luma), mean or rgb (default: as they are)")]
Make = Annotated[int, arg(help="images; image i is the same whatever this number")]
CelebAFolder = Positional[Annotated[Path, arg(metavar="DIR", help="the folder that holds img_align_celeba")]]
AnyFolder = Positional[Annotated[Path, arg(metavar="DIR")]]
ArrayFile = Positional[Annotated[Path, arg(metavar="FILE")]]
HubName = Positional[Annotated[str, arg(metavar="NAME")]]

SHOWN = 10


def grammar(
    *,
    out: Path,
    samples: int = 40_000,
    seed: int = 0,
    factorised: int = 0,
    grammar: GrammarOptions = PUBLISHED,
) -> None:
    """Draw sequences from a tree grammar into a folder with a fingerprint, for `train --data`.

    Args:
        out: the data folder to write
        samples: sequences to draw
        seed: of the sequences
        factorised: top levels (k) replaced by independent transitions from the root: BP_k is then exact
    """
    from twinsplit.data.sequences import SequenceData

    if samples < 1:
        raise InputError(f"--samples {samples}", "draw at least 1")
    law = grammar.drawn()
    origin = {"grammar_seed": grammar.grammar_seed, "sigma": grammar.sigma}
    data = SequenceData.drawn(law, samples, seed, factorised, origin)
    data.save(out)
    print(f"{out}: {samples} sequences of {law.length} tokens, sha256 {data.describe()['sha256'][:16]}")


def digits(*, out: Out) -> None:
    """Write scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, as a data folder."""
    from twinsplit.data.images.builtin import DIGITS, DigitsSource

    _prepare(DigitsSource(), DIGITS, out, workers=1)


def faces(*, out: Path, make: int = 2_000, people: int = 1_000, seed: int = 0, workers: Drawers = 0) -> None:
    """Draw faces into a folder of exactly CelebA's layout, with tables, for `data celeba`. Nobody
    is portrayed.

    Args:
        out: the raw folder to write
        make: images; image i is the same whatever this number
        people: the pool that each image shows one of
        seed: of people and images
    """
    from twinsplit.data.images.builtin import write_faces
    from twinsplit.data.images.drawn_faces import FaceSet
    from twinsplit.execution.local import open_executor

    with open_executor(processes(workers)) as executor:
        write_faces(out, make, FaceSet(seed, people), executor)
    print(f"{out}: {make} faces in CelebA's layout; next: twinsplit data celeba {out} --out PREPARED")


def calpha(*, out: Out, alpha: float = 2.0, size: Size = 80, make: Make = 100_000, seed: int = 0, workers: Drawers = 0) -> None:
    """Draw C^alpha images, regular regions and contours whose best denoising rate is known, as a
    data folder; see docs/rates.md.

    Args:
        alpha: regularity of the regions and of the contour between them
        seed: of the images
    """
    from twinsplit.data.synthetic import CAlphaImages

    _draw(CAlphaImages(alpha, size, seed), make, out, workers)


def discs(*, out: Out, size: Size = 80, make: Make = 100_000, seed: int = 0, workers: Drawers = 0) -> None:
    """Draw discs of five parameters, whose best denoiser is known, as a data folder;
    see docs/rates.md.

    Args:
        seed: of the images
    """
    from twinsplit.data.synthetic import DiscImages

    _draw(DiscImages(size, seed), make, out, workers)


def celeba(
    folder: CelebAFolder,
    *,
    out: Out,
    size: Size = 32,
    colour: ColourOption = "grey",
    framing: Framing = "centre",
    leave_out: LeaveOut = False,
    workers: Decoders = 0,
) -> None:
    """Prepare CelebA from its own layout: img_align_celeba/*.jpg with the tables of attributes,
    identities and partition beside it.

    Args:
        framing: centre (shorter side scaled, bilinear, middle kept) or gahb (the middle 160 x 160, bicubic)
    """
    from dataclasses import replace

    from twinsplit.data.images.celeba import SIZE, CelebaSource
    from twinsplit.data.images.frame import Frame, gahb

    frame = {"centre": Frame, "gahb": gahb}[framing](size, colour)
    _prepare(CelebaSource(folder), replace(frame, exact=SIZE), out, workers, leave_out)


def folder(
    folder: AnyFolder,
    *,
    out: Out,
    size: Size = 32,
    colour: ColourOption = "grey",
    leave_out: LeaveOut = False,
    workers: Decoders = 0,
) -> None:
    """Prepare any folder of images (JPEG, PNG, WebP, TIFF, BMP, GIF of one frame), searched to the
    bottom.
    """
    from twinsplit.data.images.frame import Frame
    from twinsplit.data.images.sources import FolderSource

    _prepare(FolderSource(folder), Frame(size, colour), out, workers, leave_out)


def arrays(
    file: ArrayFile,
    *,
    out: Out,
    key: str = "",
    size: OwnSize = None,
    colour: OwnColour = None,
    leave_out: LeaveOut = False,
) -> None:
    """Prepare images from a .npy or .npz file: (n, H, W), (n, H, W, C) or (n, C, H, W), uint8 or
    floats in [0, 1].

    Args:
        key: the array of an .npz that holds several
    """
    from twinsplit.data.images.frame import Frame
    from twinsplit.data.images.sources import ArraySource

    source = ArraySource(file, key)
    native: Colour = "rgb" if source.array().shape[-1] == 3 else "grey"
    _prepare(source, Frame(size, colour or native, exact=source.size), out, 1, leave_out)  # there is nothing to decode


def hub(
    name: HubName,
    *,
    out: Out,
    split: str = "train",
    column: str = "image",
    size: Size = 32,
    colour: ColourOption = "grey",
    leave_out: LeaveOut = False,
    workers: Decoders = 0,
) -> None:
    """Prepare a Hugging Face data set (extra `hub`): a folder that `save_to_disk` wrote, or a name
    on the hub.

    Args:
        split: the split to take, where there are several
        column: the column that holds the images
    """
    from twinsplit.data.images.frame import Frame
    from twinsplit.data.images.sources import HubSource

    _prepare(HubSource(name, split, column), Frame(size, colour), out, workers, leave_out)


def check(folder: Positional[Path]) -> None:
    """Verify a data folder, of sequences or of images, against its fingerprint.

    Args:
        folder: a folder that `twinsplit data` wrote
    """
    from twinsplit.data.folders import IMAGES, description_of
    from twinsplit.data.images.folder import load_images
    from twinsplit.data.sequences import load_sequences

    description = description_of(folder)
    if description.get("kind") == IMAGES:
        load_images(folder)
        count, *shape = description["shape"]
        what = f"{count} images of {' x '.join(map(str, shape))}"
    else:
        count, length = load_sequences(folder).describe()["shape"]
        what = f"{count} sequences of {length} tokens"
    print(f"{folder}: intact, {what}, sha256 {description['sha256'][:16]}")


def _draw(kind: "ImageClass", make: int, out: Path, workers: int) -> None:
    """Make a synthetic class of images into a data folder."""
    from twinsplit.data.images.builtin import SyntheticSource

    source = SyntheticSource(kind, make)
    _prepare(source, source.frame, out, workers)


def _prepare(source: "Source", frame: "Frame", out: Path, workers: int, without_unusable: bool = False) -> None:
    """Prepare a data folder and say what it holds; files that cannot be used are listed, and
    refused or left out.
    """
    from twinsplit.data.images.preparing import leave_out, prepare, refuse
    from twinsplit.execution.local import open_executor

    treat = leave_out if without_unusable else refuse

    def treatment(problems: "list[Problem]", report: Path) -> None:
        _print_problems(problems, report)
        treat(problems, report)

    with open_executor(processes(workers)) as executor:
        data = prepare(source, frame, out, executor, treatment)
    left = data.description["left_out"]
    what = f"{len(data)} images of {' x '.join(map(str, data.pixels.shape[1:]))}"
    print(f"{out}: {what}, sha256 {data.description['sha256'][:16]}" + (f"; {left} left out (problems.json)" if left else ""))


def _print_problems(problems: "list[Problem]", report: Path) -> None:
    """Print the first files that cannot be used, one a line, and how many are no pictures; a
    refusal stays one line on standard error.
    """
    from twinsplit.runs.files import read_json

    for problem in problems[:SHOWN]:
        print(f"not used: {problem}")
    if len(problems) > SHOWN:
        print(f"not used: {len(problems) - SHOWN} more")
    others = read_json(report)["not_images"]
    if others:
        print(f"no pictures: {len(others)} other file{'s' if len(others) > 1 else ''} (listed in {report})")
