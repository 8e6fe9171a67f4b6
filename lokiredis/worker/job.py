"""One claim that a worker holds, from its claim until the queue has answered its ending."""

from __future__ import annotations

import asyncio
import enum
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..models import Claim


class Stop(enum.Enum):
    """Why work is ended before its time."""

    CANCELLED = "the task was cancelled"
    LOST = "the claim was lost"
    OVERDUE = "the lease may have run out: Redis was away, or this worker stood still"
    TIMEOUT = "the attempt took longer than the task's timeout"
    SHUTDOWN = "the worker is shutting down"


@dataclass(eq=False)
class Job:
    """``asked`` is time.monotonic() just before the call that gave the claim: the lease surely holds from then."""

    claim: Claim
    asked: float
    #: Whether the answer that gave it came after an outage: what became of the claim meanwhile nobody knows.
    late: bool = False
    held_until: float = field(init=False)
    #: time.monotonic() before the last call about this claim that the queue has answered, whatever it said.
    heard: float = field(init=False)
    limit: float = field(init=False)
    #: Seconds that the attempt may take. It and the type are read apart from the task, most of which is JSON.
    timeout: float = field(init=False)
    work: asyncio.Task[None] | None = field(init=False, default=None)
    #: Whether its handler was called. Until then nothing has to be cut off, and the claim may still be in doubt.
    begun: bool = field(init=False, default=False)
    stopped: Stop | None = field(init=False, default=None)
    #: Where a plain function runs.
    thread: Future[Any] | None = field(init=False, default=None)
    #: An earlier run of the same task by this worker, for as long as it may go on.
    before: Job | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.held_until = self.asked + self.claim.lease
        self.heard = self.asked
        self.timeout = self.claim.record.timeout
        self.limit = self.asked + self.timeout

    def is_over(self) -> bool:
        """Whether nothing of this run goes on, nor of one before it."""
        works = (self.work is not None and not self.work.done()) or (self.thread is not None and not self.thread.done())
        return not works and (self.before is None or self.before.is_over())

    def renewed(self, asked: float) -> None:
        """A heartbeat came through that was sent then."""
        self.held_until = max(self.held_until, asked + self.claim.lease)
        self.heard = asked

    def confirmed(self, asked: float, deadline: datetime) -> None:
        """The first heartbeat of a claim whose answer came late, sent at *asked*: by it the attempt is only so old.

        Counted from when the claim was asked for, an outage would be time of the attempt, and fail it unbegun.
        """
        self.renewed(asked)
        self.limit = asked + self.timeout - (deadline - self.claim.deadline).total_seconds()

    def moved_on(self, seconds: float) -> None:
        """A hold keeps the claim for so long, and does not count as time of the attempt (design rule 15)."""
        self.limit += seconds
        self.held_until = max(self.held_until, time.monotonic() + seconds + self.claim.lease)
