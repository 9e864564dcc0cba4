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
PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
ROW = re.compile(r"^\| (`[^|]*) \| [^|]* \| (`[^|]*|-) \|$", re.MULTILINE)


def rooms() -> dict[str, set[str]]:
    """Room -> what it imports, from the table of docs/architecture.md."""
    rows = [[set(re.findall(r"`(\w+)`", cell)) for cell in row] for row in ROW.findall(PAGE.read_text())]
    return {room: imported for names, imported in rows for room in names}


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


def test_rooms_import_what_the_page_says_and_no_less() -> None:
    found: dict[str, set[str]] = {}
    for path in modules():
        found[room(path)] = found.get(room(path), set()) | (imported_rooms(path) - BASE)
    assert found == rooms()


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
    assert not loaded_by("import twinsplit.cli.data_verbs, twinsplit.data.images.celeba") & (heavy - {"PIL"})
    assert not loaded_by("import twinsplit.onset") & (heavy - {"scipy"})
    assert not loaded_by("import twinsplit.noise, twinsplit.exact.tree") & (heavy - {"torch"})


# The papers' own files are pickles. One module opens them, only as a process of its own with limits on its memory and time: data with an
# unpickler that knows four inert names, checkpoints with PyTorch's reader of weights. Nothing may import it but by starting it.
SANDBOX = SOURCE / "imports" / "sandbox.py"
SANDBOX_READS = ("import pickle", "torch.load(")
# That rule is about data. What goes to a worker process and comes back is packed in memory by this program for itself; a large function
# waits in a private file for as long as one map lasts. No run reads or keeps such a file, and nobody else's is ever opened.
PACKING = SOURCE / "execution" / "packing.py"
ALLOWED = {SANDBOX: SANDBOX_READS, PACKING: ("import pickle",)}


def test_no_pickle_is_read_or_written() -> None:
    for path in modules():
        text = path.read_text()
        for word in ("import pickle", "torch.load(", "torch.save(", "allow_pickle=True", "joblib"):
            assert word not in text or word in ALLOWED.get(path, ()), f"{path}: {word}"


def test_the_sandbox_is_started_and_never_imported() -> None:
    text = SANDBOX.read_text()
    assert text.count("torch.load(") == text.count("weights_only=True") == 1
    assert re.findall(r"\bpickle\.\w+", text) == ["pickle.Unpickler"]  # the base class of the restricted one
    for path in modules():
        assert not re.search(r"(from|import) [\w.]*\bsandbox\b|imports import .*sandbox", path.read_text()), path
