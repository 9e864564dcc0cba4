"""How far a stage is: a bar on a terminal, plain lines elsewhere."""

import sys
import time
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
    yield _Lines(label, total)


class _Lines:
    """A line for each report; from the second one on with the time that is left, by the time per unit since the first."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total = label, total
        self.first: tuple[int, float] | None = None

    def __call__(self, done: int, note: str = "") -> None:
        said = ", ".join(part for part in (note, self._left(done)) if part)
        print(f"{self.label}: {done}/{self.total}{'  ' + said if said else ''}", file=sys.stderr, flush=True)

    def _left(self, done: int) -> str:
        now = time.monotonic()
        if self.first is None:
            self.first = done, now
        units, seconds = done - self.first[0], now - self.first[1]
        if units <= 0 or done >= self.total:
            return ""
        minutes = seconds / units * (self.total - done) / 60
        return f"about {minutes:,.0f} minutes left" if minutes >= 1.5 else f"about {60 * minutes:.0f} seconds left"


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
