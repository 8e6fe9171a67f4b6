"""What was seen of a run: the queue's own records, and how the agent processes ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
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
class Held:
    """An agent that met a rate limit was held, from then until then."""

    begin: datetime
    until: datetime


def hold_of(queue: Queue, id: str) -> Held | None:
    """The first hold that the task *id* caused. Only the event stream (lua/README.md) tells of it afterwards."""
    for _, entry in queue.redis.xrange(queue.keys.events):
        fields = {_text(name): _text(value) for name, value in entry.items()}
        for line in fields["events"].split("\n"):
            kind, task, _type, _agent, _token, *words = line.split(" ")
            if (kind, task) == ("held", id):
                return Held(_time(fields["at"]), _time(words[0]))
    return None


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()


def _time(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(0, timezone.utc) + timedelta(milliseconds=int(milliseconds))


@dataclass(frozen=True)
class Evidence:
    """A whole run. ``exits``: agent -> exit code, None while it runs; ``refusals``: why an observer got nothing;
    ``hold``: of the agent that met the rate limit; ``slowdown_until``: until when the fleet was told to wait, which the
    queue forgets after that.
    """

    snapshot: Snapshot
    began: datetime
    folder: Path
    exits: Mapping[str, int | None]
    killed: Killed | None = None
    refusals: frozenset[str] = field(default_factory=frozenset)
    hold: Held | None = None
    slowdown_until: datetime | None = None
    out_of_time: bool = False

    def at(self, when: datetime) -> str:
        """A time as people read it: so long after the plan was loaded."""
        return f"{(when - self.began).total_seconds():.1f} s"

    def attempts(self) -> list[tuple[Task, Attempt]]:
        """Every claim that ended, of every task, by the time at which it began."""
        found = [(task, attempt) for task in self.snapshot.tasks.values() for attempt in task.attempts]
        return sorted(found, key=lambda pair: pair[1].claimed_at)
