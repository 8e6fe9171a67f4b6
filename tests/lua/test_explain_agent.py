"""lua/explain_agent.lua: why an agent gets nothing, or what it gets next."""

from __future__ import annotations

import pytest

from lokiredis import InvalidTask

from ..clock import ClockedQueue
from .moves import add, add_many, moment, refused, stored, take


def test_what_it_gets_next(clocked: ClockedQueue) -> None:
    """Over all types that it announced, or that are given."""
    add(clocked, "x", "a", priority=3)
    add(clocked, "y", "b")
    clocked.announce("me", ["a", "b"])
    assert clocked.explain_agent("me").task == "y"
    assert clocked.explain_agent("me", "a").task == "x"
    assert clocked.explain_agent("you", ["a", "b"]).task == "y"


def test_an_agent_that_nobody_knows(clocked: ClockedQueue) -> None:
    """Its types must be named; so must those of one that announced none."""
    clocked.announce("idle", [])
    for agent in ("nobody", "idle"):
        with pytest.raises(InvalidTask, match="name the types") as caught:
            clocked.explain_agent(agent)
        assert caught.value.field == "types"


def test_it_is_held(clocked: ClockedQueue) -> None:
    """After a rate limit, while others are only slowed down."""
    add(clocked, "x")
    add(clocked, "y")
    clocked.rate_limited(take(clocked, agent="me"), "429", retry_after=40)
    found = clocked.explain_agent("me", "a")
    assert (found.reason, found.retry_after, found.held_until) == ("slowdown", 40, moment(clocked, 40))
    clocked.slowdown(0)
    found = clocked.explain_agent("me", "a")
    assert (found.reason, found.retry_after, found.slowdown_until) == ("held", 40, None)
    assert clocked.explain_agent("you", "a").task == "y"


@pytest.mark.parametrize("what", ["delayed", "blocked", "empty", "paused", "breaker"])
def test_nothing_for_it(what: str, clocked: ClockedQueue) -> None:
    """The reason and the wait are those of its claim, which then really gets them; before that nothing changes."""
    if what == "delayed":
        add(clocked, "x", delay=30)
    elif what != "empty":
        add(clocked, "p", "b")
        add(clocked, "x", dependencies=["p"] if what == "blocked" else [])
    if what == "paused":
        clocked.pause("a")
    elif what == "breaker":
        clocked.trip_breaker("a")
    before = stored(clocked)
    found = clocked.explain_agent("me", "a")
    assert stored(clocked) == before
    nothing = refused(clocked, agent="me")
    assert (found.reason, found.retry_after, found.task) == (nothing.reason, nothing.retry_after, None)
    assert found.reason == what
    assert found.types[0].gate.paused == (what == "paused")
    assert (found.types[0].gate.breaker is not None) == (what == "breaker")


def test_the_lines_of_its_types(clocked: ClockedQueue) -> None:
    """How many wait in each, of each kind; and when it was last heard of."""
    add_many(clocked, 3, "r")
    add_many(clocked, 2, "d", delay=5)
    add(clocked, "b", dependencies=["r0"])
    take(clocked)
    clocked.announce("me", ["a", "z"], every=10)
    clocked.clock.advance(3)
    found = clocked.explain_agent("me")
    assert [(line.gate.type, line.ready, line.delayed, line.blocked, line.in_progress) for line in found.types] == [
        ("a", 2, 2, 1, 1), ("z", 0, 0, 0, 0),
    ]  # fmt: skip
    assert (found.last_seen, found.lost) == (moment(clocked, -3), False)
    clocked.clock.advance(28)
    assert clocked.explain_agent("me").lost
