"""Who may import whom, read from the syntax trees; and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import twinsplit

SOURCE = Path(twinsplit.__file__).parent
BASE = {"errors"}
ALLOWED = {
    "errors": set(),
    "noise": {"kernels"},
    "kernels": {"noise", "data"},
    "recipes": set(),
    "store": {"recipes"},
    "workers": set(),
    "progress": set(),
    "environment": {"kernels"},
    "data": {"noise", "kernels", "store", "workers", "progress"},
    "diffusion": {"noise"},
    "networks": {"noise", "kernels"},
    "exact": {"data", "diffusion", "noise", "kernels"},
    "training": {"diffusion", "noise", "store", "recipes", "networks", "workers"},
    "measures": {"diffusion", "kernels"},
    "onset": {"measures"},
    "report": {"store", "recipes", "measures"},
    "experiments": {
        "data", "diffusion", "exact", "networks", "training", "measures", "onset",
        "noise", "store", "recipes", "workers", "progress", "environment",
    },
    "doctor": {"environment", "kernels", "workers"},
    "verbs": {"data", "experiments", "report", "recipes", "store", "workers", "cli", "data_cli"},
    "data_verbs": {"data", "data_cli", "store", "workers"},
    "data_cli": {"verbs", "data_verbs"},
    "cli": {"verbs", "doctor", "data_cli"},
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
    assert not loaded_by("import twinsplit, twinsplit.cli, twinsplit.recipes") & heavy
    assert not loaded_by("import twinsplit.data_verbs, twinsplit.data.celeba") & (heavy - {"PIL"})
    assert not loaded_by("import twinsplit.onset") & (heavy - {"scipy"})
    assert not loaded_by("import twinsplit.noise, twinsplit.exact.belief") & (heavy - {"torch"})


def test_no_pickle_is_read_or_written() -> None:
    for path in modules():
        text = path.read_text()
        for word in ("import pickle", "torch.load(", "torch.save(", "allow_pickle=True", "joblib"):
            assert word not in text, f"{path}: {word}"
