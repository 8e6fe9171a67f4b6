"""lua/discard_dead.lua: a dead letter is forgotten."""

from __future__ import annotations

import pytest

from lokiredis import Cancelled, InvalidState, TaskNotFound, UnknownDependency

from ..clock import ClockedQueue
from .moves import add, add_many, bury, drive_on, places, stored, take


def test_gone_with_its_dependents_cancelled(clocked: ClockedQueue) -> None:
    """Nothing of it is left, and what waited for it is cancelled, transitively, naming it."""
    add(clocked, "x", payload={"n": 1})
    add(clocked, "y", dependencies=["x"])
    add(clocked, "z", dependencies=["y"])
    clocked.fail(take(clocked), "no", retry=False)
    assert clocked.discard_dead("x", "hopeless") == Cancelled(2, ["y", "z"], True)
    assert places(clocked) == {"y": "cancelled", "z": "cancelled"}
    assert [clocked.get(id).cancel_reason for id in ("y", "z")] == ["Parent x cancelled", "Parent y cancelled"]
    with pytest.raises(TaskNotFound):
        clocked.get("x")
    with pytest.raises(UnknownDependency):
        clocked.enqueue(type="a", dependencies=["x"])


def test_its_key_is_free(clocked: ClockedQueue) -> None:
    """An equal task may come again, and the id too."""
    clocked.enqueue(type="a", id="x", idempotency_key="k")
    clocked.fail(take(clocked), "no", retry=False)
    clocked.discard_dead("x", "no")
    assert clocked.enqueue(type="a", id="x", idempotency_key="k").created


def test_the_id_used_again_during_the_cascade(clocked: ClockedQueue) -> None:
    """Dependents of the new task are its own: the old one's cascade doesn't touch them."""
    add(clocked, "x")
    add_many(clocked, 1500, "old", type="b", dependencies=("x",))
    clocked.fail(take(clocked), "no", retry=False)
    assert not clocked.discard_dead("x", "no").done
    add(clocked, "x")
    add(clocked, "mine", dependencies=["x"])
    drive_on(clocked)
    assert clocked.counts()["cancelled"] == 1500
    assert places(clocked)["mine"] == "blocked"


def test_refused_and_repeated(clocked: ClockedQueue) -> None:
    """Only a dead letter; the same request answers the same though the task is gone."""
    add(clocked, "x")
    before = stored(clocked)
    with pytest.raises(InvalidState) as caught:
        clocked.discard_dead("x", "no")
    with pytest.raises(TaskNotFound):
        clocked.discard_dead("nobody", "no")
    assert (caught.value.state, stored(clocked)) == ("pending", before)
    bury(clocked, "dead", priority=9)
    first = clocked.discard_dead("dead", "no", request="r")
    before = stored(clocked)
    assert clocked.discard_dead("dead", "no", request="r") == first
    assert stored(clocked) == before
