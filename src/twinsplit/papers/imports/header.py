"""What a foreign file says of itself before anything in it is carried out: the header of a .npy, the first bytes of a .pt."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.lib import format as npy

from twinsplit.errors import InputError

READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
WHY = "what it holds is a pickle, and opening a pickle can run whatever its author wrote"


@final
@dataclass(frozen=True)
class Header:
    """shape, order and type of a .npy file, and where its content begins."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: "np.dtype[Any]"
    offset: int

    @property
    def pickled(self) -> bool:
        """Whether the content is a pickle."""
        return bool(self.dtype.hasobject)


def npy_header(path: Path) -> Header:
    """The header of a .npy file; InputError where it is none."""
    try:
        with path.open("rb") as file, warnings.catch_warnings(action="ignore"):
            shape, fortran, dtype = READERS[npy.read_magic(file)](file)
            return Header(shape, fortran, dtype, file.tell())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except Exception as error:  # a header is text that NumPy evaluates: whatever goes wrong with it, it is no header
        raise InputError(f"{path} is no .npy file (its header cannot be read)", "give the data file as `numpy.save` wrote it") from error


def untrusted_data(path: Path) -> InputError:
    """Why a data file is not opened, from its header alone."""
    header = npy_header(path)
    reason = WHY if header.pickled else "it comes from elsewhere"
    return InputError(
        f"{path} (.npy, {header.dtype} of shape {header.shape}) was not opened: {reason}",
        "add --trusted if you know where it comes from; it is then read by a restricted reader in a process of its own",
    )


def untrusted_checkpoint(path: Path) -> InputError:
    """Why a checkpoint is not opened, from its first bytes alone."""
    try:
        with path.open("rb") as file:
            kind = "a zip archive of PyTorch" if file.read(4) == b"PK\x03\x04" else "not a zip archive: PyTorch's old format, or none"
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "check the path") from error
    return InputError(
        f"{path} ({kind}) was not opened: {WHY}",
        "add --trusted if you know where it comes from; weights alone are then read, in a process of its own",
    )
