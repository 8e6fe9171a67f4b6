"""What a worker makes of Redis being away: it says so once, tries again at growing pauses, and says when it is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from .. import steps
from ..errors import QueueUnavailable

log = logging.getLogger("lokiredis.worker")

#: After a refused call, before the next, in seconds: first, longest.
_FIRST, _LONGEST = 0.1, 5.0
#: After an outage a claim waits until the worker's own leases are renewed, and looks so often whether they are.
DOUBT = 0.05
#: For how many seconds a claim is repeated before it looks: with a server that is away for longer leases run out.
PATIENCE = 0.3


class Backoff:
    """Growing pauses between tries, in seconds: the first, and the longest."""

    def __init__(self, first: float = _FIRST, longest: float = _LONGEST) -> None:
        self._first, self._longest = first, longest
        self._pause = first

    def next(self) -> float:
        """How many seconds to wait now."""
        pause, self._pause = self._pause, min(self._pause * 2, self._longest)
        return pause

    def reset(self) -> None:
        """There was an answer."""
        self._pause = self._first


class Outage:
    """Whether Redis is ``away`` at present, as all calls of one worker find it."""

    def __init__(self) -> None:
        self.away = False
        #: time.monotonic() when a call was not answered the last time.
        self.failed = 0.0

    def begins(self, error: QueueUnavailable) -> None:
        """A call was not answered."""
        self.failed = time.monotonic()
        if not self.away:
            log.warning("%s; going on as soon as it is back", error)
        self.away = True

    def ends(self) -> None:
        """A call was answered."""
        if self.away:
            log.warning("Redis is back")
        self.away = False


class Watch(steps.Watch):
    """A worker's waiting claim sits every outage out; ``in_doubt``: whether it must wait even longer.

    ``word``: what else the worker has to say when there is nothing for it.
    """

    patience = PATIENCE

    def __init__(self, outage: Outage, in_doubt: Callable[[], bool], word: Callable[[], steps.Word | None]) -> None:
        self._outage = outage
        self._in_doubt = in_doubt
        self._word = word
        self._backoff = Backoff()
        #: Whether a call was not answered at first.
        self.late = False

    def away(self, error: QueueUnavailable) -> float:
        """The same call again after a pause."""
        self.late = True
        self._outage.begins(error)
        return self._backoff.next()

    def later(self) -> float:
        """So long, while a claim could cost the worker what it holds."""
        return DOUBT if self._in_doubt() else 0.0

    def back(self) -> None:
        """There is an answer."""
        self._outage.ends()
        self._backoff.reset()

    def word(self) -> steps.Word | None:
        """The worker's own."""
        return self._word()
