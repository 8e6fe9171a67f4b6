"""What a caller may pass. Refused here with InvalidTask, before redis-py or a script would stumble over it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .errors import InvalidTask
from .models import AGENT_PATTERN, LONGEST_DELAY, LONGEST_TIMEOUT, TYPE_PATTERN, to_ms

_AGENT = re.compile(AGENT_PATTERN)
_TYPE = re.compile(TYPE_PATTERN)
_REQUEST = re.compile(r"[\x21-\x7e]{1,128}")
_MOST_TYPES, _MOST_TASKS = 100, 1000
_LARGEST_TOKEN = 2**53
#: Scripts cut a text at 16 KiB: more need not be sent.
_LONGEST_TEXT = 16384
#: Longer than any duration that a script takes, and still exact as a double.
_LONGEST_MS = 2**53


def word(value: object, field: str) -> str:
    """A str that UTF-8 can hold."""
    if not isinstance(value, str):
        raise InvalidTask("a text", field=field)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidTask("a lone surrogate", field=field) from None
    return value


def task_type(value: object, field: str = "type") -> str:
    """A task type."""
    if not isinstance(value, str) or not _TYPE.fullmatch(value):
        raise InvalidTask("a task type is a letter or digit, then up to 63 of A-Z a-z 0-9 . _ -", field=field)
    return value


def task_types(value: object) -> list[str]:
    """One type or several; the script wants at least one where it matters."""
    if not isinstance(value, (str, Iterable)) or isinstance(value, (bytes, bytearray)):
        raise InvalidTask("task types", field="types")
    found = list(dict.fromkeys(task_type(name, "types") for name in ([value] if isinstance(value, str) else value)))
    if len(found) > _MOST_TYPES:
        raise InvalidTask("a claim names 1 to 100 types", field="types")
    return found


def agent(value: object) -> str:
    """The name of an agent."""
    if not isinstance(value, str) or not _AGENT.fullmatch(value):
        raise InvalidTask("an agent is a letter or digit, then up to 127 of A-Z a-z 0-9 . _ / @ : -", field="agent")
    return value


def limit(value: object, least: int = 1) -> int:
    """How many tasks at most."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MOST_TASKS:
        raise InvalidTask(f"an integer from {least} to 1,000", field="limit")
    return value


def flag(value: object, field: str) -> bool:
    """True or False: "no" would count as true."""
    if not isinstance(value, bool):
        raise InvalidTask("True or False", field=field)
    return value


def ms(seconds: object, field: str) -> int:
    """Seconds as whole milliseconds. The script checks the range."""
    try:
        if isinstance(seconds, (bool, str)):
            raise TypeError
        found = to_ms(seconds)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        raise InvalidTask("a finite number of seconds", field=field) from None
    if abs(found) > _LONGEST_MS:
        raise InvalidTask("at most 10 years", field=field)
    return found


def lease_ms(seconds: object) -> int | str:
    """A lease in milliseconds, "" for the task's own timeout; a longer one than any timeout is cut."""
    if seconds is None:
        return ""
    if isinstance(seconds, (int, float)) and LONGEST_TIMEOUT < seconds < float("inf"):
        seconds = LONGEST_TIMEOUT
    found = ms(seconds, "lease")
    if found < 1:
        raise InvalidTask("above 0", field="lease")
    return found


def wait_ms(seconds: object, field: str) -> int:
    """How long an API asks to wait; what is longer than 10 years means "very long", not a mistake."""
    if isinstance(seconds, (int, float)) and LONGEST_DELAY < seconds < float("inf"):
        seconds = LONGEST_DELAY
    return ms(seconds, field)


def proof(claim: Any) -> tuple[str, int]:
    """The id and the token of a claim, or of anything that has these two."""
    try:
        id, token = claim.id, claim.token
    except AttributeError:
        raise InvalidTask("a claim has an id and a token", field="claim") from None
    if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token <= _LARGEST_TOKEN:
        raise InvalidTask("a token is a positive integer", field="token")
    return word(id, "id"), token


def proofs(claims: object) -> list[tuple[str, int]]:
    """As :func:`proof`, for up to 1,000 claims."""
    if not isinstance(claims, Iterable):
        raise InvalidTask("claims", field="claims")
    found = [proof(claim) for claim in claims]
    if len(found) > _MOST_TASKS:
        raise InvalidTask("one call takes at most 1,000 claims", field="claims")
    return found


def request(value: object) -> str:
    """A request id of the caller's own."""
    if not isinstance(value, str) or not _REQUEST.fullmatch(value):
        raise InvalidTask("1 to 128 visible ASCII characters", field="request")
    return value


def text(value: object) -> bytes:
    """A reason, a note or an error as text. Never refused: an error that can't be told must not keep its claim."""
    try:
        said = "" if value is None else str(value)
    except Exception:
        said = ""
    if not said and isinstance(value, BaseException):
        said = type(value).__name__
    return said[:_LONGEST_TEXT].encode("utf-8", "backslashreplace")
