"""Renews the claims of a worker: one call for all of them, from a thread of its own.

A thread, because a handler that blocks the event loop must not lose its claim, nor those of the handlers beside it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..errors import LokiRedisError, QueueUnavailable, StaleClaim, TaskNotFound
from ..models import Heartbeat
from ..queue import Queue
from .job import Job, Stop
from .outage import Backoff

log = logging.getLogger("lokiredis.worker")

#: A call takes at most 1,000 claims.
AT_ONCE = 1000


def hear(
    jobs: Sequence[Job], answers: Sequence[Heartbeat | LokiRedisError], asked: float, told: Callable[[Job, Stop], None]
) -> None:
    """Note how heartbeats that were sent at *asked* were answered; *told* hears of claims that ended without us."""
    for job, answer in zip(jobs, answers, strict=True):
        job.heard = asked
        if isinstance(answer, Heartbeat):
            if answer.cancelled:
                told(job, Stop.CANCELLED)
            else:
                job.renewed(asked)
        elif isinstance(answer, (StaleClaim, TaskNotFound)):
            told(job, Stop.LOST)
        else:
            log.warning("%s: %s", job.claim.id, answer)


class Leases:
    """``told`` is called in this thread for a claim that has ended without us.

    ``announce``, called here too, tells the queue of the worker; with True, that it leaves.
    ``outage`` is told of each heartbeat whether Redis was away for it: somebody else says it then, once for all.
    """

    def __init__(
        self,
        queue: Queue,
        lease: float,
        told: Callable[[Job, Stop], None],
        announce: Callable[[Queue, bool], None] | None = None,
        outage: Callable[[QueueUnavailable | None], None] | None = None,
    ) -> None:
        self.queue = queue
        self._outage = outage or self._say
        self._announce = announce
        self.lease = lease
        self._told = told
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._away = False
        self._backoff = Backoff()
        self._thread = threading.Thread(target=self._run, name="lokiredis-leases", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def end(self) -> None:
        """Renew no more, without waiting for a call that is under way."""
        self._ended.set()

    def stop(self, patience: float | None = None) -> None:
        """Renew no more; returns when the last call has ended, or after so many seconds without an answer."""
        self.end()
        self._thread.join(patience)

    def hold(self, job: Job) -> None:
        """Renew this one from now on."""
        with self._lock:
            self._jobs[job.claim.id] = job

    def drop(self, job: Job) -> None:
        """This one has ended."""
        with self._lock:
            if self._jobs.get(job.claim.id) is job:
                del self._jobs[job.claim.id]

    def _run(self) -> None:
        try:
            self._renew_until_ended()
        finally:
            self.queue.close()

    def _renew_until_ended(self) -> None:
        self._tell()
        while not self._ended.wait(self._pause()):
            try:
                self._renew_all()
                if not self._away:
                    self._tell()
            except Exception:
                log.exception("the claims were not renewed")  # but will be: without this thread all leases would end
        self._tell(leaving=True)

    def _renew_all(self) -> None:
        with self._lock:
            jobs = list(self._jobs.values())
        if not jobs:
            self._answered()  # then nothing asks any more whether Redis is back
            self.queue._drop_idle()  # a thousand idle workers shall not keep a thousand of them
        for first in range(0, len(jobs), AT_ONCE):
            self._renew(jobs[first : first + AT_ONCE])

    def _tell(self, leaving: bool = False) -> None:
        """Not to be heard is no reason to end anything: leases decide."""
        if self._announce is not None:
            with suppress(LokiRedisError):
                self._announce(self.queue, leaving)

    def _pause(self) -> float:
        """A third of the shortest lease: two renewals may fail before one runs out. In an outage: soon."""
        with self._lock:
            pause = min([self.lease, *(job.claim.lease for job in self._jobs.values())]) / 3
        return min(pause, self._backoff.next()) if self._away else pause

    def _renew(self, jobs: list[Job]) -> None:
        asked = time.monotonic()
        try:
            answers = self.queue.heartbeat_many([job.claim for job in jobs])
        except QueueUnavailable as e:
            self._outage(e)
            self._away = True
            return
        except LokiRedisError as e:
            log.warning("the claims can't be renewed: %s", e)
            self._answered()
            return
        self._outage(None)
        self._answered()
        hear(jobs, answers, asked, self._told)

    def _answered(self) -> None:
        self._away = False
        self._backoff.reset()

    def _say(self, away: QueueUnavailable | None) -> None:
        if away and not self._away:
            log.warning("the claims can't be renewed: %s", away)
        elif self._away and not away:
            log.info("the claims are renewed again")
