"""The process in which foreign files are opened: `python -m twinsplit.papers.imports.sandbox KIND OUT SECONDS FILE...`.

It is started by `reader.py` with an empty environment, limits its own memory, time and file size before it opens anything, starts no
program and no connection, reads data through an unpickler that knows four inert names and checkpoints through PyTorch's reader of
weights alone, and leaves plain arrays and `answer.json` in OUT. This is the only module of the package that may read a pickle.
"""

import json
import pickle
import re
import resource
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, final

import numpy as np

from twinsplit.errors import InputError
from twinsplit.papers.imports.header import npy_header
from twinsplit.papers.imports.unpickling import admitted, refused, sequences_of

GIB = 1 << 30
SAFE_SINCE = "2.6.0"
FORBIDDEN = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.spawn", "subprocess.", "socket.", "ctypes.dlopen")
STEPS = ("epoch",)
WHOLE = "give a checkpoint that `torch.save` wrote whole: a dictionary with the weights under model_state_dict"


@final
class ArrayUnpickler(pickle.Unpickler):
    """Knows the names of a pickled NumPy array and no other."""

    def find_class(self, module: str, name: str) -> Any:
        return admitted(module, name)


def limit(seconds: int, size: int) -> None:
    """No more memory, time and output than files of `size` bytes can need; no core dump."""
    pages = Path("/proc/self/statm")
    used = int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 0
    resource.setrlimit(resource.RLIMIT_AS, (used + GIB + 24 * size,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, ((64 << 20) + 16 * size,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def forbid_programs() -> None:
    """From here on this process starts no other and opens no connection. A second fence: nothing admitted could ask for it."""

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise refused(f"the file tried {event}, which the sandbox stopped")

    sys.addaudithook(hook)


def read_data(source: Path, out: Path) -> dict[str, Any]:
    """data.npy (N, L) integers from a .npy file, pickled or plain."""
    header = npy_header(source)
    with source.open("rb") as file:
        file.seek(header.offset)
        array = _pickled(file, header.shape) if header.pickled else _plain(source, file)
    np.save(out / "data.npy", array, allow_pickle=False)
    return {}


def _pickled(file: IO[bytes], shape: tuple[int, ...]) -> Any:
    try:
        return sequences_of(ArrayUnpickler(file).load(), shape)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # the bytes are hostile or broken: every way of failing is a refusal
        raise refused(f"its pickle cannot be read ({type(error).__name__}: {error})") from error


def _plain(source: Path, file: IO[bytes]) -> Any:
    header = npy_header(source)
    content = file.read()
    expected = int(np.prod([int(side) for side in header.shape], dtype=object)) * header.dtype.itemsize
    if header.dtype.kind not in "iu" or len(header.shape) != 2 or min(header.shape) < 0:
        raise refused(f"it holds {header.dtype} of shape {header.shape}, not integers of shape (N, L)")
    if expected != len(content):
        raise refused(f"its header promises {expected} bytes and {len(content)} follow")
    return np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.fortran else "C")


def read_checkpoint(source: Path, out: Path) -> dict[str, Any]:
    """NAME.safetensors with the float32 tensors of model_state_dict; what the file says of its epoch."""
    from safetensors.torch import save_file

    refuse_bombs(source)
    payload = _weights(source)
    if not isinstance(payload, dict) or not isinstance(payload.get("model_state_dict"), dict):
        held = f"a dictionary with {', '.join(map(str, list(payload)[:6]))}" if isinstance(payload, dict) else type(payload).__name__
        raise InputError(f"it holds {held}, not model_state_dict", WHOLE)
    size = source.stat().st_size
    tensors = {str(name): _dense(str(name), value, size) for name, value in payload["model_state_dict"].items()}
    save_file(tensors, out / "tensors.safetensors")
    return {name: payload[name] for name in STEPS if type(payload.get(name)) is int}


def refuse_bombs(source: Path) -> None:
    """PyTorch stores tensors as they are: an archive with compressed entries is none of its own."""
    try:
        entries = zipfile.ZipFile(source).infolist() if zipfile.is_zipfile(source) else []
    except MemoryError:
        raise
    except Exception as error:  # see _pickled
        raise InputError(f"its archive cannot be read ({error})", WHOLE) from error
    unpacked = sum(entry.file_size for entry in entries)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or unpacked > source.stat().st_size:
        raise InputError(f"its archive unpacks to {unpacked} bytes, which PyTorch's own never do", WHOLE)


def _weights(source: Path) -> Any:
    import torch

    if torch.__version__ < SAFE_SINCE:
        raise InputError(
            f"PyTorch {torch.__version__} can be made to run programs by a file of weights (CVE-2025-32434)", "install 2.6 or newer"
        )
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # see _pickled
        options = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"the file asks for {options[1]}, which is no weights: nothing of it was carried out" if options else _reason(error)
        raise InputError(what, WHOLE) from error


def _reason(error: Exception) -> str:
    inner = str(error).split("WeightsUnpickler error:")[-1].strip().splitlines() or [""]
    return f"it is no checkpoint of weights ({type(error).__name__}: {inner[0]})"


def _dense(name: str, value: Any, size: int) -> Any:
    import torch

    # integers may be counters that stand beside the weights: they match no parameter, and a file of names can pass them over
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_complex() or value.is_quantized:
        raise InputError(f"{name} in model_state_dict is no dense tensor of real numbers", WHOLE)
    if value.numel() * value.element_size() > size:
        raise InputError(f"{name} of shape {tuple(value.shape)} is larger than the file", WHOLE)
    dense = value.detach().float().contiguous().clone()
    if not bool(dense.isfinite().all()):
        raise InputError(f"{name} holds values that are not finite", "give a checkpoint from before the training diverged")
    return dense


READ: dict[str, Callable[[Path, Path], dict[str, Any]]] = {"data": read_data, "checkpoint": read_checkpoint}


def answer(kind: str, out: Path, sources: list[Path]) -> dict[str, Any]:
    """What is written to answer.json: what was read, or why not."""
    said = []
    for i, source in enumerate(sources):
        try:
            (out / str(i)).mkdir()
            said.append(READ[kind](source, out / str(i)))
        except InputError as error:
            return {"source": i, "what": error.what, "remedy": error.remedy}
        except MemoryError:
            return {"source": i, "what": "it asks for more memory than its size explains", "remedy": "give a file that is whole"}
    return {"said": said}


def main(kind: str, out: str, seconds: str, *sources: str) -> None:
    """Prepare, shut the doors, read."""
    if kind == "checkpoint":
        import torch  # noqa: F401  # before the limits: what a library needs to start is not the file's doing
    paths = [Path(source) for source in sources]
    limit(int(seconds), max(path.stat().st_size for path in paths))
    forbid_programs()
    found = answer(kind, Path(out), paths)
    (Path(out) / "answer.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
