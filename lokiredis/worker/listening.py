"""Listens for CANCEL, so that running work ends at once. A lost message costs the time to the next heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import LokiRedisError
from ..outages import FAILURES
from ..queue import AsyncQueue

#: After the channel broke, in seconds.
_PAUSE = 1.0


class Listener:
    """``cancelled`` is called with id and token of each claim that a cancel ended."""

    def __init__(self, queue: AsyncQueue, cancelled: Callable[[str, int], None]) -> None:
        self._queue = queue
        self._cancelled = cancelled

    async def run(self) -> None:
        """Listen until cancelled, over every outage."""
        while True:
            try:
                async for signal in self._queue.listen():
                    if signal.signal == "CANCEL":
                        self._cancelled(str(signal.data["id"]), int(signal.data["token"]))
            except (LokiRedisError, *FAILURES):
                await asyncio.sleep(_PAUSE)
