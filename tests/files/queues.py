"""Queues that a test fills, and pictures of all that an export must bring back."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from lokiredis import Queue

from ..invariants import check
from ..lua.moves import every
from ..servers import RedisServer

FIXTURES = Path(__file__).parents[1] / "fixtures"


def new_queue(server: RedisServer) -> Queue:
    """An empty queue."""
    return Queue(server.client(), name=f"q-{uuid4().hex[:12]}")


def picture(queue: Queue) -> dict[str, Any]:
    """Every task with its place, breakers whole, settings and pauses; the queue is sound."""
    check(queue.redis, queue.name)
    stats, tasks = queue.stats(), every(queue)
    return {
        "tasks": {task.id: (task.place, task.to_json()) for task in tasks},
        "order": [task.id for task in tasks],
        "documents": queue.redis.hgetall(queue.keys.fixed("documents")),
        "breakers": queue.redis.hgetall(queue.keys.fixed("breakers")),
        "claims": _claims(queue),
        "settings": queue.settings().model_copy(update={"version": 0}),
        "paused": (stats.paused, sorted(type for type, found in stats.types.items() if found.paused)),
    }


def _claims(queue: Queue) -> dict[str, Any]:
    """Host, time of the claim, lease and limit of each running task: not all of it is in a Task."""
    found = {}
    for id, words in queue.redis.hgetall(queue.keys.fixed("tasks")).items():
        place, _, _, token, agent, host, claimed, lease, limit, *_ = words.decode().split(" ")
        if place == "leased":
            found[id.decode()] = (token, agent, host, claimed, lease, limit)
    return found
