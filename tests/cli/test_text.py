"""User text on a terminal."""

from __future__ import annotations

import json

import pytest

from lokiredis.cli.params import duration
from lokiredis.cli.session import document
from lokiredis.cli.text import pretty, safe, span


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x9b1A\x00", "\\x9b1A\\x00"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("日本語 Grüße 🎉 [bold]", "日本語 Grüße 🎉 [bold]"),
    ],
)
def test_characters_that_move_the_cursor_are_escaped(text: str, shown: str) -> None:
    """A task's title comes from strangers: an issue tracker, a web page."""
    assert safe(text) == shown


def test_several_lines_stay_lines_where_they_are_meant() -> None:
    """But nothing else gets through."""
    assert safe("a\nb\x1b\r", lines=True) == "a\nb\\x1b\\r"
    assert pretty({"a": "x\u009by"}) == '{\n  "a": "x\\x9by"\n}'


def test_a_json_document_is_one_line_that_every_terminal_takes() -> None:
    """And it says the same as before."""
    value = {"a": "\x9b\ud800\u2028\x1b\n", "n": 9007199254740993, "u": "日本語"}
    text = document(value)
    assert json.loads(text) == value
    assert text.isprintable()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.25, "0.25s"), (5, "5s"), (90, "1m30s"), (5400, "1h30m"), (90061, "1d1h")]
)
def test_a_duration_is_shown_as_it_can_be_typed(seconds: float, text: str) -> None:
    """The two largest units are enough."""
    assert span(seconds) == text
    assert duration(text) == pytest.approx(seconds, abs=61)
