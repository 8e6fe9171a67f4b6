"""Whether this worker can start commands at all. While it can't, it claims next to nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .outage import Backoff

log = logging.getLogger("lokiredis.worker")

#: After a start that failed nothing is claimed for so many seconds: first, longest.
_FIRST, _LONGEST = 1.0, 60.0


class Starting:
    """A command that is gone, or a disk that is full, would else take the whole queue into the dead letters."""

    def __init__(self, wake: Callable[[], object] = lambda: None) -> None:
        self._wake = wake
        self._backoff = Backoff(_FIRST, _LONGEST)
        self._in_doubt = False
        #: How many commands are being started.
        self._tried = 0
        #: Whether nothing is to be claimed now.
        self.paused = False

    def most(self, free: int) -> int:
        """How many of the free slots may be filled: one, until a command was started again, and none meanwhile."""
        if self.paused or (self._in_doubt and self._tried):
            return 0
        return min(free, 1) if self._in_doubt else free

    @contextmanager
    def trying(self) -> Iterator[None]:
        """For the time of a start, which takes some turns of the event loop: the pump could claim in each of them."""
        self._tried += 1
        try:
            yield
        finally:
            self._tried -= 1

    def failed(self, why: str) -> None:
        """A command could not be started."""
        if self.paused:
            return  # several were about to
        if not self._in_doubt:
            log.warning("%s; until it can, tasks are handed back, and few are claimed", why)
        self._in_doubt = self.paused = True
        asyncio.get_running_loop().call_later(self._backoff.next(), self._try_again)

    def worked(self) -> None:
        """A command was started."""
        if self._in_doubt:
            log.warning("the command can be started again")
            self._in_doubt = False
            self._backoff.reset()
            self._wake()

    def _try_again(self) -> None:
        self.paused = False
        self._wake()
