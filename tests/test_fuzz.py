"""Whatever is passed in: refused with a declared error, or back unchanged. Never an error of Lua or of a library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lokiredis import (
    Claim,
    Failed,
    Finished,
    InvalidTask,
    LokiRedisError,
    NewTask,
    Queue,
    QueueUnavailable,
    Released,
)

from .servers import Backend

MIB = 1024 * 1024
REPORT = {"why": "asked"}


class Unprintable:
    """An object that can't be told."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class UnprintableError(Exception):
    """An error that can't be told."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@dataclass
class Proof:
    """What an ending needs of a claim."""

    id: Any
    token: Any


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


#: Texts that a shell, a key, a pattern, a record or a parser could stumble over.
TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udfffb",
    "\n",
    "a\n",
    "a\r\nb",
    "{}",
    "{x}",
    "*",
    "?",
    "..",
    "../x",
    "a b",
    "a:b",
    "a{b}",
    "é",
    "١",
    "\u2028",
    "\x85",
    "%c",
    "'; return 1 --",
    "x" * 129,
    "x" * (MIB + 1),
    "-1",
    "nan",
    "5",
]
#: What is no text, number or list of them.
OBJECTS = [None, True, False, b"x", bytearray(b"x"), object(), Unprintable(), {}, [], (), {"x"}, lambda: 1, NewTask, 1j]
NUMBERS = [0, -1, 11, 1.5, -0.0, 1e-9, math.nan, math.inf, -math.inf, 10**400, 2**53 + 1, 1e308, Decimal("NaN"), "5"]
JUNK = [*TEXTS, *OBJECTS, *NUMBERS]


@pytest.fixture
def live(backend: Backend, queue_name: str) -> Iterator[Queue]:
    """A queue with one running task, "x", of type "a", and one that is ready."""
    queue = Queue(backend.redis, queue_name)
    queue.enqueue_many([NewTask(type="a", id=id, idempotency_key="") for id in ("x", "y")])
    yield queue
    from tests.invariants import check

    check(backend.redis, queue_name)


Make = Callable[[Any], Callable[[], Any]]


def _declared(call: Callable[[], Any]) -> Any:
    """The call's value, or its declared error; anything else fails the test."""
    try:
        return call()
    except LokiRedisError as e:
        error = e
    assert type(error) not in (LokiRedisError, QueueUnavailable), f"an error that nobody declared: {error}"
    assert "script" not in str(error).lower(), f"an error of Lua: {error}"
    assert error.code == type(error).__name__
    assert str(error)
    return error


def _never_crashes(make: Callable[[Any], Callable[[], Any]], values: list[Any]) -> list[Any]:
    """Every value goes in, and what comes of it comes back; the message of a crash names the value."""
    found = []
    for value in values:
        try:
            found.append(_declared(make(value)))
        except Exception as e:
            shown = ascii(value)[:60] if not isinstance(value, Unprintable) else "Unprintable"
            raise AssertionError(f"{shown}: {type(e).__name__}: {str(e)[:300]}") from e
    return found


def _claim(queue: Queue) -> Claim:
    found = queue.claim("me", "a")
    assert isinstance(found, Claim)
    return found


# ---- what goes into a task


def test_fields_of_a_new_task(live: Queue) -> None:
    """Any junk in any field is refused, or is back unchanged; from keywords and from a dict."""
    names = {
        "id": "id",
        "type": "type",
        "payload": "payload",
        "priority": "priority",
        "dependencies": "dependencies",
        "timeout": "timeout",
        "max_retries": "maxRetries",
        "backoff_seconds": "backoffSeconds",
        "available_at": "availableAt",
        "delay": "delay",
        "idempotency_key": "idempotencyKey",
        "title": "title",
    }
    for name, camel in names.items():
        for value in JUNK:
            base = {"type": "b"} | ({} if name == "idempotency_key" else {"idempotency_key": ""})
            _taken(live, name, value, lambda v, n=name, b=base: lambda: live.enqueue(**b | {n: v}))  # type: ignore[misc]
            base = {"type": "b"} | ({} if name == "idempotency_key" else {"idempotencyKey": ""})
            if value is not None:
                _taken(live, name, value, lambda v, c=camel, b=base: lambda: live.enqueue_many([b | {c: v}])[0])  # type: ignore[misc]


def _taken(queue: Queue, name: str, value: Any, make: Make) -> None:
    """Refused, or back as it was."""
    (answer,) = _never_crashes(make, [value])
    if isinstance(answer, LokiRedisError):
        return
    task = queue.get(answer.id)
    if name == "title":
        assert (task.model_extra or {})["title"] == value
    elif name in ("timeout", "backoff_seconds"):
        assert abs(getattr(task, name) - value) <= 0.001
    elif name == "dependencies":
        assert task.dependencies == tuple(value)
    elif name not in ("delay", "available_at") and value is not None:
        assert getattr(task, name) == value
        assert not isinstance(value, bool)


NO_PAYLOADS: list[Any] = [
    [],
    "x",
    None,
    {"x": math.nan},
    {"x": math.inf},
    {1: 2},
    {"x": b"y"},
    {"x": "\ud800"},
    {"\ud800": 1},
    {"x": object()},
    {"x": {1, 2}},
]
NO_STATES: list[Any] = ["", "ready", "done", 5, [], b"pending", True]
NO_TYPES: list[Any] = [[], None, 5, b"a", [b"a"], [None], ["a b"], ""]
NO_CLAIMS: list[Any] = [None, 5, "x", object(), {"id": "x", "token": 1}]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("id", text) for text in TEXTS if text not in ("5", "nan")],
        *[("type", text) for text in TEXTS if text not in ("5", "nan")],
        *[("priority", value) for value in (0, 11, 1.5, True, "5", None, 10**400)],
        *[("timeout", value) for value in (0, -1, math.inf, math.nan, 31 * 86400, "5", True, None)],
        *[("max_retries", value) for value in (-1, 101, 1.5, True, "5", None)],
        *[("backoff_seconds", value) for value in (-1, 3601, math.nan, True, "5", None)],
        *[("delay", value) for value in (-1, math.inf, math.nan, 3651 * 86400, "5")],
        *[("available_at", value) for value in ("soon", 5, datetime(2027, 1, 1))],
        ("available_at", datetime(9999, 1, 1, tzinfo=timezone.utc)),
        *[("dependencies", value) for value in ("abc", 5, None, [None], [b"x"], ["\ud800"], ["x"] * 1001)],
        *[("payload", value) for value in NO_PAYLOADS],
        ("payload", {"x": _deep(2000)}),
        ("payload", {"x": _deep(100_000)}),
        ("payload", {"x": "x" * (MIB + 1)}),
        ("payload", {"x": 10**5000}),
        ("title", _deep(2000)),
        ("title", math.nan),
        ("title", "\ud800"),
        ("title", "x" * (3 * MIB)),
        ("idempotency_key", "k" * 1025),
        ("idempotency_key", "\ud800"),
        *[(name, "x") for name in ("sequence", "createdAt", "result", "token", "group", "usage", "waitingOn")],
    ],
    ids=lambda value: ascii(value)[:20] if isinstance(value, (str, int, float, type(None))) else type(value).__name__,
)
def test_what_is_refused(memory: Queue, field: str, value: Any) -> None:
    """Each of these breaks a limit: InvalidTask, and nothing is stored."""
    with pytest.raises(InvalidTask):
        memory.enqueue(**{"type": "a", field: value})
    assert memory.counts()["pending"] == 0


@pytest.fixture
def memory(queue_name: str) -> Queue:
    """A queue in this process, for what needs no real server."""
    return Queue.from_url(f"memory://{queue_name}", queue_name)


def test_no_task_at_all(live: Queue) -> None:
    """What is no list of tasks, and what is no task in a list, is refused."""
    _never_crashes(lambda value: lambda: live.enqueue_many(value), JUNK)
    answers = _never_crashes(
        lambda value: lambda: live.enqueue_many([{"type": "c"}, value]), [*JUNK, {1: 2}, {"type": 5}]
    )
    assert {(type(a), getattr(a, "index", None)) for a in answers} == {(InvalidTask, 1)}
    assert "c" not in live.stats().types


# ---- every argument of every method


def test_arguments_of_claims(live: Queue) -> None:
    """Agents, types, limits, leases, waits and requests."""
    makers: list[Make] = [
        lambda v: lambda: live.claim(v, "none"),
        lambda v: lambda: live.claim("me", v),
        lambda v: lambda: live.claim("me", [v]),
        lambda v: lambda: live.claim("me", "none", lease=v),
        lambda v: lambda: live.claim("me", "none", request=v),
        lambda v: lambda: live.claim_many(v, "none", 1),
        lambda v: lambda: live.claim_many("me", v, 1),
        lambda v: lambda: live.claim_many("me", "none", v),
        lambda v: lambda: live.claim_many("me", "none", 1, lease=v),
        lambda v: lambda: live.claim_many("me", "none", 1, request=v),
        lambda v: lambda: live.exchange(v, "none"),
        lambda v: lambda: live.exchange("me", v),
        lambda v: lambda: live.exchange("me", "none", limit=v),
        lambda v: lambda: live.exchange("me", "none", lease=v),
        lambda v: lambda: live.exchange("me", "none", finished=v),
        lambda v: lambda: live.exchange("me", "none", finished=[v]),
        lambda v: lambda: live.exchange("me", "none", request=v),
    ]
    for make in makers:
        _never_crashes(make, JUNK)
    _never_crashes(
        lambda v: lambda: live.claim("me", v), [[], [f"t{i}" for i in range(101)], ["a", "b c"], iter(["a"])]
    )


@pytest.mark.parametrize("wait", [math.nan, math.inf, -math.inf, "5", True, b"1", object()])
def test_a_wait_that_is_none(memory: Queue, wait: Any) -> None:
    """It must not become a wait for ever."""
    with pytest.raises(InvalidTask) as caught:
        memory.claim("me", "a", wait=wait)
    assert caught.value.field == "wait"


@pytest.mark.parametrize(
    ("call", "field"),
    [
        *[(lambda q, v=v: q.claim_many("me", "a", v), "limit") for v in (0, 1001, 1.5, True, "1", None, math.nan)],
        *[(lambda q, v=v: q.claim("me", "a", lease=v), "lease") for v in (0, -1, math.nan, math.inf, True, "1", b"1")],
        *[(lambda q, v=v: q.claim("me", v), "types") for v in NO_TYPES],
        (lambda q: q.claim("me", [f"t{i}" for i in range(101)]), "types"),
        *[(lambda q, v=v: q.claim(v, "a"), "agent") for v in ("", "a b", "x" * 129, None, 5, b"me", "\ud800", "me\n")],
        *[
            (lambda q, v=v: q.claim("me", "a", request=v), "request")
            for v in ("", "a b", "x" * 129, 5, b"r", "é", "r\n")
        ],
        *[(lambda q, v=v: q.enqueue(type="a", request=v), "request") for v in ("", "a b", 5)],
        *[(lambda q, v=v: q.enqueue_many([{"type": "a"}], request=v), "request") for v in ("", "a b", 5)],
        *[(lambda q, v=v: q.heartbeat(Proof("x", v)), "token") for v in (None, "abc", "1", True, 1.5, -1, 10**30)],
        *[(lambda q, v=v: q.heartbeat(Proof(v, 1)), "id") for v in (None, 5, b"x", "\ud800")],
        *[(lambda q, v=v: q.heartbeat(v), "claim") for v in NO_CLAIMS],
        *[(lambda q, v=v: q.heartbeat_many(v), "claims") for v in (None, 5)],
        (lambda q: q.heartbeat_many([Proof("x", 1)] * 1001), "claims"),
        *[(lambda q, v=v: q.release(Proof("x", 1), delay=v), "delay") for v in (math.nan, math.inf, True, "1", None)],
        *[(lambda q, v=v: q.fail(Proof("x", 1), "e", retry=v), "retry") for v in (None, "no", 0, 1)],
        *[
            (lambda q, v=v: q.rate_limited(Proof("x", 1), "", retry_after=v), "retryAfter")
            for v in (math.nan, math.inf, "5")
        ],
        *[(lambda q, v=v: q.rate_limited(Proof("x", 1), "", release=v), "release") for v in (None, "yes", 1)],
        *[(lambda q, v=v: q.list(v), "state") for v in NO_STATES],
        *[(lambda q, v=v: q.list("pending", limit=v), "limit") for v in (0, 1001, 1.5, True, "1", None)],
        *[(lambda q, v=v: q.list("pending", cursor=v), "cursor") for v in ("x", 5, b"1:1:x", "\ud800", "1:..:x")],
        *[(lambda q, v=v: q.list("pending", type=v), "type") for v in ("", "a b", 5, b"a")],
        *[(lambda q, v=v: q.get(v), "id") for v in (None, 5, b"x", "\ud800")],
        *[(lambda q, v=v: q.cancel(v, "no"), "id") for v in (None, 5, b"x", "\ud800")],
        *[(lambda q, v=v: q.pause(v), "type") for v in ("", 5, "a b", b"a")],
        *[(lambda q, v=v: q.slowdown(v), "wait") for v in (-1, math.nan, math.inf, True, "5", None)],
        *[(lambda q, v=v: q.retry_dead("x", delay=v), "delay") for v in (-1, math.nan, math.inf, True, "5", None)],
        *[(lambda q, v=v: q.retry_dead("x", force=v), "force") for v in (None, "yes", 1)],
    ],
)
def test_refused_arguments(memory: Queue, call: Callable[[Queue], Any], field: str) -> None:
    """InvalidTask names the argument."""
    with pytest.raises(InvalidTask) as caught:
        call(memory)
    assert caught.value.field == field


def test_arguments_of_endings(live: Queue) -> None:
    """Claims, results, errors, delays, flags and checkpoints; the claim is still good afterwards, or has ended."""
    claims = [*JUNK, *(Proof(v, 1) for v in JUNK), *(Proof("x", v) for v in JUNK)]
    makers: list[Make] = [
        lambda v: lambda: live.heartbeat(v),
        lambda v: lambda: live.heartbeat_many(v),
        lambda v: lambda: live.heartbeat_many([v]),
        lambda v: lambda: live.complete(v, decision_report=REPORT),
        lambda v: lambda: live.fail(v, "e"),
        lambda v: lambda: live.release(v),
        lambda v: lambda: live.rate_limited(v, "429"),
        lambda v: lambda: live.exchange("me", "none", finished=[Finished(v, decision_report=REPORT)]),
        lambda v: lambda: live.exchange("me", "none", finished=[Failed(v, "e"), Released(v)]),
    ]
    for make in makers:
        _never_crashes(make, claims)
    claim = _claim(live)
    makers = [
        lambda v: lambda: live.heartbeat(claim, checkpoint=v),
        lambda v: lambda: live.heartbeat(claim, progress=v),
        lambda v: lambda: live.complete(claim, result=v),
        lambda v: lambda: live.complete(claim, result={"status": v}),
        lambda v: lambda: live.complete(claim, result={"decisionReport": {}, "x": v}),
        lambda v: lambda: live.release(claim, delay=v) if not isinstance(v, (int, float)) or v < 0 else None,
        lambda v: lambda: live.rate_limited(claim, "429", retry_after=v),
        lambda v: lambda: live.rate_limited(claim, "429", checkpoint=v),
        lambda v: lambda: live.rate_limited(claim, "429", request=v, retry_after=0),
    ]
    for make in makers:
        _never_crashes(make, [*JUNK, _deep(2000), "x" * (9 * MIB)])


@pytest.mark.parametrize(
    "text",
    [*TEXTS, *OBJECTS, UnprintableError(), KeyError(), OSError(5, "x"), _deep(5000)],
    ids=lambda v: type(v).__name__,
)
def test_errors_and_reasons(memory: Queue, text: Any) -> None:
    """Whatever describes an error or a reason is taken: an error that can't be told must not keep its claim."""
    for id in ("p", "q", "r", "s"):
        memory.enqueue(type="a", id=id, idempotency_key="", max_retries=1)
    memory.fail(_claim(memory), text)
    memory.release(_claim(memory), reason=text, delay=9)
    assert memory.rate_limited(_claim(memory), text, retry_after=0, release=True).released
    memory.escalate_dead("p", text)
    memory.discard_dead("p", text)
    memory.cancel("q", text)
    memory.slowdown(0, text)
    cancelled = memory.get("q")
    if isinstance(text, str) and len(text) < 1000:
        # A lone surrogate, which UTF-8 can't hold, is told as in Python's source.
        assert cancelled.cancel_reason == text.encode("utf-8", "backslashreplace").decode()
    assert cancelled.state == "cancelled"


def test_arguments_of_operators(live: Queue) -> None:
    """Ids, types, states, cursors, delays and requests of the verbs for people."""
    makers: list[Make] = [
        lambda v: lambda: live.cancel(v, "no"),
        lambda v: lambda: live.get(v),
        lambda v: lambda: live.list(v),
        lambda v: lambda: live.list("pending", type=v),
        lambda v: lambda: live.list("pending", limit=v),
        lambda v: lambda: live.list("pending", cursor=v),
        lambda v: lambda: live.list("completed", cursor=v),
        lambda v: lambda: live.list(None, cursor=v),
        lambda v: lambda: live.retry_dead(v),
        lambda v: lambda: live.retry_dead("x", delay=v),
        lambda v: lambda: live.retry_dead("x", force=v),
        lambda v: lambda: live.retry_dead("x", request=v),
        lambda v: lambda: live.resolve_dead(v, {"decisionReport": REPORT}),
        lambda v: lambda: live.resolve_dead("x", v),
        lambda v: lambda: live.discard_dead(v, "no"),
        lambda v: lambda: live.escalate_dead(v, "note"),
        lambda v: lambda: live.slowdown(v, "no"),
        lambda v: lambda: live.reset_breaker(v),
        lambda v: lambda: live.trip_breaker(v),
        lambda v: lambda: live.resume(v),
        lambda v: lambda: live.resume(agent=v),
        lambda v: lambda: live.pause(v),
    ]
    for make in makers:
        _never_crashes(make, JUNK)
    live.resume()
    live.slowdown(0)
    live.resume("5")
    live.resume("nan")


SETTINGS = [
    "payload_bytes",
    "checkpoint_bytes",
    "result_bytes",
    "document_bytes",
    "keep_seconds",
    "keep_count",
    "tombstone_seconds",
    "longest_hold",
    "longest_slowdown",
    "decision_report",
    "decision_report_keys",
    "backoff_jitter",
    "breaker_defaults",
    "breaker_overrides",
    "version",
    "no_such_setting",
]


def test_settings(live: Queue) -> None:
    """Junk for a setting is refused or comes back, and the settings can be read after each."""
    breakers = [{"failure_threshold": v} for v in JUNK] + [{"cooldownSeconds": v} for v in JUNK] + [{"x": 1}, {1: 2}]
    overrides = [{v: {"failure_threshold": 1}} for v in TEXTS] + [{"a": v} for v in JUNK] + [{"a": v} for v in breakers]
    for name in SETTINGS:
        values = [*JUNK, *(breakers if "defaults" in name else overrides if "overrides" in name else [])]
        values += [["\ud800"], ["a\nb"], [5], [""]] if name == "decision_report_keys" else []
        _never_crashes(lambda v, name=name: lambda: (live.configure(**{name: v}), live.settings()), values)  # type: ignore[misc]
    live.configure(**dict.fromkeys(SETTINGS[:-2]))


@pytest.mark.parametrize("name", [*TEXTS[:-1], None, 5, b"x", True, "x" * 65])
def test_names_of_queues(backend: Backend, name: Any) -> None:
    """A queue's name is checked before anything is sent."""
    if name in ("nan", "5"):
        Queue(backend.redis, name)
        return
    with pytest.raises(InvalidTask) as caught:
        Queue(backend.redis, name)
    assert caught.value.field == "queue"


# ---- back unchanged


def _texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8"), max_size=20)


def _json() -> st.SearchStrategy[Any]:
    leaves = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | _texts()
        | st.sampled_from([2**53 + 1, -(2**63), 10**30, 1e308, 5e-324, -0.0, 1.0, [], {}, [[]], [{}], {"": []}, "\x00"])
    )
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts(), inner, max_size=4), max_leaves=12
    )


def _same(one: Any, other: Any) -> bool:
    """Equal by value and by type: 1, 1.0 and True are three things, and -0.0 is not 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return repr(one) == repr(other)


@settings(max_examples=60)
@given(payload=st.dictionaries(_texts(), _json(), max_size=4), extra=_json(), checkpoint=_json())
def test_json_comes_back(backend: Backend, payload: dict[str, Any], extra: Any, checkpoint: Any) -> None:
    """Payload, unknown field, checkpoint, progress and result come back equal by value and type."""
    queue = Queue(backend.redis, f"q-{uuid4().hex[:12]}")
    made = queue.enqueue(type="a", payload=payload, extra=extra)
    assert not queue.enqueue(type="a", payload=payload, extra=extra).created
    claim = _claim(queue)
    assert claim.id == made.id
    assert _same(claim.task.payload, payload)
    assert _same((claim.task.model_extra or {})["extra"], extra)
    queue.heartbeat(claim, checkpoint=checkpoint, progress=extra)
    queue.complete(claim, output=checkpoint, decision_report={"why": payload})
    task = queue.get(made.id)
    assert _same(task.checkpoint, checkpoint)
    assert _same(task.progress, extra)
    assert task.result is not None
    assert _same(task.result["output"], checkpoint)
    assert _same(task.result["decisionReport"], {"why": payload})
    assert _same(task.to_json()["payload"], payload)


NAMES = [
    "state",
    "place",
    "task",
    "to_json",
    "model_extra",
    "model_fields",
    "model_config",
    "model_dump",
    "copy",
    "json",
    "dict",
    "keys",
    "items",
    "self",
    "cls",
    "class",
    "_state",
    "_place",
    "_fields_set",
    "id_",
    "__class__",
    "__init__",
    "__pydantic_extra__",
    "created_at",
    "claimed_by",
    "claimed_at",
    "max_retries",
    "backoff_seconds",
    "last_error",
    "waiting_on",
    "available_at",
    "idempotency_key",
    "lease_expires_at",
    "cancel_reason",
    "row",
    "request",
    "data",
    "",
    " ",
    "a b",
    "é",
    "\x00",
    "x" * 300,
]


def test_fields_named_like_ours(live: Queue) -> None:
    """A user's field may have any name but the documented ones; in Python's spelling it is one like any other."""
    fields: dict[str, Any] = {name: [name] for name in NAMES}
    live.enqueue_many([{"type": "b", "id": "z", "maxRetries": 7, **fields}])
    claim = live.claim("me", "b")
    assert isinstance(claim, Claim)
    for task in (claim.task, live.get("z"), live.list(None, type="b").tasks[0]):
        assert task.model_extra == fields
        assert (task.max_retries, task.claimed_by, task.created_at == ["created_at"]) == (7, "me", False)
        assert (task.state.value, task.place) == ("in-progress", "leased")
        shown = task.to_json()
        assert {name: shown[name] for name in NAMES} == fields
        assert (shown["maxRetries"], shown["claimedBy"]) == (7, "me")


def test_keywords_named_like_ours(live: Queue) -> None:
    """As keyword arguments too, save those that are arguments themselves."""
    fields: dict[str, Any] = {
        name: [name] for name in NAMES if name not in NewTask.model_fields and name not in ("request",)
    }
    made = live.enqueue(type="b", **fields)
    assert live.get(made.id).model_extra == fields
    assert NewTask(type="b", **fields).model_extra == fields


def test_a_client_that_decodes(backend: Backend, queue_name: str) -> None:
    """A redis client with decode_responses, and one that speaks RESP3, get the same."""
    options: list[dict[str, Any]] = [{"decode_responses": True}]
    if backend.server is not None:
        options += [{"protocol": 3}, {"protocol": 3, "decode_responses": True}]
    shown = []
    for number, option in enumerate(options):
        with backend.client(**option) as client:
            queue = Queue(client, f"{queue_name}-{number}")
            queue.enqueue(type="a", id="x", payload={"é": "\x00"}, idempotency_key="k")
            first = _claim(queue)
            queue.heartbeat(first, checkpoint=["é"])
            queue.fail(first, "é")
            assert not queue.claim("me", "a")
            queue.slowdown(5)
            page = queue.list("pending")
            stats = queue.stats()
            task = page.tasks[0]
            shown.append(
                (task.payload, task.checkpoint, task.last_error, task.attempts[0].error, stats.counts, page.cursor)
            )
            assert queue.settings().keep_count == 100_000
            assert stats.slowdown_until is not None
    assert all(row == shown[0] for row in shown)
