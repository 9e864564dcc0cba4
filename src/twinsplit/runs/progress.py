"""How far a stage is: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Told how far a stage is."""

    def __call__(self, done: int, note: str = "") -> None: ...


@contextmanager
def progress(label: str, total: int) -> Iterator[Progress]:
    """A reporter for one stage of `total` units, on standard error."""
    if sys.stderr.isatty():
        with _bar(label, total) as report:
            yield report
        return
    print(f"{label}: started", file=sys.stderr, flush=True)
    yield lambda done, note="": print(f"{label}: {done}/{total}{'  ' + note if note else ''}", file=sys.stderr, flush=True)


@contextmanager
def _bar(label: str, total: int) -> Iterator[Progress]:
    from tqdm import tqdm

    with tqdm(
        total=total,
        desc=label,
        leave=True,
        bar_format="{desc:<12}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}] {postfix}",
    ) as bar:

        def report(done: int, note: str = "") -> None:
            bar.set_postfix_str(note, refresh=False)
            bar.update(done - bar.n)

        yield report
