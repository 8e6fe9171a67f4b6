"""What changes nothing: one task, pages of tasks, counts, breakers, settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import arguments, replies
from ..config import Settings, from_stored
from ..errors import InvalidTask, TaskNotFound
from ..keys import Keys
from ..models import Agent, Breaker, Page, State, Stats, Task, Wait, from_epoch
from .command import Command, build


def get(keys: Keys, /, id: str) -> Command[Task]:
    """The task, whatever its state. Raises TaskNotFound."""

    def parse(reply: Any) -> Task:
        if not reply:
            raise TaskNotFound(id=id)
        return replies.Record(reply).task()

    return build("get", keys, parse, id=arguments.word(id, "id"))


def list_(
    keys: Keys, /, state: State | str | None, *, type: str | None = None, limit: int = 100, cursor: str | None = None
) -> Command[Page]:
    """A page of tasks in one state (None: in all), pending ones in claim order, others by sequence.

    *limit* is 1 to 1,000. A page may be short; only a cursor of None is the end. Raises InvalidTask.
    """
    wanted = ""
    if state is not None:
        names = [s.value for s in State]
        if not isinstance(state, str) or state not in names:
            raise InvalidTask(f"one of {', '.join(names)}", field="state")
        wanted = State(state).value
    return build(
        "list",
        keys,
        replies.page,
        wanted=wanted,
        type="" if type is None else arguments.task_type(type),
        limit=arguments.limit(limit),
        cursor="" if cursor is None else arguments.word(cursor, "cursor"),
    )


def stats(keys: Keys, /) -> Command[Stats]:
    """Counts per type and state, breakers and switches, at one moment."""
    return build("stats", keys, replies.stats)


def counts(keys: Keys, /) -> Command[dict[str, int]]:
    """How many tasks are in each of the five states."""
    return build("stats", keys, lambda reply: replies.stats(reply).counts)


def breakers(keys: Keys, /) -> Command[dict[str, Breaker]]:
    """Every circuit breaker that has a history, by type."""
    return build("stats", keys, lambda reply: replies.stats(reply).breakers)


def agents(keys: Keys, /) -> Command[list[Agent]]:
    """Who works for this queue, by name: workers that announce themselves, whoever holds a claim (1,000 of each)."""
    return build("agents", keys, replies.agents)


def snapshot(
    keys: Keys, /, *, after: str = "0", last: str = "", since: str = "", limit: int, ids: Sequence[str] = ()
) -> Command[replies.Part]:
    """The next part of a snapshot (lua/snapshot.lua): up to *limit* new tasks, about as many changed ones, and *ids*.

    *after*, *last* and *since* are those of the part before. Raises InvalidTask.
    """
    return build("snapshot", keys, replies.part, ids, after=after, last=last, since=since, limit=arguments.limit(limit))


def waits(keys: Keys, /) -> Command[list[Wait]]:
    """The ready task that has waited longest, of each priority, the highest first. Of 1,000 task types at most."""

    def parse(reply: Any) -> list[Wait]:
        return [Wait(int(row[0]), replies.text(row[1]), replies.text(row[2]), from_epoch(int(row[3]))) for row in reply]

    return build("waits", keys, parse)


def settings(keys: Keys, /) -> Command[Settings]:
    """All settings with their values in force."""
    return build("settings", keys, lambda reply: from_stored(replies.settings(reply)))
