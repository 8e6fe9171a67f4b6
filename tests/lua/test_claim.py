"""lua/claim.lua: rules 1 to 3, 5 to 7, 9, 11 and the bounds of rule 16."""

from __future__ import annotations

import math

import pytest

from lokiredis import Failed, Finished, InvalidState, InvalidTask, NoClaim, State

from ..clock import Clock, ClockedQueue
from ..conftest import lacking
from ..servers import RedisServer, programs
from .moves import (
    add,
    add_many,
    bury,
    done,
    drive_on,
    forget_marks,
    let_pass,
    marks,
    moment,
    places,
    raw,
    refused,
    somebody_waits,
    stored,
    take,
    trip_by_failures,
)


def test_a_claim_shows_on_the_task(clocked: ClockedQueue) -> None:
    """Agent, token, time and lease stand on the claimed task, and the claim carries them."""
    add(clocked, "x", payload={"n": 1}, timeout=600)
    claim = take(clocked, agent="host/me", lease=60)
    task = clocked.get("x")
    assert (claim.id, claim.token, claim.deadline, claim.lease) == ("x", clocked.clock.now, moment(clocked, 60), 60)
    assert (task.place, task.claimed_by, task.claimed_at) == ("leased", "host/me", moment(clocked))
    assert (task.token, task.lease_expires_at, task.retries) == (claim.token, moment(clocked, 60), 0)
    assert claim.task == task


def test_the_order(clocked: ClockedQueue) -> None:
    """Over all named types the highest priority first, then the oldest; others are not given."""
    for id, type, priority in [("p1", "a", 1), ("p5", "a", 5), ("q5", "b", 5), ("p9", "b", 9), ("r10", "c", 10)]:
        add(clocked, id, type, priority=priority)
    assert [take(clocked, ["a", "b"]).id for _ in range(4)] == ["p9", "p5", "q5", "p1"]
    assert refused(clocked, ["a", "b"]) == NoClaim("empty", 3600)


def test_many_at_once_in_order(clocked: ClockedQueue) -> None:
    """A claim of many takes them in the same order, from types of very different length too."""
    for i in range(30):
        add(clocked, f"x{i:02}", "a" if i % 10 else "b", priority=10 - i // 10)
    claims = clocked.claim_many("me", ["b", "a", "b", "c"], 25)
    assert [c.id for c in claims] == [f"x{i:02}" for i in range(25)]
    assert [c.id for c in clocked.claim_many("me", ["a", "b"], 1000)] == [f"x{i}" for i in range(25, 30)]
    assert clocked.claim_many("me", ["a", "b"], 5) == []


def test_a_retried_task_keeps_its_place(clocked: ClockedQueue) -> None:
    """A task that comes back stands before younger ones of its priority."""
    add(clocked, "old")
    add(clocked, "young")
    claim = take(clocked)
    assert claim.id == "old"
    clocked.release(claim)
    assert take(clocked).id == "old"


def test_what_a_claim_skips(clocked: ClockedQueue) -> None:
    """Blocked and delayed tasks and paused types are passed over."""
    add(clocked, "paused", "p", priority=10)
    add(clocked, "delayed", priority=10, delay=60)
    add(clocked, "blocked", priority=10, dependencies=["delayed"])
    add(clocked, "x", priority=1)
    clocked.pause("p")
    assert take(clocked, ["a", "p"]).id == "x"


# ---- why there is none (rule 3)


def test_reasons_in_their_order(clocked: ClockedQueue) -> None:
    """Paused, slowdown, held; then what stops the best-ranked ready task; then delayed, blocked, empty."""
    assert refused(clocked) == NoClaim("empty", None)
    add(clocked, "later", delay=90)
    assert refused(clocked) == NoClaim("delayed", 90)
    add(clocked, "blocked", "b", dependencies=["later"])
    assert refused(clocked, "b") == NoClaim("blocked", None)
    assert refused(clocked, ["a", "b"]) == NoClaim("delayed", 90)
    add(clocked, "ready", "b")
    clocked.pause("b")
    assert refused(clocked, "b") == NoClaim("paused", None)
    assert refused(clocked, ["a", "b"]) == NoClaim("paused", 90)
    add(clocked, "held", "c")
    clocked.rate_limited(take(clocked, "c"), "429", retry_after=40)
    assert refused(clocked, "b", agent="other") == NoClaim("slowdown", 20)
    assert refused(clocked, "b") == NoClaim("slowdown", 40), "held for longer"
    clocked.slowdown(0)
    assert refused(clocked, "b") == NoClaim("held", 40)
    assert refused(clocked, "b", agent="other") == NoClaim("paused", None)
    clocked.slowdown(7)
    assert refused(clocked, "b", agent="other") == NoClaim("slowdown", 7)
    clocked.pause()
    assert refused(clocked, "b") == NoClaim("paused", None)


def test_the_best_ranked_ready_task_names_the_stop(clocked: ClockedQueue) -> None:
    """Of several stopped types the one whose task would be next says why."""
    add(clocked, "x", "a", priority=9)
    add(clocked, "y", "b")
    clocked.pause("b")
    clocked.trip_breaker("a")
    assert refused(clocked, ["a", "b"]) == NoClaim("breaker", 60)
    add(clocked, "z", "b", priority=10)
    assert refused(clocked, ["a", "b"]) == NoClaim("paused", 60)


def test_retry_after_is_the_earliest_change(clocked: ClockedQueue) -> None:
    """The first of a due task, a lease's end and a breaker that is due; never of a paused type."""
    add(clocked, "running", "a", timeout=50)
    take(clocked, "a")
    add(clocked, "delayed", "b", delay=70)
    add(clocked, "stopped", "c")
    clocked.trip_breaker("c")
    assert refused(clocked, ["a", "b", "c"]).retry_after == 50
    assert refused(clocked, ["b", "c"]).retry_after == 60
    assert refused(clocked, "b").retry_after == 70
    clocked.pause("b")
    assert refused(clocked, "b") == NoClaim("delayed", None)


def test_while_a_probe_runs_only_its_end_can_help(clocked: ClockedQueue) -> None:
    """What falls due meanwhile would be refused, too; nor do the leases of older tasks matter."""
    for id in ("older", "probe", "ready"):
        add(clocked, id)
    take(clocked, lease=100)
    clocked.trip_breaker("a")
    let_pass(clocked, 60)
    assert take(clocked, lease=200).id == "probe"
    add(clocked, "later", delay=5)
    assert refused(clocked) == NoClaim("breaker", 200)


def test_left_over_work_means_now(clocked: ClockedQueue) -> None:
    """More expired leases than one call reaps: reason as it is, and 0 seconds to wait."""
    clocked.configure(breaker_defaults={"failure_threshold": 10**6})
    add_many(clocked, 450, max_retries=1, timeout=10)
    assert len(clocked.claim_many("me", "a", 450)) == 450
    somebody_waits(clocked)
    clocked.clock.advance(11)
    assert refused(clocked) == NoClaim("empty", 0)
    assert clocked.counts()["dead-letter"] == 200
    assert marks(clocked) == {"a"}
    refused(clocked)
    assert refused(clocked) == NoClaim("empty", None)
    assert clocked.counts()["dead-letter"] == 450


def test_long_ledgers_are_left_over_too(clocked: ClockedQueue) -> None:
    """A call reaps about 1 MiB of ledgers, a share per type, first those that ended first; the rest is marked."""
    for type in ("a", "b"):
        add_many(clocked, 60, type, type, max_retries=100, backoff_seconds=0)
    for _ in range(20):
        claims = clocked.claim_many("me", ["a", "b"], 120)
        assert len(claims) == 120
        clocked.exchange("me", [], finished=[Failed(claim, "e" * 1024) for claim in claims], limit=0)
    for type in ("a", "b"):
        assert len(clocked.claim_many("me", type, 40, lease=20)) == 40
        assert len(clocked.claim_many("me", type, 20, lease=10)) == 20
    somebody_waits(clocked)
    clocked.pause("a")
    clocked.pause("b")
    clocked.clock.advance(21)
    assert refused(clocked, ["a", "b"]).retry_after == 0
    assert marks(clocked) == {"a", "b"}
    # All ledgers are of one length here, which the name of this host is part of.
    reaped = math.ceil(2**19 / clocked.redis.hstrlen(clocked.keys.fixed("attempts"), "a40"))
    assert 20 < reaped < 30
    there = places(clocked)
    for type in ("a", "b"):
        assert sum(there[f"{type}{i}"] == "ready" for i in range(60)) == reaped
        assert {there[f"{type}{i}"] for i in range(40, 60)} == {"ready"}
    forget_marks(clocked)
    assert refused(clocked, ["a", "b"]).retry_after == 0
    assert marks(clocked) == {"a", "b"}
    assert refused(clocked, ["a", "b"]).retry_after is None
    assert set(places(clocked).values()) == {"ready"}
    assert [attempt.outcome for attempt in clocked.get("a0").attempts] == ["failed"] * 19 + ["expired"]


# ---- tokens


def test_tokens_only_grow(clocked: ClockedQueue) -> None:
    """Later than the one before and not before the clock, also when the clock goes back or the id is used again."""
    add(clocked, "x")
    tokens = []
    for _ in range(2):
        claim = take(clocked)
        tokens.append(claim.token)
        clocked.release(claim)
    clocked.clock.advance(-3600)
    last = take(clocked)
    tokens.append(last.token)
    clocked.fail(last, "x", retry=False)
    clocked.discard_dead("x", "gone")
    add(clocked, "x")
    tokens.append(take(clocked).token)
    clocked.clock.advance(7200)
    add(clocked, "y")
    tokens.append(take(clocked).token)
    assert tokens == sorted(set(tokens))
    assert tokens[-1] == clocked.clock.now


# ---- leases and expiry (rules 5 and 6)


@pytest.mark.parametrize(("lease", "expected"), [(None, 600), (60, 60), (0.5, 0.5), (900, 600), (1e9, 600)])
def test_the_lease(clocked: ClockedQueue, lease: float | None, expected: float) -> None:
    """The task's timeout, or what the claimer asks for, but never longer than the timeout."""
    add(clocked, "x", timeout=600)
    claim = take(clocked, lease=lease)
    assert (claim.lease, claim.deadline) == (expected, moment(clocked, expected))


def test_a_lost_agent(clocked: ClockedQueue) -> None:
    """A lease that passed is charged without a delay; lastError and the ledger say which agent was lost."""
    add(clocked, "x", timeout=600)
    claimed_at = moment(clocked)
    claim = take(clocked, agent="host/dead", lease=30)
    clocked.clock.advance(30)
    again = take(clocked, agent="host/living")
    task = again.task
    assert (again.id, task.retries, task.claimed_by, task.backoff_seconds) == ("x", 1, "host/living", 60)
    assert task.last_error is not None
    assert task.last_error.startswith("lost: host/dead")
    (attempt,) = task.attempts
    assert (attempt.token, attempt.agent, attempt.outcome) == (claim.token, "host/dead", "expired")
    assert (attempt.claimed_at, attempt.ended_at) == (claimed_at, moment(clocked))


def test_a_timeout_says_so(clocked: ClockedQueue) -> None:
    """An attempt that ran longer than the task's timeout is ended with that as its error."""
    add(clocked, "x", timeout=40)
    take(clocked, agent="slow")
    clocked.clock.advance(40)
    task = take(clocked).task
    assert task.last_error is not None
    assert task.last_error.startswith("timeout: slow")
    assert task.last_error.endswith("took longer than 40 s")


def test_the_last_lost_attempt_is_a_dead_letter(clocked: ClockedQueue) -> None:
    """With no retries left an expired task goes to the dead-letter queue."""
    add(clocked, "x", max_retries=2, timeout=10)
    for _ in range(2):
        take(clocked)
        clocked.clock.advance(10)
    assert refused(clocked) == NoClaim("empty", None)
    task = clocked.get("x")
    assert (task.state, task.retries, len(task.attempts)) == (State.DEAD_LETTER, 2, 2)


def test_a_lease_that_passed_but_was_not_reaped(clocked: ClockedQueue) -> None:
    """As long as nobody reaped it, the claim may still be finished."""
    add(clocked, "x")
    claim = take(clocked, lease=5)
    clocked.clock.advance(20)
    assert done(clocked, claim).state is State.COMPLETED


def test_after_an_outage_the_living_renew_first(clocked: ClockedQueue) -> None:
    """When nobody reaped for more than 60 s, nothing is reaped for the next 60 s; then what did not renew is."""
    for id in ("living", "dead"):
        add(clocked, id)
    living, _ = clocked.claim_many("me", "a", 2, lease=60)
    clocked.clock.advance(180)
    assert refused(clocked) == NoClaim("empty", 60)
    clocked.heartbeat(living)
    clocked.clock.advance(30)
    assert refused(clocked) == NoClaim("empty", 30)
    clocked.heartbeat(living)
    clocked.clock.advance(30)
    claim = take(clocked)
    assert (claim.id, claim.task.retries) == ("dead", 1)
    assert clocked.get("living").retries == 0


def test_exactly_sixty_seconds_are_no_outage(clocked: ClockedQueue) -> None:
    """A reaper that ran 60 s ago is in time."""
    add(clocked, "x")
    take(clocked, lease=10)
    clocked.clock.advance(60)
    assert take(clocked).task.retries == 1


def test_a_clock_that_went_back_is_an_outage(clocked: ClockedQueue) -> None:
    """After a leap back the reaper waits a minute too."""
    add(clocked, "x")
    take(clocked, lease=10)
    clocked.clock.advance(50)
    clocked.claim("bystander", "other")
    clocked.clock.advance(-20)
    assert refused(clocked).reason == "empty"
    clocked.clock.advance(59)
    assert refused(clocked).reason == "empty"
    clocked.clock.advance(1)
    assert take(clocked).id == "x"


def test_due_tasks_become_ready(clocked: ClockedQueue) -> None:
    """A claim promotes what is due, in claim order, and leaves what is not."""
    for i in range(5):
        add(clocked, f"x{i}", delay=10 * (5 - i))
    clocked.clock.advance(30)
    assert [c.id for c in clocked.claim_many("me", "a", 10)] == ["x2", "x3", "x4"]
    assert places(clocked) | {"x0": "delayed", "x1": "delayed"} == places(clocked)


# ---- wake-up marks (rule 7)


def test_a_claim_that_leaves_work_passes_the_mark_on(clocked: ClockedQueue) -> None:
    """More work left: one mark for the next; the last task: none."""
    for i in range(3):
        add(clocked, f"x{i}")
    forget_marks(clocked)
    take(clocked)
    assert marks(clocked) == {"a"}
    forget_marks(clocked)
    clocked.claim_many("me", "a", 2)
    assert marks(clocked) == set()


def test_an_expired_lease_leaves_a_mark(clocked: ClockedQueue) -> None:
    """What a claim reaped and did not take itself is there for a waiter of that type."""
    for id in ("x", "y"):
        add(clocked, id, timeout=10)
    clocked.claim_many("me", "a", 2)
    clocked.clock.advance(10)
    forget_marks(clocked)
    take(clocked)
    assert marks(clocked) == {"a"}


# ---- lost replies (rule 9)


def test_a_repeated_claim_is_the_same_claim(clocked: ClockedQueue) -> None:
    """The same request gets the same claims, and nothing changes; so for many."""
    for i in range(4):
        add(clocked, f"x{i}", payload={"i": i})
    first = clocked.claim("me", "a", request="r-1")
    many = clocked.claim_many("me", "a", 2, request="r-2")
    before = stored(clocked)
    clocked.clock.advance(20)
    assert clocked.claim("me", "a", request="r-1") == first
    assert clocked.claim_many("me", "a", 2, request="r-2") == many
    assert [c.task.payload for c in many] == [{"i": 1}, {"i": 2}]
    assert stored(clocked) == before


def test_a_refused_claim_is_not_remembered(clocked: ClockedQueue) -> None:
    """A request that got nothing may get something the next time."""
    assert clocked.claim("me", "a", request="r") == NoClaim("empty", None)
    add(clocked, "x")
    claim = clocked.claim("me", "a", request="r")
    assert claim


def test_a_repeated_claim_whose_task_is_gone(clocked: ClockedQueue) -> None:
    """Ended and discarded in between: there is nothing to show any more."""
    add(clocked, "x")
    claim = clocked.claim("me", "a", request="r")
    assert claim
    clocked.fail(claim, "x", retry=False)
    clocked.discard_dead("x", "gone")
    assert clocked.claim("me", "a", request="r") == NoClaim("empty", None)
    assert clocked.claim_many("me", "a", 5, request="r") == []


def test_a_claim_with_a_to_do_left_over_passes_the_mark_on(clocked: ClockedQueue) -> None:
    """Who waits for the type that was claimed carries on a long release as well as anybody: the mark was his."""
    add(clocked, "parent")
    add_many(clocked, 3000, type="b", dependencies=("parent",))
    add(clocked, "only", "c")
    done(clocked, take(clocked))
    forget_marks(clocked)
    assert clocked.stats().todo == 1
    assert clocked.claim("me", "c")
    assert clocked.stats().todo == 1
    assert "c" in marks(clocked)


def test_a_claim_passes_on_that_a_task_falls_due_soon(clocked: ClockedQueue) -> None:
    """The mark that it ate may have told of a due time: who waits must learn of one in the next half minute."""
    add(clocked, "later", delay=20)
    add(clocked, "x")
    forget_marks(clocked)
    assert take(clocked).id == "x"
    assert marks(clocked) == {"a"}
    clocked.clock.advance(20)
    assert take(clocked).id == "later"


def test_a_short_lease_leaves_a_mark(clocked: ClockedQueue) -> None:
    """Who waits asks again after half a minute: of a lease that ends before that he is told, of a longer one not."""
    for id in ("short", "long"):
        add(clocked, id)
    somebody_waits(clocked)
    clocked.claim("me", "a", lease=60)
    assert marks(clocked) == {"a"}, "one task is left"
    forget_marks(clocked)
    clocked.claim("me", "a", lease=10)
    assert marks(clocked) == {"a"}
    clocked.clock.advance(10)
    assert take(clocked).id == "long"


# ---- bounds


def test_a_reply_stops_at_8_mib(clocked: ClockedQueue) -> None:
    """Of ten tasks with a megabyte each a claim takes eight and leaves the rest ready; checkpoints count too."""
    for i in range(10):
        add(clocked, f"x{i}", payload={"x": "x" * 1_000_000})
    somebody_waits(clocked)
    claims = clocked.claim_many("me", "a", 10)
    assert [c.id for c in claims] == [f"x{i}" for i in range(8)]
    assert clocked.stats().types["a"].ready == 2
    assert marks(clocked) == {"a"}
    for claim in claims:
        clocked.heartbeat(claim, checkpoint="y" * 1_000_000)
        clocked.release(claim)
    assert len(clocked.claim_many("me", "a", 10)) == 4


def test_the_most_types_and_tasks(clocked: ClockedQueue) -> None:
    """100 types and 1,000 tasks in one claim; one more of either is refused and nothing is claimed."""
    names = [f"t{i}" for i in range(100)]
    clocked.enqueue_many([{"id": f"x{i}", "type": names[i % 100], "payload": {"i": i}} for i in range(1000)])
    with pytest.raises(InvalidTask):
        clocked.claim_many("me", [*names, "t100"], 10)
    for limit in (0, 1001, 1.5, "x"):
        with pytest.raises(InvalidTask) as caught:
            raw(clocked, "claim", "me", "host", "", limit, "", "a")
        assert caught.value.field == "limit"
    for words in (["me", "host", "", 1, "", ""], ["me", "host", "", 1, "", " ".join(f"t{i}" for i in range(9000))]):
        with pytest.raises(InvalidTask) as caught:
            raw(clocked, "claim", *words)
        assert caught.value.field == "types"
    with pytest.raises(InvalidTask) as caught:
        raw(clocked, "claim", "not an agent", "host", "", 1, "", "a")
    assert caught.value.field == "agent"
    for host in ("my host", "tab\there", "h" * 129):
        with pytest.raises(InvalidTask) as caught:
            raw(clocked, "claim", "me", host, "", 1, "", "a")
        assert caught.value.field == "host"
    with pytest.raises(InvalidTask) as caught:
        raw(clocked, "claim", "me", "host", "", 1, "0", "a")
    assert caught.value.field == "lease"
    assert clocked.counts()["pending"] == 1000
    twice = raw(clocked, "claim", "me", "host", "", 2, "", "t0 t0 t1")
    assert [row[0] for row in twice] == [b"x0", b"x1"]
    assert len(clocked.claim_many("me", names + names, 1000)) == 998


# ---- breakers at the gate (rule 11)


def test_an_open_breaker_lets_nothing_through(clocked: ClockedQueue) -> None:
    """Until halfOpenAfter has passed the type is refused, and the refusal says for how long; other types go on."""
    trip_by_failures(clocked)
    add(clocked, "x")
    add(clocked, "y", "b")
    assert refused(clocked) == NoClaim("breaker", 60)
    let_pass(clocked, 59.999)
    assert refused(clocked) == NoClaim("breaker", 0.001)
    assert take(clocked, ["a", "b"]).id == "y"


def test_a_probe(clocked: ClockedQueue) -> None:
    """A due breaker gives one task, becomes half-open, and gives no other before that one ended."""
    trip_by_failures(clocked)
    for id in ("x", "y"):
        add(clocked, id)
    let_pass(clocked, 60)
    assert clocked.breakers()["a"].state == "open"
    claims = clocked.claim_many("me", "a", 10)
    breaker = clocked.breakers()["a"]
    assert [c.id for c in claims] == ["x"]
    assert (breaker.state, breaker.half_open_at, breaker.failures) == ("half-open", moment(clocked), 5)
    assert refused(clocked).reason == "breaker"
    done(clocked, claims[0])
    assert (clocked.breakers()["a"].state, clocked.breakers()["a"].failures) == ("closed", 0)
    assert take(clocked).id == "y"


def test_a_due_breaker_without_work_stays_open(clocked: ClockedQueue) -> None:
    """Only a claim that actually takes a task makes it half-open."""
    trip_by_failures(clocked)
    let_pass(clocked, 100)
    assert refused(clocked) == NoClaim("empty", None)
    assert clocked.breakers()["a"].state == "open"


def test_a_failed_probe_gives_way(clocked: ClockedQueue) -> None:
    """After a failed probe cooldownSeconds must pass, and the next probe is the next ready task, not the same one."""
    trip_by_failures(clocked)
    for id in ("x", "y"):
        add(clocked, id)
    let_pass(clocked, 60)
    probe = take(clocked)
    assert probe.id == "x"
    clocked.fail(probe, "still broken")
    assert clocked.breakers()["a"].failures == 6
    let_pass(clocked, 299)
    assert refused(clocked) == NoClaim("breaker", 1)
    let_pass(clocked, 1)
    second = take(clocked)
    assert second.id == "y"
    clocked.fail(second, "still broken")
    let_pass(clocked, 300)
    assert take(clocked).id == "x"


def test_a_failed_probe_alone_is_the_next_probe(clocked: ClockedQueue) -> None:
    """Giving way needs somebody to give way to."""
    trip_by_failures(clocked)
    add(clocked, "x")
    let_pass(clocked, 60)
    clocked.fail(take(clocked), "still broken")
    let_pass(clocked, 300)
    assert take(clocked).id == "x"


def test_a_lost_probe_opens_again(clocked: ClockedQueue) -> None:
    """A prober that died does not wedge the breaker: its expiry opens it for the cooldown."""
    trip_by_failures(clocked)
    add(clocked, "x")
    let_pass(clocked, 60)
    clocked.claim("prober", "a", lease=30)
    clocked.clock.advance(30)
    assert refused(clocked) == NoClaim("breaker", 300)
    breaker = clocked.breakers()["a"]
    assert (breaker.state, breaker.failures, breaker.opened_at) == ("open", 6, moment(clocked))


def test_a_probe_given_back_is_due_at_once(clocked: ClockedQueue) -> None:
    """Released, cancelled or rate-limited, a probe proved nothing: the next claim takes the next probe."""
    trip_by_failures(clocked)
    for id in ("w", "x", "y", "z"):
        add(clocked, id)
    let_pass(clocked, 60)
    first = take(clocked)
    clocked.release(first, delay=1000)
    assert (clocked.breakers()["a"].state, clocked.breakers()["a"].failures) == ("open", 5)
    second = take(clocked)
    clocked.cancel(second.id, "no")
    assert clocked.breakers()["a"].state == "open"
    third = take(clocked)
    clocked.rate_limited(third, "429", retry_after=10)
    clocked.slowdown(0)
    assert clocked.breakers()["a"].state == "open"
    fourth = take(clocked, agent="another")
    assert [c.id for c in (first, second, third, fourth)] == ["w", "x", "y", "z"]
    assert clocked.breakers()["a"].state == "half-open"
    done(clocked, third)
    assert clocked.breakers()["a"].state == "half-open"
    done(clocked, fourth)
    assert clocked.breakers()["a"].state == "closed"


def test_older_running_tasks_change_nothing(clocked: ClockedQueue) -> None:
    """Outside closed only the probe moves the breaker: neither a success nor a failure of older claims does."""
    for i in range(4):
        add(clocked, f"old{i}", max_retries=1, priority=10)
    old = clocked.claim_many("me", "a", 4)
    trip_by_failures(clocked)
    opened = clocked.breakers()["a"]
    clocked.clock.advance(10)
    done(clocked, old[0])
    clocked.fail(old[1], "x")
    assert clocked.breakers()["a"] == opened
    add(clocked, "x")
    let_pass(clocked, 60)
    probe = take(clocked)
    half = clocked.breakers()["a"]
    done(clocked, old[2])
    clocked.fail(old[3], "x")
    assert clocked.breakers()["a"] == half
    done(clocked, probe)
    assert clocked.breakers()["a"].state == "closed"


def test_an_old_claim_of_the_probes_task_is_no_probe(clocked: ClockedQueue) -> None:
    """It is the task and the token that make the probe: a stale ending of the same task says nothing."""
    trip_by_failures(clocked)
    add(clocked, "x")
    let_pass(clocked, 60)
    stale = take(clocked)
    clocked.release(stale)
    probe = take(clocked)
    assert clocked.release(stale).state is State.PENDING
    assert clocked.breakers()["a"].state == "half-open"
    done(clocked, probe)


def test_a_claim_carries_the_to_do_list_on(clocked: ClockedQueue) -> None:
    """1,200 dependents of a finished task become ready by claims of other types, and each call tells whom to wake."""
    add(clocked, "parent")
    add_many(clocked, 1200, type="b", dependencies=("parent",))
    done(clocked, take(clocked))
    assert 0 < clocked.stats().types["b"].ready < 1200
    assert drive_on(clocked) == 2
    assert clocked.stats().types["b"].ready == 1200


def test_bury_is_what_it_says(clocked: ClockedQueue) -> None:
    """The move that other tests rest on."""
    assert clocked.get(bury(clocked, "x")).state is State.DEAD_LETTER


def test_a_fleet_that_asks_less_than_once_a_minute_still_reaps(clocked: ClockedQueue) -> None:
    """Each gap begins a minute of grace, but a lease that had ended by the last claim had its minute then."""
    add(clocked, "x")
    assert clocked.claim("dead", "a", lease=30)
    for _ in range(2):
        clocked.clock.advance(120)
        assert not clocked.claim("seldom", "other")
    clocked.clock.advance(120)
    claim = clocked.claim("seldom", "a")
    assert claim
    assert claim.task.last_error is not None
    assert claim.task.last_error.startswith("lost: dead")


def test_two_long_outages_with_a_moment_of_service_between(queue_name: str) -> None:
    """Another server process is no fleet that seldom asks: the living had no minute yet in which to renew."""
    with RedisServer(
        programs().get("redis7") or lacking("redis7: no such server"), appendonly=True, appendfsync="always"
    ) as server:
        clock = Clock()

        def queue() -> ClockedQueue:
            return ClockedQueue(server.client(), queue_name, clock)

        add(queue(), "x")
        living = take(queue(), agent="living", lease=30)
        for _ in range(3):
            clock.advance(120)
            server.restart()
            assert not queue().claim("seldom", "a")
        assert queue().heartbeat(living).deadline
        assert not queue().get("x").attempts


def test_a_delayed_dependent_and_a_retry_of_its_type_in_one_call(clocked: ClockedQueue) -> None:
    """Both set the alarm of the type in one exchange, the earlier of them wins."""
    add(clocked, "parent")
    add(clocked, "fails", type="b", backoff_seconds=60)
    add(clocked, "later", type="b", dependencies=["parent"], delay=30)
    first, second = (clocked.claim("me", type) for type in ("a", "b"))
    assert first
    assert second
    done = Finished(first, decision_report={"why": "w"})
    clocked.exchange("me", [], finished=[Failed(second, "x"), done], limit=0)
    assert clocked.claim("me", "b") == NoClaim("delayed", 30)


def test_a_request_id_counts_for_one_agent_and_one_operation(clocked: ClockedQueue) -> None:
    """The same id of another agent is another request, and so is that of another operation."""
    add(clocked, "x")
    add(clocked, "y")
    first = clocked.claim("one", "a", request="r")
    second = clocked.claim("two", "a", request="r")
    assert first
    assert second
    assert {first.id, second.id} == {"x", "y"}
    assert clocked.pause("a", request="r")
    assert clocked.cancel("x", request="r").ids == ["x"]
    assert clocked.cancel("x", request="r").ids == ["x"]


def test_a_request_id_counts_for_one_target(clocked: ClockedQueue) -> None:
    """The same id for another task, another type or other types is another request."""
    for id in ("x", "y"):
        add(clocked, id)
    for id in ("x", "y"):
        assert clocked.cancel(id, request="r").ids == [id]
    for type in ("a", "b"):
        assert clocked.pause(type, request="r")
        assert clocked.resume(type, request="r")
        clocked.trip_breaker(type, request="r")
    assert {type: breaker.state for type, breaker in clocked.breakers().items()} == {"a": "open", "b": "open"}
    for type in ("a", "b"):
        clocked.reset_breaker(type, request="r")
    assert {type: breaker.state for type, breaker in clocked.breakers().items()} == {"a": "closed", "b": "closed"}
    assert not clocked.resume(request="r"), "of the whole queue, which is not paused"


def test_a_request_id_counts_for_one_dead_letter(clocked: ClockedQueue) -> None:
    """The same id for another dead letter is another request."""
    for id in ("x", "y"):
        add(clocked, id, type="a")
    for claim in clocked.claim_many("me", "a", 2):
        clocked.fail(claim, "broken", retry=False)
    for id in ("x", "y"):
        clocked.escalate_dead(id, "ask", request="r")
        assert clocked.get(id).escalation_note == "ask"
    for id in ("x", "y"):
        clocked.retry_dead(id, request="r")
        assert clocked.get(id).state is State.PENDING
    clocked.reset_breaker("a")
    for claim in clocked.claim_many("me", "a", 2):
        clocked.fail(claim, "broken", retry=False)
    clocked.resolve_dead("x", {"decisionReport": {"why": "a test"}}, request="r")
    with pytest.raises(InvalidState):
        clocked.discard_dead("x", request="r")
    clocked.discard_dead("y", request="r")
    assert clocked.counts()[State.DEAD_LETTER] == 0


def test_a_request_id_counts_for_the_types_of_a_claim(clocked: ClockedQueue) -> None:
    """The same id for other types is another claim, for the same types in another order the same one."""
    add(clocked, "x", type="a")
    add(clocked, "y", type="b")
    first = clocked.claim("me", ["a", "c"], request="r")
    assert first
    assert clocked.claim("me", ["c", "a"], request="r") == first
    second = clocked.claim("me", "b", request="r")
    assert second
    assert second.id == "y"
    clocked.release(first)
    assert [claim.id for claim in clocked.exchange("me", "a", request="r").claims] == ["x"]
    assert clocked.exchange("me", "b", request="r").claims == []


def test_the_key_of_a_request_is_bounded(clocked: ClockedQueue) -> None:
    """A hundred long types, a long agent and a long request make no long key."""
    types = [f"{n:03}" + "t" * 61 for n in range(100)]
    add(clocked, "x", type=types[0])
    assert clocked.claim("a" * 128, types, request="r" * 128)
    keys = clocked.redis.keys(clocked.keys.prefix + "request:*")
    assert len(keys) == 1
    assert len(keys[0]) < 256
