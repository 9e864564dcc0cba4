"""The tree of verbs: each is a function whose signature is its options, and whose docstring is its
help. `entry` runs it.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from typing import Annotated, Any, TypeAlias, Union, final

import tyro
from tyro.conf import subcommand

from twinsplit import __version__
from twinsplit.cli import data, figures, imports, run, splits
from twinsplit.cli.doctor import doctor
from twinsplit.errors import InputError

Verb: TypeAlias = Callable[..., None]


@final
@dataclass(frozen=True)
class Group:
    """Verbs under one word, with the words that help says of them."""

    title: str
    verbs: "Mapping[str, Verb | Group]"


DATA = Group(
    "Make or prepare a data set, with a fingerprint.",
    {
        "grammar": data.grammar,
        "digits": data.digits,
        "faces": data.faces,
        "calpha": data.calpha,
        "discs": data.discs,
        "celeba": data.celeba,
        "folder": data.folder,
        "arrays": data.arrays,
        "hub": data.hub,
        "duplicates": splits.duplicates,
        "split": splits.split,
        "check": data.check,
    },
)
IMPORT = Group(
    "Bring the authors' own data and checkpoints into our formats. Files are opened by a restricted reader, in a sandbox.",
    {"data": imports.data, "checkpoints": imports.checkpoints},
)
TWINSPLIT = Group(
    "Train a diffusion model on disjoint halves of the data and find the step at which the twins stop learning the distribution "
    "and begin to part. `twinsplit --version` prints the version.",
    {
        "quickstart": run.quickstart,
        "data": DATA,
        "import": IMPORT,
        "train": run.train,
        "measure": run.measure,
        "onset": run.onset,
        "report": run.report,
        "figure": figures.figure,
        "claims": figures.claims,
        "export": run.export,
        "doctor": doctor,
    },
)


def main(words: Sequence[str]) -> None:
    """Run the command that the words ask for.

    Help and options that do not fit leave with tyro's own status, 0 and 2; InputError for a word
    that is no verb.
    """
    if list(words) == ["--version"]:
        print(f"twinsplit {__version__}")
    else:
        _run("twinsplit", TWINSPLIT, words)


def _run(name: str, verb: Verb | Group, words: Sequence[str]) -> None:
    """Follow the words to a verb and call it with the options that follow."""
    if not isinstance(verb, Group):
        tyro.cli(verb, prog=name, args=words, config=(tyro.conf.OmitArgPrefixes,))
    elif not words or words[0].startswith("-"):
        tyro.cli(_listed(verb), prog=name, description=verb.title, args=words, config=(tyro.conf.OmitSubcommandPrefixes,))
    else:
        word, *others = words
        if word not in verb.verbs:
            raise InputError(f"there is no verb `{name} {word}`", f"did you mean `{name} {_nearest(word, verb)}`?")
        _run(f"{name} {word}", verb.verbs[word], others)


def _listed(group: Group) -> Any:
    """Return what tyro lists the verbs of a group from: their names and titles, without the work of
    reading every signature.
    """
    return Union[tuple(_titled(name, verb) for name, verb in group.verbs.items())]  # noqa: UP007 - as many as there are


def _titled(name: str, verb: Verb | Group) -> Any:
    title = verb.title if isinstance(verb, Group) else " ".join((inspect.getdoc(verb) or "").split("\n\n")[0].split())
    return Annotated[make_dataclass(name, []), subcommand(name, description=title)]


def _nearest(word: str, group: Group) -> str:
    from difflib import get_close_matches

    return get_close_matches(word, group.verbs, n=1, cutoff=0.0)[0]
