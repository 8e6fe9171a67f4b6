"""Ends work whose time is over: the task's timeout, or a lease that could not be renewed."""

from __future__ import annotations

import asyncio
import time

from .job import Stop
from .runs import Runs

#: How often leases and time limits are looked at, in seconds, at most.
_TICK = 0.5


class Deadlines:
    """``stop_overdue``: whether work stops whose lease may have run out while Redis was away."""

    def __init__(self, runs: Runs, *, lease: float, stop_overdue: bool) -> None:
        self._runs = runs
        self._tick = min(_TICK, lease / 10)
        self._stop_overdue = stop_overdue
        #: time.monotonic() of the last look: none for long means that the event loop stands still.
        self.looked = time.monotonic()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._tick)
            self.looked = now = time.monotonic()
            for job in self._runs.running:
                if not job.begun:
                    continue
                if now >= job.limit:
                    self._runs.stop(job, Stop.TIMEOUT)
                elif now >= job.held_until and self._stop_overdue:
                    self._runs.stop(job, Stop.OVERDUE)
