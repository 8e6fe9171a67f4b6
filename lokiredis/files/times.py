"""Times as the files have them: ISO 8601, or seconds or milliseconds since 1970."""

from __future__ import annotations

from ..errors import InvalidTask
from ..models import at_ms, parse_time

#: Up to the year 9999, which clients can show.
_LATEST = 253_402_300_799_999
#: A number from here on can't be seconds: that would be the year 5138.
_MILLISECONDS = 10**11


def ms_of(value: object, field: str) -> int:
    """Milliseconds since 1970. Raises InvalidTask for what is no time."""
    if isinstance(value, str):
        found = at_ms(parse_time(value, field))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found = int(value) if value >= _MILLISECONDS else round(value * 1000)
    else:
        raise InvalidTask("neither an ISO 8601 time nor a number of seconds", field=field)
    if not 0 <= found <= _LATEST:
        raise InvalidTask("a time from 1970 to 9999", field=field)
    return found


def optional_ms(value: object) -> int | None:
    """The same, None for what is no time."""
    try:
        return ms_of(value, "")
    except InvalidTask:
        return None
