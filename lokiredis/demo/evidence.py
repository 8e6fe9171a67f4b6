"""What was seen of a run: the queue's own records, and how the agent processes ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ..models import Attempt, Stats, Task
from ..queue import Queue


@dataclass(frozen=True)
class Snapshot:
    """The queue at one moment, read through its public API."""

    stats: Stats
    tasks: Mapping[str, Task]

    @classmethod
    def of(cls, queue: Queue) -> Snapshot:
        """What *queue* holds now."""
        tasks: dict[str, Task] = {}
        cursor = None
        while True:
            page = queue.list(None, limit=1000, cursor=cursor)
            tasks |= {task.id: task for task in page.tasks}
            cursor = page.cursor
            if cursor is None:
                return cls(queue.stats(), tasks)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing runs."""
        return self.stats.counts["pending"] == 0 and self.stats.counts["in-progress"] == 0


@dataclass(frozen=True)
class Killed:
    """The agent that was killed with -9, and the task that it had."""

    agent: str
    task: str


@dataclass(frozen=True)
class Evidence:
    """A whole run. ``exits``: agent -> exit code, None while it runs; ``refusals``: why an observer got nothing;
    ``slowdown_until``: until when the fleet was told to wait, which the queue forgets after that.
    """

    snapshot: Snapshot
    began: datetime
    folder: Path
    exits: Mapping[str, int | None]
    killed: Killed | None = None
    refusals: frozenset[str] = field(default_factory=frozenset)
    slowdown_until: datetime | None = None
    out_of_time: bool = False

    def at(self, when: datetime) -> str:
        """A time as people read it: so long after the plan was loaded."""
        return f"{(when - self.began).total_seconds():.1f} s"

    def attempts(self) -> list[tuple[Task, Attempt]]:
        """Every claim that ended, of every task, by the time at which it began."""
        found = [(task, attempt) for task in self.snapshot.tasks.values() for attempt in task.attempts]
        return sorted(found, key=lambda pair: pair[1].claimed_at)
