"""The limit: bench/floor.lua does the writes of a task's life and keeps no rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from private_server import PrivateServer, Spent
from workload import OUTPUT, REPORT, TYPES

_SOURCE = Path(__file__).with_name("floor.lua")
#: As long as those that lokiredis stores.
_FIELDS = "ready eng-backend 8 61 0 3 3600000 60000 60000 1795394775972 ... 0 . 302 r3a2Q7wMmC89TgXyeCDp6Q q47VGCuMKuIG"
_RUNNING = _FIELDS + " 1795394775973 bench-host/agent-1 vm 1795394775973 3600000 1795398375973"
_RESULT = json.dumps({"output": OUTPUT, "decisionReport": REPORT})


class Floor:
    """One queue without rules."""

    def __init__(self, server: PrivateServer, name: str) -> None:
        self.server = server
        prefix = f"floor:{{{name}}}:"
        names = ["tasks", "documents", "index", "unique", "results", "completed", "events"]
        names += [f"{place}:{type}" for place in ("ready", "leased") for type in TYPES]
        self._keys = [prefix + name for name in names]
        server.client.function_load(_SOURCE.read_text(), replace=True)

    def round(self, documents: list[dict[str, Any]], size: int, *, waiting: int) -> dict[str, Spent]:
        """Enqueue, claim and complete the tasks, ``size`` per call, ``waiting`` calls sent at a time."""
        tasks = [(str(uuid4()), TYPES.index(task["type"]) + 1, json.dumps(task)) for task in documents]
        types = {id: type for id, type, _ in tasks}
        before = self.server.spent()
        words = [
            [word for id, type, text in part for word in (id, type, _FIELDS, uuid4().hex[:22], text)]
            for part in _parts(tasks, size)
        ]
        self._send("enqueue", words, waiting)
        enqueued = self.server.spent()
        claims = self._send("claim", [[size, _RUNNING, len(TYPES)]] * (len(tasks) // size), waiting)
        claimed = self.server.spent()
        ids = [id.decode() for found, _ in claims for id in found]
        assert len(ids) == len(tasks), f"{len(ids)} of {len(tasks)} were claimed"
        words = [
            [len(TYPES), _RUNNING, *(word for id in part for word in (id, types[id], _RESULT))]
            for part in _parts(ids, size)
        ]
        self._send("complete", words, waiting)
        return {
            "enqueue": enqueued.since(before),
            "claim": claimed.since(enqueued),
            "complete": self.server.spent().since(claimed),
        }

    def _send(self, function: str, calls: list[list[Any]], waiting: int) -> list[Any]:
        found = []
        for part in _parts(calls, waiting):
            pipe = self.server.client.pipeline(transaction=False)
            for words in part:
                pipe.fcall(f"lokibench_{function}", len(self._keys), *self._keys, *words)
            found += pipe.execute()
        return found


def _parts(items: list[Any], size: int) -> list[list[Any]]:
    return [items[first : first + size] for first in range(0, len(items), size)]
