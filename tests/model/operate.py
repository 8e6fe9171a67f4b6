"""What a person does: cancel, the dead letters, the switches (rules 12, 13, 15)."""

from __future__ import annotations

from collections import deque
from typing import Any

from . import breaker
from .endings import Answer, gap, slow_down
from .world import PENDING, ModelTask, Refused, World


def cancel(world: World, id: str, reason: str) -> list[str]:
    """The ids that were cancelled, this one first."""
    task = world.task(id)
    if task.place not in (*PENDING, "leased"):
        raise Refused("InvalidState")
    _cancel_one(world, task, reason)
    found = [id, *_cascade(world, [id])]
    world.retention(len(found))
    return found


def _cancel_one(world: World, task: ModelTask, reason: str) -> None:
    running = task.place == "leased"
    world.forget_canary(task.id)
    task.place, task.ended, task.reason = "cancelled", world.now, reason
    task.waits = set()
    if running:
        breaker.give_back(world, task.type, task.id, task.token)
        world.close(task, "cancelled", "cancel", reason)


def _cascade(world: World, parents: list[str]) -> list[str]:
    """Breadth first: the parent that is reached first gives the reason, dependents in their order of creation."""
    found: list[str] = []
    queue = deque(parents)
    while queue:
        parent = queue.popleft()
        behind = [task for task in world.tasks.values() if parent in task.waits]
        for task in sorted(behind, key=lambda t: t.sequence):
            _cancel_one(world, task, f"Parent {parent} cancelled")
            found.append(task.id)
            queue.append(task.id)
    return found


def _dead(world: World, id: str) -> ModelTask:
    task = world.task(id)
    if task.place != "dead":
        raise Refused("InvalidState")
    return task


def retry_dead(world: World, id: str, delay: int, *, force: bool) -> Answer:
    task = _dead(world, id)
    if world.equal_of(task) is not None and not force:
        raise Refused("DuplicateTask")
    # Silent: of two equal tasks that live by force, the one that was forced last answers for their key.
    world.canaries.pop(id, None)
    world.revive(task, world.now + delay)
    return task.state, 0, task.available


def canary_dead(world: World, id: str, others: list[str]) -> int:
    """How many dead letters wait for this one to complete."""
    task = _dead(world, id)
    if world.equal_of(task) is not None:
        raise Refused("DuplicateTask")
    dead = [other for other in others if other != id and other in world.tasks and world.tasks[other].place == "dead"]
    world.canaries |= dict.fromkeys(dead, id)
    world.canaries.pop(id, None)
    world.revive(task, None)
    return len(dead)


def resolve_dead(world: World, id: str, result: dict[str, Any]) -> Answer:
    task = _dead(world, id)
    if gap(world, result.get("decisionReport")):
        raise Refused("DecisionReportMissing")
    world.canaries.pop(id, None)
    task.place, task.ended, task.result = "completed", world.now, {"status": "success", **result}
    world.own(task, first=False)
    world.totals["completed"] += 1
    world.release_dependents(id)
    world.retention(1)
    return task.state, task.retries, task.available


def discard_dead(world: World, id: str) -> list[str]:
    """The dependents that were cancelled."""
    world.remove(_dead(world, id))
    world.canaries.pop(id, None)
    world.forget_canary(id)
    found = _cascade(world, [id])
    world.retention(len(found))
    return found


def escalate_dead(world: World, id: str, note: str) -> None:
    task = _dead(world, id)
    task.escalated, task.note = world.now, note


def pause(world: World, type: str | None) -> bool:
    if type is None:
        changed, world.paused = not world.paused, True
        return changed
    changed = type not in world.paused_types
    world.paused_types.add(type)
    return changed


def resume(world: World, type: str | None, agent: str | None) -> bool:
    if agent is not None:
        hold = world.hold(agent)
        held, hold.until = hold.until > world.now, min(hold.until, world.now)
        return held
    if type is None:
        changed, world.paused = world.paused, False
        return changed
    changed = type in world.paused_types
    world.paused_types.discard(type)
    return changed


def slowdown(world: World, wait: int) -> int:
    """Until when, 0 when it was lifted."""
    if wait == 0:
        world.slowdown = 0
        return 0
    return slow_down(world, wait)
