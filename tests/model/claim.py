"""Taking tasks (rules 2, 3, 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import breaker
from .endings import charge
from .world import ModelTask, World

#: Rule 6: after so long without a reaper nothing is reaped for as long again.
GRACE = 60_000
#: Silent: that the reaper ran is noted once a second, so "has not run for 60 s" may come up to a second early.
NOTED_EVERY = 1000


@dataclass(frozen=True)
class Nothing:
    """Why nothing was given, and the time until time alone can change that."""

    reason: str
    retry_after: int | None


def claim(world: World, agent: str, types: Sequence[str], limit: int, lease: int | None) -> list[ModelTask] | Nothing:
    """The tasks that the agent gets; their tokens are the server's to choose."""
    tidy(world, types)
    stopped = _stopped(world, agent)
    if stopped is not None:
        return stopped
    chosen = _choose(world, types, limit)
    if not chosen:
        return _nothing(world, types)
    for task in chosen:
        task.place, task.agent, task.claimed = "leased", agent, world.now
        task.lease = task.timeout if lease is None else min(lease, task.timeout)
        task.limit, task.deadline = world.now + task.timeout, world.now + task.lease
    return chosen


def granted(world: World, task: ModelTask, token: int) -> None:
    """The server's token for a task that was just claimed."""
    assert token >= world.now, f"the token {token} of {task.id} is behind the clock {world.now}"
    assert task.token is None or token > task.token, f"{task.id} got {token} after {task.token}"
    task.token = token
    if breaker.gate(world, task.type) == "probe":
        breaker.half_open(world, task.type, task.id, token)


def tidy(world: World, types: Sequence[str]) -> None:
    """What every claim does first for its types."""
    for task in world.in_place("delayed"):
        assert task.available is not None
        if task.type in types and task.available <= world.now:
            task.place = "ready"
    reap_until = _reap_until(world)
    for type in types:
        for task in sorted(world.in_place("leased", type=type), key=lambda t: (t.deadline, t.id)):
            assert task.deadline is not None
            if task.deadline <= reap_until:
                charge(world, task, "expired", "expire", None, retry=True, spread=0)


def _reap_until(world: World) -> int:
    """Leases that ended by then are charged. What had ended by the last run had its minute then (rule 6)."""
    last = world.reaped
    until = world.now if world.now >= world.grace else 0
    if last is not None and not 0 <= world.now - last <= GRACE:
        until = last if last < world.grace <= world.now else 0
        world.grace = world.now + GRACE
    if last is None or not 0 <= world.now - last < NOTED_EVERY:
        world.reaped = world.now
    return until


def _stopped(world: World, agent: str) -> Nothing | None:
    held = world.hold(agent).until
    if world.paused:
        return Nothing("paused", None)
    if world.slowdown > world.now:
        return Nothing("slowdown", max(world.slowdown, held) - world.now)
    if held > world.now:
        return Nothing("held", held - world.now)
    return None


def _choose(world: World, types: Sequence[str], limit: int) -> list[ModelTask]:
    open_to: list[ModelTask] = []
    for type in types:
        ready = sorted(world.in_place("ready", type=type), key=lambda t: t.rank)
        gate = breaker.gate(world, type)
        if gate == "open":
            open_to += ready
        elif gate == "probe" and ready:
            # A probe that just failed gives way to the next ready task of its type.
            failed = world.breakers[type].gives_way
            open_to.append(next((task for task in ready if task.id != failed), ready[0]))
    return sorted(open_to, key=lambda t: t.rank)[:limit]


def _nothing(world: World, types: Sequence[str]) -> Nothing:
    ready = sorted((t for type in types for t in world.in_place("ready", type=type)), key=lambda t: t.rank)
    mine = [t for t in world.tasks.values() if t.type in types]
    if ready:
        reason = breaker.gate(world, ready[0].type)
    elif any(t.place == "delayed" for t in mine):
        reason = "delayed"
    elif any(t.place == "blocked" for t in mine):
        reason = "blocked"
    else:
        reason = "empty"
    times = [at for type in types for at in _changes(world, type)]
    return Nothing(reason, min(times) - world.now if times else None)


def _changes(world: World, type: str) -> list[int]:
    """When time alone changes something for this type: a due task, a lost lease, a breaker that is due."""
    gate = breaker.gate(world, type)
    if gate == "paused":
        return []
    if gate == "breaker" and world.breakers[type].state == "half-open":
        probe = world.breakers[type].probe
        assert probe is not None
        return [max(world.tasks[probe[0]].deadline or world.now, world.grace)]
    opens = breaker.due(world, type) if gate == "breaker" else world.now
    times = [max(t.available, opens) for t in world.in_place("delayed", type=type) if t.available is not None]
    leases = [t.deadline for t in world.in_place("leased", type=type) if t.deadline is not None]
    times += [max(deadline, world.grace, opens) for deadline in leases]
    if opens > world.now and world.in_place("ready", type=type):
        times.append(opens)
    return times
