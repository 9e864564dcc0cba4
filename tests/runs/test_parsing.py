"""Whatever is wrong with a text is one ValueError of one line."""

import json
import os
import tomllib

import pytest

from twinsplit.runs.parsing import parse


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ("1" * 5_000, "thousands of digits"),
        ('{"a": ["\\ud800"]}', "half a character"),
        ('{"\\uDBFF": 1}', "half a character"),
        ("{", "Expecting property name"),
    ],
)
def test_json_that_cannot_be_used(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text, json.loads)


@pytest.mark.parametrize(
    ("text", "says"), [("a = " + "[" * 5_000, "nested too deeply"), ("a = " + "1" * 5_000, "digits"), ("a", "Expected")]
)
def test_toml_that_cannot_be_used(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse(text, tomllib.loads)
    assert "set_int_max" not in str(caught.value)


def test_what_can_be_used_comes_back() -> None:
    value = {"a": [1, 2.5, None, "\U0001f600"], "path": os.fsdecode(b"caf\xe9")}
    assert parse(json.dumps(value), json.loads) == value
    assert parse('a = "b"', tomllib.loads) == {"a": "b"}
