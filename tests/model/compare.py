"""The real queue and the model in the same words, so that a difference is one line of an assertion."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import astuple
from datetime import datetime
from typing import Any

from lokiredis.models import Breaker, Stats, Task, at_ms

from .world import PENDING, STATES, ModelBreaker, ModelTask, World

_LOST = re.compile(r"^(?:lost|timeout): (\S+)(?: on \S+)? (?:did not renew|took longer than)")
_COLUMNS = ("ready", "delayed", "blocked", "in-progress", "completed", "dead-letter", "cancelled")


def ms(when: datetime | None) -> int | None:
    return None if when is None else at_ms(when)


def _seconds(value: float) -> int:
    return round(value * 1000)


def _error(text: str | None) -> str | None:
    """The wording of a lost attempt is free, but it says which agent was lost."""
    lost = _LOST.match(text) if text is not None else None
    return f"*{lost[1]}*" if lost else text


def real_task(task: Task) -> dict[str, Any]:
    """A task as the queue tells it."""
    return {
        "id": task.id,
        "place": task.place,
        "state": str(task.state),
        "type": task.type,
        "priority": task.priority,
        "dependencies": task.dependencies,
        "payload": task.payload,
        "created": ms(task.created_at),
        "claimed_by": task.claimed_by,
        "claimed": ms(task.claimed_at),
        "timeout": _seconds(task.timeout),
        "retries": task.retries,
        "max_retries": task.max_retries,
        "backoff": _seconds(task.backoff_seconds),
        "base": _seconds(task.backoff_base),
        "error": _error(task.last_error),
        "completed": ms(task.completed_at),
        "cancelled": ms(task.cancelled_at),
        "reason": task.cancel_reason,
        "result": task.result,
        "available": ms(task.available_at),
        "checkpoint": task.checkpoint,
        "progress": task.progress,
        "waits": set(task.waiting_on),
        "token": task.token,
        "deadline": ms(task.lease_expires_at),
        "escalated": ms(task.escalated_at),
        "note": task.escalation_note,
        "attempts": [
            (a.token, a.agent, ms(a.claimed_at), ms(a.ended_at), a.outcome, _error(a.error)) for a in task.attempts
        ],
    }


def model_task(task: ModelTask) -> dict[str, Any]:
    """The same task as the model has it."""
    return {
        "id": task.id,
        "place": task.place,
        "state": STATES[task.place],
        "type": task.type,
        "priority": task.priority,
        "dependencies": task.depends,
        "payload": task.payload,
        "created": task.created,
        "claimed_by": task.agent,
        "claimed": task.claimed,
        "timeout": task.timeout,
        "retries": task.retries,
        "max_retries": task.max_retries,
        "backoff": task.backoff,
        "base": task.base,
        "error": task.error,
        "completed": task.ended if task.place == "completed" else None,
        "cancelled": task.ended if task.place == "cancelled" else None,
        "reason": task.reason,
        "result": task.result,
        "available": task.available,
        "checkpoint": task.checkpoint,
        "progress": task.progress,
        "waits": task.waits,
        "token": task.token,
        "deadline": task.deadline,
        "escalated": task.escalated,
        "note": task.note,
        "attempts": [(a.token, a.agent, a.claimed, a.ended, a.outcome, a.error) for a in task.attempts],
    }


def compare_tasks(real: Iterable[Task], world: World) -> None:
    """Every field of every task; both in the order of creation."""
    told = list(real)
    expected = sorted(world.tasks.values(), key=lambda t: t.sequence)
    assert [t.id for t in told] == [t.id for t in expected]
    for one, other in zip(told, expected, strict=True):
        is_so, should = real_task(one), model_task(other)
        if is_so != should:
            wrong = {k: (is_so[k], should[k]) for k in should if is_so[k] != should[k]}
            raise AssertionError(f"{one.id}: (queue, model) differ: {wrong}")


def claim_order(world: World) -> list[str]:
    """The pending tasks as rule 2 and section 5 order them."""
    ready = sorted(world.in_place("ready"), key=lambda t: t.rank)
    delayed = sorted(world.in_place("delayed"), key=lambda t: (t.available or 0, t.id))
    blocked = sorted(world.in_place("blocked"), key=lambda t: t.rank)
    return [t.id for t in (*ready, *delayed, *blocked)]


def _breaker(breaker: Breaker) -> tuple[Any, ...]:
    times = (ms(at) for at in (breaker.last_failure, breaker.opened_at, breaker.half_open_at))
    return (breaker.state, breaker.failures, *times)


def _model_breaker(breaker: ModelBreaker) -> tuple[Any, ...]:
    return breaker.state, breaker.failures, breaker.last_failure, breaker.opened, breaker.half_opened


def compare_stats(stats: Stats, world: World) -> None:
    """Counts, breakers and switches."""
    states = dict.fromkeys(STATES.values(), 0)
    types = {task.type: [0] * 7 for task in world.tasks.values()} | {type: [0] * 7 for type in world.paused_types}
    for task in world.tasks.values():
        states[task.state] += 1
        column = task.place if task.place in PENDING else task.state
        types[task.type][_COLUMNS.index(column)] += 1
    told = {
        "counts": stats.counts,
        "types": {type: list(astuple(t)) for type, t in stats.types.items()},
        "breakers": {type: _breaker(b) for type, b in stats.breakers.items()},
        "paused": stats.paused,
        "slowdown": ms(stats.slowdown_until),
        "totals": stats.totals,
        "todo": stats.todo,
    }
    expected = {
        "counts": states,
        "types": {type: [*counts, type in world.paused_types] for type, counts in types.items()},
        "breakers": {type: _model_breaker(b) for type, b in world.breakers.items()},
        "paused": world.paused,
        "slowdown": world.slowdown if world.slowdown > world.now else None,
        "totals": world.totals,
        "todo": 0,
    }
    wrong = {k: (told[k], expected[k]) for k in expected if told[k] != expected[k]}
    assert not wrong, f"stats: (queue, model) differ: {wrong}"
