"""Durations, fields, JSON and text as options take them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click
import pytest

from lokiredis.cli import limits, params


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("90", 90), ("90s", 90), ("1.5", 1.5), ("30m", 1800), ("2h", 7200), ("1d", 86400),
        ("1h30m", 5400), ("500ms", 0.5), ("1M", 60), (" 5s ", 5), ("1.5h", 5400), ("1m500ms", 60.5),
    ],
)  # fmt: skip
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    """Plain seconds, one unit, or several."""
    assert params.duration(text) == seconds


@pytest.mark.parametrize("text", ["1.5h", "90", "2000ms"])
def test_whole_seconds_are_an_int(text: str) -> None:
    """5400.0 in a task's JSON would not be what the user wrote."""
    assert isinstance(params.duration(text), int)


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "-5m", "5 m", "m", "1y", "nan", "inf", "1e3", "9" * 400, "30m5", "٣", "1h30", "+1", "1_0"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Nothing negative, nothing that isn't finite, no guesses."""
    with pytest.raises(click.BadParameter):
        params.duration(text)


def test_forever_is_a_duration_only_where_waiting_is_meant() -> None:
    """A lease can't be endless."""
    assert params.duration_or_forever("forever") == params.FOREVER
    with pytest.raises(click.BadParameter):
        params.duration("forever")


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("title=Fix it", ("title", "Fix it")),
        ("n:=5", ("n", 5)),
        ("labels:=[]", ("labels", [])),
        ("x=", ("x", "")),
        ("a=b=c", ("a", "b=c")),
        ("a=b:=c", ("a", "b:=c")),
        ('big:={"n": 9007199254740993}', ("big", {"n": 9007199254740993})),
    ],
)
def test_a_field_is_text_or_json(text: str, pair: tuple[str, Any]) -> None:
    """``name=text`` and ``name:=JSON``."""
    assert params.extra_field(text) == pair


@pytest.mark.parametrize("text", ["", "title", "=x", ":=5", "n:=nope", "n:=NaN"])
def test_what_is_no_field_is_refused(text: str) -> None:
    """A typing error must not become a field."""
    with pytest.raises(click.BadParameter):
        params.extra_field(text)


def test_text_comes_from_itself_a_file_or_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``@@`` keeps a text that starts with @."""
    (tmp_path / "note.txt").write_bytes("Grüße\n".encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    texts = ["plain", f"@{tmp_path}/note.txt", "@@alice", "-", ""]
    assert [params.text_value(text, "--x") for text in texts] == ["plain", "Grüße\n", "@alice", "piped", ""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "not valid UTF-8 at byte 0"),
        (b"{", "line 1 column 2"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": 1e999}', "out of range"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5000, "too many digits"),
        (b"[]", "must be a JSON object"),
    ],
)
def test_bad_json_in_a_file_names_option_file_and_fault(content: bytes, message: str, tmp_path: Path) -> None:
    """One line that says where to look."""
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(click.BadParameter) as caught:
        params.json_object(f"@{path}", "--report")
    text = caught.value.format_message()
    assert "--report" in text
    assert str(path) in text
    assert message in text
    assert "\n" not in text


def test_a_missing_file_is_named() -> None:
    """Not a Python error."""
    with pytest.raises(click.BadParameter, match=r"cannot read 'nowhere\.json': No such file") as caught:
        params.json_value("@nowhere.json", "--report")
    assert "--report" in caught.value.format_message()


def test_json_or_text_takes_what_is_not_json_for_text() -> None:
    """``[3/7] reading`` is how people write; a refusal would let the lease run out."""
    assert params.json_or_text("3 of 7", "--progress") == "3 of 7"
    assert params.json_or_text('{"done": 3}', "--progress") == {"done": 3}
    assert params.json_or_text("[3/7] reading", "--progress") == "[3/7] reading"


def test_text_that_is_not_utf_8_is_read_all_the_same(tmp_path: Path) -> None:
    """With a mark in place of each byte that isn't."""
    path = tmp_path / "build.log"
    path.write_bytes(b"\xef\xbb\xbfa\xffb")
    assert params.text_value(f"@{path}", "--error") == "a\ufffdb"
    assert params.text_value("a\udcffb", "--error") == "a\ufffdb"
    assert params.json_or_text(f"@{path}", "--progress") == "a\ufffdb"


def test_two_options_cannot_read_standard_input() -> None:
    """The second would get nothing, silently."""
    with pytest.raises(click.UsageError, match="only one of --error, --checkpoint"):
        params.one_reader(error="-", checkpoint="-")
    params.one_reader(error="-", checkpoint=None)


def test_a_queue_name_is_checked() -> None:
    """A brace in it would break the hash tag."""
    assert limits.queue_name("a.b-c_1") == "a.b-c_1"
    with pytest.raises(click.BadParameter):
        limits.queue_name("a{b}")


def test_the_longest_delay_is_that_of_the_queue() -> None:
    """It is spelled twice, since models is slow to import."""
    from lokiredis.models import LONGEST_DELAY

    assert params.delay_time("3650d") == LONGEST_DELAY
    with pytest.raises(click.BadParameter):
        params.delay_time("3651d")


def test_no_more_is_read_than_the_queue_could_take(tmp_path: Path) -> None:
    """A log of a gigabyte as an error, or /dev/zero, must not fill the memory."""
    with (tmp_path / "log").open("wb") as file:
        file.write(b"began\n")
        file.truncate(1 << 30)
    assert len(params.text_value(f"@{tmp_path}/log", "--error")) == 16 << 20
    for source in (f"@{tmp_path}/log", "@/dev/zero"):
        with pytest.raises(click.BadParameter, match="16 MiB or more"):
            params.json_value(source, "--payload")
