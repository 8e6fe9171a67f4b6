"""lua/decisions.lua: who decided what about a dead letter, and why."""

from __future__ import annotations

from getpass import getuser
from socket import gethostname

import pytest

from lokiredis import DecisionReportMissing, InvalidState, InvalidTask

from ..clock import ClockedQueue
from .moves import add, bury, done, moment, take


def test_each_decision_is_kept(clocked: ClockedQueue) -> None:
    """With who, when, why and the pattern of the failure; what was refused is none."""
    for id in ("r", "s", "d", "e"):
        bury(clocked, id)
    with pytest.raises(DecisionReportMissing):
        clocked.resolve_dead("s", {})
    with pytest.raises(InvalidState):
        clocked.retry_dead(add(clocked, "new", "b"))
    clocked.retry_dead("r", delay=1800, by="ann", reason="the registry was down")
    clocked.clock.advance(7)
    clocked.resolve_dead("s", {"decisionReport": {"why": "done by hand"}}, by="bob")
    clocked.discard_dead("d", "no such service", by="Zoë at the desk")
    clocked.escalate_dead("e", "which one?")
    found = clocked.decisions()
    assert [(one.action, one.id, one.type, one.by, one.why, one.detail) for one in found] == [
        ("retry", "r", "a", "ann", "the registry was down", "after 1800 s"),
        ("resolve", "s", "a", "bob", "done by hand", ""),
        ("discard", "d", "a", "Zoë at the desk", "no such service", ""),
        ("escalate", "e", "a", f"{getuser()}@{gethostname()}", "which one?", ""),
    ]
    assert {one.pattern for one in found} == {"hopeless"}
    assert [one.at for one in found] == [moment(clocked, -7), *[moment(clocked)] * 3]
    assert clocked.decisions(found[1].cursor) == found[2:]
    assert clocked.decisions(limit=1) == found[:1]


def test_a_repeated_call_is_one_decision(clocked: ClockedQueue) -> None:
    """As after a lost reply."""
    bury(clocked, "x")
    for _ in range(2):
        clocked.retry_dead("x", request="r")
    assert len(clocked.decisions()) == 1


def test_a_canary_and_its_others(clocked: ClockedQueue) -> None:
    """The canary is decided now, each other one when it is released: by the same person, for the same reason."""
    bury(clocked, "x")
    bury(clocked, "y")
    clocked.canary_dead("x", ["y"], by="ann", reason="two\nlines")
    done(clocked, take(clocked))
    assert [(one.action, one.id, one.by, one.why, one.detail) for one in clocked.decisions()] == [
        ("retry", "x", "ann", "two\nlines", "canary of 1 others"),
        ("retry", "y", "ann", "two\nlines", "its canary x was completed"),
    ]


def test_they_are_bounded(clocked: ClockedQueue) -> None:
    """A long why is cut, and what is no name is refused."""
    bury(clocked, "x")
    for name in ("", "two\nlines", "x" * 129, "\x1b[31m"):
        with pytest.raises(InvalidTask) as caught:
            clocked.escalate_dead("x", "?", by=name)
        assert caught.value.field == "by"
    clocked.escalate_dead("x", "é" * 5000)
    assert clocked.decisions()[0].why == "é" * 1000
    with pytest.raises(InvalidTask):
        clocked.decisions("yesterday")
