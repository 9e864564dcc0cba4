"""Parse JSON and TOML text to plain data; raise a ValueError of one line for anything wrong with it."""

import os
from collections.abc import Callable, Iterator
from typing import Any

HALF = "\\ud"  # only this escape can give half a character; other texts, of millions of rows, need no search


def parse(text: str, loads: Callable[[str], Any]) -> Any:
    """Parse a text with `loads`; raise ValueError where a string in it could not be written again."""
    try:
        value = loads(text)
        for string in _strings(value) if HALF in text.lower() else ():
            os.fsencode(string)  # passes for paths that are not UTF-8, fails for half a character
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError("a string holds half a character (a lone surrogate)") from error
    except ValueError as error:
        raise ValueError(_reason(error)) from error
    return value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key)
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _reason(error: ValueError) -> str:
    """Return the message without Python's advice on long integers, which is meant for programs."""
    return "an integer has thousands of digits" if "set_int_max_str_digits" in str(error) else str(error)
