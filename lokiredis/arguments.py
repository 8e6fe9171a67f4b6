"""What a caller may pass. Refused here with InvalidTask, before redis-py or a script would stumble over it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from getpass import getuser
from itertools import islice
from socket import gethostname
from typing import Any

from .canonical import dumps
from .errors import InvalidTask
from .keys import plain
from .models import AGENT_PATTERN, LONGEST_DELAY, LONGEST_TIMEOUT, TYPE_PATTERN, to_ms

_AGENT = re.compile(AGENT_PATTERN)
_TYPE = re.compile(TYPE_PATTERN)
_ENTRY = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
_PERSON = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,128}")
_REQUEST = re.compile(r"[\x21-\x7e]{1,128}")
_MOST_TYPES, _MOST_NAMES, _MOST_TASKS = 100, 1000, 1000
_LARGEST_TOKEN = 2**53
#: What the settings for payload, document, checkpoint and result may be at most.
LARGEST_DOCUMENT = 8 * 1024 * 1024
#: What one call may send, of documents or of results; the scripts refuse more, too (design section 2).
MOST_BYTES = 8 * 1024 * 1024
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
    if len(value) > LARGEST_DOCUMENT:
        raise InvalidTask(f"at most {LARGEST_DOCUMENT:,} characters", field=field)
    return plain(value)


def task_type(value: object, field: str = "type") -> str:
    """A task type."""
    return _matching(_TYPE, value, "a task type is a letter or digit, then up to 63 of A-Z a-z 0-9 . _ -", field)


def task_types(value: object) -> list[str]:
    """One type or several; the script wants at least one where it matters."""
    if not isinstance(value, (str, Iterable)) or isinstance(value, (bytes, bytearray)):
        raise InvalidTask("task types", field="types")
    # A name may be there twice, but an iterable need not end.
    names = [value] if isinstance(value, str) else list(islice(value, _MOST_NAMES + 1))
    found = list(dict.fromkeys(task_type(name, "types") for name in names))
    if len(found) > _MOST_TYPES or len(names) > _MOST_NAMES:
        raise InvalidTask("a claim names 1 to 100 types", field="types")
    return found


def agent(value: object) -> str:
    """The name of an agent."""
    return _matching(_AGENT, value, "an agent is a letter or digit, then up to 127 of A-Z a-z 0-9 . _ / @ : -", "agent")


def limit(value: object, least: int = 1) -> int:
    """How many tasks at most."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MOST_TASKS:
        raise InvalidTask(f"an integer from {least} to 1,000", field="limit")
    return int(value)  # redis-py takes no member of an IntEnum


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


def count(value: object, field: str) -> int:
    """A whole number from 0 on."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**53:
        raise InvalidTask("a whole number", field=field)
    return int(value)


def lease_ms(seconds: object) -> int | str:
    """A lease in milliseconds, "" for the task's own timeout; a longer one than any timeout is cut."""
    if seconds is None:
        return ""
    found = ms(_cut(seconds, LONGEST_TIMEOUT), "lease")
    if found < 1:
        raise InvalidTask("above 0", field="lease")
    return found


def seconds(value: object, field: str) -> float:
    """How long to go on, in seconds, 0 or more: NaN or infinity would never end."""
    found = wait_ms(value, field)
    if found < 0:
        raise InvalidTask("0 or more", field=field)
    return found / 1000


def patience(value: object) -> float:
    """For how many seconds a call is sent again while Redis is away. Infinity may be meant: as long as it takes."""
    return value if isinstance(value, float) and value == float("inf") else seconds(value, "retry_for")


def path(value: object) -> str:
    """Where a file or a folder is."""
    if isinstance(value, (str, os.PathLike)) and isinstance(found := os.fspath(value), str) and "\0" not in found:
        # A file's name may hold a lone surrogate that stands for a byte, and no other.
        with suppress(UnicodeEncodeError):
            os.fsencode(found)
            return found
    raise InvalidTask("a path", field="path")


def texts(values: object, field: str) -> list[str]:
    """Several texts."""
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes, bytearray)):
        raise InvalidTask("several texts", field=field)
    return [word(value, field) for value in values]


def lease_seconds(seconds: object) -> float:
    """A lease that somebody renews, in seconds: it can't be the task's own timeout, which a heartbeat doesn't move."""
    found = lease_ms(seconds)
    if isinstance(found, str):
        raise InvalidTask("a number of seconds", field="lease")
    return found / 1000


def wait_ms(seconds: object, field: str) -> int:
    """How long an API asks to wait; what is longer than 10 years means "very long", not a mistake."""
    return ms(_cut(seconds, LONGEST_DELAY), field)


def _cut(seconds: object, longest: float) -> object:
    """At most *longest*. Infinity stays what it is, to be refused."""
    return longest if isinstance(seconds, (int, float)) and longest < seconds < float("inf") else seconds


def proof(claim: Any) -> tuple[str, int]:
    """The id and the token of a claim, or of anything that has these two."""
    try:
        id, token = claim.id, claim.token
    except AttributeError:
        raise InvalidTask("a claim has an id and a token", field="claim") from None
    if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token <= _LARGEST_TOKEN:
        raise InvalidTask("a token is a positive integer", field="token")
    return word(id, "id"), int(token)


def proofs(claims: object) -> list[tuple[str, int]]:
    """As :func:`proof`, for up to 1,000 claims."""
    if not isinstance(claims, Iterable):
        raise InvalidTask("claims", field="claims")
    found = [proof(claim) for claim in islice(claims, _MOST_TASKS + 1)]
    if len(found) > _MOST_TASKS:
        raise InvalidTask("one call takes at most 1,000 claims", field="claims")
    return found


def endings(value: object) -> list[Any]:
    """What one exchange may end: up to 1,000. Of which kind each is, is seen as it is written."""
    if not isinstance(value, Iterable):
        raise InvalidTask("endings: Finished, Failed or Released", field="finished")
    found = list(islice(value, _MOST_TASKS + 1))
    if len(found) > _MOST_TASKS:
        raise InvalidTask("one call takes at most 1,000 endings", field="finished")
    return found


def request(value: object) -> str:
    """A request id of the caller's own."""
    return _matching(_REQUEST, value, "1 to 128 visible ASCII characters", "request")


def entry(value: object, field: str) -> str:
    """The id of an entry of a stream."""
    return _matching(_ENTRY, value, "a cursor, as it was given", field)


def person(value: object) -> str:
    """Who decides something; None: this user on this machine."""
    if value is None:
        return f"{_user()}@{gethostname()}"[:128]
    return _matching(_PERSON, value, "a name in one line, of up to 128 characters", "by")


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def _matching(pattern: re.Pattern[str], value: object, expected: str, field: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidTask(expected, field=field)
    return plain(value)


def text(value: object) -> bytes:
    """A reason, a note or an error as text. Never refused: an error that can't be told must not keep its claim."""
    try:
        said = "" if value is None else str(value)
    except Exception:
        said = ""
    if not said and isinstance(value, BaseException):
        said = type(value).__name__
    return said[:_LONGEST_TEXT].encode("utf-8", "backslashreplace")


def sized(written: bytes, field: str) -> bytes:
    """JSON that some setting may allow. Which size this queue allows only the script knows."""
    if len(written) > LARGEST_DOCUMENT:
        # Redis closes the connection on 512 MiB, which would pass for an outage.
        raise InvalidTask(f"at most {LARGEST_DOCUMENT:,} bytes, whatever the settings", field=field)
    return written


def optional_json(value: object, field: str) -> bytes:
    """A checkpoint or the like as JSON; nothing for None."""
    return b"" if value is None else sized(dumps(value, field), field)


def result(
    output: object, decision_report: Mapping[str, Any] | None, result: Mapping[str, Any] | None
) -> tuple[str, bytes]:
    """A result, given whole or by its parts: the names in its decision report, one a line, and all of it as JSON."""
    if result is None:
        body: dict[str, Any] = {"output": output, "decisionReport": decision_report}
    else:
        if output is not None or decision_report is not None:
            raise InvalidTask("give either result or its parts", field="result")
        if not isinstance(result, Mapping):
            raise InvalidTask("a JSON object", field="result")
        body = dict(result)
        if body.pop("status", "success") != "success":
            raise InvalidTask("complete takes only the status success: use fail", field="result.status")
    report = body.get("decisionReport")
    written = sized(dumps(body, "result"), "result")
    # Only the names of its keys are sent: no script decodes a user's JSON. One of several lines would pass for several
    # keys, and no setting can ask for it.
    lines = [key for key in report if "\n" not in key] if isinstance(report, Mapping) else []
    keys = "\n" + "\n".join(lines) + "\n" if report and isinstance(report, Mapping) else ""
    return keys, written
