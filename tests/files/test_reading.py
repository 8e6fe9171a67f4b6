"""lokiredis/files/reading.py: the same entries whatever part of the file is in the window."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lokiredis.files import reading
from lokiredis.files.reading import Broken, NotTaken

_TEXTS = st.text(max_size=8)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_OBJECTS = st.dictionaries(_TEXTS, _VALUES, max_size=3)


def _read(data: bytes, window: int, monkeypatch: pytest.MonkeyPatch) -> list[Any] | str:
    """The values and their places, or the error and its place."""
    with monkeypatch.context() as patched:
        patched.setattr(reading, "_CHUNK", window)
        patched.setattr(reading, "_LONGEST_CHUNK", window)
        try:
            found = list(reading.entries(io.BytesIO(data)))
        except Broken as e:
            return f"{e} at {e.offset}"
    assert all(data[raw.offset : raw.offset + raw.length] == raw.data for raw in found)
    assert [raw.index for raw in found] == list(range(len(found)))
    return [reading.decode(raw.data or b"") for raw in found]


@settings(max_examples=300)
@given(
    values=st.lists(_VALUES, max_size=4),
    window=st.integers(1, 40),
    indent=st.sampled_from([None, 0, 2]),
    escaped=st.booleans(),
    around=st.sampled_from(["%s", ' {"v": {"tasks": [1]}, "tasks": %s , "w": "]"}\n', "\ufeff%s \n"]),
)
def test_lists(
    monkeypatch: pytest.MonkeyPatch, values: list[Any], window: int, indent: int | None, escaped: bool, around: str
) -> None:
    """Bare, within an object, behind a byte order mark; each value is what the whole file has at its place."""
    text = json.dumps(values, indent=indent, ensure_ascii=escaped)
    data = (around % text).encode("utf-8", "surrogatepass")
    try:
        data.decode()
    except UnicodeDecodeError:
        return  # a lone surrogate that isn't escaped is wrong UTF-8
    assert _read(data, window, monkeypatch) == values


@settings(max_examples=100)
@given(
    values=st.lists(_OBJECTS.filter(lambda value: "tasks" not in value), min_size=1, max_size=4),
    window=st.integers(1, 40),
)
def test_lines(monkeypatch: pytest.MonkeyPatch, values: list[Any], window: int) -> None:
    """An object to a line."""
    data = "\n".join(json.dumps(value) for value in values).encode()
    assert _read(data, window, monkeypatch) == values


@settings(max_examples=300)
@given(
    values=st.lists(_OBJECTS, min_size=1, max_size=3),
    cut=st.integers(0, 400),
    window=st.integers(1, 40),
    data=st.data(),
)
def test_cut_or_damaged(
    monkeypatch: pytest.MonkeyPatch, values: list[Any], cut: int, window: int, data: st.DataObject
) -> None:
    """Nothing but Broken and NotTaken comes of it, and a file that is cut off is never taken for a whole one."""
    whole = json.dumps({"tasks": values}).encode()
    torn = whole[: cut % len(whole)]
    with monkeypatch.context() as patched:
        patched.setattr(reading, "_CHUNK", window)
        if torn.strip():
            with pytest.raises(Broken):
                list(reading.entries(io.BytesIO(torn)))
        place = data.draw(st.integers(0, len(whole) - 1))
        damaged = whole[:place] + data.draw(st.binary(max_size=3)) + whole[place + 1 :]
        try:
            for raw in reading.entries(io.BytesIO(damaged)):
                try:
                    reading.decode(raw.data or b"")
                except NotTaken:
                    reading.guess_id(raw.data)
        except Broken:
            pass


@pytest.mark.parametrize("window", [1, 3, 1000])
def test_where_a_file_is_broken(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    """The place is the same whatever the window holds."""
    entry = json.dumps({"id": "x", "t": "y" * 100})
    data = f"[{entry},\n{entry[:-1]},}},\n{entry}]".encode()
    told = _read(data, window, monkeypatch)
    assert isinstance(told, str)
    assert told.startswith("not JSON: ")
    assert int(told.rsplit(" ", 1)[1]) == data.index(b",},") + 1
