"""What each kind of `twinsplit data` does: a few lines over the readers."""

from pathlib import Path
from typing import TYPE_CHECKING

from twinsplit.data.folders import IMAGES, description_of
from twinsplit.data.images.builtin import DIGITS, DigitsSource, SyntheticSource
from twinsplit.data.images.decoding import Problem
from twinsplit.data.images.folder import load_images
from twinsplit.data.images.frame import Colour, Frame, gahb
from twinsplit.data.images.preparing import Treatment, leave_out, prepare, refuse
from twinsplit.data.images.sources import ArraySource, FolderSource, HubSource, Source
from twinsplit.errors import InputError
from twinsplit.execution.local import available_cores, open_executor
from twinsplit.runs.files import read_json

if TYPE_CHECKING:
    from twinsplit.cli import data as data_cli
    from twinsplit.data.synthetic import ImageClass

SHOWN = 10


def _size(workers: int) -> int:
    if workers < 0:
        raise InputError(f"--workers {workers}", "give 1 or more, or 0 for one per core")
    return workers or available_cores()


def _summary(problems: list[Problem], report: Path) -> None:
    """The first few files that cannot be used, one a line, and how many are no pictures; the refusal stays one line on standard error."""
    for problem in problems[:SHOWN]:
        print(f"not used: {problem}")
    if len(problems) > SHOWN:
        print(f"not used: {len(problems) - SHOWN} more")
    others = read_json(report)["not_images"]
    if others:
        print(f"no pictures: {len(others)} other file{'s' if len(others) > 1 else ''} (listed in {report})")


def _refuse(problems: list[Problem], report: Path) -> None:
    _summary(problems, report)
    refuse(problems, report)


def _leave_out(problems: list[Problem], report: Path) -> None:
    _summary(problems, report)
    leave_out(problems, report)


TREATMENTS: dict[bool, Treatment] = {False: _refuse, True: _leave_out}


def _prepare(source: Source, frame: Frame, out: Path, workers: int, treatment: Treatment) -> None:
    with open_executor(_size(workers)) as executor:
        data = prepare(source, frame, out, executor, treatment)
    left = data.description["left_out"]
    what = f"{len(data)} images of {' x '.join(map(str, data.pixels.shape[1:]))}"
    print(f"{out}: {what}, sha256 {data.description['sha256'][:16]}" + (f"; {left} left out (problems.json)" if left else ""))


def data_celeba(options: "data_cli.DataCelebA") -> None:
    """Prepare CelebA."""
    from dataclasses import replace

    from twinsplit.data.images.celeba import SIZE, CelebaSource

    frame = gahb(options.size, options.colour) if options.framing == "gahb" else Frame(options.size, options.colour)
    source = CelebaSource(options.folder)
    _prepare(source, replace(frame, exact=SIZE), options.out, options.workers, TREATMENTS[options.leave_out])


def data_folder(options: "data_cli.DataFolder") -> None:
    """Prepare any folder."""
    _prepare(FolderSource(options.folder), Frame(options.size, options.colour), options.out, options.workers, TREATMENTS[options.leave_out])


def data_arrays(options: "data_cli.DataArrays") -> None:
    """Prepare an array, in this process: there is nothing to decode."""
    source = ArraySource(options.file, options.key)
    native: Colour = "rgb" if source.array().shape[-1] == 3 else "grey"
    frame = Frame(options.size, options.colour or native, exact=source.size)
    _prepare(source, frame, options.out, 1, TREATMENTS[options.leave_out])


def data_hub(options: "data_cli.DataHub") -> None:
    """Prepare a Hugging Face data set."""
    source = HubSource(options.name, options.split, options.column)
    _prepare(source, Frame(options.size, options.colour), options.out, options.workers, TREATMENTS[options.leave_out])


def data_digits(out: Path) -> None:
    """Write the digits."""
    _prepare(DigitsSource(), DIGITS, out, 1, _refuse)


def data_faces(options: "data_cli.DataFaces") -> None:
    """Draw a raw folder in CelebA's layout."""
    from twinsplit.data.images.builtin import write_faces
    from twinsplit.data.images.faces import Album

    with open_executor(_size(options.workers)) as executor:
        write_faces(options.out, options.make, Album(options.seed, options.people), executor)
    print(f"{options.out}: {options.make} faces in CelebA's layout; next: twinsplit data celeba {options.out} --out PREPARED")


def data_calpha(options: "data_cli.DataCAlpha") -> None:
    """Make images of regular regions and contours."""
    from twinsplit.data.synthetic import CAlphaImages

    _make(CAlphaImages(options.alpha, options.size, options.seed), options)


def data_discs(options: "data_cli.DataDiscs") -> None:
    """Make images of discs."""
    from twinsplit.data.synthetic import DiscImages

    _make(DiscImages(options.size, options.seed), options)


def _make(kind: "ImageClass", options: "data_cli.DataCAlpha | data_cli.DataDiscs") -> None:
    source = SyntheticSource(kind, options.make)
    _prepare(source, source.frame, options.out, options.workers, _refuse)


def data_check(folder: Path) -> None:
    """Load a data folder, which compares its fingerprints."""
    description = description_of(folder)
    if description.get("kind") == IMAGES:
        load_images(folder)
        count, *shape = description["shape"]
        what = f"{count} images of {' x '.join(map(str, shape))}"
    else:
        from twinsplit.data.sequences import load_sequences

        count, length = load_sequences(folder).describe()["shape"]
        what = f"{count} sequences of {length} tokens"
    print(f"{folder}: intact, {what}, sha256 {description['sha256'][:16]}")
