"""Models, units, settings and errors, without a server."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lokiredis
from lokiredis import (
    Attempt,
    BreakerSettings,
    DependencyCycle,
    InvalidTask,
    LokiRedisError,
    NewTask,
    NoClaim,
    Queue,
    Settings,
    StaleClaim,
    State,
    Task,
    errors,
)
from lokiredis.canonical import default_key, digest
from lokiredis.config import from_stored, to_stored
from lokiredis.models import RESERVED, at_ms, from_epoch, from_ms, iso, parse_time, to_ms

UTC = timezone.utc

# ---- units


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [(0, 0), (1, 1000), (0.1, 100), (0.3, 300), (1.001, 1001), (0.0001, 1), (1e-9, 1), (2.0005, 2001), (1e-300, 1)],
)
def test_seconds_to_ms(seconds: float, ms: int) -> None:
    """Rounded up to a whole millisecond, without the errors of binary fractions; what is positive stays so."""
    assert to_ms(seconds) == ms


@given(st.integers(0, 10**13))
def test_ms_and_back(ms: int) -> None:
    """A whole number of milliseconds survives being told in seconds."""
    assert to_ms(from_ms(ms)) == ms
    assert isinstance(from_ms(ms), int) == (ms % 1000 == 0)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_times(when: datetime) -> None:
    """A time survives as milliseconds and as text, cut to the millisecond."""
    cut = when.replace(microsecond=when.microsecond // 1000 * 1000)
    assert from_epoch(at_ms(when)) == cut
    assert parse_time(iso(when), "x") == cut


def test_time_zones() -> None:
    """Any time zone is told in UTC; a text without one is UTC; nonsense is refused."""
    east = datetime(2027, 1, 15, 9, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    assert iso(east) == "2027-01-15T08:00:00.123Z"
    assert parse_time("2027-01-15T08:00:00", "x") == datetime(2027, 1, 15, 8, tzinfo=UTC)
    assert parse_time("2027-01-15T09:00:00+01:00", "x") == datetime(2027, 1, 15, 8, tzinfo=UTC)
    for text in ("", "soon", "2027-13-01", "Z", "12"):
        with pytest.raises(InvalidTask) as caught:
            parse_time(text, "availableAt")
        assert caught.value.field == "availableAt"


# ---- new tasks


def test_names_of_fields() -> None:
    """Keywords are snake_case, JSON is camelCase; each takes only its own."""
    by_keyword = NewTask(type="a", id="x", max_retries=7, backoff_seconds=1.5, idempotency_key="k")
    by_json = NewTask.from_json({"type": "a", "id": "x", "maxRetries": 7, "backoffSeconds": 1.5, "idempotencyKey": "k"})
    assert by_keyword == by_json
    with pytest.raises(InvalidTask) as caught:
        NewTask(type="a", maxRetries=7)
    assert caught.value.field == "maxRetries"
    plain = NewTask.from_json({"type": "a", "max_retries": 7, "created_at": "then"})
    assert (plain.max_retries, plain.model_extra) == (3, {"max_retries": 7, "created_at": "then"})


def test_a_null_is_not_given() -> None:
    """In JSON a null of a known field is its default; a user's null is kept."""
    task = NewTask.from_json({"type": "a", "priority": None, "delay": None, "result": None, "title": None})
    assert (task.priority, task.model_extra) == (5, {"title": None})


def test_times_in_json() -> None:
    """availableAt is ISO 8601 there, and an aware datetime as a keyword."""
    task = NewTask.from_json({"type": "a", "availableAt": "2027-01-15T08:00:00.5Z"})
    assert task.available_at == datetime(2027, 1, 15, 8, 0, 0, 500000, tzinfo=UTC)
    with pytest.raises(InvalidTask) as caught:
        NewTask(type="a", available_at=datetime(2027, 1, 1))
    assert caught.value.field == "availableAt"


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_names_that_only_the_queue_sets(name: str) -> None:
    """Refused with the name, from keywords and from JSON."""
    fields: dict[str, Any] = {"type": "a", name: 1}
    with pytest.raises(InvalidTask) as caught:
        NewTask(**fields)
    assert caught.value.field == name
    with pytest.raises(InvalidTask) as caught:
        NewTask.from_json(fields)
    assert caught.value.field == name


def test_a_new_task_is_frozen() -> None:
    """It can't change between its check and its storing."""
    with pytest.raises(Exception, match="frozen"):
        NewTask(type="a").priority = 6  # type: ignore[misc]


def test_without_an_id() -> None:
    """Each gets one of its own."""
    assert NewTask(type="a").id != NewTask(type="a").id


def test_missing_and_wrong_fields() -> None:
    """The error names the documented field."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "type"),
        ({"type": 5}, "type"),
        ({"type": "a", "max_retries": "x"}, "maxRetries"),
    ]
    for fields, name in wrong:
        with pytest.raises(InvalidTask) as caught:
            NewTask(**fields)
        assert caught.value.field == name


# ---- keys of equal tasks (rule 12)


def test_the_default_key() -> None:
    """SHA-256 over canonical JSON: the order of keys doesn't matter, that of lists does."""
    key = default_key("a", {"b": 1, "a": "é"}, ["p"], {"title": "T"})
    assert key == default_key("a", {"a": "é", "b": 1}, ["p"], {"title": "T"})
    assert len(key) == 64
    others = [
        default_key("b", {"b": 1, "a": "é"}, ["p"], {"title": "T"}),
        default_key("a", {"b": 1, "a": "e"}, ["p"], {"title": "T"}),
        default_key("a", {"b": 1, "a": "é"}, ["q"], {"title": "T"}),
        default_key("a", {"b": 1, "a": "é"}, ["p"], {"title": "U"}),
        default_key("a", {"b": 1, "a": "é"}, ["p"], {}),
    ]
    assert len({key, *others}) == 6


def test_digests() -> None:
    """22 characters that need no escaping, whatever the key; none for none."""
    assert digest("") == ""
    assert len(digest("k")) == len(digest("\x00\ud800" * 500)) == 22
    assert digest("k").replace("-", "a").replace("_", "a").isalnum()


# ---- tasks


def test_a_task_as_json() -> None:
    """The documented names in their order, then the user's; times as text, sets as sorted lists."""
    when = datetime(2027, 1, 15, 8, tzinfo=UTC)
    task = Task.model_construct(
        id="x",
        type="a",
        priority=5,
        created_at=when,
        timeout=1.5,
        max_retries=3,
        backoff_seconds=60,
        backoff_base=60,
        sequence=1,
        dependencies=("p", "q"),
        waiting_on=frozenset({"q", "p"}),
        attempts=(
            Attempt(token=1, agent="me", host=None, claimed_at=when, ended_at=when, outcome="failed", error="e"),
        ),
        title="T",
    )
    shown = task.to_json()
    assert list(shown)[:4] == ["id", "idempotencyKey", "type", "priority"]
    assert list(shown)[-1] == "title"
    assert (shown["createdAt"], shown["waitingOn"]) == ("2027-01-15T08:00:00.000Z", ["p", "q"])
    assert shown["attempts"] == [
        {
            "token": 1,
            "agent": "me",
            "host": None,
            "claimedAt": "2027-01-15T08:00:00.000Z",
            "endedAt": "2027-01-15T08:00:00.000Z",
            "outcome": "failed",
            "error": "e",
        }
    ]


def test_states() -> None:
    """The values are the documented file names, and a state is its text."""
    assert [str(state) for state in State] == ["pending", "in-progress", "completed", "dead-letter", "cancelled"]
    assert f"{State.IN_PROGRESS}" == "in-progress"


def test_no_claim_is_false() -> None:
    """`if claim:` tells a claim from none."""
    assert not NoClaim("empty", None)


# ---- settings


CHANGED: dict[str, Any] = {
    "breaker_defaults": BreakerSettings(
        failure_threshold=1, cooldown_seconds=0.5, half_open_after=2, count_on="attempt"
    ),
    "breaker_overrides": {"a": BreakerSettings(), "b": BreakerSettings(half_open_after=1)},
    "payload_bytes": 1,
    "keep_seconds": 600.001,
    "longest_hold": 0,
    "decision_report": False,
    "decision_report_keys": ("why", "a b"),
    "backoff_jitter": 0.01,
}


def test_settings_there_and_back() -> None:
    """What is stored is read as it was given."""
    stored = dict(to_stored(CHANGED))
    assert from_stored({**stored, "version": "3"}) == Settings(**CHANGED, version=3)
    assert dict(to_stored(dict.fromkeys(CHANGED)))["keep_ms"] == ""


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("nothing", 1, "nothing"),
        ("version", 1, "version"),
        ("payload_bytes", 0, "payload_bytes"),
        ("payload_bytes", 8 * 1024 * 1024 + 1, "payload_bytes"),
        ("payload_bytes", 1.5, "payload_bytes"),
        ("payload_bytes", True, "payload_bytes"),
        ("keep_seconds", 599, "keep_seconds"),
        ("keep_seconds", math.nan, "keep_seconds"),
        ("keep_seconds", "600", "keep_seconds"),
        ("keep_count", -1, "keep_count"),
        ("longest_hold", math.inf, "longest_hold"),
        ("longest_slowdown", 86401, "longest_slowdown"),
        ("decision_report", 1, "decision_report"),
        ("decision_report_keys", "why", "decision_report_keys"),
        ("decision_report_keys", ["a\nb"], "decision_report_keys"),
        ("decision_report_keys", [""], "decision_report_keys"),
        ("backoff_jitter", 0.2, "backoff_jitter"),
        ("breaker_defaults", 5, "breaker_defaults"),
        ("breaker_defaults", {"failureThreshold": 0}, "breaker_defaults.failureThreshold"),
        ("breaker_defaults", {"countOn": "all"}, "breaker_defaults.countOn"),
        ("breaker_defaults", {"x": 1}, "breaker_defaults.x"),
        ("breaker_overrides", [], "breaker_overrides"),
        ("breaker_overrides", {"a b": {}}, "breaker_overrides.a b"),
        ("breaker_overrides", {"a": {"cooldownSeconds": -1}}, "breaker_overrides.a.cooldownSeconds"),
    ],
)
def test_refused_settings(name: str, value: Any, field: str) -> None:
    """The error names the setting."""
    with pytest.raises(InvalidTask) as caught:
        to_stored({name: value})
    assert caught.value.field == field


# ---- errors


def _tree(kind: type[LokiRedisError]) -> list[type[LokiRedisError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in _tree(child))]


ERRORS = _tree(LokiRedisError)


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error(kind: type[LokiRedisError]) -> None:
    """Its code is its class name, its docstring its message, and it survives pickling with all it carries."""
    plain = kind()
    assert (plain.code, str(plain)) == (kind.__name__, (kind.__doc__ or "").strip())
    full = kind("why", id="x", state="pending", index=3, field="type", more=[1])
    for again in (pickle.loads(pickle.dumps(full)), copy.copy(full)):
        assert type(again) is kind
        assert (again.message, again.id, again.state, again.index, again.field, again.data) == (
            "why",
            "x",
            "pending",
            3,
            "type",
            {"more": [1]},
        )
        assert str(again) == str(full) == "task 3, type, x: why (it is pending)"
    assert errors.from_reply(kind.__name__, '{"message":"m","id":"y"}').__class__ is kind


def test_every_error_is_public() -> None:
    """Each error of the tree can be imported from the package."""
    for kind in ERRORS:
        if kind.__module__ == "lokiredis.errors":
            assert getattr(lokiredis, kind.__name__) is kind
    assert all(hasattr(lokiredis, name) for name in lokiredis.__all__)


def test_an_answer_that_is_no_error_of_ours() -> None:
    """A code that we don't know is left to the caller."""
    assert errors.from_reply("WRONGTYPE", "x") is None


def test_what_an_error_says() -> None:
    """Place, message and state, each once."""
    assert str(StaleClaim("the claim 5 of x has ended", id="x", state="pending")) == (
        "the claim 5 of x has ended (it is pending)"
    )
    assert str(DependencyCycle(index=0)) == "task 0: The dependencies of these tasks form a cycle."


def test_nothing_is_connected_by_making_a_queue() -> None:
    """A Queue talks to Redis when it is used, not before."""
    made = Queue.from_url("redis://127.0.0.1:1")
    assert made.name == "default"
    assert inspect.signature(made.claim).parameters["wait"].default == 0
    made.close()


def test_an_id_of_our_own_is_a_random_uuid() -> None:
    """Version 4, in the text that the uuid module would give, and no two alike."""
    ids = [NewTask(type="a").id for _ in range(1000)]
    assert len(set(ids)) == 1000
    for id in ids:
        read = UUID(id)
        assert (str(read), read.version, read.variant) == (id, 4, RFC_4122)
