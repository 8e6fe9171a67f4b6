"""A place in the event stream."""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import InvalidTask

_CURSOR = re.compile(r"([0-9]{1,20})-([0-9]{1,20})\.([0-9]{1,9})", re.ASCII)
#: The year 6429: what is later is no time of a server, and no datetime in the end.
_LATEST = 2**47
_LARGEST = 2**64 - 1


class Cursor(NamedTuple):
    """Behind line ``line`` of the entry ``ms-sequence``; line 0 is before its first one.

    The line is part of it because one call is one entry, of up to 100 events: a reader that ends in the middle must
    neither miss the rest nor see the first ones again.
    """

    ms: int
    sequence: int
    line: int

    @classmethod
    def parse(cls, text: object) -> Cursor:
        """The cursor of an event. Raises InvalidTask."""
        found = _CURSOR.fullmatch(text) if isinstance(text, str) else None
        if found is None or int(found[1]) > _LATEST or int(found[2]) > _LARGEST:
            raise InvalidTask("no cursor of an event, such as 1795341600123-0.1", field="since")
        return cls(int(found[1]), int(found[2]), int(found[3]))

    @classmethod
    def behind(cls, entry: str, line: int) -> Cursor:
        """Behind a line of the entry with this stream id."""
        ms, _, sequence = entry.partition("-")
        return cls(int(ms), int(sequence), line)

    @property
    def entry(self) -> str:
        """The stream id."""
        return f"{self.ms}-{self.sequence}"

    def __str__(self) -> str:
        return f"{self.entry}.{self.line}"


#: Before everything.
BEGIN = Cursor(0, 0, 0)
