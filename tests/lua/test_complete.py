"""lua/complete.lua: rules 4, 8, 9, 11, 14, 15 and 17."""

from __future__ import annotations

from typing import Any

import pytest

from lokiredis import DecisionReportMissing, InvalidTask, Outcome, StaleClaim, State, TaskNotFound

from ..clock import ClockedQueue
from .moves import (
    AGENT,
    REPORT,
    add,
    add_many,
    bury,
    done,
    drive_on,
    marks,
    moment,
    places,
    raw,
    somebody_waits,
    stored,
    take,
)

DAY = 86400


def test_a_completed_task(clocked: ClockedQueue) -> None:
    """Result, time and ledger stand on it; the lease is gone, and nothing is charged."""
    add(clocked, "x")
    claim = take(clocked)
    clocked.clock.advance(5)
    assert clocked.complete(claim, output={"n": 1}, decision_report=REPORT) == Outcome(State.COMPLETED, 0, None)
    task = clocked.get("x")
    assert (task.place, task.completed_at, task.lease_expires_at) == ("completed", moment(clocked), None)
    assert task.result == {"status": "success", "output": {"n": 1}, "decisionReport": REPORT}
    (attempt,) = task.attempts
    assert (attempt.token, attempt.agent, attempt.outcome, attempt.error) == (claim.token, AGENT, "completed", None)
    assert (attempt.claimed_at, attempt.ended_at) == (moment(clocked, -5), moment(clocked))
    assert (clocked.counts()["completed"], clocked.stats().totals["completed"]) == (1, 1)


def test_a_whole_result(clocked: ClockedQueue) -> None:
    """A result given as one object keeps all its fields; parts beside it are refused."""
    add(clocked, "x")
    claim = take(clocked)
    with pytest.raises(InvalidTask):
        clocked.complete(claim, output=1, result={"decisionReport": REPORT})
    clocked.complete(claim, result={"status": "success", "decisionReport": REPORT, "artifacts": ["a"], "n": []})
    assert clocked.get("x").result == {"status": "success", "decisionReport": REPORT, "artifacts": ["a"], "n": []}


# ---- decision reports (rule 14)


@pytest.mark.parametrize("report", [None, {}, "text", [], ["why"], 5, True])
def test_no_report(clocked: ClockedQueue, report: Any) -> None:
    """Without a non-empty object the task is marked incomplete, keeps its claim, and can be completed properly."""
    add(clocked, "x")
    claim = take(clocked)
    with pytest.raises(DecisionReportMissing) as caught:
        clocked.complete(claim, output=7, decision_report=report)
    task = clocked.get("x")
    assert caught.value.id == "x"
    assert (task.place, task.token, task.retries) == ("leased", claim.token, 0)
    assert task.result is not None
    assert (task.result["status"], task.result["output"]) == ("incomplete", 7)
    assert done(clocked, claim).state is State.COMPLETED
    result = clocked.get("x").result
    assert result is not None
    assert result["status"] == "success"


def test_an_incomplete_result_goes_with_the_claim(clocked: ClockedQueue) -> None:
    """The next claimant doesn't see the incomplete result of the one before."""
    add(clocked, "x")
    claim = take(clocked)
    with pytest.raises(DecisionReportMissing):
        clocked.complete(claim, output=7)
    clocked.release(claim)
    assert clocked.get("x").result is None


def test_other_keys_are_allowed(clocked: ClockedQueue) -> None:
    """Any non-empty object is a report as long as no keys are required."""
    add(clocked, "x")
    assert clocked.complete(take(clocked), decision_report={"x": None}).state is State.COMPLETED


def test_required_keys(clocked: ClockedQueue) -> None:
    """A setting names the keys that must be there; the error says which one lacks."""
    clocked.configure(decision_report_keys=("why", "test results"))
    add(clocked, "x")
    claim = take(clocked)
    for report in ({"why": 1}, {"why": 1, "test": 2, "results": 3}, {"wh": 1, "test results": 2}):
        with pytest.raises(DecisionReportMissing, match="lacks"):
            clocked.complete(claim, decision_report=report)
    assert clocked.complete(claim, decision_report={"test results": None, "why": ""}).state is State.COMPLETED


def test_the_rule_turned_off(clocked: ClockedQueue) -> None:
    """With the setting off a task completes without a report."""
    clocked.configure(decision_report=False)
    add(clocked, "x")
    assert clocked.complete(take(clocked)).state is State.COMPLETED


def test_another_status_is_refused(clocked: ClockedQueue) -> None:
    """Only success can be completed: everything else is for fail, and nothing is written."""
    add(clocked, "x")
    claim = take(clocked)
    before = stored(clocked)
    for status in ("failed", "partial", None, True):
        with pytest.raises(InvalidTask) as caught:
            clocked.complete(claim, result={"status": status, "decisionReport": REPORT})
        assert caught.value.field == "result.status"
    assert stored(clocked) == before


def test_the_largest_result(clocked: ClockedQueue) -> None:
    """A result over the limit is refused and nothing is written."""
    clocked.configure(result_bytes=100)
    add(clocked, "x")
    claim = take(clocked)
    before = stored(clocked)
    with pytest.raises(InvalidTask) as caught:
        clocked.complete(claim, output="x" * 100, decision_report=REPORT)
    assert (caught.value.field, stored(clocked)) == ("result", before)


# ---- fencing and lost replies (rules 8 and 9)


def test_a_stale_token(clocked: ClockedQueue) -> None:
    """A claim that has ended can't complete; the error names the state, and nothing is written."""
    add(clocked, "x")
    stale = take(clocked)
    clocked.release(stale)
    for state in ("pending", "in-progress"):
        before = stored(clocked)
        with pytest.raises(StaleClaim) as caught:
            done(clocked, stale)
        assert (caught.value.state, caught.value.id, stored(clocked)) == (state, "x", before)
        if state == "pending":
            take(clocked)


def test_an_unknown_task(clocked: ClockedQueue) -> None:
    """Completing a task that isn't there says so."""
    with pytest.raises(TaskNotFound) as caught:
        raw(clocked, "complete", "nobody", 1, "\nwhy\n", "{}")
    assert caught.value.id == "nobody"


def test_a_repeated_completion(clocked: ClockedQueue) -> None:
    """Repeating it changes nothing and answers the same; another operation with its token is stale."""
    add(clocked, "x")
    claim = take(clocked)
    first = done(clocked, claim)
    before = stored(clocked)
    clocked.clock.advance(10)
    assert done(clocked, claim) == first
    with pytest.raises(StaleClaim):
        clocked.fail(claim, "x")
    with pytest.raises(StaleClaim):
        clocked.release(claim)
    with pytest.raises(StaleClaim):
        clocked.rate_limited(claim, "429")
    with pytest.raises(StaleClaim):
        clocked.heartbeat(claim)
    assert stored(clocked) == before


# ---- dependents (rule 4)


def test_dependents_go_on(clocked: ClockedQueue) -> None:
    """With its last dependency completed a task becomes ready, or delayed, and a waiter of its type is woken."""
    for id in ("p", "q"):
        add(clocked, id)
    add(clocked, "one", "b", dependencies=["p"])
    add(clocked, "both", "c", dependencies=["p", "q"])
    add(clocked, "later", "d", dependencies=["p"], delay=60)
    p, q = clocked.claim_many("me", "a", 2)
    somebody_waits(clocked)
    done(clocked, p)
    assert places(clocked) == {"p": "completed", "q": "leased", "one": "ready", "both": "blocked", "later": "delayed"}
    assert clocked.get("both").waiting_on == {"q"}
    assert {"b", "d"} <= marks(clocked)
    done(clocked, p)
    assert clocked.get("both").waiting_on == {"q"}, "releasing a name twice releases it once"
    done(clocked, q)
    assert clocked.get("both").place == "ready"
    assert clocked.get("both").dependencies == ("p", "q")


def test_a_chain(clocked: ClockedQueue) -> None:
    """Each completion frees the next one, and no further."""
    clocked.enqueue_many([{"id": f"x{i}", "type": "a", "dependencies": [f"x{i - 1}"] if i else []} for i in range(4)])
    for i in range(4):
        claims = clocked.claim_many("me", "a", 10)
        assert [c.id for c in claims] == [f"x{i}"]
        done(clocked, claims[0])


def test_many_dependents_take_several_calls(clocked: ClockedQueue) -> None:
    """A finished task with 1,200 dependents answers at once; what is left over is done by further calls."""
    add(clocked, "parent")
    add_many(clocked, 1200, type="b", dependencies=("parent",))
    claim = take(clocked)
    somebody_waits(clocked)
    assert done(clocked, claim).state is State.COMPLETED
    assert clocked.stats().todo == 1
    assert "b" in marks(clocked)
    drive_on(clocked)
    assert clocked.stats().types["b"].ready == 1200


def test_dependents_with_large_documents(clocked: ClockedQueue) -> None:
    """What each waits for is read with that of the others, or alone where those are too large: none is left behind."""
    add(clocked, "parent")
    add(clocked, "other", "c")
    add_many(clocked, 8, type="b", dependencies=("parent",), payload={"text": "x" * 300_000})
    add(clocked, "more", "b", dependencies=("parent", "other"))
    done(clocked, take(clocked))
    drive_on(clocked)
    assert clocked.stats().types["b"].ready == 8
    assert clocked.get("more").waiting_on == {"other"}


# ---- breakers (rule 11)


def test_a_completion_carries_on_a_long_release(clocked: ClockedQueue) -> None:
    """Whoever completes something does a slice of what is left over."""
    add(clocked, "parent")
    add_many(clocked, 1200, type="b", dependencies=("parent",))
    add(clocked, "x")
    parent, x = clocked.claim_many(AGENT, "a", 2)
    done(clocked, parent)
    before = clocked.stats().types["b"].ready
    done(clocked, x)
    assert clocked.stats().types["b"].ready > before


def test_every_attempt_of_a_completed_task_is_in_its_ledger(clocked: ClockedQueue) -> None:
    """The first attempt alone or the last of several: the claim that completed it stands there, and answers again."""
    add(clocked, "once")
    claim = take(clocked)
    clocked.clock.advance(5)
    first = done(clocked, claim)
    (attempt,) = clocked.get("once").attempts
    assert (attempt.token, attempt.agent, attempt.outcome, attempt.error) == (claim.token, AGENT, "completed", None)
    assert (attempt.ended_at - attempt.claimed_at).total_seconds() == 5
    assert done(clocked, claim) == first
    add(clocked, "twice", backoff_seconds=0)
    clocked.fail(take(clocked), "no")
    claim = take(clocked)
    first = done(clocked, claim)
    assert [a.outcome for a in clocked.get("twice").attempts] == ["failed", "completed"]
    assert done(clocked, claim) == first


def test_old_tombstones_are_removed(clocked: ClockedQueue) -> None:
    """A finishing call removes those whose time is over, though no task is old enough to go."""
    clocked.configure(keep_seconds=700, tombstone_seconds=2000)
    add(clocked, "old")
    done(clocked, take(clocked))
    clocked.clock.advance(701)
    add(clocked, "new")
    done(clocked, take(clocked))
    assert clocked.redis.zrange(clocked.keys.fixed("tombstones"), 0, -1) == [b"old"]
    clocked.configure(keep_seconds=DAY)
    clocked.clock.advance(2001)
    add(clocked, "last")
    done(clocked, take(clocked))
    assert places(clocked) == {"new": "completed", "last": "completed"}
    assert not clocked.redis.exists(clocked.keys.fixed("tombstones"))


def test_a_success_forgets_failures(clocked: ClockedQueue) -> None:
    """In a closed breaker a completed task sets the failures to 0."""
    for i in range(4):
        bury(clocked, f"dead{i}")
    assert clocked.breakers()["a"].failures == 4
    add(clocked, "x")
    done(clocked, take(clocked))
    assert (clocked.breakers()["a"].state, clocked.breakers()["a"].failures) == ("closed", 0)
    for i in range(4):
        bury(clocked, f"more{i}")
    assert clocked.breakers()["a"].state == "closed"


# ---- retention (rule 17)


def test_old_tasks_are_removed(clocked: ClockedQueue) -> None:
    """A finishing call removes up to two tasks older than 7 days, and their idempotency entries."""
    for i in range(5):
        clocked.enqueue(type="a", id=f"old{i}", payload={"i": i})
        done(clocked, take(clocked))
        clocked.clock.advance(1)
    clocked.clock.advance(7 * DAY - 5)
    add(clocked, "x")
    done(clocked, take(clocked))
    assert places(clocked) == {**{f"old{i}": "completed" for i in range(1, 5)}, "x": "completed"}
    clocked.clock.advance(60)
    add(clocked, "y")
    done(clocked, take(clocked))
    assert places(clocked) == {"old3": "completed", "old4": "completed", "x": "completed", "y": "completed"}
    assert clocked.enqueue(type="a", payload={"i": 0}).created
    assert not clocked.enqueue(type="a", payload={"i": 4}).created


def test_the_most_that_are_kept(clocked: ClockedQueue) -> None:
    """More than keep_count are removed before their time, but never within 10 minutes."""
    clocked.configure(keep_count=2)
    for i in range(4):
        add(clocked, f"x{i}")
        done(clocked, take(clocked))
    clocked.clock.advance(599)
    add(clocked, "y")
    done(clocked, take(clocked))
    assert len(places(clocked)) == 5
    clocked.clock.advance(1)
    add(clocked, "z")
    done(clocked, take(clocked))
    assert set(places(clocked)) == {"x2", "x3", "y", "z"}


def test_an_entry_that_names_another_task_stays(clocked: ClockedQueue) -> None:
    """Removing a cancelled task leaves the idempotency entry of the equal one that came after it."""
    clocked.enqueue(type="a", id="first", idempotency_key="k")
    clocked.cancel("first", "no")
    clocked.clock.advance(7 * DAY)
    clocked.enqueue(type="a", id="second", idempotency_key="k")
    add(clocked, "x", priority=9)
    done(clocked, take(clocked))
    assert places(clocked) == {"second": "ready", "x": "completed"}
    assert clocked.enqueue(type="a", idempotency_key="k").id == "second"


def test_what_still_has_a_to_do_is_not_removed(clocked: ClockedQueue) -> None:
    """A finished task whose dependents are not all released stays, however old it is."""
    clocked.configure(keep_seconds=600)
    add(clocked, "parent")
    add_many(clocked, 1200, type="b", dependencies=("parent",))
    claim = take(clocked)
    done(clocked, claim)
    clocked.clock.advance(3600)
    add(clocked, "x")
    done(clocked, take(clocked))
    drive_on(clocked)
    assert clocked.stats().types["b"].ready == 1200


@pytest.mark.parametrize("dependents", [False, True])
@pytest.mark.parametrize("failures", [False, True])
@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("todo", [False, True])
def test_what_is_rare_is_found(clocked: ClockedQueue, dependents: bool, failures: bool, hold: bool, todo: bool) -> None:
    """Dependents, a failure of the breaker, a hold, a to-do: asked for together, each is seen beside any other."""
    if todo:
        add(clocked, "many", "t")
        add_many(clocked, 3000, type="b", dependencies=["many"])
        done(clocked, take(clocked, "t"))
        assert clocked.stats().todo
    if failures:
        add(clocked, "bad", max_retries=0)
        clocked.fail(take(clocked), "x")
        assert clocked.breakers()["a"].failures == 1
    add(clocked, "x")
    claim = take(clocked)
    if dependents:
        add(clocked, "next", "c", dependencies=["x"])
    if hold:
        clocked.rate_limited(claim, "429", retry_after=60)
    assert not todo or clocked.stats().todo
    done(clocked, claim)
    assert clocked.get("x").place == "completed"
    assert not failures or clocked.breakers()["a"].failures == 0
    assert not hold or clocked.redis.get(clocked.keys.prefix + f"hold:{AGENT}").split()[1] == b"0"
    if todo:
        drive_on(clocked)
        assert clocked.stats().types["b"].ready == 3000
    assert not dependents or clocked.get("next").place == "ready"
