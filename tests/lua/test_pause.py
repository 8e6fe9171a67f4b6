"""lua/pause.lua: two independent switches."""

from __future__ import annotations

import pytest

from lokiredis import InvalidTask, NoClaim, State

from ..clock import ClockedQueue
from .moves import add, done, raw, refused, stored, take


def test_the_queue_and_a_type(clocked: ClockedQueue) -> None:
    """Each stops claims by itself; resuming one leaves the other."""
    add(clocked, "x")
    add(clocked, "y", "b")
    assert clocked.pause() is True
    assert clocked.pause("a") is True
    assert refused(clocked, ["a", "b"]) == NoClaim("paused", None)
    clocked.resume()
    assert refused(clocked) == NoClaim("paused", None)
    assert take(clocked, ["a", "b"]).id == "y"
    clocked.pause()
    clocked.resume("a")
    assert refused(clocked) == NoClaim("paused", None)


def test_running_work_goes_on(clocked: ClockedQueue) -> None:
    """A pause stops only claims."""
    add(clocked, "x")
    claim = take(clocked)
    clocked.pause()
    clocked.pause("a")
    clocked.heartbeat(claim)
    assert done(clocked, claim).state is State.COMPLETED


def test_twice(clocked: ClockedQueue) -> None:
    """The second pause changes nothing and says so."""
    for type in (None, "a"):
        assert clocked.pause(type) is True
        before = stored(clocked)
        clocked.clock.advance(1)
        assert clocked.pause(type) is False
        assert stored(clocked).keys() - before.keys() <= {k for k in stored(clocked) if ":request:" in k}


def test_a_bad_type(clocked: ClockedQueue) -> None:
    """What is no type can't be paused; the empty one is not the whole queue."""
    for type in ("", "a b", "x" * 65):
        with pytest.raises(InvalidTask) as caught:
            clocked.pause(type)
        assert caught.value.field == "type"
    assert stored(clocked) == {}
    assert not clocked.stats().paused
    assert raw is not None
