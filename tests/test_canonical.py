"""JSON as it is stored, and the keys that equal tasks have in common."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lokiredis import InvalidTask, canonical
from lokiredis.canonical import default_key, digest, dumps

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
    max_leaves=20,
)


class Colour(str, Enum):
    """A text that is more than a text."""

    RED = "red"


@given(_JSON)
def test_the_text_is_that_of_the_standard_library(value: Any) -> None:
    """Compact, everything but quotes and control characters as it is; a lone surrogate is refused."""
    try:
        expected = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        with pytest.raises(InvalidTask, match="surrogate"):
            dumps(value, "payload")
    else:
        assert dumps(value, "payload") == expected


def _nested(levels: int, leaf: Any) -> Any:
    for number in range(levels):
        leaf = [leaf] if number % 2 else {"k": leaf}
    return leaf


def test_what_is_no_json_is_refused() -> None:
    """With the field's name: circles, depths, numbers that are none, keys that are no text, objects."""
    circle: list[Any] = []
    circle.append({"again": circle})
    refused = [
        circle,
        _nested(201, 1),
        _nested(5000, 1),
        float("nan"),
        float("-inf"),
        {"a": [{1: 2}]},
        {None: 1},
        {1},
        b"x",
    ]
    for value in refused:
        with pytest.raises(InvalidTask, match="not JSON") as caught:
            dumps(value, "output")
        assert caught.value.field == "output"
    # A refused value leaves nothing behind by which it would be a circle the next time.
    inner: dict[str, Any] = {"a": {1}}
    with pytest.raises(InvalidTask):
        dumps([inner], "output")
    inner["a"] = 1
    assert dumps([inner], "output") == b'[{"a":1}]'
    assert dumps(_nested(200, Colour.RED), "output").count(b"[") == 100
    assert dumps({"of": [Colour.RED]}, "output") == b'{"of":["red"]}'


def test_keys_stay_what_they_are() -> None:
    """A queue keeps its keys for days: tasks of another version of lokiredis must have the same ones."""
    key = default_key("eng-qa", {"b": 1.5, "a": ["é", None, True]}, ["p", "q"], {"title": "T"})
    assert key == "8dd3c2f7d2a77a430ed2b9673901ed33042e1a8e0185575af79548da44f2ec54"
    assert digest(key) == "RtTTyc8-8axwZxDznnsO8Q"
    assert digest("\udcff+/") == "jAZLZaK7X7W269_ThHI5sA"


def test_a_python_without_the_encoder_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes the same, only slower."""
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    value = {"b": ["é", 1.5, None], "a": {}}
    assert canonical._Encoder(allow_nan=False, sort_keys=True)(value) == '{"a":{},"b":["é",1.5,null]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical._Encoder(allow_nan=False, sort_keys=False)([float("nan")])
