"""lua/import_breakers.lua: circuit breakers as they were."""

from __future__ import annotations

from typing import Any

import pytest

from lokiredis import InvalidTask, commands
from lokiredis.commands import RestoredBreaker

from ..clock import START, ClockedQueue
from .moves import add, let_pass, raw, refused, stored, take, trip_by_failures

OPEN = RestoredBreaker("a", "open", 5, START - 9000, START - 8000, START - 9000, wait="cool")


def _restore(queue: ClockedQueue, *breakers: RestoredBreaker, request: str = "", check: bool = False) -> list[bool]:
    return queue.run(commands.import_breakers(queue.keys, breakers, request=request, check=check))


def test_as_it_was(clocked: ClockedQueue) -> None:
    """An open breaker comes back with all its words, and lets a probe through when it would have."""
    add(clocked, "x")
    closed = RestoredBreaker("b", "closed", 2, START - 5)
    assert _restore(clocked, OPEN, closed) == [True, True]
    assert clocked.redis.hgetall(clocked.keys.fixed("breakers")) == {
        b"a": f"open 5 {START - 9000} {START - 8000} {START - 9000} cool   ".encode(),
        b"b": f"closed 2 {START - 5}      ".encode(),
    }
    assert refused(clocked).retry_after == 292
    let_pass(clocked, 292)
    assert take(clocked).id == "x"


def test_one_that_is_there_stays(clocked: ClockedQueue) -> None:
    """The queue's own is the truth."""
    trip_by_failures(clocked)
    before = stored(clocked)
    assert _restore(clocked, OPEN) == [False]
    assert stored(clocked) == before


def test_a_probe(clocked: ClockedQueue) -> None:
    """It stays one while it runs here with its token; else the breaker is open and due at once."""
    add(clocked, "x")
    claim = take(clocked)
    add(clocked, "y", "b")
    running = RestoredBreaker("a", "half-open", 5, START, START, START, "half", "x", claim.token)
    assert _restore(clocked, running, RestoredBreaker("b", "half-open", 5, START, START, probe="gone", token=3))
    found = clocked.breakers()
    assert {type: breaker.state for type, breaker in found.items()} == {"a": "half-open", "b": "open"}
    assert take(clocked, "b").id == "y"
    clocked.release(claim)
    assert clocked.breakers()["a"].state == "open"


def test_a_check_and_a_lost_reply(clocked: ClockedQueue) -> None:
    """The one stores nothing, the other gets the first answer again."""
    assert _restore(clocked, OPEN, check=True) == [True]
    assert stored(clocked) == {}
    assert _restore(clocked, OPEN, request="r") == [True]
    assert _restore(clocked, OPEN, request="r") == [True]
    assert _restore(clocked, OPEN, request="s") == [False]
    assert _restore(clocked) == []


def test_bad_words(clocked: ClockedQueue) -> None:
    """Each is refused with its index, and nothing is stored."""
    good: list[Any] = ["a", "open", 1, "", "", "", "half", "", "", ""]
    bad = {0: "a b", 1: "ajar", 2: -1, 3: "soon", 4: "x", 5: 1.5, 6: "long", 7: "a b", 8: "x", 9: "a b"}
    for place, word in bad.items():
        words = [*good[:place], word, *good[place + 1 :]]
        with pytest.raises(InvalidTask) as caught:
            raw(clocked, "import_breakers", "", "", *good, *words)
        assert caught.value.index == 1, place
    with pytest.raises(InvalidTask, match="ten words"):
        raw(clocked, "import_breakers", "", "", *good, "a")
    assert stored(clocked) == {}
