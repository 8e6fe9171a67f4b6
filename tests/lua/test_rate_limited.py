"""lua/rate_limited.lua: rule 15."""

from __future__ import annotations

import pytest

from lokiredis import Hold, InvalidTask, NoClaim, StaleClaim, State, TaskNotFound

from ..clock import ClockedQueue
from .moves import AGENT, add, done, let_pass, moment, raw, refused, stored, take

HOUR = 3600


def test_a_hold(clocked: ClockedQueue) -> None:
    """The agent gets no work until then, everybody gets none for half of it, and the claim is kept and uncharged."""
    for id in ("x", "y"):
        add(clocked, id)
    claim = take(clocked, lease=60)
    hold = clocked.rate_limited(claim, "429", retry_after=100, checkpoint={"at": 3})
    assert hold == Hold(moment(clocked, 100), 100, False)
    assert refused(clocked, agent="other") == NoClaim("slowdown", 50)
    task = clocked.get("x")
    assert (task.place, task.checkpoint, task.retries) == ("leased", {"at": 3}, 0)
    assert task.lease_expires_at == moment(clocked, 160)
    clocked.clock.advance(50)
    assert refused(clocked) == NoClaim("held", 50)
    assert take(clocked, agent="other").id == "y"


def test_a_held_agent_may_finish(clocked: ClockedQueue) -> None:
    """A hold refuses claims, nothing else."""
    add(clocked, "x")
    claim = take(clocked)
    clocked.rate_limited(claim, "429", retry_after=100)
    assert clocked.heartbeat(claim).deadline is not None
    assert done(clocked, claim).state is State.COMPLETED
    assert refused(clocked).reason == "slowdown"
    clocked.slowdown(0)
    assert refused(clocked) == NoClaim("held", 100)


def test_a_hold_that_is_over_does_not_come_back(clocked: ClockedQueue) -> None:
    """The agent completes a task during it, and one after it: then it is gone, though the clock is set back."""
    for id in ("x", "y", "z"):
        add(clocked, id)
    first, second = take(clocked), take(clocked)
    clocked.rate_limited(first, "429", retry_after=100)
    done(clocked, first)
    clocked.clock.advance(100)
    done(clocked, second)
    clocked.clock.advance(-90)
    clocked.slowdown(0)
    assert take(clocked).id == "z"


def test_the_hold_does_not_eat_the_timeout(clocked: ClockedQueue) -> None:
    """The attempt's absolute deadline moves on by the hold."""
    add(clocked, "x", timeout=100)
    claim = take(clocked, lease=60)
    clocked.clock.advance(50)
    clocked.rate_limited(claim, "429", retry_after=200)
    assert clocked.get("x").lease_expires_at == moment(clocked, 250)
    clocked.clock.advance(200)
    assert clocked.heartbeat(claim).deadline == moment(clocked, 50)


def test_one_hold_told_twice_moves_the_timeout_once(clocked: ClockedQueue) -> None:
    """Parallel calls of one agent meet the same limit: the attempt still ends a whole timeout after the hold."""
    add(clocked, "x", timeout=300)
    claim = take(clocked)
    for _ in range(3):
        clocked.rate_limited(claim, "429", retry_after=200)
    let_pass(clocked, 499)
    assert clocked.heartbeat(claim).deadline == moment(clocked, 1)


def test_without_a_wait_it_backs_off(clocked: ClockedQueue) -> None:
    """60 * 2^(n-1) seconds and up to a tenth more, at most an hour; a completed task counts from one again."""

    def once() -> float:
        claim = take(clocked)
        hold = clocked.rate_limited(claim, "too many requests")
        clocked.slowdown(0)
        let_pass(clocked, hold.wait)
        clocked.release(claim)
        clocked.clock.advance(60)
        return hold.wait

    add(clocked, "x", timeout=30 * 86400)
    for n in (60, 120, 240, 480, 960, 1920, 3600, 3600):
        assert n <= once() <= n * 1.1
    done(clocked, take(clocked))
    add(clocked, "y")
    assert 60 <= once() <= 66


def test_the_random_number_is_the_callers(clocked: ClockedQueue) -> None:
    """The spread goes from nothing to a tenth."""
    for spread, wait in ((0, 60_000), (1, 132_000)):
        add(clocked, f"x{spread}")
        claim = take(clocked)
        assert raw(clocked, "rate_limited", claim.id, claim.token, "", "429", "", spread, "", "")[1] == wait
        clocked.slowdown(0)
        let_pass(clocked, 140)
        clocked.release(claim)


def test_the_wait_is_read_from_the_error(clocked: ClockedQueue) -> None:
    """Without retry_after the text says how long."""
    add(clocked, "x")
    assert clocked.rate_limited(take(clocked), "429: try again in 1m30s").wait == 90


def test_a_hand_back_on_request(clocked: ClockedQueue) -> None:
    """release=True gives the task to others at once; the agent is held all the same."""
    add(clocked, "x")
    claim = take(clocked)
    assert clocked.rate_limited(claim, "429", retry_after=100, checkpoint=7, release=True).released
    task = clocked.get("x")
    assert (task.place, task.retries, task.checkpoint) == ("ready", 0, 7)
    assert task.attempts[0].outcome == "released"
    clocked.slowdown(0)
    assert refused(clocked).reason == "held"
    assert take(clocked, agent="other").task.checkpoint == 7


def test_too_long_a_wait_hands_back(clocked: ClockedQueue) -> None:
    """Longer than the longest hold: the task goes back, the hold is cut, and so is the slowdown."""
    add(clocked, "x")
    hold = clocked.rate_limited(take(clocked), "429", retry_after=6 * HOUR + 1)
    assert hold == Hold(moment(clocked, 6 * HOUR), 6 * HOUR, True)
    assert clocked.get("x").place == "ready"
    assert clocked.stats().slowdown_until == moment(clocked, 1800)
    add(clocked, "y")
    clocked.slowdown(0)
    exact = clocked.rate_limited(take(clocked, agent="other"), "429", retry_after=6 * HOUR)
    assert not exact.released


def test_the_longest_hold_is_a_setting(clocked: ClockedQueue) -> None:
    """Both caps can be configured."""
    clocked.configure(longest_hold=50, longest_slowdown=10)
    add(clocked, "x")
    hold = clocked.rate_limited(take(clocked), "429", retry_after=60)
    assert (hold.wait, hold.released) == (50, True)
    assert clocked.stats().slowdown_until == moment(clocked, 10)


def test_the_later_end_wins(clocked: ClockedQueue) -> None:
    """A shorter wait does not shorten a hold or a slowdown that runs."""
    for id in ("x", "y"):
        add(clocked, id)
    first, second = clocked.claim_many(AGENT, "a", 2)
    clocked.rate_limited(first, "429", retry_after=100)
    assert clocked.rate_limited(second, "429", retry_after=20) == Hold(moment(clocked, 100), 100, False)
    assert refused(clocked, agent="other") == NoClaim("slowdown", 50)


def test_no_wait_at_all(clocked: ClockedQueue) -> None:
    """retry_after=0 holds nobody."""
    add(clocked, "x")
    claim = take(clocked)
    assert clocked.rate_limited(claim, "429", retry_after=0) == Hold(moment(clocked), 0, False)
    assert refused(clocked).reason == "empty"


def test_an_agent_that_dies_while_held(clocked: ClockedQueue) -> None:
    """Its lease ends after the hold, and the next claimant gets the checkpoint."""
    add(clocked, "x")
    clocked.rate_limited(take(clocked, lease=30), "429", retry_after=100, checkpoint="here")
    let_pass(clocked, 129)
    assert refused(clocked, agent="other").reason == "empty"
    clocked.clock.advance(1)
    task = take(clocked, agent="other").task
    assert (task.checkpoint, task.retries) == ("here", 1)


def test_a_claim_whose_time_is_over(clocked: ClockedQueue) -> None:
    """Nobody has reaped it yet: it outlives the hold by its lease like any other, and no attempt is lost (rule 15)."""
    add(clocked, "x", timeout=30, max_retries=1)
    claim = take(clocked)
    let_pass(clocked, 40)
    clocked.rate_limited(claim, "429", retry_after=60)
    let_pass(clocked, 89)
    assert refused(clocked, agent="other").reason == "empty"
    assert clocked.get("x").state == "in-progress"
    done(clocked, claim)


def test_fencing_and_limits(clocked: ClockedQueue) -> None:
    """A stale token, an unknown task, too large a checkpoint or a negative wait: refused, and nothing is written."""
    clocked.configure(checkpoint_bytes=10)
    add(clocked, "x")
    stale = take(clocked)
    clocked.release(stale)
    claim = take(clocked)
    before = stored(clocked)
    with pytest.raises(StaleClaim):
        clocked.rate_limited(stale, "429")
    with pytest.raises(TaskNotFound):
        raw(clocked, "rate_limited", "nobody", 1, "", "e", "", 0, "", "")
    with pytest.raises(InvalidTask) as caught:
        clocked.rate_limited(claim, "429", checkpoint="x" * 9)
    assert caught.value.field == "checkpoint"
    with pytest.raises(InvalidTask) as caught:
        clocked.rate_limited(claim, "429", retry_after=-1)
    assert caught.value.field == "retryAfter"
    assert stored(clocked) == before


def test_a_repeated_call(clocked: ClockedQueue) -> None:
    """The same request answers the same and counts once."""
    add(clocked, "x")
    claim = take(clocked)
    first = clocked.rate_limited(claim, "429", request="r", checkpoint=1)
    before = stored(clocked)
    clocked.clock.advance(5)
    assert clocked.rate_limited(claim, "429", request="r", checkpoint=1) == first
    assert stored(clocked) == before


def test_it_costs_no_attempt_and_no_hand_back_for_ever(clocked: ClockedQueue) -> None:
    """Handed back three times in a row for rate limits, a task waits as after any hand-back."""
    add(clocked, "x", max_retries=1)
    for _ in range(3):
        clocked.rate_limited(take(clocked), "429", retry_after=0, release=True)
    assert (clocked.get("x").place, clocked.get("x").retries) == ("delayed", 0)
