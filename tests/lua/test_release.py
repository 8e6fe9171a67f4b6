"""lua/release.lua: rules 8 to 10."""

from __future__ import annotations

import pytest

from lokiredis import InvalidTask, Outcome, StaleClaim, State, TaskNotFound

from ..clock import ClockedQueue
from .moves import AGENT, add, forget_marks, let_pass, marks, moment, raw, stored, take


def test_a_hand_back(clocked: ClockedQueue) -> None:
    """The task is ready again, uncharged, and the ledger has the reason; a waiter is woken."""
    add(clocked, "x")
    claim = take(clocked)
    forget_marks(clocked)
    assert clocked.release(claim, reason="shutdown") == Outcome(State.PENDING, 0, None)
    task = clocked.get("x")
    assert (task.place, task.retries, task.claimed_by, task.last_error) == ("ready", 0, None, None)
    (attempt,) = task.attempts
    assert (attempt.agent, attempt.outcome, attempt.error) == (AGENT, "released", "shutdown")
    assert marks(clocked) == {"a"}


def test_with_a_delay(clocked: ClockedQueue) -> None:
    """It can be claimed again after the delay."""
    add(clocked, "x")
    assert clocked.release(take(clocked), delay=2.5).available_at == moment(clocked, 2.5)
    assert clocked.get("x").place == "delayed"


def test_hand_backs_can_not_spin(clocked: ClockedQueue) -> None:
    """The third in a row waits 8 s, then 16, 32 and 60 at most; a longer delay of the caller stays."""
    add(clocked, "x")
    waits = []
    for _ in range(7):
        outcome = clocked.release(take(clocked))
        at = outcome.available_at
        waits.append((at - moment(clocked)).total_seconds() if at else 0)
        let_pass(clocked, waits[-1])
    assert waits == [0, 0, 8, 16, 32, 60, 60]
    assert clocked.release(take(clocked), delay=100).available_at == moment(clocked, 100)


def test_a_charge_ends_the_row(clocked: ClockedQueue) -> None:
    """After a failed attempt hand-backs count from one again."""
    add(clocked, "x", backoff_seconds=0, max_retries=9)
    for _ in range(2):
        clocked.release(take(clocked))
    clocked.fail(take(clocked), "x")
    assert clocked.release(take(clocked)).available_at is None


def test_the_delay_is_checked(clocked: ClockedQueue) -> None:
    """From 0 to 10 years; anything else is refused and the claim stays."""
    add(clocked, "x")
    claim = take(clocked)
    before = stored(clocked)
    for delay in (-1, 3650 * 86400 + 1):
        with pytest.raises(InvalidTask) as caught:
            clocked.release(claim, delay=delay)
        assert caught.value.field == "delay"
    with pytest.raises(InvalidTask):
        raw(clocked, "release", "x", claim.token, "nan", "")
    assert stored(clocked) == before


def test_fencing_and_repeating(clocked: ClockedQueue) -> None:
    """A repeated release answers the same; a stale or unknown one is refused; nothing changes."""
    add(clocked, "x")
    claim = take(clocked)
    first = clocked.release(claim, delay=5)
    before = stored(clocked)
    clocked.clock.advance(2)
    assert clocked.release(claim, delay=5) == first
    with pytest.raises(StaleClaim):
        clocked.fail(claim, "x")
    with pytest.raises(TaskNotFound):
        raw(clocked, "release", "nobody", 1, 0, "")
    assert stored(clocked) == before
