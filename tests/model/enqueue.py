"""Storing new tasks (rules 4 and 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .world import BLOCKING, ModelTask, Refused, World


@dataclass
class New:
    """A task to enqueue. An empty key means no deduplication."""

    id: str
    type: str
    priority: int = 5
    depends: tuple[str, ...] = ()
    key: str = ""
    timeout: int = 3_600_000
    max_retries: int = 3
    base: int = 60_000
    available: int | None = None
    delay: int | None = None
    payload: Any = field(default_factory=dict)


def enqueue(world: World, batch: Sequence[New]) -> list[tuple[str, bool, str]]:
    """Store a batch: id, created and state of each; refused whole."""
    meant: dict[str, str] = {}
    keys: dict[str, str] = {}
    fresh: dict[str, New] = {}
    for new in batch:
        twin = _twin(world, new, meant, keys, batch)
        if twin is None:
            fresh[new.id] = new
            if new.key:
                keys[new.key] = new.id
        meant.setdefault(new.id, twin or new.id)
    places = [meant[new.id] for new in batch]
    depends = {new.id: _resolve(world, new, meant, fresh) for new in fresh.values()}
    _refuse_cycles(depends)
    first = {id: places.index(id) for id in fresh}
    for id, new in fresh.items():
        _store(world, new, depends[id])
    for id, new in fresh.items():
        task = world.tasks[id]
        task.waits = {name for name in depends[id] if name in world.tasks and world.tasks[name].place != "completed"}
        world.pending(task, _available(world, new))
        task.available = _available(world, new)
    return [(id, first.get(id) == i, world.tasks[id].state) for i, id in enumerate(places)]


def _twin(world: World, new: New, meant: dict[str, str], keys: dict[str, str], batch: Sequence[New]) -> str | None:
    """The task that stands for this one, or None when it is new."""
    if new.id in world.tasks:
        stored = world.tasks[new.id]
        if new.key and stored.key == new.key and stored.place in BLOCKING:
            return new.id
        raise Refused("TaskExists")
    if new.id in meant:
        earlier = next(other for other in batch if other.id == new.id)
        if new.key and earlier.key == new.key:
            return meant[new.id]
        raise Refused("TaskExists")
    if not new.key:
        return None
    living = world.living_owners(new.key)
    return living[0] if living else keys.get(new.key)


def _resolve(world: World, new: New, meant: dict[str, str], fresh: dict[str, New]) -> tuple[str, ...]:
    """The ids it depends on: inside the batch a duplicate means the task returned for it."""
    found: dict[str, None] = {}
    for name in new.depends:
        id = meant.get(name, name)
        if id == new.id:
            raise Refused("DependencyCycle")
        if id not in fresh:
            if id in world.tasks:
                if world.tasks[id].place == "cancelled":
                    raise Refused("UnknownDependency")
            elif world.tombstones.get(id, 0) <= world.now:
                raise Refused("UnknownDependency")
        found[id] = None
    return tuple(found)


def _refuse_cycles(depends: dict[str, tuple[str, ...]]) -> None:
    left = {id: {name for name in names if name in depends} for id, names in depends.items()}
    while left:
        free = {id for id, names in left.items() if not names}
        if not free:
            raise Refused("DependencyCycle")
        left = {id: names - free for id, names in left.items() if id not in free}


def _available(world: World, new: New) -> int | None:
    """Silent: with both given, the later one; a time in the past is kept to be seen."""
    times = [new.available, None if new.delay is None else world.now + new.delay]
    return max((t for t in times if t is not None), default=None)


def _store(world: World, new: New, depends: tuple[str, ...]) -> None:
    world.sequence += 1
    world.tasks[new.id] = ModelTask(
        id=new.id,
        type=new.type,
        priority=new.priority,
        sequence=world.sequence,
        max_retries=new.max_retries,
        timeout=new.timeout,
        base=new.base,
        backoff=new.base,
        key=new.key,
        depends=depends,
        payload=new.payload,
        created=world.now,
        available=None,
    )
    world.tombstones.pop(new.id, None)
    if new.key:
        world.owners[new.key] = [new.id]
