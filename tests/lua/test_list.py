"""lua/list.lua: pages, their order and their ends."""

from __future__ import annotations

import pytest

from lokiredis import InvalidTask, NewTask, State

from ..clock import ClockedQueue
from .moves import add, add_many, bury, done, raw, take


def _walk(queue: ClockedQueue, state: State | str | None, limit: int, type: str | None = None) -> list[str]:
    """The ids of all pages, which must end."""
    found: list[str] = []
    cursor = None
    for _ in range(3000):
        page = queue.list(state, type=type, limit=limit, cursor=cursor)
        assert len(page.tasks) <= limit
        found += [task.id for task in page.tasks]
        cursor = page.cursor
        if cursor is None:
            return found
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_pending_in_claim_order(clocked: ClockedQueue, limit: int) -> None:
    """Ready ones by priority and age, then delayed ones by time, then blocked ones; over all types."""
    add(clocked, "r1", "a", priority=1)
    add(clocked, "d9", "b", delay=9)
    add(clocked, "r5", "b")
    add(clocked, "b5", "a", dependencies=["r1"])
    add(clocked, "r5b", "a")
    add(clocked, "d3", "a", delay=3)
    add(clocked, "b9", "b", priority=9, dependencies=["r1"])
    expected = ["r5", "r5b", "r1", "d3", "d9", "b9", "b5"]
    assert _walk(clocked, "pending", limit) == expected
    assert _walk(clocked, State.PENDING, limit, "a") == ["r5b", "r1", "d3", "b5"]


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_many_due_at_the_same_moment(clocked: ClockedQueue, limit: int) -> None:
    """Tasks with one time, of several types, are all shown once, however small the pages."""
    expected = set()
    for i in range(60):
        expected.add(add(clocked, f"x{i}", "abc"[i % 3], delay=60))
    expected.add(add(clocked, "late", "a", delay=61))
    expected.add(add(clocked, "blocked", "c", dependencies=["x0"]))
    shown = _walk(clocked, "pending", limit)
    assert (len(shown), set(shown)) == (62, expected)
    assert shown[-2:] == ["late", "blocked"]


def test_a_page_goes_on_when_its_last_task_is_gone(clocked: ClockedQueue) -> None:
    """A cursor stays good when the task that it stands on was claimed or became due."""
    for i in range(9):
        add(clocked, f"x{i}", delay=60)
    page = clocked.list("pending", limit=4)
    for task in page.tasks[-2:]:
        clocked.cancel(task.id, "no")
    assert [t.id for t in clocked.list("pending", cursor=page.cursor).tasks] == ["x4", "x5", "x6", "x7", "x8"]


@pytest.mark.parametrize("limit", [1, 4, 1000])
def test_the_other_states_by_sequence(clocked: ClockedQueue, limit: int) -> None:
    """Each state in the order of creation, whatever the order of ending."""
    clocked.configure(breaker_defaults={"failure_threshold": 1000})
    expected: dict[str, list[str]] = {"completed": [], "dead-letter": [], "cancelled": [], "in-progress": []}
    add_many(clocked, 24)
    for i, claim in reversed(list(enumerate(clocked.claim_many("me", "a", 24)))):
        state = list(expected)[i % 4]
        expected[state].insert(0, claim.id)
        if state == "completed":
            done(clocked, claim)
        elif state == "dead-letter":
            clocked.fail(claim, "no", retry=False)
        elif state == "cancelled":
            clocked.cancel(claim.id, "no")
    for state, ids in expected.items():
        assert _walk(clocked, state, limit) == ids
        assert _walk(clocked, state, limit, "b") == []
    assert _walk(clocked, None, limit) == [f"x{i}" for i in range(24)]


def test_a_state_with_many_tasks(clocked: ClockedQueue) -> None:
    """More tasks than are sorted in one call: pages may be short or empty, and yet all are shown in order."""
    add_many(clocked, 1500, "y", "b")
    add_many(clocked, 5100)
    for _ in range(6):
        clocked.claim_many("me", "a", 1000)
    first = clocked.list("in-progress", limit=10)
    assert (first.tasks, first.cursor) == ([], "1000")
    assert _walk(clocked, "in-progress", 1000) == [f"x{i}" for i in range(5100)]


def test_the_tasks_are_whole(clocked: ClockedQueue) -> None:
    """A page holds the same tasks as get."""
    bury(clocked, "dead", payload={"x": []})
    add(clocked, "x", title="T")
    take(clocked)
    assert clocked.list("dead-letter").tasks == [clocked.get("dead")]
    assert clocked.list(None).tasks == [clocked.get("dead"), clocked.get("x")]


def test_a_page_stops_at_8_mib(clocked: ClockedQueue) -> None:
    """Large tasks make a page short, with a cursor to go on."""
    for i in range(10):
        add(clocked, f"x{i}", payload={"x": "x" * 1_000_000})
    page = clocked.list("pending")
    assert (len(page.tasks), page.cursor is not None) == (8, True)
    assert _walk(clocked, "pending", 100) == [f"x{i}" for i in range(10)]
    assert _walk(clocked, None, 100) == [f"x{i}" for i in range(10)]


def test_bad_cursors_and_limits(clocked: ClockedQueue) -> None:
    """Refused by the script, whatever the client lets through."""
    add(clocked, "x")
    for cursor in ("x", "4:1:x", "1:..:x", "1:1e5:x", "1::x", "1:" + "9" * 400 + ":x", "-1", "1:-inf:x"):
        with pytest.raises(InvalidTask) as caught:
            clocked.list("pending", cursor=cursor)
        assert caught.value.field == "cursor", cursor
    for cursor in ("x", "1:1:x", "-1", "0x10", "nan"):
        for state in ("completed", None):
            with pytest.raises(InvalidTask):
                clocked.list(state, cursor=cursor)
    for limit in (0, 1001, 1.5, "", "nan"):
        with pytest.raises(InvalidTask):
            raw(clocked, "list", "pending", "", limit, "")
    assert clocked.list(None, cursor="9" * 300).tasks == []


def test_many_types_of_which_one_has_most(clocked: ClockedQueue) -> None:
    """In claim order over all of them, in few calls: a page of two tasks for each two of the one took a thousand."""
    plan = [NewTask(type=f"t{i}", id=f"x{i}", priority=1 + i % 10, idempotency_key="") for i in range(1500)]
    plan += [NewTask(type="t7", id=f"y{i}", priority=1 + i % 10, idempotency_key="") for i in range(200)]
    clocked.enqueue_many(plan)
    found: list[str] = []
    cursor, pages = None, 0
    while True:
        page = clocked.list("pending", limit=1000, cursor=cursor)
        found += [task.id for task in page.tasks]
        cursor, pages = page.cursor, pages + 1
        if cursor is None:
            break
    assert found == [task.id for task in sorted(plan, key=lambda task: -task.priority)]
    assert pages < 30
