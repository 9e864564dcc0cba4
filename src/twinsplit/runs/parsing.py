"""Text of JSON and TOML files as plain data; whatever is wrong with it is a ValueError of one line."""

import os
from collections.abc import Callable, Iterator
from typing import Any

HALF = "\\ud"  # only this escape can make half a character, and rows by the million are not walked in vain


def parse(text: str, loads: Callable[[str], Any]) -> Any:
    """What `loads` reads from a text, every string of it one that can be written again."""
    try:
        value = loads(text)
        for string in _strings(value) if HALF in text.lower() else ():
            os.fsencode(string)  # a path of bytes that are no UTF-8 passes, half a character does not
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
    """Python's advice on long integers is for programs, not for files."""
    return "an integer has thousands of digits" if "set_int_max_str_digits" in str(error) else str(error)
