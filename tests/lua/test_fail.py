"""lua/fail.lua: rules 8 to 11."""

from __future__ import annotations

import pytest

from lokiredis import Outcome, StaleClaim, State, TaskNotFound

from ..clock import ClockedQueue
from .moves import (
    AGENT,
    add,
    bury,
    let_pass,
    marks,
    moment,
    raw,
    refused,
    somebody_waits,
    stored,
    take,
    trip_by_failures,
)


def test_a_failed_attempt(clocked: ClockedQueue) -> None:
    """It is charged, delayed by the backoff, and stands in the ledger."""
    add(clocked, "x")
    claim = take(clocked)
    somebody_waits(clocked)
    assert clocked.fail(claim, "no network") == Outcome(State.PENDING, 1, moment(clocked, 60))
    task = clocked.get("x")
    assert (task.place, task.retries, task.last_error, task.backoff_seconds) == ("delayed", 1, "no network", 60)
    assert (task.claimed_by, task.claimed_at, task.lease_expires_at) == (None, None, None)
    (attempt,) = task.attempts
    assert (attempt.token, attempt.agent, attempt.outcome, attempt.error) == (
        claim.token,
        AGENT,
        "failed",
        "no network",
    )
    assert "a" in marks(clocked)
    assert clocked.stats().totals["failed"] == 1


def test_the_backoff(clocked: ClockedQueue) -> None:
    """60, 120, 240 … seconds, at most an hour."""
    add(clocked, "x", max_retries=9)
    waits = []
    for _ in range(8):
        clocked.fail(take(clocked), "x")
        task = clocked.get("x")
        assert task.available_at is not None
        waits.append((task.available_at - moment(clocked)).total_seconds())
        assert task.backoff_seconds == waits[-1]
        let_pass(clocked, waits[-1])
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert clocked.get("x").backoff_base == 60


@pytest.mark.parametrize(("base", "expected"), [(0, 0), (0.5, 0.5), (3600, 3600), (7, 7)])
def test_the_base_of_the_backoff(clocked: ClockedQueue, base: float, expected: float) -> None:
    """The first wait is the task's own base; without one the task is ready at once."""
    add(clocked, "x", backoff_seconds=base)
    outcome = clocked.fail(take(clocked), "x")
    assert outcome.available_at == (moment(clocked, expected) if expected else None)


def test_jitter_is_a_setting(clocked: ClockedQueue) -> None:
    """The random number of the caller lengthens the wait by up to a tenth, only when the setting says so."""
    add(clocked, "x")
    claim = take(clocked)
    clocked.configure(backoff_jitter=0.1)
    raw(clocked, "fail", "x", claim.token, "e", "retry", 1)
    assert clocked.get("x").available_at == moment(clocked, 66)
    assert clocked.get("x").backoff_seconds == 66


def test_three_attempts(clocked: ClockedQueue) -> None:
    """maxRetries 3 is three attempts: the third failure is a dead letter."""
    add(clocked, "x")
    for n in (1, 2):
        assert clocked.fail(take(clocked), f"e{n}").state is State.PENDING
        let_pass(clocked, 60 * n)
    assert clocked.fail(take(clocked), "e3") == Outcome(State.DEAD_LETTER, 3, None)
    task = clocked.get("x")
    assert (task.place, task.retries, task.last_error, task.available_at) == ("dead", 3, "e3", None)
    assert [a.error for a in task.attempts] == ["e1", "e2", "e3"]
    assert clocked.stats().totals == {"completed": 0, "failed": 3, "dead": 1}


@pytest.mark.parametrize("most", [0, 1])
def test_no_retries(clocked: ClockedQueue, most: int) -> None:
    """With maxRetries 0 or 1 the first failure is final."""
    add(clocked, "x", max_retries=most)
    assert clocked.fail(take(clocked), "x").state is State.DEAD_LETTER


def test_a_final_failure(clocked: ClockedQueue) -> None:
    """retry=False ends in the dead-letter queue whatever is left, and is charged."""
    add(clocked, "x", max_retries=9)
    assert clocked.fail(take(clocked), "x", retry=False) == Outcome(State.DEAD_LETTER, 1, None)


def test_a_dead_dependency_keeps_its_dependents_blocked(clocked: ClockedQueue) -> None:
    """A dead letter is not done: what waits for it goes on waiting, visibly."""
    add(clocked, "p")
    add(clocked, "x", dependencies=["p"])
    clocked.fail(take(clocked), "x", retry=False)
    assert clocked.get("x").place == "blocked"
    assert clocked.get("x").waiting_on == {"p"}


def test_the_longest_error(clocked: ClockedQueue) -> None:
    """lastError is cut at 16 KiB and never inside a character."""
    add(clocked, "x")
    clocked.fail(take(clocked), "é" * 20_000)
    assert clocked.get("x").last_error == "é" * 8192
    add(clocked, "y")
    clocked.fail(take(clocked), "x" + "€" * 20_000)
    assert clocked.get("y").last_error == "x" + "€" * 5461


@pytest.mark.parametrize("text", ["", "a\nb\r\n\\n c", "a\x00b", "a\u2028b\x0bc\x1cd\x85", "  spaces  ", "\U0001f680"])
def test_any_error_text(clocked: ClockedQueue, text: str) -> None:
    """Line ends, NUL and other characters come back as they went in, also from the ledger."""
    add(clocked, "x")
    clocked.fail(take(clocked), text)
    task = clocked.get("x")
    assert (task.last_error, task.attempts[0].error) == (text, text or None)


def test_the_ledger_keeps_twenty(clocked: ClockedQueue) -> None:
    """Of 25 attempts the newest 20 are kept, oldest first."""
    add(clocked, "x", max_retries=100, backoff_seconds=0)
    for i in range(25):
        clocked.fail(take(clocked), f"e{i}")
    assert [a.error for a in clocked.get("x").attempts] == [f"e{i}" for i in range(5, 25)]


def test_fencing(clocked: ClockedQueue) -> None:
    """A token that is not the current one changes nothing."""
    add(clocked, "x")
    stale = take(clocked)
    clocked.release(stale)
    take(clocked)
    before = stored(clocked)
    with pytest.raises(StaleClaim):
        clocked.fail(stale, "x")
    with pytest.raises(TaskNotFound):
        raw(clocked, "fail", "nobody", 1, "e", "retry", 0)
    assert stored(clocked) == before


def test_a_repeated_failure(clocked: ClockedQueue) -> None:
    """Repeating it answers the same, also when the task has gone on since, and charges nothing."""
    add(clocked, "x")
    claim = take(clocked)
    first = clocked.fail(claim, "x")
    assert clocked.fail(claim, "x") == first
    let_pass(clocked, 60)
    take(clocked)
    before = stored(clocked)
    assert clocked.fail(claim, "x") == first
    with pytest.raises(StaleClaim):
        clocked.complete(claim, decision_report={"why": 1})
    assert stored(clocked) == before


# ---- breakers (rule 11)


def test_five_dead_letters_open_the_breaker(clocked: ClockedQueue) -> None:
    """Failures with retries left don't count; the fifth dead letter opens it."""
    add(clocked, "soft")
    clocked.fail(take(clocked), "x")
    assert clocked.breakers() == {}
    trip_by_failures(clocked, count=4)
    breaker = clocked.breakers()["a"]
    assert (breaker.state, breaker.failures, breaker.opened_at) == ("closed", 4, None)
    clocked.clock.advance(3)
    bury(clocked, "fifth")
    breaker = clocked.breakers()["a"]
    assert (breaker.state, breaker.failures, breaker.half_open_at) == ("open", 5, None)
    assert breaker.last_failure == breaker.opened_at == moment(clocked)


def test_count_on_attempt(clocked: ClockedQueue) -> None:
    """With countOn: attempt every charged attempt counts, lost ones too."""
    clocked.configure(breaker_defaults={"count_on": "attempt", "failure_threshold": 2})
    add(clocked, "x", timeout=10)
    clocked.fail(take(clocked), "x")
    assert clocked.breakers()["a"].failures == 1
    add(clocked, "y", timeout=10)
    take(clocked)
    clocked.clock.advance(10)
    assert refused(clocked).reason == "breaker"
    assert (clocked.breakers()["a"].state, clocked.breakers()["a"].failures) == ("open", 2)


def test_the_settings_of_one_type(clocked: ClockedQueue) -> None:
    """An override counts for its type; what it leaves out is the default's."""
    clocked.configure(
        breaker_defaults={"failure_threshold": 2, "half_open_after": 10},
        breaker_overrides={"b": {"failure_threshold": 1}},
    )
    bury(clocked, "x", "b")
    bury(clocked, "y", "a")
    assert {type: b.state for type, b in clocked.breakers().items()} == {"a": "closed", "b": "open"}
    add(clocked, "z", "b")
    assert refused(clocked, "b").retry_after == 10
