"""lua/resume.lua: undo a pause, or lift a hold."""

from __future__ import annotations

import pytest

from lokiredis import InvalidTask

from ..clock import ClockedQueue
from .moves import AGENT, add, forget_marks, marks, refused, take


def test_it_wakes_those_who_wait(clocked: ClockedQueue) -> None:
    """Resuming leaves a mark for every type with work; resuming a type for that one."""
    add(clocked, "x")
    add(clocked, "y", "b", delay=9)
    add(clocked, "z", "c", dependencies=["x"])
    for type, woken in ((None, {"a", "b"}), ("b", {"b"})):
        clocked.pause(type)
        forget_marks(clocked)
        assert clocked.resume(type) is True
        assert marks(clocked) == woken
    assert take(clocked).id == "x"


def test_nothing_to_resume(clocked: ClockedQueue) -> None:
    """What was not paused or held is told."""
    assert clocked.resume() is False
    assert clocked.resume("a") is False
    assert clocked.resume(agent=AGENT) is False


def test_a_hold_is_lifted(clocked: ClockedQueue) -> None:
    """The agent may claim again at once; others stay held."""
    for id in ("x", "y", "z"):
        add(clocked, id)
    clocked.rate_limited(take(clocked), "429", retry_after=100)
    clocked.rate_limited(take(clocked, agent="other"), "429", retry_after=100) if clocked.slowdown(0) else None
    assert refused(clocked).reason == "held"
    assert clocked.resume(agent=AGENT) is True
    assert take(clocked).id == "y"


def test_a_lifted_hold_keeps_its_count(clocked: ClockedQueue) -> None:
    """Rate limits in a row are counted since the agent last completed a task, whoever lifted a hold (rule 15)."""
    add(clocked, "x")
    claim = take(clocked)
    assert 60 <= clocked.rate_limited(claim, "429").wait <= 66
    assert clocked.resume(agent=AGENT) is True
    assert 120 <= clocked.rate_limited(claim, "429").wait <= 132


def test_a_hold_that_has_ended(clocked: ClockedQueue) -> None:
    """There is nothing to lift any more, and that is told."""
    add(clocked, "x")
    clocked.rate_limited(take(clocked), "429", retry_after=5)
    clocked.clock.advance(5)
    assert clocked.resume(agent=AGENT) is False


def test_an_answer_without_a_change_is_remembered(clocked: ClockedQueue) -> None:
    """A call that found nothing to do, and whose reply was lost, does not undo what others did since."""
    add(clocked, "x")
    assert not clocked.resume("a", request="r-1")
    assert not clocked.resume(request="r-2")
    assert not clocked.resume(agent="me", request="r-3")
    clocked.reset_breaker("a", request="r-4")
    clocked.pause("a")
    assert not clocked.pause("a", request="r-5")
    clocked.pause()
    assert not clocked.pause(request="r-6")
    clocked.trip_breaker("a")
    assert not clocked.resume("a", request="r-1")
    assert not clocked.resume(request="r-2")
    clocked.reset_breaker("a", request="r-4")
    stats = clocked.stats()
    assert (stats.paused, stats.types["a"].paused) == (True, True)
    assert clocked.breakers()["a"].state == "open"
    clocked.resume("a")
    clocked.resume()
    assert not clocked.pause("a", request="r-5")
    assert not clocked.pause(request="r-6")
    clocked.reset_breaker("a")
    clocked.rate_limited(take(clocked, agent="me"), "429", retry_after=60)
    assert not clocked.resume(agent="me", request="r-3")
    clocked.slowdown(0)
    assert refused(clocked, agent="me").reason == "held"


def test_bad_names(clocked: ClockedQueue) -> None:
    """What is no agent and no type is refused."""
    for agent in ("", "a b", "x" * 129):
        with pytest.raises(InvalidTask) as caught:
            clocked.resume(agent=agent)
        assert caught.value.field == "agent"
    with pytest.raises(InvalidTask):
        clocked.resume("a b")
