"""What came of the tasks of a campaign: the queue and the ledger of effects, held against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from lokiredis import Queue, State
from lokiredis.models import Task

from .ledger import Ledger


@dataclass(frozen=True)
class Counts:
    """How many tasks there are of each kind.

    ``ok``: completed, and the effect in force is that of the attempt which completed it. ``lost``: acknowledged, but
    not completed, or without effect. ``duplicated``: in effect done twice, since an effect was accepted from somebody
    else than the attempt that counts, or twice from one claim. ``recovered``: completed by a later attempt than the
    first. ``unexpected``: what should not have happened otherwise, each in ``told``.
    """

    attempted: int
    acknowledged: int
    ok: int
    lost: int
    duplicated: int
    recovered: int
    unexpected: int
    told: Sequence[str]

    def __str__(self) -> str:
        return ", ".join(f"{name} {getattr(self, name):,}" for name in (f.name for f in fields(self)) if name != "told")


def count(ledger: Ledger, tasks: Mapping[str, Task], told: Sequence[str]) -> Counts:
    """The counts at the end. ``told`` is what was seen on the way that should not have happened."""
    attempted, acknowledged = ledger.tasks("attempted"), ledger.tasks("acknowledged")
    effects, repeated = ledger.effects(), ledger.repeated()
    completed = {id: task for id, task in tasks.items() if task.state is State.COMPLETED}
    # That the queue remembers one completion only, by its newest token, is part of it.
    ok = {id for id, task in completed.items() if [effects.get(id)] == _completions(task) == [task.token]}
    lost = acknowledged - (completed.keys() & effects.keys())
    duplicated = {id for id in completed if id in effects} - ok | repeated
    unexpected = [
        *told,
        *(f"{id} was never enqueued" for id in tasks.keys() - attempted),
        *(f"{id} was enqueued, and nobody was told" for id in (tasks.keys() & attempted) - acknowledged),
        *(f"{id} has an effect, and is not in the queue" for id in effects.keys() - tasks.keys()),
        *(f"{task.id} failed: {error}" for task in tasks.values() for error in _failures(task)),
    ]
    return Counts(
        attempted=len(attempted),
        acknowledged=len(acknowledged),
        ok=len(ok - duplicated),
        lost=len(lost),
        duplicated=len(duplicated),
        recovered=sum(len(task.attempts) > 1 for task in completed.values()),
        unexpected=len(unexpected),
        told=unexpected,
    )


def all_tasks(queue: Queue) -> dict[str, Task]:
    """Every task of a queue, whatever its state."""
    tasks: dict[str, Task] = {}
    cursor = None
    while True:
        page = queue.list(None, limit=500, cursor=cursor)
        tasks |= {task.id: task for task in page.tasks}
        cursor = page.cursor
        if cursor is None:
            return tasks


def _completions(task: Task) -> list[int]:
    return [attempt.token for attempt in task.attempts if attempt.outcome == "completed"]


def _failures(task: Task) -> list[str | None]:
    """Nobody's work fails here: a claim ends by its completion, or with its lease, or is handed back."""
    return [attempt.error for attempt in task.attempts if attempt.outcome not in ("completed", "expired", "released")]
