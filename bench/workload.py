"""The tasks that are measured: those of the demo's plan."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any
from uuid import uuid4

TYPES = ("eng-backend", "eng-frontend", "eng-qa")
AGENT = "bench-host/agent-1"
OUTPUT = {"files": ["src/todo/store.py"], "lines": 120}
REPORT = {
    "why": "the smallest change that meets the acceptance criteria",
    "what": ["a table", "an index for the open ones"],
    "tradeOffs": "no full-text search yet",
    "risks": [],
    "testResults": {"passed": 12, "failed": 0},
    "nextSteps": ["deploy"],
}

# Added to each task: without it the queue would see that the tasks are equal, and store one.
_runs = itertools.count()


def plan() -> list[dict[str, Any]]:
    """The tasks of the plan that the demo works through."""
    found = json.loads((files("lokiredis") / "demo" / "todo-app-plan.json").read_text())
    tasks: list[dict[str, Any]] = found["tasks"] if isinstance(found, dict) else found
    return tasks


def independent_tasks(plan: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The plan's documents without end, over three types, ids made by the client (UUIDs), no dependencies."""
    for task, type in zip(itertools.cycle(plan), itertools.cycle(TYPES), strict=False):
        own = {name: value for name, value in task.items() if name not in ("id", "dependencies", "idempotencyKey")}
        yield {**own, "type": type, "run": next(_runs)}


def copy_of(plan: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The plan once more, with its types and dependencies, under new ids (UUIDs)."""
    ids = {task["id"]: str(uuid4()) for task in plan}
    run = next(_runs)
    return [
        {**task, "id": ids[task["id"]], "dependencies": [ids[name] for name in task["dependencies"]], "run": run}
        for task in plan
    ]


def small_tasks(number: int, **fields: Any) -> Iterator[dict[str, Any]]:
    """Tasks with next to no document, over three types, for filling a queue."""
    for _, type in zip(range(number), itertools.cycle(TYPES), strict=False):
        yield {"type": type, "payload": {"run": next(_runs)}, **fields}
