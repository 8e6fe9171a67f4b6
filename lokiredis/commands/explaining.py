"""Why a task does not run, and why an agent gets none: the claim itself says so, which is tried and not made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from .. import arguments, replies
from ..errors import TaskNotFound
from ..explanation import AgentExplanation, Explanation, Gate, TypeLine
from ..keys import Keys
from ..models import from_epoch
from .command import Command, build


def explain(keys: Keys, /, id: str) -> Command[Explanation]:
    """Why this task runs or does not: its place in line, what it waits for, what stops its type. Raises TaskNotFound.

    Up to 2,000 tasks, 1,000 in a row, are looked at for what it waits for in the end, and up to 30,000 names or a MiB.
    """

    def parse(reply: Any) -> Explanation:
        if not reply:
            raise TaskNotFound(id=id)
        return _explanation(reply)

    return build("explain", keys, parse, id=arguments.word(id, "id"), silent=replies.SILENT)


def explain_agent(keys: Keys, /, agent: str, types: str | Iterable[str] = ()) -> Command[AgentExplanation]:
    """Why this agent gets no work, or which task its next claim takes; ``types``: other ones than it announced.

    Raises InvalidTask when the agent never announced itself and no types are given.
    """
    wanted = " ".join(arguments.task_types(types))
    return build("explain_agent", keys, lambda reply: _agent(agent, reply), agent=arguments.agent(agent), wanted=wanted)


def _explanation(reply: Sequence[Any]) -> Explanation:
    now, record, given, position, expected, paused, slowdown, gate, living, (roots, walked_all, first) = reply
    moment = from_epoch(int(now))
    id, reason, retry_after = _given(given)
    task = replies.Record(record).task()
    return Explanation(
        now=moment,
        task=task,
        ready=id == task.id,
        position=int(position) or None,
        expected=replies.text(expected),
        reason=reason,
        retry_after=retry_after,
        paused=bool(paused),
        slowdown_until=_later(slowdown, moment),
        gate=_gate(gate),
        agents=int(living),
        roots=int(roots),
        walked_all=bool(int(walked_all)),
        waits_for=tuple(replies.root(row) for row in first),
    )


def _agent(name: str, reply: Sequence[Any]) -> AgentExplanation:
    now, said, held, paused, slowdown, given, lines = reply
    moment = from_epoch(int(now))
    seen, every = replies.text(said).split("\n")[:2] if said else (None, "0")
    id, reason, retry_after = _given(given)
    return AgentExplanation(
        now=moment,
        agent=name,
        task=id,
        reason=reason,
        retry_after=retry_after,
        last_seen=from_epoch(int(seen)) if seen else None,
        lost=seen is not None and int(now) - int(seen) > replies.SILENT * int(every),
        held_until=_later(held, moment),
        paused=bool(paused),
        slowdown_until=_later(slowdown, moment),
        types=tuple(TypeLine(_gate(row[0]), *(int(count) for count in row[1:])) for row in lines),
    )


def _given(row: Sequence[Any]) -> tuple[str | None, str | None, float | None]:
    """The id that a claim gets, or why it gets none and for how long."""
    if row[0]:
        return replies.text(row[0]), None, None
    nothing = replies.one_claim(row)
    assert not nothing
    return None, nothing.reason, nothing.retry_after


def _gate(row: Sequence[Any]) -> Gate:
    type, paused, words, due = row
    told = replies.text(words) if words else None
    return Gate(
        type=replies.text(type),
        paused=bool(int(paused)),
        breaker=replies.breaker(told) if told else None,
        probe_at=from_epoch(int(due)) if due else None,
        probe=(told.split(" ")[6] or None) if told else None,
    )


def _later(value: Any, now: datetime) -> datetime | None:
    """A time that is still ahead."""
    found = from_epoch(int(value)) if value else None
    return found if found is not None and found > now else None
