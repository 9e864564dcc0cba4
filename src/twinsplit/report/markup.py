"""HTML from data: everything that was not written in this package is escaped here."""

import html
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np


def escaped(value: object) -> str:
    """Text for an element or a quoted attribute."""
    return html.escape(str(value), quote=True)


def paragraphs(sentences: Iterable[str]) -> str:
    """A list of sentences as list items."""
    return "".join(f"<li>{escaped(sentence)}</li>" for sentence in sentences)


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in a box that scrolls by itself and can be reached by keyboard; the first cell of a row heads it.

    The caption stands outside the box, so that it does not scroll away.
    """
    head = "".join(f'<th scope="col">{escaped(cell)}</th>' for cell in header)
    body = "".join(f"<tr>{_row(row)}</tr>" for row in rows)
    label = escaped(caption)
    inner = f'<table aria-label="{label}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<p class="caption">{label}</p><div class="scroll" tabindex="0" role="region" aria-label="{label}">{inner}</div>'


def _row(cells: Sequence[str]) -> str:
    first, *rest = cells
    return f'<th scope="row">{escaped(first)}</th>' + "".join(f"<td>{escaped(cell)}</td>" for cell in rest)


def folded(summary: str, body: str) -> str:
    """Content that opens on demand, with or without scripts."""
    return f"<details><summary>{escaped(summary)}</summary>{body}</details>"


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """("network.width", 64), ... from nested mappings; an empty one stands for itself."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{name}.")
        else:
            yield name, value


def settings(values: Mapping[str, Any]) -> str:
    """Nested settings as a list of names and values."""
    rows = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(_told(value))}</dd></div>" for name, value in flattened(values))
    return f'<dl class="settings">{rows}</dl>' if rows else "<p>Nothing was recorded.</p>"


def _told(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_told(one) for one in value)
    return str(value)


def embedded(value: Any) -> str:
    """JSON that may stand inside a script element: no "<" is left in it, so nothing can end the element."""
    return json.dumps(_clean(value), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _clean(value: Any) -> Any:
    """What JSON can hold: NaN and infinity become null, arrays lists, anything unknown its text."""
    if isinstance(value, Mapping):
        return {str(key): _clean(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _clean(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
