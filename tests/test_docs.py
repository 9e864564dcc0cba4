"""Every command in the README and the docs runs, at smoke scale, in the order a reader meets it."""

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

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


def paths_in_the_tree(readme: str) -> set[str]:
    """The files of the README's tree under src/twinsplit, from their indentation."""
    tree = readme.split("```text\nsrc/twinsplit/\n")[1].split("\ntests/", maxsplit=1)[0]
    found, above = set(), []
    for line in tree.splitlines():
        if entry := re.match(r"( +)(\S+)", line):
            above[len(entry[1]) // 2 - 1 :] = [entry[2].rstrip("/")]
            found.add("/".join(above))
    return {path for path in found if path.endswith(".py")}


def test_the_readme_prints_the_tree() -> None:
    """Every file in its folder, and none that is not there; an `__init__.py` only where it holds something."""
    source = ROOT / "src" / "twinsplit"
    files = {str(path.relative_to(source)) for path in source.rglob("*.py")}
    printed = paths_in_the_tree(README.read_text())
    assert printed <= files
    assert {path for path in files - printed if not path.endswith("__init__.py")} == set()


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
