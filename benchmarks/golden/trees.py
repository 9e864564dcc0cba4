"""The code of a commit, in a folder of its own."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

REPOSITORY = Path(__file__).parents[2]


@final
@dataclass(frozen=True)
class Tree:
    """asked: a revision or a checkout, as named by whoever compares; commit: which code that is; root: where it lies."""

    asked: str
    commit: str
    root: Path | None

    @classmethod
    def of(cls, asked: str) -> "Tree":
        """A folder that is a checkout, or else a revision of this repository; its name tells changes that are not committed."""
        root = Path(asked)
        if (root / "src" / "twinsplit").is_dir():
            return cls(asked, _head(root) + _changes(root), root.resolve())
        return cls(asked, git(REPOSITORY, "rev-parse", "--verify", f"{asked}^{{commit}}"), None)


@contextmanager
def checked_out(tree: Tree, folder: Path) -> Iterator[Path]:
    """The root of its code; that of a revision is a worktree in `folder`, for as long as this lasts."""
    if tree.root is not None:
        yield tree.root
        return
    discard(folder)
    git(REPOSITORY, "worktree", "add", "--force", "--detach", str(folder), tree.commit)  # force: a killed process may have registered it
    try:
        yield folder
    finally:
        discard(folder)


def discard(folder: Path) -> None:
    """Remove a worktree, also what a killed process left of it; those of others are let be."""
    words = ["git", "-C", str(REPOSITORY), "worktree", "remove", "--force", str(folder)]
    subprocess.run(words, capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def git(root: Path, *words: str) -> str:
    """What git says; its own words where it refuses."""
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _head(root: Path) -> str:
    return git(root, "rev-parse", "HEAD")


def _changes(root: Path) -> str:
    """ "" for the committed code, else a name for what lies there."""
    if not git(root, "status", "--porcelain", "--", "src"):
        return ""
    digest = hashlib.sha256()
    for path in sorted((root / "src").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return f"-changed-{digest.hexdigest()[:12]}"
