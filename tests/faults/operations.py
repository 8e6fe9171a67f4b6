"""Every operation that writes, each with the steps that lead up to it; and one long session with all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lokiredis import Failed, Finished, Released, State, commands
from lokiredis.commands import Restored, RestoredBreaker
from lokiredis.files.entry import Place, read

from ..clock import START
from .session import Call, Step

REPORT = {"why": "it was asked for", "what": "done"}
RESULT = {"output": {"n": 1}, "decisionReport": REPORT}


@dataclass(frozen=True)
class Operation:
    """``script`` is what ``call`` runs, ``before`` makes its situation, ``meanwhile`` is what others do right after."""

    script: str
    call: Call
    before: Sequence[Step] = ()
    meanwhile: Sequence[Step] = ()


def add(id: str, **fields: Any) -> Step:
    """Enqueue a task of type ``build``."""
    return Step(lambda q, _: q.enqueue(**{"id": id, "type": "build", "payload": {"id": id}} | fields))


def take(name: str = "claim", agent: str = "agent-1", types: str | Sequence[str] = "build", **options: Any) -> Step:
    """Claim a task and keep the claim under *name*."""
    return Step(lambda q, _: q.claim(agent, types, **options), name)


def bury(id: str, name: str = "buried") -> list[Step]:
    """Make a dead letter of a new task."""
    return [add(id, max_retries=1), take(name), Step(lambda q, seen: q.fail(seen[name], "broken", retry=False))]


def fails(reason: str = "went wrong") -> Call:
    """Fail the claim that was kept as ``claim``."""
    return lambda q, seen: q.fail(seen["claim"], reason)


def restored(id: str, state: State = State.PENDING, **fields: Any) -> Restored:
    """A task as import sends it."""
    return read({"id": id, "type": "build", "payload": {"id": id}} | fields, Place(state)).task


_RESTORED = [
    restored("x", sequence=7, dependencies=["y"]),
    restored("y", State.IN_PROGRESS, token=5, claimedBy="agent-9", leaseExpiresAt=(START + 60_000) / 1000),
    restored("z", State.COMPLETED, result={"output": 1}),
    restored("a"),
]
_BREAKERS = [RestoredBreaker("build", "open", 5, 1, 1, wait="cool"), RestoredBreaker("test", "half-open", 5, probe="y")]

_BATCH = [
    {"id": "b-2", "type": "test", "payload": {}, "dependencies": ["b-1"]},
    {"id": "b-1", "type": "build", "payload": {"n": 1}},
    {"id": "b-3", "type": "build", "payload": {"n": 1}},
]

OPERATIONS: Mapping[str, Operation] = {
    "enqueue": Operation(
        "enqueue", lambda q, _: q.enqueue(id="a", type="build", payload={"x": []}, title="kept"), [], [take("other")]
    ),
    "enqueue, an equal one is there": Operation(
        "enqueue",
        lambda q, _: q.enqueue(id="b", type="build", payload={}, idempotency_key="same"),
        [add("a", payload={}, idempotency_key="same")],
    ),
    "enqueue, the id is taken": Operation("enqueue", lambda q, _: q.enqueue(id="a", type="test"), [add("a")]),
    "enqueue, a dependency is unknown": Operation(
        "enqueue", lambda q, _: q.enqueue(id="a", type="test", dependencies=["nobody"])
    ),
    "enqueue, delayed": Operation("enqueue", lambda q, _: q.enqueue(id="a", type="build", delay=60)),
    "enqueue_many": Operation("enqueue", lambda q, _: q.enqueue_many(_BATCH), [], [take("other")]),
    "claim": Operation("claim", lambda q, _: q.claim("agent-1", ["build", "test"], lease=30), [add("a"), add("b")]),
    "claim, others take the rest": Operation(
        "claim", lambda q, _: q.claim("agent-1", "build"), [add("a"), add("b")], [take("other", "agent-2")]
    ),
    "claim, nothing there": Operation("claim", lambda q, _: q.claim("agent-1", "build")),
    "claim, a probe": Operation(
        "claim",
        lambda q, _: q.claim("agent-1", "build"),
        [add("a"), add("b"), Step(lambda q, _: q.trip_breaker("build")), Step(lambda q, _: q.counts(), after=61)],
    ),
    "claim_many": Operation("claim", lambda q, _: q.claim_many("agent-1", "build", 2), [add(id) for id in "abc"]),
    "announce": Operation("announce", lambda q, _: q.announce("agent-1", ["build"], tasks=["a"], completed=3)),
    "announce, it leaves": Operation(
        "announce",
        lambda q, _: q.announce("agent-1", ["build"], every=0),
        [Step(lambda q, _: q.announce("agent-1", ["build"])), Step(lambda q, _: q.announce("agent-2", ["test"]))],
    ),
    "heartbeat": Operation(
        "heartbeat",
        lambda q, seen: q.heartbeat(seen["claim"], checkpoint={"at": 1}, progress={"percent": 50}),
        [add("a"), take(lease=30), Step(lambda q, _: q.counts(), after=10)],
    ),
    "heartbeat, cancelled": Operation(
        "heartbeat",
        lambda q, seen: q.heartbeat(seen["claim"]),
        [add("a"), take(), Step(lambda q, _: q.cancel("a", "stop"))],
    ),
    "heartbeat_many": Operation(
        "heartbeat",
        lambda q, seen: q.heartbeat_many([seen["one"], seen["two"]]),
        [add("a"), add("b"), take("one"), take("two"), Step(lambda q, seen: q.release(seen["one"]))],
    ),
    "complete": Operation(
        "complete",
        lambda q, seen: q.complete(seen["claim"], output=[], decision_report=REPORT),
        [add("a"), add("b", dependencies=["a"]), take()],
        [take("other", "agent-2")],
    ),
    "complete, without a report": Operation(
        "complete", lambda q, seen: q.complete(seen["claim"], output="half"), [add("a"), take()]
    ),
    "complete, too late": Operation(
        "complete",
        lambda q, seen: q.complete(seen["claim"], decision_report=REPORT),
        [add("a"), take(), Step(lambda q, seen: q.release(seen["claim"]))],
    ),
    "fail": Operation("fail", fails(), [add("a", backoff_seconds=0), add("b"), take()], [take("other", "agent-2")]),
    "fail, with backoff": Operation("fail", fails("boom\nsecond line"), [add("a", backoff_seconds=60), take()]),
    "fail, the last time": Operation(
        "fail",
        lambda q, seen: q.fail(seen["claim"], "hopeless", retry=False),
        [add("a"), take()],
        [Step(lambda q, _: q.retry_dead("a")), take("other", "agent-2")],
    ),
    "release": Operation(
        "release",
        lambda q, seen: q.release(seen["claim"], reason="shutdown"),
        [add("a"), take()],
        [take("other", "agent-2")],
    ),
    "rate_limited": Operation(
        "rate_limited",
        lambda q, seen: q.rate_limited(seen["claim"], "429 too many requests", checkpoint={"at": 2}),
        [add("a"), take(lease=30)],
    ),
    "rate_limited, handed back": Operation(
        "rate_limited",
        lambda q, seen: q.rate_limited(seen["claim"], "quota", retry_after=30, release=True),
        [add("a"), take()],
        [Step(lambda q, _: q.slowdown(0)), take("other", "agent-2")],
    ),
    "exchange": Operation(
        "exchange",
        lambda q, seen: q.exchange(
            "agent-1",
            ["build", "test"],
            finished=[
                Finished(seen["one"], decision_report=REPORT),
                Failed(seen["two"], "went wrong"),
                Released(seen["three"], reason="no time"),
                Finished(seen["one"].__class__("nobody", 1, seen["one"].deadline, 1, seen["one"].record)),
            ],
            limit=2,
        ),
        [*(add(id) for id in "abcdefg"), take("one"), take("two"), take("three")],
        [take("other", "agent-2")],
    ),
    "exchange, endings only": Operation(
        "exchange",
        lambda q, seen: q.exchange("agent-1", [], finished=[Finished(seen["claim"], result=RESULT)], limit=0),
        [add("a"), take()],
    ),
    "cancel": Operation(
        "cancel",
        lambda q, _: q.cancel("a", "not needed"),
        [add("a"), add("b", dependencies=["a"]), add("c"), take()],
        [take("other", "agent-2")],
    ),
    "cancel, done already": Operation(
        "cancel", lambda q, _: q.cancel("a"), [add("a"), Step(lambda q, _: q.cancel("a", "first"))]
    ),
    "retry_dead": Operation("retry_dead", lambda q, _: q.retry_dead("a"), bury("a"), [take("other", "agent-2")]),
    "retry_dead, later": Operation("retry_dead", lambda q, _: q.retry_dead("a", delay=60), bury("a")),
    "resolve_dead": Operation(
        "resolve_dead",
        lambda q, _: q.resolve_dead("a", RESULT),
        [*bury("a"), add("b", dependencies=["a"])],
        [take("other", "agent-2")],
    ),
    "discard_dead": Operation(
        "discard_dead",
        lambda q, _: q.discard_dead("a", "obsolete"),
        [*bury("a"), add("b", dependencies=["a"])],
        [add("a"), take("other", "agent-2")],
    ),
    "discard_dead, nobody waits": Operation("discard_dead", lambda q, _: q.discard_dead("a", "obsolete"), bury("a")),
    "escalate_dead": Operation(
        "escalate_dead",
        lambda q, _: q.escalate_dead("a", "which one?"),
        bury("a"),
        [Step(lambda q, _: q.escalate_dead("a", "decided: the first"), after=5)],
    ),
    "canary_dead": Operation(
        "canary_dead",
        lambda q, _: q.canary_dead("a", ["b", "c", "nobody"], reason="the registry is up again"),
        [*bury("a"), *bury("b"), *bury("c")],
        [Step(lambda q, _: q.discard_dead("b", "no use")), take("other", "agent-2")],
    ),
    "a canary is completed": Operation(
        "complete",
        lambda q, seen: q.complete(seen["claim"], decision_report=REPORT),
        [*bury("a"), *bury("b"), Step(lambda q, _: q.canary_dead("a", ["b"])), take()],
        [take("other", "agent-2")],
    ),
    "pause": Operation("pause", lambda q, _: q.pause(), [], [Step(lambda q, _: q.resume())]),
    "pause a type": Operation(
        "pause", lambda q, _: q.pause("build"), [add("a")], [Step(lambda q, _: q.resume("build"))]
    ),
    "pause, paused already": Operation("pause", lambda q, _: q.pause(), [Step(lambda q, _: q.pause())]),
    "resume": Operation(
        "resume", lambda q, _: q.resume(), [add("a"), Step(lambda q, _: q.pause())], [Step(lambda q, _: q.pause())]
    ),
    "resume a type": Operation(
        "resume",
        lambda q, _: q.resume("build"),
        [add("a"), Step(lambda q, _: q.pause("build"))],
        [Step(lambda q, _: q.pause("build"))],
    ),
    "resume an agent": Operation(
        "resume",
        lambda q, _: q.resume(agent="agent-1"),
        [add("a"), take(), Step(lambda q, seen: q.rate_limited(seen["claim"], "429", retry_after=60))],
        [Step(lambda q, seen: q.rate_limited(seen["claim"], "429", retry_after=90))],
    ),
    "slowdown": Operation(
        "slowdown", lambda q, _: q.slowdown(60, "busy"), [add("a")], [Step(lambda q, _: q.slowdown(0), after=1)]
    ),
    "slowdown, lifted": Operation(
        "slowdown",
        lambda q, _: q.slowdown(0),
        [add("a"), Step(lambda q, _: q.slowdown(60))],
        [Step(lambda q, _: q.slowdown(30))],
    ),
    "reset_breaker": Operation(
        "reset_breaker",
        lambda q, _: q.reset_breaker("build"),
        [add("a"), Step(lambda q, _: q.trip_breaker("build"))],
        [Step(lambda q, _: q.trip_breaker("build"), after=1)],
    ),
    "trip_breaker": Operation(
        "trip_breaker",
        lambda q, _: q.trip_breaker("build"),
        [add("a")],
        [Step(lambda q, _: q.reset_breaker("build"), after=1)],
    ),
    "import": Operation(
        "import",
        lambda q, _: q.run(commands.import_(q.keys, _RESTORED, request=commands.new_request(), before=0)),
        [add("a")],
        [Step(lambda q, _: q.cancel("x", "not needed"))],
    ),
    "import_breakers": Operation(
        "import_breakers",
        lambda q, _: q.run(commands.import_breakers(q.keys, _BREAKERS, request=commands.new_request())),
        [add("a")],
        [Step(lambda q, _: q.reset_breaker("build"), after=1)],
    ),
    "configure": Operation(
        "configure",
        lambda q, _: q.configure(keep_count=500, breaker_defaults={"failureThreshold": 3}),
        [add("a")],
        [Step(lambda q, _: q.configure(keep_count=None, backoff_jitter=0.1))],
    ),
}

_PLAN = [
    {"id": f"plan-{n}", "type": ("build", "test")[n % 2], "payload": {"n": n}, "priority": 1 + n % 3}
    | ({"dependencies": [f"plan-{n - 2}"]} if n % 5 == 4 else {})
    for n in range(12)
]

# One thing after the other, as a small fleet with an operator does them. Times lie well apart, so that every backoff,
# hold and breaker takes part.
SESSION: list[Step] = [
    Step(
        lambda q, _: q.configure(breaker_defaults={"failureThreshold": 2, "halfOpenAfter": 20, "cooldownSeconds": 40})
    ),
    add("a"),
    add("a"),
    add("b", payload={"id": "a"}),
    # Refused after its first write, which is taken back.
    add("a", payload={"id": "z"}),
    add("c", dependencies=["a"], title="kept", tags=[]),
    Step(lambda q, _: q.enqueue_many(_PLAN)),
    take("one", lease=30),
    take("two", "agent-2", lease=30),
    Step(lambda q, seen: q.heartbeat(seen["one"], checkpoint=[1], progress="half"), after=10),
    Step(lambda q, seen: q.complete(seen["one"], output="done")),
    Step(lambda q, seen: q.complete(seen["one"], output="done", decision_report=REPORT)),
    Step(lambda q, seen: q.complete(seen["one"], output="done", decision_report=REPORT)),
    Step(lambda q, seen: q.fail(seen["one"], "after all")),
    Step(lambda q, seen: q.fail(seen["two"], "network\nis down"), after=1),
    Step(lambda q, _: q.claim_many("agent-3", ["build", "test"], 3, lease=60), "three"),
    Step(lambda q, seen: q.heartbeat_many([*seen["three"], seen["two"]]), after=5),
    Step(
        lambda q, seen: q.exchange(
            "agent-3",
            ["build", "test"],
            finished=[
                Finished(seen["three"][0], result=RESULT),
                Failed(seen["three"][1], "no"),
                Released(seen["three"][2]),
            ],
            limit=3,
        ),
        "exchanged",
    ),
    Step(lambda q, seen: q.rate_limited(seen["exchanged"].claims[0], "429", checkpoint={"page": 7})),
    Step(lambda q, _: q.claim("agent-4", "build")),
    Step(lambda q, _: q.slowdown(0)),
    Step(lambda q, _: q.claim("agent-3", "build")),
    Step(lambda q, _: q.resume(agent="agent-3")),
    Step(lambda q, _: q.resume(agent="agent-3")),
    take("four", "agent-3"),
    Step(lambda q, seen: q.release(seen["four"], reason="shutdown")),
    Step(lambda q, _: q.pause()),
    Step(lambda q, _: q.pause()),
    Step(lambda q, _: q.pause("test")),
    Step(lambda q, _: q.claim("agent-4", "test")),
    Step(lambda q, _: q.resume()),
    Step(lambda q, _: q.claim("agent-4", "test")),
    Step(lambda q, _: q.resume("test")),
    Step(lambda q, seen: q.complete(seen["exchanged"].claims[0], decision_report=REPORT), after=3),
    Step(lambda q, seen: q.fail(seen["exchanged"].claims[1], "hopeless", retry=False)),
    *bury("dead-1", "dead-1"),
    Step(lambda q, _: q.claim("agent-5", "build")),
    Step(lambda q, _: q.reset_breaker("build")),
    *bury("dead-2", "dead-2"),
    add("child", dependencies=["dead-2"]),
    Step(lambda q, _: q.escalate_dead("dead-2", "a person must say")),
    Step(lambda q, _: q.discard_dead("dead-2", "obsolete"), after=2),
    Step(lambda q, _: q.discard_dead("dead-2", "obsolete")),
    Step(lambda q, _: q.list("dead-letter"), "dead"),
    Step(lambda q, seen: q.resolve_dead(seen["dead"].tasks[0].id, RESULT)),
    Step(lambda q, seen: q.retry_dead(seen["dead"].tasks[1].id)),
    Step(lambda q, _: q.trip_breaker("test")),
    Step(lambda q, _: q.claim("agent-6", "test"), after=1),
    Step(lambda q, _: q.claim("agent-6", "test"), "probe", after=30),
    Step(lambda q, seen: q.fail(seen["probe"], "still broken")),
    Step(lambda q, _: q.slowdown(30, "be gentle")),
    Step(lambda q, _: q.claim("agent-6", ["build", "test"])),
    Step(lambda q, _: q.slowdown(0)),
    Step(lambda q, _: q.cancel("plan-4", "not needed")),
    Step(lambda q, _: q.cancel("plan-4", "not needed")),
    Step(lambda q, _: q.configure(breaker_defaults=None)),
    Step(lambda q, _: q.claim_many("agent-7", ["build", "test"], 100, lease=60), "rest", after=50),
    Step(lambda q, seen: q.exchange("agent-7", "build", finished=[Finished(c, result=RESULT) for c in seen["rest"]])),
    Step(lambda q, _: q.run(commands.import_(q.keys, _RESTORED, request=commands.new_request(), before=0))),
    Step(lambda q, _: q.run(commands.import_breakers(q.keys, _BREAKERS, request=commands.new_request()))),
    Step(lambda q, _: q.announce("agent-7", ["build"])),
    Step(lambda q, _: q.agents()),
    Step(lambda q, _: q.settings()),
    Step(lambda q, _: q.stats()),
    Step(lambda q, _: q.list(None, limit=1000)),
]
