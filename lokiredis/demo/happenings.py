"""What is new between two looks at the queue, one line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ..models import Attempt, State, Task
from .evidence import Snapshot
from .plan import PROBE

_MOODS = {"closed": "good", "half-open": "news", "open": "bad"}


@dataclass(frozen=True)
class Happening:
    """A line of news. ``mood``: good, bad, or news for what is neither."""

    at: datetime
    text: str
    mood: str = "news"


def between(before: Snapshot, after: Snapshot) -> list[Happening]:
    """What happened after one look and before the next, in order."""
    found = [*_of_tasks(before, after), *_of_breakers(before, after)]
    until = after.stats.slowdown_until
    if until is not None and until != before.stats.slowdown_until:
        text = f"SLOWDOWN: no claims for anybody, for {(until - after.stats.now).total_seconds():.1f} s more"
        found.append(Happening(after.stats.now, text, "bad"))
    return sorted(found, key=lambda happening: happening.at)


def _of_tasks(before: Snapshot, after: Snapshot) -> Iterator[Happening]:
    for task in after.tasks.values():
        known = before.tasks.get(task.id)
        tokens = {attempt.token for attempt in known.attempts} if known else set()
        yield from (_of_attempt(task, attempt) for attempt in task.attempts if attempt.token not in tokens)
        if task.state == State.DEAD_LETTER and (known is None or known.state != State.DEAD_LETTER):
            ended = max(attempt.ended_at for attempt in task.attempts)
            yield Happening(ended, f"{task.id} is a dead letter after {task.retries} attempts", "bad")
        if known is None and task.id == PROBE["id"]:
            text = f"{task.id} is put into the queue, to probe whether {task.type} works again"
            yield Happening(task.created_at, text)


def _of_attempt(task: Task, attempt: Attempt) -> Happening:
    if attempt.outcome == "completed":
        return Happening(attempt.ended_at, f"{task.id} completed by {attempt.agent}", "good")
    if attempt.outcome == "expired":
        return Happening(attempt.ended_at, f"{task.id} is free again: {attempt.agent} was lost", "bad")
    return Happening(attempt.ended_at, f"{task.id} {attempt.outcome}, {attempt.agent}: {attempt.error}", "bad")


def _of_breakers(before: Snapshot, after: Snapshot) -> Iterator[Happening]:
    for type, breaker in after.stats.breakers.items():
        old = before.stats.breakers.get(type)
        if breaker.state != (old.state if old else "closed"):
            times = {"open": breaker.opened_at, "half-open": breaker.half_open_at}
            text = f"the breaker of {type} is {breaker.state}"
            yield Happening(times.get(breaker.state) or after.stats.now, text, _MOODS[breaker.state])
