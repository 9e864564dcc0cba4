"""Derive the command that prepares a data folder from the source and frame in its data.json or in a
manifest."""

import shlex
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from twinsplit.data.images.celeba import SIZE
from twinsplit.data.images.frame import Frame, gahb

Described: TypeAlias = Mapping[str, Any]
Words: TypeAlias = list[str]


def preparation(images: int, source: Any, frame: Any) -> str:
    """`twinsplit data KIND ... --out FOLDER`, with the raw folder's name where that is recorded;
    empty where no command makes this.

    images: how many there are; source, frame: as `Source.describe` and `Frame.to_json` give them,
    but perhaps altered by hand.
    """
    try:
        words = KINDS[source["kind"]](images, source, frame)
        plain = bool(words) and all(word.isprintable() for word in words)
    except (AttributeError, KeyError, TypeError, ValueError):  # not as we write them
        return ""
    return shlex.join(["twinsplit", "data", *words, "--out", "FOLDER"]) if plain else ""


def _celeba(images: int, source: Described, frame: Described) -> Words:
    size, colour = int(frame["size"]), frame["colour"]
    framings = {"gahb": gahb(size, colour), "centre": Frame(size, colour)}
    found = [name for name, made in framings.items() if made.to_json() | {"exact": list(SIZE)} == frame]
    return ["celeba", "DIR", *_sized(frame), "--framing", *found] if found else []


def _plain(kind: str, *named: str) -> Callable[[int, Described, Described], Words]:
    """Words of the command for a source with a name and the default framing; `named`: its further options."""

    def words(images: int, source: Described, frame: Described) -> Words:
        if frame != Frame(int(frame["size"]), frame["colour"]).to_json():
            return []
        return [kind, source["name"], *_options(source, named), *_sized(frame)]

    return words


def _array(images: int, source: Described, frame: Described) -> Words:
    size = [] if frame["size"] is None else ["--size", str(int(frame["size"]))]
    return ["arrays", source["name"], *_options(source, ("key",)), *size, "--colour", frame["colour"]]


def _drawn(*named: str) -> Callable[[int, Described, Described], Words]:
    """Words of the command for images that the package draws."""
    return lambda images, source, frame: [source["kind"], *_options(source, named), "--make", str(images)]


def _sized(frame: Described) -> Words:
    return ["--size", str(int(frame["size"])), "--colour", frame["colour"]]


def _options(source: Described, named: tuple[str, ...]) -> Words:
    """Options whose value is not empty."""
    return [
        word
        for name in named
        if source[name] != ""
        for word in (f"--{name}", f"{source[name]:g}" if name == "alpha" else str(source[name]))
    ]


KINDS: Mapping[str, Callable[[int, Described, Described], Words]] = {
    "celeba": _celeba,
    "folder": _plain("folder"),
    "hub": _plain("hub", "split", "column"),
    "array": _array,
    "digits": lambda images, source, frame: ["digits"],
    "calpha": _drawn("alpha", "size", "seed"),
    "discs": _drawn("size", "seed"),
}
