"""Check where results will be written before computing them."""

import os
from pathlib import Path

from twinsplit.errors import InputError


def check_place(folder: Path) -> None:
    """Raise InputError where `folder` is a file, or could not be created or written into."""
    home = next(place for place in (folder, *folder.resolve().parents) if os.path.lexists(place))
    if not home.is_dir():
        raise InputError(f"{home} is not a folder", f"choose another place than {folder}")
    if not os.access(home, os.W_OK | os.X_OK):
        raise InputError(f"{home} cannot be written into", f"choose another place than {folder}, or make it writable")


def check_file(path: Path) -> None:
    """Raise InputError where the file `path` could not be written."""
    check_place(path.parent)
    if path.is_dir():
        raise InputError(f"{path} is a folder", "name a file")
