"""How the contents of two folders differ, file by file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import final

from golden.content import DRAWN, Content, Contents

LINES = 3  # parts of a file that are shown


@final
@dataclass(frozen=True)
class Renamed:
    """What is meant to have another name in B. paths: pattern of a whole path of A -> what it became (as `re.sub` takes it).

    parts: pattern of a whole path of B -> old tensor, column or key -> new one.
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def applied(self, found: Mapping[str, Content]) -> Contents:
        """The contents under the new names."""
        return {path: self._content(path, one) for path, one in ((self._path(old), one) for old, one in found.items())}

    def _path(self, path: str) -> str:
        for pattern, new in self.paths.items():
            if re.fullmatch(pattern, path):
                return re.sub(pattern, new, path, count=1)
        return path

    def _content(self, path: str, one: Content) -> Content:
        for pattern, names in self.parts.items():
            if re.fullmatch(pattern, path):
                return Content(one.kind, {names.get(part, part): value for part, value in one.parts.items()})
        return one


@final
@dataclass(frozen=True)
class Difference:
    """One file. what: a line for each of the first parts that differ."""

    path: str
    drawing: bool
    what: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"    {self.path}", *(f"        {line}" for line in self.what)])


def differences(a: Mapping[str, Content], b: Mapping[str, Content]) -> list[Difference]:
    """Every file that is in one of them only, or differs in its content."""
    return [_difference(path, a.get(path), b.get(path)) for path in sorted({*a, *b}) if a.get(path) != b.get(path)]


def _difference(path: str, a: Content | None, b: Content | None) -> Difference:
    kind = (a or b or Content("", {})).kind
    if a is None or b is None:
        return Difference(path, kind == DRAWN, ("only in B" if a is None else "only in A",))
    if a.kind != b.kind:
        return Difference(path, False, (f"{a.kind} -> {b.kind}",))
    found = list(_parts(a.parts, b.parts))
    more = [f"and {len(found) - LINES} more"] if len(found) > LINES else []
    return Difference(path, kind == DRAWN, (*found[:LINES], *more))


def _parts(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[str]:
    for name in (*a, *(name for name in b if name not in a)):
        if a.get(name) != b.get(name):
            yield f"{name or 'content'}: {a.get(name, '(absent)')} -> {b.get(name, '(absent)')}"
