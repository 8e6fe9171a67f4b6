"""Recognises a rate limit in what an API, a tool or an SDK raised, and how long it asks to wait. Never raises."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from itertools import islice

# ASCII: otherwise "ſ" matches an s, and a digit of another script a \d.
_ANY_CASE = re.IGNORECASE | re.ASCII

_PHRASE = re.compile(
    r"(?<![a-z0-9])rate[ _-]?limit"  # not in "separate limits"
    r"|too[ _-]many[ _-]requests|quota[ _-]exceeded|retry-after",
    _ANY_CASE,
)
_CAMEL_CASE = re.compile(r"[a-z]RateLimit")

# A 429 of its own: in 1429, 4290, 429.5, 12,429, 0x429, 429ms, a-429c or task-429 it is no status.
_STATUS = re.compile(
    r"(?:(?<![a-z0-9#])(?<![a-z0-9][_/-])(?<!\d[.,:])|(?<![a-z0-9])(?:http|status|code|error|err)[ _/-]?)"
    r"429(?![a-z0-9_])(?![.,:/-]\d)",
    _ANY_CASE,
)

_WAIT_FOLLOWS = re.compile(
    r"(?:retry[ _-]?(?:after|delay)(?P<unit>[ _-](?:ms|milliseconds|secs|seconds))?"
    r"|(?:try again|retry|retrying) (?:in|after))(?![a-z0-9])",
    _ANY_CASE,
)
# How a wait may be joined to those words: a colon, `=`, the quotes of JSON or of a Python dict.
_JOINT = re.compile(r"""[ \t]{0,8}["']?[ \t]{0,8}[:=,]?[ \t]{0,8}(?:b?["'])?(?:about |at least )?""", _ANY_CASE)
# Bounds the work per place that matches above, and so the whole of it.
_LONGEST_WAIT_TEXT = 200

_PART = re.compile(
    r"(\d+(?:\.\d+)?) ?"
    r"(milliseconds?|millis|msecs?|ms|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z])",
    _ANY_CASE,
)
_BETWEEN_PARTS = re.compile(r",? ?(?:and )?", _ANY_CASE)
# Not the start of a range, a clock time, a date or an id.
_BARE_NUMBER = re.compile(r"\d+(?:\.\d+)?(?![a-z0-9_])(?![.:/-]\d)", _ANY_CASE)
_HTTP_DATE = re.compile(
    r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6},? {1,2}[a-z0-9 -]{5,12} "
    r"\d\d:\d\d:\d\d(?: (?:gmt|utc|[+-]\d{4}|\d{4}))?",
    _ANY_CASE,
)
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def is_rate_limit(error: object) -> bool:
    """Whether ``error`` (an exception, str or bytes) says that an API was asked too often.

    An exception also says so by a status of 429, on itself or on its ``response``, or by a ``Retry-After`` header.
    """
    # An error handler that raises loses the error that it was to handle, and the task with it.
    try:
        return _says_so(error)
    except Exception:
        return False


def retry_after(error: object, *, now: datetime | None = None) -> float | None:
    """The seconds that ``error`` (an exception, str or bytes) asks to wait, finite, at least 0. None: it doesn't say.

    An exception's ``Retry-After`` header or ``retry_after`` attribute goes before its text. A date counts from ``now``
    (default: this machine's clock; naive is UTC), one in the past is 0.
    """
    try:
        return _asks_for(error, now or datetime.now(timezone.utc))
    except Exception:
        return None


def _says_so(error: object) -> bool:
    text = _text(error)
    if _PHRASE.search(text) or _CAMEL_CASE.search(text) or _STATUS.search(text):
        return True
    if not isinstance(error, BaseException):
        return False
    return any(_status(source) == 429 or _header(source, "retry-after") is not None for source in _sources(error))


def _asks_for(error: object, now: datetime) -> float | None:
    said = _said_by_exception(error, now) if isinstance(error, BaseException) else None
    return _said_by_text(_text(error), now) if said is None else said


def _said_by_exception(error: BaseException, now: datetime) -> float | None:
    for source in _sources(error):
        waits = (
            _wait(_header(source, "retry-after-ms"), now, scale=0.001),
            _wait(_header(source, "retry-after"), now),
            _wait(_attribute(source, "retry_after"), now),
        )
        for wait in waits:
            if wait is not None:
                return wait
    return None


def _said_by_text(text: str, now: datetime) -> float | None:
    for found in _WAIT_FOLLOWS.finditer(text):
        joint = _JOINT.match(text, found.end())
        start = joint.end() if joint else found.end()
        unit = found["unit"] or ""
        wait = _wait(text[start : start + _LONGEST_WAIT_TEXT], now, scale=0.001 if "m" in unit.lower() else 1)
        if wait is not None:
            return wait
    return None


def _wait(value: object, now: datetime, scale: float = 1) -> float | None:
    """The wait that a header, an attribute or a piece of text names; ``scale`` is the unit of a bare number."""
    if isinstance(value, timedelta):
        return _sound(value.total_seconds())
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _sound(value, scale)
    text = _text(value)[:_LONGEST_WAIT_TEXT].strip() if isinstance(value, (str, bytes)) else ""
    date = _HTTP_DATE.match(text)
    if date:
        return _until(date[0], now)
    parts = _duration(text)
    if parts is not None:
        return _sound(parts)
    bare = _BARE_NUMBER.match(text)
    return _sound(float(bare[0]), scale) if bare else None


def _duration(text: str) -> float | None:
    """The sum of ``1h 2m``, ``1 minute and 30 seconds``, ``500ms``; None without a unit."""
    total, part = None, _PART.match(text)
    while part:
        unit = part[2].lower()
        # Milliseconds before minutes: both begin with an m.
        scale = 0.001 if unit.startswith(("ms", "mil")) else _SECONDS[unit[0]]
        total = (total or 0.0) + float(part[1]) * scale
        between = _BETWEEN_PARTS.match(text, part.end())
        part = _PART.match(text, between.end() if between else part.end())
    return total


def _until(date: str, now: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(date)
        return max(0.0, (_aware(then) - _aware(now)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _sound(seconds: float, scale: float = 1) -> float | None:
    """``seconds`` as a finite float of at least 0, else None: NaN in Redis would hold an agent for ever, or never."""
    try:
        wait = float(seconds) * scale
    except OverflowError:
        return None
    return wait if math.isfinite(wait) and wait >= 0 else None


def _sources(error: BaseException) -> tuple[object, ...]:
    """Where exceptions keep what the server said: themselves (urllib, aiohttp) or their response (httpx, openai)."""
    return tuple(source for source in (error, _attribute(error, "response")) if source is not None)


def _status(source: object) -> object:
    for name in ("status_code", "status", "code"):
        value = _attribute(source, name)
        if isinstance(value, int):
            return value
    return None


def _header(source: object, name: str) -> object:
    """A header of ``source.headers``, whatever its case; None when there is none."""
    headers = _attribute(source, "headers")
    try:
        pairs: Iterable[tuple[object, object]] = headers.items() if isinstance(headers, Mapping) else _items(headers)
        # Bounded: an object of unknown kind may go on for ever.
        for key, value in islice(pairs, 1000):
            if _text(key).lower() == name:
                return value
    except Exception:
        pass
    return None


def _items(headers: object) -> Iterable[tuple[object, object]]:
    """The pairs of a header object that is no Mapping, as ``email.message.Message`` in urllib's errors."""
    items = _attribute(headers, "items")
    pairs = items() if callable(items) else ()
    return pairs if isinstance(pairs, Iterable) else ()


def _attribute(source: object, name: str) -> object:
    try:
        return getattr(source, name, None)
    except Exception:  # a property of a foreign class: httpx raises RuntimeError for a request that isn't there
        return None


def _text(error: object) -> str:
    """What ``error`` says, with the class name of an exception: ``RateLimitError()`` says nothing else."""
    if isinstance(error, str):
        return error
    if isinstance(error, (bytes, bytearray)):
        return error.decode(errors="replace")
    try:
        text = str(error)
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if isinstance(error, BaseException) else text
