"""Places to write into, checked before the work whose results they are for."""

import os
from pathlib import Path

from twinsplit.errors import InputError


def check_place(folder: Path) -> None:
    """Refuse a folder that is there and is none, or that could not be written into or made: before the work whose results it is for."""
    home = next(place for place in (folder, *folder.resolve().parents) if os.path.lexists(place))
    if not home.is_dir():
        raise InputError(f"{home} is not a folder", f"choose another place than {folder}")
    if not os.access(home, os.W_OK | os.X_OK):
        raise InputError(f"{home} cannot be written into", f"choose another place than {folder}, or make it writable")


def check_file(path: Path) -> None:
    """As `check_place`, for a file that is to be written."""
    check_place(path.parent)
    if path.is_dir():
        raise InputError(f"{path} is a folder", "name a file")
