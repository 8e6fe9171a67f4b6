"""How the event stream is read, without any I/O: a generator yields what to ask or what it found, and is sent replies.

Both clients drive it (event_stream.py). Each read begins with the entry that was read last, so one atomic reply shows
both what came after it and whether anything in between may have been trimmed away.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

from . import arguments, replies
from .errors import InvalidTask, QueueUnavailable
from .event_cursor import BEGIN, Cursor
from .event_kinds import GAP
from .executor import REFUSED_PAUSE
from .models import Event, at_ms, from_epoch
from .steps import LONGEST_BLOCK, Sleep

#: Entries per read. One may hold 100 events of 300 bytes.
_BATCH = 64
#: A script's clock and the server's ids may differ by the time that a script took.
_SLACK_MS = 1000

Since = str | datetime | None


@dataclass(frozen=True)
class Ask:
    """A command; its reply is sent back. ``blocks``: on a connection of its own, for it waits on the server."""

    words: tuple[str, ...]
    blocks: bool = False


@dataclass(frozen=True)
class Found:
    """Events to hand to the caller."""

    events: Sequence[Event]


T = TypeVar("T")
log = logging.getLogger("lokiredis.events")

Plan = Generator[Ask | Sleep | Found, Any, T]
_Rows = Sequence[Sequence[Any]]


def check(since: object, follow: object, timeout: object) -> None:
    """Refuse what can't be read from. Raises InvalidTask."""
    if isinstance(since, datetime):
        if since.utcoffset() is None:
            raise InvalidTask("an aware datetime", field="since")
    elif since is not None:
        Cursor.parse(since)
    arguments.flag(follow, "follow")
    if timeout is not None:
        if not follow:
            raise InvalidTask("only with follow=True", field="timeout")
        arguments.wait_ms(timeout, "timeout")


class _Over(Exception):
    """The time to read is over."""


class Reading:
    """One reading of the stream ``key``. A first outage may last ``retry_for`` seconds; later ones are sat out."""

    def __init__(
        self,
        key: str,
        since: Since,
        *,
        follow: bool,
        timeout: float | None,
        retry_for: float,
        now: Callable[[], float],
    ) -> None:
        self._key = key
        self._since = since
        self._follow = follow
        self._now = now
        self._ends = None if timeout is None else now() + arguments.wait_ms(timeout, "timeout") / 1000
        self._gives_up: float | None = now() + retry_for
        #: Whether Redis can't be reached at present.
        self._away = False
        #: Behind the last event that was found.
        self._at = BEGIN
        #: Whether the entry of ``_at`` was really there, so that its absence tells something.
        self._sure = False
        #: What is older is not wanted.
        self._oldest: datetime | None = None

    def steps(self) -> Plan[None]:
        """Everything that there is to do."""
        try:
            yield from self._read()
        except _Over:
            return

    def _read(self) -> Plan[None]:
        last = yield from self._begin()
        end = "+" if self._follow or last is None else last.entry
        while True:
            rows = yield from self._ask("XRANGE", self._key, self._at.entry, end, "COUNT", str(_BATCH))
            if self._sure and (not rows or replies.entry_id(rows[0]) != self._at.entry):
                lost = yield from self._gap(rows)
                if lost is not None:
                    yield Found([lost])
            for row in rows:
                yield Found(self._take(row))
            if len(rows) == _BATCH:
                self._at_most(1)  # a fleet may write as fast as this reads
            elif self._follow:
                yield from self._wait()
            else:
                return

    def newest(self) -> Plan[Cursor | None]:
        """The place behind the last event that is kept, None when there is none."""
        rows = yield from self._ask("XREVRANGE", self._key, "+", "-", "COUNT", "1")
        return Cursor.behind(replies.entry_id(rows[0]), len(replies.events(rows[0]))) if rows else None

    def _begin(self) -> Plan[Cursor | None]:
        """Set the place to begin at. Returns the end of what is there now."""
        last = yield from self.newest()
        if isinstance(self._since, datetime):
            self._oldest = self._since
            early = max(at_ms(self._since.astimezone(timezone.utc)) - _SLACK_MS, 0)
            self._at = Cursor(early, 0, 0)
        elif self._since is not None:
            self._at = Cursor.parse(self._since)
            self._sure = self._at != BEGIN
        elif self._follow and last is not None:
            self._at, self._sure = last, True
        return last

    def _take(self, row: Sequence[Any]) -> Sequence[Event]:
        """The events of an entry that were not found yet."""
        found: Sequence[Event] = replies.events(row)
        end = Cursor.behind(replies.entry_id(row), len(found))
        if end.entry == self._at.entry:
            found = found[self._at.line :]
        if self._oldest is not None:
            # By their own time: an entry may get its id a millisecond later. From the first one on all are wanted, also
            # when the server's clock goes back.
            found = [event for event in found if event.at >= self._oldest]
            self._oldest = None if found else self._oldest
        self._at, self._sure = end, True
        return found

    def _gap(self, rows: _Rows) -> Plan[Event | None]:
        """The entry that was read last is gone: what may be missing, None when nothing is."""
        before = self._at
        if rows:
            oldest = yield from self._ask("XRANGE", self._key, "-", "+", "COUNT", "1")
            if oldest and Cursor.behind(replies.entry_id(oldest[0]), 0) < before:
                # Trimming begins with the oldest: that one is still there, so whatever came later is too.
                return None
            self._at = Cursor.behind(replies.entry_id(rows[0]), 0)
            why = f"events after {before} were trimmed away before they were read"
        else:
            last = (yield from self.newest()) or BEGIN
            if last > before:
                return None
            # Wait there no longer: what comes next may have a smaller id, if the server's clock went back.
            self._at, self._sure = last, last != BEGIN
            why = f"the stream ends before {before}: it lost its last entries, or this is a cursor of another queue"
        return Event(str(self._at), from_epoch(before.ms), GAP, text=why)

    def _wait(self) -> Plan[None]:
        """Until there may be more."""
        ms = max(1, round(self._at_most(LONGEST_BLOCK) * 1000))
        words = ("XREAD", "COUNT", "1", "BLOCK", str(ms), "STREAMS", self._key, self._at.entry)
        try:
            yield Ask(words, blocks=True)
        except QueueUnavailable as e:
            yield from self._pause(e)

    def _ask(self, *words: str) -> Plan[_Rows]:
        """The reply of a read, sooner or later."""
        while True:
            try:
                rows: _Rows = (yield Ask(words)) or ()
            except QueueUnavailable as e:
                if self._gives_up is not None and self._now() >= self._gives_up:
                    raise
                yield from self._pause(e)
            else:
                self._gives_up = None
                if self._away:
                    log.warning("Redis is back")
                self._away = False
                return rows

    def _pause(self, error: QueueUnavailable) -> Plan[None]:
        if not self._away:  # once: nobody could tell an outage from a quiet queue otherwise
            log.warning("%s; going on as soon as it is back", error)
        self._away = True
        yield Sleep(self._at_most(random.uniform(*REFUSED_PAUSE)))

    def _at_most(self, seconds: float) -> float:
        """So long, or as long as is left."""
        left = seconds if self._ends is None else self._ends - self._now()
        if left <= 0:
            raise _Over
        return min(seconds, left)
