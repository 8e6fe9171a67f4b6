"""lua/exchange.lua: endings and claims in one call."""

from __future__ import annotations

from typing import Any

import pytest

from lokiredis import (
    DecisionReportMissing,
    Failed,
    Finished,
    InvalidTask,
    Outcome,
    Released,
    StaleClaim,
    State,
    TaskNotFound,
    commands,
)

from ..clock import Clock, ClockedAsyncQueue, ClockedQueue
from ..servers import Backend
from .moves import (
    AGENT,
    REPORT,
    add,
    add_many,
    bury,
    drive_on,
    in_one_call,
    marks,
    moment,
    places,
    raw,
    refused,
    stored,
    take,
)


def test_all_endings_and_new_claims(clocked: ClockedQueue) -> None:
    """Outcomes stand in the order of the endings, and the new claims are the best of what is ready then."""
    add_many(clocked, 3)
    add(clocked, "next", dependencies=["x0"])
    one, two, three = clocked.claim_many(AGENT, "a", 3)
    ended: list[Finished | Failed | Released] = [
        Failed(two, "no"),
        Finished(one, output=1, decision_report=REPORT),
        Released(three, delay=9),
    ]
    reply = clocked.exchange(AGENT, ["a"], finished=ended, limit=5, lease=30)
    assert reply.outcomes == [
        Outcome(State.PENDING, 1, moment(clocked, 60)),
        Outcome(State.COMPLETED, 0, None),
        Outcome(State.PENDING, 0, moment(clocked, 9)),
    ]
    assert [(c.id, c.lease, c.deadline) for c in reply.claims] == [("next", 30, moment(clocked, 30))]
    assert places(clocked) == {"x0": "completed", "x1": "delayed", "x2": "delayed", "next": "leased"}


def test_one_bad_ending_does_not_spoil_the_rest(clocked: ClockedQueue) -> None:
    """Each bad one gets its own error; the good ones count."""
    add_many(clocked, 4)
    claims = clocked.claim_many(AGENT, "a", 4)
    clocked.release(claims[0])
    clocked.cancel("x1", "no")
    ended: list[Finished | Failed | Released] = [
        Finished(claims[0], decision_report=REPORT),
        Failed(claims[1], "no"),
        Finished(claims[2]),
        Finished(_Proof("nobody", 1), decision_report=REPORT),
        Released(claims[2], delay=-1),
        Finished(claims[3], decision_report=REPORT),
    ]
    reply = clocked.exchange(AGENT, "a", finished=ended, limit=0)
    kinds = [type(outcome) for outcome in reply.outcomes]
    assert kinds == [StaleClaim, StaleClaim, DecisionReportMissing, TaskNotFound, InvalidTask, Outcome]
    assert reply.claims == []
    assert places(clocked) == {"x0": "ready", "x1": "cancelled", "x2": "leased", "x3": "completed"}


class _Proof:
    def __init__(self, id: str, token: int) -> None:
        self.id, self.token = id, token


def test_a_hold_refuses_only_the_claims(clocked: ClockedQueue) -> None:
    """A held agent's endings count and it gets nothing new."""
    add_many(clocked, 3)
    one, two = clocked.claim_many(AGENT, "a", 2)
    clocked.rate_limited(one, "429", retry_after=100)
    reply = clocked.exchange(AGENT, "a", finished=[Finished(two, decision_report=REPORT)], limit=1)
    assert (reply.outcomes, reply.claims) == ([Outcome(State.COMPLETED, 0, None)], [])


def test_a_completion_forgives_rate_limits(clocked: ClockedQueue) -> None:
    """A completed task of the agent makes its next rate limit the first in a row again."""
    add_many(clocked, 3)
    one, two, three = clocked.claim_many(AGENT, "a", 3)
    for claim in (one, two):
        clocked.rate_limited(claim, "429")
    clocked.exchange(AGENT, "a", finished=[Finished(one, decision_report=REPORT)], limit=0)
    clocked.resume(agent=AGENT)
    assert clocked.rate_limited(three, "429").wait <= 66


def test_its_claims_obey_what_stops_claims(clocked: ClockedQueue) -> None:
    """A paused type and an open breaker refuse them as they refuse a claim."""
    add_many(clocked, 1)
    clocked.pause("a")
    assert clocked.exchange(AGENT, "a").claims == []
    clocked.resume("a")
    clocked.trip_breaker("a")
    assert clocked.exchange(AGENT, "a").claims == []
    clocked.reset_breaker("a")
    assert len(clocked.exchange(AGENT, "a").claims) == 1


def test_its_claims_obey_a_hold(clocked: ClockedQueue) -> None:
    """With no ending of its own and with one of another agent's claim."""
    add_many(clocked, 4)
    other = take(clocked, agent="other")
    clocked.rate_limited(take(clocked), "429", retry_after=100)
    clocked.slowdown(0)
    assert clocked.exchange(AGENT, "a").claims == []
    reply = clocked.exchange(AGENT, "a", finished=[Finished(other, decision_report=REPORT)])
    assert (len(reply.outcomes), reply.claims) == (1, [])
    clocked.resume(agent=AGENT)
    assert len(clocked.exchange(AGENT, "a").claims) == 1


def test_a_completion_reported_by_another_forgives_too(clocked: ClockedQueue) -> None:
    """The agent that held the claim is the one whose rate limits are over, whoever brings the result."""
    add_many(clocked, 3)
    one, two, three = clocked.claim_many(AGENT, "a", 3)
    for claim in (one, two):
        clocked.rate_limited(claim, "429")
    clocked.exchange("messenger", (), finished=[Finished(one, decision_report=REPORT)], limit=0)
    clocked.resume(agent=AGENT)
    assert clocked.rate_limited(three, "429").wait <= 66


@pytest.mark.parametrize("limit", [0, 1])
def test_it_carries_on_a_long_release(clocked: ClockedQueue, limit: int) -> None:
    """As every call that ends or claims does, also when its own endings leave nothing to do."""
    add(clocked, "parent")
    add_many(clocked, 1200, type="b", dependencies=("parent",))
    add(clocked, "x")
    parent, x = clocked.claim_many(AGENT, "a", 2)
    clocked.complete(parent, decision_report=REPORT)
    before = clocked.stats().types["b"].ready
    clocked.exchange(AGENT, "c", finished=[Finished(x, decision_report=REPORT)], limit=limit)
    assert clocked.stats().types["b"].ready > before


def test_without_types_nothing_is_claimed(clocked: ClockedQueue) -> None:
    """Limit 0 needs no types; a claim does."""
    add(clocked, "x")
    claim = take(clocked)
    assert clocked.exchange(AGENT, (), finished=[Released(claim)], limit=0).outcomes[0] == Outcome(
        State.PENDING, 0, None
    )
    with pytest.raises(InvalidTask):
        clocked.exchange(AGENT, (), finished=[], limit=1)


def test_a_repeated_exchange(clocked: ClockedQueue) -> None:
    """The same request gets the same outcomes and claims, and nothing changes."""
    add_many(clocked, 4)
    one, two = clocked.claim_many(AGENT, "a", 2)
    ended: list[Finished | Failed | Released] = [Finished(one, decision_report=REPORT), Failed(two, "no")]
    first = clocked.exchange(AGENT, "a", finished=ended, limit=2, request="r")
    before = stored(clocked)
    clocked.clock.advance(3)
    again = clocked.exchange(AGENT, "a", finished=ended, limit=2, request="r")
    assert (again, stored(clocked)) == (first, before)
    assert [c.id for c in first.claims] == ["x2", "x3"]


def test_the_same_ending_twice_in_one_call(clocked: ClockedQueue) -> None:
    """The second is the first one repeated; another operation with its token is stale."""
    add(clocked, "x")
    claim = take(clocked)
    good = Finished(claim, decision_report=REPORT)
    reply = clocked.exchange(AGENT, "a", finished=[good, good, Failed(claim, "no")], limit=0)
    assert reply.outcomes[0] == reply.outcomes[1] == Outcome(State.COMPLETED, 0, None)
    assert isinstance(reply.outcomes[2], StaleClaim)
    assert clocked.stats().totals["completed"] == 1


def test_refused_as_a_whole(clocked: ClockedQueue) -> None:
    """A bad agent, limit, ending or more than 1,000 endings: nothing is ended."""
    add(clocked, "x")
    claim = take(clocked)
    before = stored(clocked)
    ending = ["complete", "x", claim.token, "\nwhy\n", '{"decisionReport":{"why":1}}', ""]
    for words in (
        ["not an agent", "h", "", 0, "", "", *ending],
        [AGENT, "h", "", 1, "", "", *ending],
        [AGENT, "h", "", 1001, "", "a", *ending],
        [AGENT, "h", "", 0, "", "", *ending, "finish", "x", 1, "", "", ""],
        [AGENT, "h", "", 0, "", "", *ending * 1001],
    ):
        with pytest.raises(InvalidTask):
            raw(clocked, "exchange", *words)
    assert stored(clocked) == before


@pytest.mark.parametrize("ending", ["complete", "fail", "release"])
def test_the_most_bytes(clocked: ClockedQueue, ending: str) -> None:
    """8 MiB of results, errors and reasons in one call; with more of them nothing is ended."""
    claims = [take(clocked) for _ in add_many(clocked, 9)]
    before, text = stored(clocked), "x" * 1_000_000
    rest: dict[str, tuple[object, ...]] = {
        "complete": ("\nwhy\n", text, ""),
        "fail": (text, "final", 0),
        "release": (0, text, ""),
    }
    words = [word for claim in claims for word in (ending, claim.id, claim.token, *rest[ending])]
    with pytest.raises(InvalidTask, match="one call takes at most 8 MiB") as caught:
        raw(clocked, "exchange", AGENT, "h", "", 0, "", "", *words)
    assert (caught.value.field, stored(clocked)) == ("finished", before)
    outcomes, _ = raw(clocked, "exchange", AGENT, "h", "", 0, "", "", *words[:48])
    assert all(isinstance(outcome, bytes) for outcome in outcomes)


def test_more_than_one_call_takes(clocked: ClockedQueue) -> None:
    """By bytes, which the client counts: Redis would close the connection on a gigabyte, as if it was an outage."""
    claims = [take(clocked) for _ in add_many(clocked, 9)]
    add(clocked, "next", dependencies=["x0", "x8"])
    ended = [Finished(claim, "x" * 1_000_000, decision_report=REPORT) for claim in claims]
    reply = clocked.exchange(AGENT, "a", finished=ended)
    assert [outcome.state for outcome in reply.outcomes if isinstance(outcome, Outcome)] == [State.COMPLETED] * 9
    assert [claim.id for claim in reply.claims] == ["next"]


def test_more_endings_than_one_call_takes(clocked: ClockedQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call ends 100 at most and the last one claims; repeated it has the same answer. A bad one stops them all."""
    add_many(clocked, 452)
    claims = clocked.claim_many(AGENT, "a", 450)
    ended: list[Finished | Failed] = [Finished(c, decision_report=REPORT) for c in claims]
    ended[300] = Failed(claims[300], "no", retry=False)
    with monkeypatch.context() as patch:
        patch.setattr(clocked, "_send", lambda command: pytest.fail("it was sent"))
        for bad in (Finished(claims[449], object()), Failed(_Proof("x", -1), "no"), None):
            with pytest.raises(InvalidTask):
                clocked.exchange(AGENT, "a", finished=[*ended[:449], bad], limit=2)  # type: ignore[list-item]
        wrong: list[dict[str, Any]] = [{"types": []}, {"limit": 1001}, {"lease": 0}, {"agent": ""}]
        for words in wrong:
            with pytest.raises(InvalidTask):
                clocked.exchange(**{"agent": AGENT, "types": "a", "finished": ended, **words})
    sent: list[int] = []
    send = clocked._send

    def counted(command: Any) -> Any:
        sent.append((len(command.argv) - 7) // 6)
        return send(command)

    monkeypatch.setattr(clocked, "_send", counted)
    first, again = (clocked.exchange(AGENT, "a", finished=ended, limit=2, request="r") for _ in range(2))
    assert sent == [100, 100, 100, 100, 50] * 2
    assert first.outcomes == again.outcomes
    states = [outcome.state for outcome in first.outcomes if isinstance(outcome, Outcome)]
    assert [n for n, state in enumerate(states) if state is State.DEAD_LETTER] == [300]
    assert (len(states), states.count(State.COMPLETED)) == (450, 449)
    assert [c.id for c in first.claims] == [c.id for c in again.claims] == ["x450", "x451"]


async def test_more_endings_than_one_call_takes_async(backend: Backend, queue_name: str) -> None:
    """The same steps by the other client."""
    async with backend.async_client() as client:
        queue = ClockedAsyncQueue(client, queue_name, Clock())
        await queue.enqueue_many([{"id": f"x{i}", "type": "a", "payload": {"n": i}} for i in range(302)])
        claims = await queue.claim_many(AGENT, "a", 300)
        ended = [Finished(c, decision_report=REPORT) for c in claims]
        reply = await queue.exchange(AGENT, "a", finished=ended, limit=5)
        assert all(isinstance(outcome, Outcome) for outcome in reply.outcomes)
        assert (len(reply.outcomes), [c.id for c in reply.claims]) == (300, ["x300", "x301"])


def test_breakers_count_every_ending(clocked: ClockedQueue) -> None:
    """Five dead letters of one call open the breaker, and the claim of the same call obeys it."""
    add_many(clocked, 6)
    claims = clocked.claim_many(AGENT, "a", 5)
    reply = clocked.exchange(AGENT, "a", finished=[Failed(c, "no", retry=False) for c in claims], limit=1)
    assert reply.claims == []
    assert refused(clocked).reason == "breaker"
    assert clocked.breakers()["a"].failures == 5


def test_a_thousand_endings(clocked: ClockedQueue) -> None:
    """1,000 endings in one call, and the dependents of each go on."""
    add_many(clocked, 1000)
    clocked.enqueue_many(
        [{"id": f"y{i}", "type": "b", "payload": {"i": i}, "dependencies": [f"x{i}"]} for i in range(1000)]
    )
    claims = clocked.claim_many(AGENT, "a", 1000)
    finished = [Finished(c, decision_report=REPORT) for c in claims]
    reply = clocked.run(commands.exchange(clocked.keys, AGENT, "b", in_one_call(finished), limit=1))
    assert all(isinstance(outcome, Outcome) for outcome in reply.outcomes)
    drive_on(clocked)
    assert clocked.stats().types["b"].ready + len(reply.claims) == 1000
    assert "b" in marks(clocked)


def test_a_dead_task_of_the_same_agent(clocked: ClockedQueue) -> None:
    """An ending of a dead letter is stale."""
    bury(clocked, "x")
    reply = clocked.exchange(AGENT, "a", finished=[Failed(_Proof("x", 5), "no")], limit=0)
    assert isinstance(reply.outcomes[0], StaleClaim)
    assert reply.outcomes[0].state == "dead-letter"


def test_dependencies_that_end_in_one_call(clocked: ClockedQueue) -> None:
    """A task whose last two dependencies complete together waits for nothing, and nothing of the wait stays stored."""
    add_many(clocked, 2)
    add(clocked, "next", dependencies=["x0", "x1"])
    ended: list[Finished | Failed | Released] = [
        Finished(claim, decision_report=REPORT) for claim in clocked.claim_many(AGENT, "a", 2)
    ]
    (claim,) = clocked.exchange(AGENT, "a", finished=ended, limit=1).claims
    assert (claim.id, claim.task.waiting_on) == ("next", frozenset())
    assert clocked.redis.hgetall(clocked.keys.fixed("waiting")) == {}


def test_two_endings_of_one_claim(clocked: ClockedQueue) -> None:
    """A result without its report goes with the claim, also when the next ending of the same call takes it back."""
    add(clocked, "x")
    claim = take(clocked)
    reply = clocked.exchange(AGENT, "a", finished=[Finished(claim, output=1), Failed(claim, "no")], limit=0)
    assert [type(outcome) for outcome in reply.outcomes] == [DecisionReportMissing, Outcome]
    assert clocked.get("x").result is None
    assert clocked.redis.hgetall(clocked.keys.fixed("results")) == {}


@pytest.mark.parametrize(("ended", "given"), [(0, 1000), (300, 700), (950, 100)])
def test_endings_and_claims_are_a_thousand_together(clocked: ClockedQueue, ended: int, given: int) -> None:
    """A call must not run long (rule 16); a hundred claims may always be taken, and the next call takes the rest."""
    add_many(clocked, 1000)
    add_many(clocked, 1000, "z")
    claims = clocked.claim_many(AGENT, "a", ended) if ended else []
    finished = [Finished(c, decision_report=REPORT) for c in claims]
    reply = clocked.run(commands.exchange(clocked.keys, AGENT, "a", in_one_call(finished), limit=1000))
    assert (len(reply.outcomes), len(reply.claims)) == (ended, given)
    rest = clocked.exchange(AGENT, "a", limit=1000)
    assert len(rest.claims) == min(1000, 2000 - ended - given)
