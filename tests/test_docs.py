"""Every command in the README and the docs runs, at smoke scale, in the order a reader meets it."""

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

import twinsplit
from commands import run_in
from twinsplit.recipes import ImageRecipe, preset_of, read_recipe
from twinsplit.worlds.registry import world_of

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```(?:sh|bash|console)\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)
SCALED = ("quickstart", "train", "figure")
CREWED = (*SCALED, "measure", "claims")  # one worker gives the same bits, and starts no processes that cost more than smoke runs do
MOST = 120  # images that a smoke run needs
LINES = 150  # of the README, and of the page for developers
PACKAGE = ROOT / "src" / "twinsplit"
NAMED_PATH = re.compile(r"\b((?:src|tests|docs|benchmarks)/[\w./-]*\w)")
NAMED_FILE = re.compile(r"`([\w-]+(?:/[\w-]+)+\.py)`")
NAMED_MODULE = re.compile(r"\b(twinsplit(?:\.[A-Za-z_]\w*)+)")
SMALLER = {"--scale": lambda scale: "smoke", "--make": lambda count: str(min(int(count), MOST))}


def commands(page: Path) -> list[list[str]]:
    lines = [line for block in BLOCK.findall(page.read_text()) for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("twinsplit ")]


def at_smoke_scale(words: list[str]) -> list[str]:
    words = [SMALLER[before](word) if before in SMALLER else word for before, word in zip(["", *words[:-1]], words, strict=True)]
    scaled = words[1] in SCALED and "--scale" not in words and not any(word.endswith((".toml", ".json")) for word in words)
    crewed = words[1] in CREWED and "--workers" not in words
    return [*words, *(["--scale", "smoke"] if scaled else []), *(["--workers", "1"] if crewed else [])]


def test_commands_of_the_readme_run(tmp_path: Path) -> None:
    """Each in a process of its own, as its readers run them."""
    for words in commands(README):
        command = [sys.executable, "-m", "twinsplit.cli", *at_smoke_scale(words)[1:]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", [page for page in PAGES[1:] if commands(page)], ids=lambda page: page.name)
def test_commands_of_the_docs_run(page: Path, tmp_path: Path) -> None:
    """In this process: two thirds of a smoke command are imports."""
    for words in commands(page):
        done = run_in(tmp_path, *at_smoke_scale(words)[1:])
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"


def test_drawn_data_suffice_for_the_training_that_is_printed(tmp_path: Path) -> None:
    """The test above trains at smoke scale, which needs few samples."""
    readme = commands(README)
    (drawn,) = (words for words in readme if words[1:3] == ["data", "grammar"])
    (trained,) = (words for words in readme if words[1] == "train" and "--data" in words)
    subprocess.run([sys.executable, "-m", "twinsplit.cli", *drawn[1:]], cwd=tmp_path, capture_output=True, check=True)
    printed = dict(pairwise(trained))
    recipe = preset_of("hierarchical", printed["--scale"]).on_folder(tmp_path / printed["--data"])
    assert world_of(recipe).split_samples().shape[:2] == (recipe.shares.splits, recipe.shares.split_size)


@pytest.mark.parametrize("page", [page for page in PAGES if PYTHON.search(page.read_text())], ids=lambda page: page.name)
def test_examples_run(page: Path, tmp_path: Path) -> None:
    for example in PYTHON.findall(page.read_text()):
        done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{example}\n{done.stderr}"


@pytest.mark.parametrize("page", [page for page in PAGES if TOML.search(page.read_text())], ids=lambda page: page.name)
def test_recipes_that_are_printed_are_recipes(page: Path, tmp_path: Path) -> None:
    for text in TOML.findall(page.read_text()):
        (tmp_path / "recipe.toml").write_text(text)
        assert isinstance(read_recipe(tmp_path / "recipe.toml"), ImageRecipe) == ('world = "images"' in text)


@pytest.mark.parametrize("page", [README, ROOT / "docs" / "architecture.md"], ids=lambda page: page.name)
def test_pages_that_are_read_first_are_short(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= LINES


def test_files_and_modules_that_are_named_exist() -> None:
    """Paths from the root or below the package, such as `src/twinsplit/noise` or `measures/psnr.py`, and `twinsplit.x.y`."""
    for page in (*PAGES, ROOT / "CONTRIBUTING.md"):
        text = page.read_text()
        for path in (*NAMED_PATH.findall(text), *NAMED_FILE.findall(text)):
            assert any((root / path).exists() for root in (ROOT, PACKAGE)), f"{page.name}: {path}"
        for name in NAMED_MODULE.findall(text):
            assert leads_to_a_module(name), f"{page.name}: {name}"


def leads_to_a_module(name: str) -> bool:
    """Whether twinsplit.x.y is a room or a module, a name in one, or a public name."""
    _, *parts = name.split(".")
    *above, last = parts
    if last in twinsplit.__all__ and not above:
        return True
    return is_module(parts) or (is_module(above) and re.search(rf"\b{last}\b", source_of(above)) is not None)


def is_module(parts: Sequence[str]) -> bool:
    place = PACKAGE.joinpath(*parts)
    return place.is_dir() or place.with_suffix(".py").is_file()


def source_of(parts: Sequence[str]) -> str:
    place = PACKAGE.joinpath(*parts)
    return (place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).read_text()


def test_a_module_that_is_gone_is_noticed() -> None:
    assert leads_to_a_module("twinsplit.training.loop.train")
    assert not leads_to_a_module("twinsplit.training.loop.trained_by_nobody")
    assert not leads_to_a_module("twinsplit.experiments.worlds")


def test_the_readme_names_the_two_commands() -> None:
    readme, makefile = README.read_text(), (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in readme
        assert f"\n{target}: " in makefile


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"
