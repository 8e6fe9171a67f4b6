"""lua/graph.lua: what depends on what, in parts that no chain makes too long."""

from __future__ import annotations

from typing import Any

import pytest

from lokiredis import InvalidTask, NewTask, TaskNotFound
from lokiredis.task_graph import held_back

from ..clock import ClockedAsyncQueue, ClockedQueue
from ..servers import Backend
from .moves import add, add_many, bury, done, raw, size, take


@pytest.fixture
def diamond(clocked: ClockedQueue) -> ClockedQueue:
    """one ← left, right ← top ← roof; beside it a completed one and a dead letter."""
    add(clocked, "before", "b")
    add(clocked, "done", "b", dependencies=["before"])
    for _ in range(2):
        done(clocked, take(clocked, "b"))
    bury(clocked, "dead", "b")
    add(clocked, "one", priority=9, dependencies=["done"])
    add(clocked, "left", dependencies=["one"])
    add(clocked, "right", dependencies=["one", "dead"])
    add(clocked, "top", dependencies=["left", "right", "done"])
    add(clocked, "roof", dependencies=["top"])
    return clocked


def test_up(diamond: ClockedQueue) -> None:
    """All that a task depends on, each once; what is completed is shown, but not what stood before that."""
    found = diamond.graph("top")
    assert list(found.nodes) == ["top", "left", "right", "done", "one", "dead"]
    assert found.whole
    top, one = found.nodes["top"], found.nodes["one"]
    assert (top.dependencies, set(top.waiting_on)) == (("left", "right", "done"), {"left", "right"})
    assert (one.place, one.state, one.priority, one.dependent_count) == ("ready", "pending", 9, 2)
    assert (found.nodes["done"].state, found.nodes["dead"].state) == ("completed", "dead-letter")
    assert [node.id for node in found.roots()] == ["one", "dead"]


def test_down(diamond: ClockedQueue) -> None:
    """All that waits for a task, directly and through others."""
    found = diamond.graph("one", way="down")
    assert list(found.nodes) == ["one", "left", "right", "top", "roof"]
    assert found.nodes["one"].dependents == ("left", "right")
    assert list(diamond.graph("done", way="down").nodes) == ["done"]


def test_all(diamond: ClockedQueue) -> None:
    """Everything that is not done, in the order of creation; the blocked ones behind what they wait for."""
    found = diamond.graph()
    assert list(found.nodes) == ["dead", "one", "left", "right", "top", "roof"]
    assert [node.id for node in found.in_order()] == ["left", "right", "top", "roof"]
    behind = found.waiting_for()
    assert (held_back(behind, "one"), held_back(behind, "dead"), held_back(behind, "roof")) == (4, 3, 0)


def test_too_many(diamond: ClockedQueue) -> None:
    """What is left out is told."""
    assert not diamond.graph("top", limit=3).whole
    assert len(diamond.graph("top", limit=3).nodes) == 3
    assert diamond.graph("top", limit=6).whole
    assert not diamond.graph(limit=2).whole
    with pytest.raises(TaskNotFound):
        diamond.graph("nobody")
    with pytest.raises(InvalidTask):
        raw(diamond, "graph", "", "-1")


@pytest.mark.parametrize("way", ["up", "down", "all"])
def test_a_chain_of_ten_thousand(way: str, backend: Backend, clocked: ClockedQueue) -> None:
    """Whole, from either end and without one. fakeredis took as long for 2,000 as the servers for all."""
    count = 2000 if backend.name == "fakeredis" else 10_000
    clocked.enqueue_many(
        [
            {"id": f"x{i}", "type": "a", "payload": {"n": i}, "dependencies": [f"x{i - 1}"] if i else []}
            for i in range(count)
        ]
    )
    found = {
        "up": lambda: clocked.graph(f"x{count - 1}", way="up"),
        "down": lambda: clocked.graph("x0", way="down"),
        "all": lambda: clocked.graph(),
    }[way]()
    assert len(found.nodes) == count
    assert [node.id for node in found.roots()] == ["x0"]
    assert [node.id for node in found.in_order()] == [f"x{i}" for i in range(1, count)]
    assert held_back(found.waiting_for(), "x0") == count - 1


def test_a_wide_one(clocked: ClockedQueue) -> None:
    """One task with 1,000 dependencies, and one for which 2,500 wait: the first 1,000 of these."""
    clocked.enqueue_many([{"id": f"x{i}", "type": "a", "payload": {"n": i}} for i in range(1000)])
    add(clocked, "all", dependencies=[f"x{i}" for i in range(1000)])
    assert len(clocked.graph("all").nodes) == 1001
    clocked.enqueue_many(
        [{"id": f"y{i}", "type": "a", "payload": {"n": i}, "dependencies": ["all"]} for i in range(2500)]
    )
    found = clocked.graph("all", way="down")
    assert (len(found.nodes), found.nodes["all"].dependent_count) == (1001, 2500)


@pytest.mark.parametrize("way", ["up", "down", ""])
def test_more_names_than_one_call_reads(way: str, clocked: ClockedQueue) -> None:
    """A call stops at about a MiB of names and the next one goes on: each tells something new, until all was told."""
    names = add_many(clocked, 500, "x" * 100)
    blocked = [f"y{i}" for i in range(30)]
    for first in range(0, 30, 15):
        plan = [
            NewTask(type="a", id=id, idempotency_key="", dependencies=tuple(names))
            for id in blocked[first : first + 15]
        ]
        clocked.enqueue_many(plan)
    add(clocked, "top", dependencies=blocked)
    seen: dict[str, Any] = {}
    rest, cursor, calls = {"up": ["top"], "down": names[:1], "": []}[way], "", 0
    while rest or (way == "" and cursor is not None):
        following, level, rows = raw(clocked, "graph", way, cursor or "", *rest[:1000])
        assert size([following, level, rows]) < 2 * 1024 * 1024
        calls += 1
        told = {row[0].decode(): row for row in rows}
        assert told.keys() - seen.keys()
        seen |= told
        found = [*rest[1000:], *(id.decode() for id in level)]
        rest = [id for id in dict.fromkeys(found) if id not in seen]
        cursor = following and following.decode()
    wanted = {"up": [*names, *blocked, "top"], "down": [names[0], *blocked, "top"], "": [*names, *blocked, "top"]}[way]
    assert sorted(seen) == sorted(wanted)
    assert all(seen[id][4].split() == seen[id][5].split() == [name.encode() for name in names] for id in blocked)
    assert calls in (3, 4, 5)
    found_graph = clocked.graph({"up": "top", "down": names[0], "": None}[way], way="down" if way == "down" else "up")
    assert (sorted(found_graph.nodes), found_graph.whole) == (sorted(wanted), True)


def test_large_documents_cost_no_calls(clocked: ClockedQueue) -> None:
    """What ends a call is what it reads: 60 tasks of 100 kB that wait for one are told by one call."""
    names = add_many(clocked, 61, payload={"x": "x" * 100_000})
    for name in names[1:]:
        add(clocked, f"y{name}", dependencies=[name], payload={"x": "x" * 50_000})
    following, level, rows = raw(clocked, "graph", "", "")
    assert (following or None, level, len(rows)) == (None, [], 121)


async def test_awaited(backend: Backend, diamond: ClockedQueue) -> None:
    """The same from asyncio."""
    client = backend.async_client()
    try:
        queue = ClockedAsyncQueue(client, diamond.keys.name, diamond.clock)
        assert await queue.graph("top") == diamond.graph("top")
        await queue.close()
    finally:
        await client.aclose()
