"""Who may import whom, read from the syntax trees; and what importing costs."""

import ast
import re
import subprocess
import sys
from collections.abc import Container
from pathlib import Path

import pytest

import twinsplit

SOURCE = Path(twinsplit.__file__).parent
# A room imports rooms of its own row and of the rows above it.
ORDER = (
    ("errors", "noise", "kernels", "execution", "runs", "recipes"),
    ("data", "diffusion", "networks"),
    ("exact", "training", "measures"),
    ("onset",),
    ("worlds",),
    ("pipeline",),
    ("report", "audit"),
    ("integrations", "papers"),
    ("cli", "api"),
    ("__main__", "__init__"),
)
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
EDGE = {"papers": {"cli"}, "cli": {"__main__"}}  # nobody else imports these


def modules() -> dict[str, Path]:
    """Module -> its file, by names below twinsplit; a package is named as its folder, the whole as __init__."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(path: Path, known: Container[str]) -> set[str]:
    """What a file imports from twinsplit, wherever the statement stands: in a function and under TYPE_CHECKING too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    below = {name.removeprefix("twinsplit.") for name in names if name.startswith("twinsplit.")}
    return {name if name in known else name.rpartition(".")[0] for name in below} & set(known)


def graph() -> dict[str, set[str]]:
    """Module -> the modules that it imports."""
    files = modules()
    return {name: imports(path, files) - {name} for name, path in files.items()}


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """The sets of modules that reach each other, of two or more."""

    def reached(start: str) -> set[str]:
        seen, waiting = set(), [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting.extend(new)
        return seen

    reach = {name: reached(name) for name in graph}
    return {frozenset(other for other in reach[name] if name in reach[other]) for name in graph if name in reach[name]}


def test_circles_are_found_of_any_length() -> None:
    found = circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": {"f"}, "f": {"e"}, "g": set()})
    assert found == {frozenset("abc"), frozenset("ef")}


def test_no_circle_of_files() -> None:
    assert circles(graph()) == set()


def test_rooms_import_what_stands_above_them() -> None:
    wrong = set()
    for name, imported in graph().items():
        room = name.split(".")[0]
        for other in {module.split(".")[0] for module in imported} - {room}:
            if RANK[other] > RANK[room] or room not in EDGE.get(other, {room}):
                wrong.add(f"{name} imports {other}")
    assert not wrong


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
    assert not loaded_by("import twinsplit, twinsplit.cli.main, twinsplit.recipes") & heavy
    assert not loaded_by("import twinsplit.data.images.celeba") & (heavy - {"PIL"})
    assert not loaded_by("import twinsplit.onset") & (heavy - {"scipy"})
    assert not loaded_by("import twinsplit.noise, twinsplit.exact.tree") & (heavy - {"torch"})


# The papers' own files are pickles. One module opens them, only as a process of its own with limits on its memory and time: data with an
# unpickler that knows four inert names, checkpoints with PyTorch's reader of weights. Nothing may import it but by starting it.
SANDBOX = SOURCE / "papers" / "imports" / "sandbox.py"
SANDBOX_READS = ("import pickle", "torch.load(")
# That rule is about data. What goes to a worker process and comes back is packed in memory by this program for itself; a large function
# waits in a private file for as long as one map lasts. No run reads or keeps such a file, and nobody else's is ever opened.
PACKING = SOURCE / "execution" / "packing.py"
ALLOWED = {SANDBOX: SANDBOX_READS, PACKING: ("import pickle",)}


def test_no_pickle_is_read_or_written() -> None:
    for path in modules().values():
        text = path.read_text()
        for word in ("import pickle", "torch.load(", "torch.save(", "allow_pickle=True", "joblib"):
            assert word not in text or word in ALLOWED.get(path, ()), f"{path}: {word}"


def test_the_sandbox_is_started_and_never_imported() -> None:
    text = SANDBOX.read_text()
    assert text.count("torch.load(") == text.count("weights_only=True") == 1
    assert re.findall(r"\bpickle\.\w+", text) == ["pickle.Unpickler"]  # the base class of the restricted one
    for path in modules().values():
        assert not re.search(r"(from|import) [\w.]*\bsandbox\b|imports import .*sandbox", path.read_text()), path
