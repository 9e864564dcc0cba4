"""Who may import whom, read from the syntax trees; and what importing costs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import twinsplit

SOURCE = Path(twinsplit.__file__).parent
BASE = {"errors", "parsing"}
ALLOWED = {
    "errors": set(),
    "noise": {"kernels"},
    "kernels": {"noise", "data"},
    "recipes": set(),
    "parsing": set(),
    "places": set(),
    "measurements": set(),
    "store": {"recipes", "measurements"},
    "workers": set(),
    "progress": set(),
    "environment": {"kernels"},
    "data": {"noise", "kernels", "store", "workers", "progress"},
    "diffusion": {"noise"},
    "networks": {"noise", "kernels"},
    "exact": {"data", "diffusion", "noise", "kernels"},
    "training": {"diffusion", "noise", "store", "recipes", "networks", "workers", "kernels", "environment"},
    "imports": {"data", "networks", "recipes", "store", "training"},
    "measures": {"diffusion", "kernels", "noise"},
    "onset": {"measures"},
    "report": {"store", "recipes", "measures", "places"},
    "experiments": {
        "data", "diffusion", "exact", "networks", "training", "measures", "onset",
        "noise", "store", "recipes", "workers", "progress", "environment", "report", "imports",
    },
    "doctor": {"environment", "kernels", "training", "workers"},
    "verbs": {
        "data", "experiments", "imports", "report", "recipes", "store", "training", "workers", "cli", "data_cli", "figure_verbs",
        "measure_verbs", "places",
    },
    "measure_verbs": {"experiments", "recipes", "store", "cli"},
    "figure_verbs": {"experiments", "workers", "cli", "places"},
    "data_verbs": {"data", "data_cli", "store", "workers"},
    "split_verbs": {"data", "data_cli", "workers"},
    "data_cli": {"verbs", "data_verbs", "split_verbs"},
    "cli": {"verbs", "doctor", "data_cli", "entry"},
    "entry": {"cli"},
}  # fmt: skip


def modules() -> list[Path]:
    return [path for path in SOURCE.rglob("*.py") if path.name != "__init__.py" or path.parent != SOURCE]


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "twinsplit":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("twinsplit."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("twinsplit.")}
    return found - {room(path)}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_rooms_import_only_what_lies_below_them(path: Path) -> None:
    assert imported_rooms(path) - BASE <= ALLOWED[room(path)]


def test_every_public_name_is_there() -> None:
    for name in twinsplit.__all__:
        assert getattr(twinsplit, name) is not None
    assert set(twinsplit.__all__) <= set(dir(twinsplit))
    with pytest.raises(AttributeError, match="nothing"):
        twinsplit.nothing  # noqa: B018


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_imports_are_light() -> None:
    heavy = {"torch", "numba", "plotly", "matplotlib", "pandas", "pyarrow", "scipy", "PIL", "sklearn", "pywt", "datasets"}
    heavy |= {"diffusers", "torchmetrics"}
    assert not loaded_by("import twinsplit, twinsplit.cli, twinsplit.recipes") & heavy
    assert not loaded_by("import twinsplit.data_verbs, twinsplit.data.celeba") & (heavy - {"PIL"})
    assert not loaded_by("import twinsplit.onset") & (heavy - {"scipy"})
    assert not loaded_by("import twinsplit.noise, twinsplit.exact.belief") & (heavy - {"torch"})


# The papers' own files are pickles. One module opens them, only as a process of its own with limits on its memory and time: data with an
# unpickler that knows four inert names, checkpoints with PyTorch's reader of weights. Nothing may import it but by starting it.
SANDBOX = SOURCE / "imports" / "sandbox.py"
SANDBOX_READS = ("import pickle", "torch.load(")


def test_no_pickle_is_read_or_written() -> None:
    for path in modules():
        text = path.read_text()
        for word in ("import pickle", "torch.load(", "torch.save(", "allow_pickle=True", "joblib"):
            assert word not in text or (path == SANDBOX and word in SANDBOX_READS), f"{path}: {word}"


def test_the_sandbox_is_started_and_never_imported() -> None:
    text = SANDBOX.read_text()
    assert text.count("torch.load(") == text.count("weights_only=True") == 1
    assert re.findall(r"\bpickle\.\w+", text) == ["pickle.Unpickler"]  # the base class of the restricted one
    for path in modules():
        assert not re.search(r"(from|import) [\w.]*\bsandbox\b|imports import .*sandbox", path.read_text()), path
