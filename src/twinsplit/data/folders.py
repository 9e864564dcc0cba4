"""What a data folder says of itself (data.json), read before anything else of it."""

from pathlib import Path
from typing import Any

from twinsplit.errors import InputError
from twinsplit.runs.files import read_json

IMAGES = "images"


def description_of(folder: Path) -> dict[str, Any]:
    """data.json. A run folder has one too, of what it learned from, and is no data folder."""
    if (folder / "config.json").is_file():
        raise InputError(f"{folder} is a run folder", "give the folder of data that `twinsplit data` wrote")
    found: dict[str, Any] = read_json(folder / "data.json")
    return found


def of_images(folder: Path) -> dict[str, Any]:
    """data.json of a folder of images."""
    found = description_of(folder)
    if found.get("kind") != IMAGES:
        raise InputError(f"{folder} holds no images", "give a folder of `twinsplit data celeba`, `folder`, `arrays`, `digits` or `hub`")
    return found


def of_sequences(folder: Path) -> dict[str, Any]:
    """data.json of a folder of sequences."""
    found = description_of(folder)
    if found.get("kind") == IMAGES:
        raise InputError(f"{folder} holds images", 'learn from it with --world digits, or with a recipe that has world = "images"')
    if not isinstance(found.get("origin"), dict):
        raise InputError(f"{folder} holds no sequences", "give a folder of `twinsplit data grammar` or `twinsplit import data`")
    return found
