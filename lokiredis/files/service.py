"""Snapshots again and again, for as long as somebody wants them."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import QueueUnavailable
from .folder import FileRefused
from .snapshot import Snapshot, Taken

#: What passes by itself, or when somebody has made room.
_PASSING = (OSError, FileRefused, QueueUnavailable)


class Service:
    """Takes a snapshot at most every *every* seconds. Nothing is written while nothing changes.

    *say* is told in one line what went wrong, once, and when all is well again. Any error that does not pass is raised.
    """

    def __init__(self, snapshot: Snapshot, *, every: float, say: Callable[[str], None]) -> None:
        self._snapshot = snapshot
        self._every = every
        self._say = say
        self._trouble = ""

    def run(self) -> None:
        """For ever. Whoever wants it to end raises an exception from a signal's handler; no file is torn by that."""
        while True:
            begun = time.monotonic()
            self._once()
            time.sleep(max(self._every - (time.monotonic() - begun), 0.001))

    def _once(self) -> Taken | None:
        try:
            taken = self._snapshot.take()
        except _PASSING as e:
            trouble = _line(e)
            if trouble != self._trouble:
                self._say(f"{trouble}; the files stay as they are, and it is tried again")
            self._trouble = trouble
            return None
        if self._trouble:
            self._say("all is well again")
            self._trouble = ""
        for note in taken.notes:
            self._say(note)
        return taken


def _line(error: Exception) -> str:
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    if isinstance(error, QueueUnavailable):
        # Its words may change with every try; it is one outage.
        return "Redis cannot be reached"
    return str(error)
