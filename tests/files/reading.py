"""The files as a test reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lokiredis import State

STATES = [state.value for state in State]


def tasks(folder: Path, state: str) -> list[dict[str, Any]]:
    """The tasks of a documented file."""
    found = json.loads((folder / "queue" / f"{state}.json").read_bytes())
    assert found.keys() == {"tasks"}
    listed: list[dict[str, Any]] = found["tasks"]
    return listed


def ids(folder: Path, state: str) -> list[str]:
    """Their ids, in the order of the file."""
    return [task["id"] for task in tasks(folder, state)]


def everything(folder: Path) -> dict[str, dict[str, Any]]:
    """id -> task with its file as ``file``; no id stands in two places, and each task agrees with its file."""
    found: dict[str, dict[str, Any]] = {}
    for state in STATES:
        for task in tasks(folder, state):
            assert task["id"] not in found, f"{task['id']} is in {state} and in {found[task['id']]['file']}"
            agrees(task, state)
            found[task["id"]] = task | {"file": state}
    return found


def agrees(task: dict[str, Any], state: str) -> None:
    """What the file says of a task, the task says too."""
    about = f"{task['id']} in {state}: {task}"
    assert (task["claimedBy"] is not None) >= (state in ("in-progress", "completed")), about
    assert (task["leaseExpiresAt"] is not None) == (state == "in-progress"), about
    assert (task["completedAt"] is not None) == (state == "completed"), about
    assert (task["cancelledAt"] is not None) == (state == "cancelled"), about
    assert (task["result"] is not None) == (state == "completed"), about
    assert state in ("pending", "in-progress", "dead-letter") or not task["waitingOn"], about
    assert state != "dead-letter" or task["lastError"], about
    assert state != "pending" or (task["claimedBy"], task["claimedAt"]) == (None, None), about
    assert task["status"] == state, about


def no_contradiction(found: dict[str, dict[str, Any]]) -> None:
    """What depends on another task agrees with where that one is, in the same files."""
    for task in found.values():
        for name in task["waitingOn"]:
            assert name in found, f"{task['id']} waits for {name}, which is nowhere"
            assert found[name]["file"] not in ("completed", "cancelled"), f"{task['id']} waits for {found[name]}"
        if task["file"] in ("in-progress", "completed"):
            for name in task["dependencies"]:
                assert found[name]["file"] == "completed", f"{task['id']} runs before {name}"
