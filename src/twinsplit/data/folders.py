"""Descriptions of data folders (data.json), read before anything else in the folder."""

from pathlib import Path
from typing import Any

from twinsplit.errors import InputError
from twinsplit.runs.files import read_json

IMAGES = "images"


def description_of(folder: Path) -> dict[str, Any]:
    """Read data.json of a data folder; refuse a run folder, whose data.json describes its training data."""
    if (folder / "config.json").is_file():
        raise InputError(f"{folder} is a run folder", "give the folder of data that `twinsplit data` wrote")
    found: dict[str, Any] = read_json(folder / "data.json")
    return found


def of_images(folder: Path) -> dict[str, Any]:
    """Read data.json of a folder of images; raise InputError for any other folder."""
    found = description_of(folder)
    if found.get("kind") != IMAGES:
        raise InputError(f"{folder} holds no images", "give a folder of `twinsplit data celeba`, `folder`, `arrays`, `digits` or `hub`")
    return found


def of_sequences(folder: Path) -> dict[str, Any]:
    """Read data.json of a folder of sequences; raise InputError for any other folder."""
    found = description_of(folder)
    if found.get("kind") == IMAGES:
        raise InputError(f"{folder} holds images", 'learn from it with --world digits, or with a recipe that has world = "images"')
    if not isinstance(found.get("origin"), dict):
        raise InputError(f"{folder} holds no sequences", "give a folder of `twinsplit data grammar` or `twinsplit import data`")
    return found
