"""How the values of options are read: durations, JSON, text, ``@file`` and ``-`` for standard input."""

from __future__ import annotations

import math
import re
import sys
from typing import Any

import click

from .limits import refuse
from .strict import NotJson, parse

FOREVER = math.inf
#: So much is read of a file or a pipe that an option names: more than any text or JSON that the queue takes.
_MOST_READ = 16 * 1024 * 1024
#: models.LONGEST_DELAY, which is too slow to import for a help text; a test holds them together.
_LONGEST_DELAY = 10 * 365 * 86400
_SURROGATE = re.compile("[\ud800-\udfff]")

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_PLAIN = re.compile(rf"\A{_NUMBER}\Z")
_PARTS = re.compile(rf"\A(?:{_NUMBER}(?:ms|s|m|h|d))+\Z")
_PART = re.compile(rf"({_NUMBER})(ms|s|m|h|d)")


def duration(value: str | float) -> float:
    """``90``, ``90s``, ``30m``, ``2h``, ``1d``, ``1h30m``, ``500ms`` as seconds; a whole number when it is one."""
    if isinstance(value, (int, float)):
        return value
    text = value.strip().lower()
    if _PLAIN.match(text):
        seconds = float(text)
    elif _PARTS.match(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    else:
        raise click.BadParameter(f"{value!r} is not a duration such as 90, 90s, 30m, 2h, 1d, 1h30m or 500ms")
    if not math.isfinite(seconds):
        raise click.BadParameter(f"{value[:20]}… is longer than anything can wait")
    return int(seconds) if seconds == int(seconds) else seconds


def duration_or_forever(value: str | float) -> float:
    """A duration, or ``forever`` as infinity."""
    return FOREVER if isinstance(value, str) and value.strip().lower() == "forever" else duration(value)


def delay_time(value: str | float) -> float:
    """A duration of at most 10 years, the longest that a task may wait."""
    seconds = duration(value)
    if seconds > _LONGEST_DELAY:
        raise click.BadParameter("at most 10 years (3650d)")
    return seconds


def lease_time(value: str | float) -> float:
    """A duration that a claim can hold."""
    from ..arguments import lease_ms

    seconds = duration(value)
    refuse(lease_ms, seconds)
    return seconds


def plain_text(value: str) -> str:
    """A text from the command line. Bytes that aren't UTF-8 come as unpaired surrogates, which nothing could store."""
    return _SURROGATE.sub("\ufffd", value)


def text_value(value: str, option: str) -> str:
    """The text that an option stands for: itself, ``@file``, ``-`` (standard input), ``@@x`` for a text ``@x``.

    Bytes that aren't UTF-8 are replaced: a stray one in a build log must not keep a task from being ended. Of a
    gigabyte's log the beginning is read: of an error 16 KiB are kept, and what may not be cut is refused by its size.
    """
    if value.startswith("@@"):
        return plain_text(value[1:])
    if value != "-" and not value.startswith("@"):
        return plain_text(value)
    return _read(value, option).decode("utf-8-sig", "replace")


def json_value(value: str, option: str) -> Any:
    """The JSON that an option stands for: itself, ``@file`` or ``-``."""
    from ..canonical import dumps

    try:
        source = _read(value, option) if value == "-" or value.startswith("@") else value
        if len(source) >= _MOST_READ:
            raise NotJson("16 MiB or more")
        found = parse(source)
    except NotJson as e:
        raise _bad(option, f"{_source(value)}{e}") from None
    refuse(dumps, found, option, option=option)
    return found


def json_object(value: str, option: str) -> dict[str, Any]:
    """The same, and it must be an object."""
    found = json_value(value, option)
    if not isinstance(found, dict):
        raise _bad(option, f"{_source(value)}must be a JSON object")
    return found


def whole_result(value: str, option: str) -> dict[str, Any]:
    """A JSON object that is the result of a task."""
    from ..arguments import result as check

    found = json_object(value, option)
    refuse(check, None, None, found, option=option)
    return found


def json_or_text(value: str, option: str) -> Any:
    """An object or a list when the text is one in JSON, else the text itself: ``[3/7] reading`` is text."""
    text = text_value(value, option)
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return parse(text)
    except NotJson:
        return text


def extra_field(text: str) -> tuple[str, Any]:
    """``name=text`` or ``name:=JSON`` as a pair."""
    name, equals, value = text.partition("=")
    as_json = name.endswith(":")
    name = name.removesuffix(":")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is neither name=text nor name:=JSON")
    if not as_json:
        return name, value
    try:
        return name, parse(value)
    except NotJson as e:
        raise click.BadParameter(f"{name}: {e}") from None


class Fields(click.types.FuncParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """``--field``; in the environment one field to a line, since their texts hold spaces."""

    envvar_list_splitter = "\n"

    def __init__(self) -> None:
        super().__init__(extra_field)


def stdin_bytes() -> bytes:
    """All of standard input."""
    return sys.stdin.buffer.read()


def one_reader(**options: str | None) -> None:
    """Refuse two options that both want standard input: the second would silently get nothing."""
    readers = ["--" + name.replace("_", "-") for name, value in options.items() if value == "-"]
    if len(readers) > 1:
        raise click.UsageError(f"only one of {', '.join(readers)} can read standard input")


def _read(value: str, option: str) -> bytes:
    if value == "-":
        return sys.stdin.buffer.read(_MOST_READ)
    path = value[1:]
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_READ)
    except (OSError, ValueError) as e:
        raise _bad(option, f"cannot read {path!r}: {getattr(e, 'strerror', None) or e}") from None


def _source(value: str) -> str:
    return "standard input: " if value == "-" else f"{value[1:]}: " if value.startswith("@") else ""


def _bad(option: str, message: str) -> click.BadParameter:
    return click.BadParameter(message, ctx=click.get_current_context(silent=True), param_hint=option)
