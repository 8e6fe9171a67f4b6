"""lua/slowdown.lua: nobody gets work for a while."""

from __future__ import annotations

import pytest

from lokiredis import InvalidTask, NoClaim

from ..clock import ClockedQueue
from .moves import add, forget_marks, marks, refused, stored, take


def test_a_slowdown(clocked: ClockedQueue) -> None:
    """It ends by itself at the moment that it tells."""
    add(clocked, "x")
    assert clocked.slowdown(20, "easy") == clocked.clock.now / 1000 + 20
    clocked.clock.advance(19)
    assert refused(clocked) == NoClaim("slowdown", 1)
    clocked.clock.advance(1)
    assert take(clocked).id == "x"


def test_the_later_end_wins_and_the_cap_holds(clocked: ClockedQueue) -> None:
    """A shorter one does not shorten it; half an hour is the most."""
    clocked.slowdown(100)
    assert clocked.slowdown(50) == clocked.clock.now / 1000 + 100
    assert clocked.slowdown(10**6) == clocked.clock.now / 1000 + 1800
    clocked.configure(longest_slowdown=7)
    clocked.slowdown(0)
    assert clocked.slowdown(100) == clocked.clock.now / 1000 + 7


def test_zero_lifts_it(clocked: ClockedQueue) -> None:
    """Claims go on at once and those who wait are woken."""
    add(clocked, "x")
    clocked.slowdown(100)
    forget_marks(clocked)
    assert clocked.slowdown(0) == 0
    assert marks(clocked) == {"a"}
    assert take(clocked).id == "x"


def test_a_repeated_slowdown(clocked: ClockedQueue) -> None:
    """The same request answers the same, though the time has gone on, and after it was lifted."""
    first = clocked.slowdown(10, request="r")
    clocked.clock.advance(5)
    assert clocked.slowdown(10, request="r") == first
    clocked.slowdown(0, request="s")
    clocked.slowdown(30)
    before = stored(clocked)
    assert clocked.slowdown(0, request="s") == 0
    assert stored(clocked) == before


def test_a_bad_wait(clocked: ClockedQueue) -> None:
    """From 0 to 10 years."""
    for wait in (-1, 3650 * 86400 + 1):
        with pytest.raises(InvalidTask) as caught:
            clocked.slowdown(wait)
        assert caught.value.field == "wait"
