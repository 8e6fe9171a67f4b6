"""lua/get.lua: one task with all that belongs to it."""

from __future__ import annotations

import pytest

from lokiredis import State, TaskNotFound

from ..clock import ClockedQueue
from .moves import add, bury, done, moment, take


def test_an_unknown_task(clocked: ClockedQueue) -> None:
    """There is none with this id."""
    with pytest.raises(TaskNotFound) as caught:
        clocked.get("nobody")
    assert caught.value.id == "nobody"


def test_the_default_key_is_shown(clocked: ClockedQueue) -> None:
    """A task that named no key shows the one that follows from its content; an empty one stays empty."""
    clocked.enqueue(type="a", id="x", payload={"b": 1, "a": [2]})
    key = clocked.get("x").idempotency_key
    assert clocked.enqueue(type="a", payload={"b": 1, "a": [2]}).id == "x"
    assert key is not None
    assert len(key) == 64
    assert clocked.get(add(clocked, "y")).idempotency_key == ""


def test_states_and_places(clocked: ClockedQueue) -> None:
    """The documented state and the finer place of each kind."""
    bury(clocked, "dead")
    add(clocked, "done")
    done(clocked, take(clocked))
    add(clocked, "running")
    take(clocked, lease=5)
    add(clocked, "ready")
    add(clocked, "gone")
    clocked.cancel("gone", "no")
    shown = {id: (clocked.get(id).state, clocked.get(id).place) for id in ("dead", "done", "running", "ready", "gone")}
    assert shown == {
        "dead": (State.DEAD_LETTER, "dead"),
        "done": (State.COMPLETED, "completed"),
        "running": (State.IN_PROGRESS, "leased"),
        "ready": (State.PENDING, "ready"),
        "gone": (State.CANCELLED, "cancelled"),
    }
    assert clocked.get("running").lease_expires_at == moment(clocked, 5)
