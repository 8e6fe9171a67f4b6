"""lua/announce.lua and lua/agents.lua: who works for a queue."""

from __future__ import annotations

import pytest

from lokiredis import InvalidTask

from ..clock import ClockedQueue
from .moves import add, done, raw, take


def test_nobody(clocked: ClockedQueue) -> None:
    """An empty queue has no agents."""
    assert clocked.agents() == []


def test_who_announces_itself(clocked: ClockedQueue) -> None:
    """With all that it said; a later word replaces an earlier one."""
    clocked.announce("b/1", ["x", "y"], completed=2, failed=1)
    clocked.clock.advance(5)
    clocked.announce("b/1", ["x", "y"], tasks=["t-1"], completed=3, failed=1)
    clocked.announce("a/1", ["x"])
    first, second = clocked.agents()
    assert (first.name, first.types, first.state, first.tasks) == ("a/1", ("x",), "idle", ())
    assert (second.name, second.types, second.state, second.tasks) == ("b/1", ("x", "y"), "working", ("t-1",))
    assert (second.completed, second.failed, second.last_seen.timestamp() * 1000) == (3, 1, clocked.clock.now)


def test_a_worker_with_a_thousand_tasks(clocked: ClockedQueue) -> None:
    """Is there, though the ids of all of them are more than is stored: whole ones are told, as many as fit."""
    ids = [f"{n:04}-{'x' * 123}" for n in range(1000)]
    clocked.announce("me", [f"type-{n:03}{'y' * 56}" for n in range(100)], tasks=ids)
    [agent] = clocked.agents()
    assert agent.state == "working"
    assert 200 < len(agent.tasks) < 1000
    assert list(agent.tasks) == ids[: len(agent.tasks)]


def test_who_only_claims(clocked: ClockedQueue) -> None:
    """Is there while it holds a task, and lost when its lease has ended."""
    add(clocked, "x")
    claim = take(clocked, agent="by-hand", lease=60)
    [agent] = clocked.agents()
    assert (agent.name, agent.types, agent.state, agent.tasks) == ("by-hand", ("a",), "working", ("x",))
    assert (agent.completed, agent.failed) == (None, None)
    clocked.clock.advance(61)
    assert clocked.agents()[0].state == "lost"
    clocked.clock.advance(-31)
    done(clocked, claim)
    assert clocked.agents() == []


def test_who_is_silent_is_lost(clocked: ClockedQueue) -> None:
    """After three times the pause that it named; a day later it is forgotten, when anyone speaks."""
    clocked.announce("old", ["x"], tasks=["t-1"], every=20)
    clocked.clock.advance(60)
    assert clocked.agents()[0].state == "working"
    clocked.clock.advance(0.001)
    assert (clocked.agents()[0].state, clocked.agents()[0].tasks) == ("lost", ())
    clocked.clock.advance(86_400)
    clocked.announce("new", ["x"])
    assert [agent.name for agent in clocked.agents()] == ["new"]


def test_who_is_held(clocked: ClockedQueue) -> None:
    """By a rate limit, until that has passed."""
    add(clocked, "x")
    clocked.announce("me", ["a"])
    clocked.rate_limited(take(clocked, agent="me"), "429", retry_after=30)
    [agent] = clocked.agents()
    assert agent.state == "held"
    assert agent.held_until is not None
    assert round(agent.held_until.timestamp() * 1000) == clocked.clock.now + 30_000
    clocked.clock.advance(31)
    assert clocked.agents()[0].state == "working"


def test_who_leaves(clocked: ClockedQueue) -> None:
    """Is gone at once."""
    clocked.announce("me", ["a"])
    clocked.announce("me", ["a"], every=0)
    assert clocked.agents() == []


def test_many(clocked: ClockedQueue) -> None:
    """The 1,000 that were heard of last are shown."""
    for i in range(1010):
        clocked.clock.advance(0.001)
        clocked.announce(f"w{i:04}", ["a"])
    assert [agent.name for agent in clocked.agents()] == [f"w{i:04}" for i in range(10, 1010)]


@pytest.mark.parametrize(
    "words",
    [
        ("no blanks", "h", "a", "", "0", "0", "20"),
        ("me", "h", "a\nb", "", "0", "0", "20"),
        ("me", "h", "a" * 70_000, "", "0", "0", "20"),
        ("me", "h", "a", "", "-1", "0", "20"),
        ("me", "h", "a", "", "0", "x", "20"),
        ("me", "h", "a", "", "0", "0", "1.5"),
    ],
)
def test_bad_words(clocked: ClockedQueue, words: tuple[str, ...]) -> None:
    """Refused, and nothing is stored."""
    with pytest.raises(InvalidTask):
        raw(clocked, "announce", *words)
    assert clocked.agents() == []
