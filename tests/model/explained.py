"""What explain must say: exactly what the next claim does."""

from __future__ import annotations

from lokiredis import Queue

from . import claim
from .given import TYPES
from .world import World

#: An agent that nothing holds.
NOBODY = "nobody"


def compare_explanations(queue: Queue, world: World) -> None:
    """For each task: "ready now, place 1" when the next claim of its type takes it, and its place in line else."""
    for type in TYPES:
        told = {id: queue.explain(id) for id in world.tasks if world.tasks[id].type == type}
        later = world.copy()
        found = claim.claim(later, NOBODY, [type], 1, None)
        ready = sorted(later.in_place("ready", type=type), key=lambda task: task.rank)
        line = [task.id for task in (ready if isinstance(found, claim.Nothing) else [*found, *ready])]
        wanted = {id: line.index(id) + 1 if id in line else None for id in told}
        assert {id: one.position for id, one in told.items()} == wanted, f"the line of {type} is {line}"
        first = [] if isinstance(found, claim.Nothing) else [found[0].id]
        assert [id for id, one in told.items() if one.ready] == first
        for id, one in told.items():
            assert one.position is None or one.expected == "ready", f"{id} is in the line as {one.expected}"
            if one.expected == "blocked":
                assert {task.id for task in one.waits_for} == _roots(later, id)
        assert {(one.reason, _ms(one.retry_after)) for one in told.values()} <= {_nothing(found)}
    said = queue.explain_agent(NOBODY, TYPES)
    found = claim.claim(world.copy(), NOBODY, TYPES, 1, None)
    assert (said.reason, _ms(said.retry_after)) == _nothing(found)
    assert said.task == (None if isinstance(found, claim.Nothing) else found[0].id)


def _nothing(found: object) -> tuple[str | None, int | None]:
    return (found.reason, found.retry_after) if isinstance(found, claim.Nothing) else (None, None)


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _roots(world: World, id: str) -> set[str]:
    behind, found = [id], set()
    while behind:
        task = world.tasks[behind.pop()]
        if task.place == "blocked":
            behind += task.waits
        else:
            found.add(task.id)
    return found
