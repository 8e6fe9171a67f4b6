"""lua/enqueue.lua: design sections 2 and 3, rules 4, 9, 12 and 17."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest

from lokiredis import (
    DependencyCycle,
    Enqueued,
    InvalidTask,
    LokiRedisError,
    NewTask,
    State,
    TaskExists,
    UnknownDependency,
)
from lokiredis.commands import enqueue_batch

from ..clock import ClockedQueue
from .moves import AGENT, add, bury, done, every, marks, moment, places, raw, refused, somebody_waits, stored, take

DAY = 86400
#: id, type, priority, timeout, maxRetries, backoff, availableAt, delay, digest, bytes of the payload, document
GOOD = ["x", "a", 5, 1000, 3, 0, "", "", "", 2, '{"payload":{}}']


def _words(fields: list[Any], dependencies: str = "") -> list[Any]:
    """As the script takes a task: what it shares with others is one word."""
    id, *form, digest, size, document = fields
    return [id, " ".join(map(str, form)), digest, size, document, dependencies]


def test_a_task_comes_back_whole(clocked: ClockedQueue) -> None:
    """Every field of a new task is stored, the ones not given with their defaults."""
    made = clocked.enqueue(type="a", payload={"n": 1}, id="x", title="T")
    key = clocked.get("x").idempotency_key
    assert made == Enqueued("x", True, State.PENDING)
    assert clocked.get("x").to_json() == {
        "id": "x",
        "idempotencyKey": key,
        "type": "a",
        "priority": 5,
        "dependencies": [],
        "payload": {"n": 1},
        "createdAt": "2027-01-15T08:00:00.000Z",
        "claimedBy": None,
        "claimedAt": None,
        "timeout": 3600,
        "retries": 0,
        "maxRetries": 3,
        "backoffSeconds": 60,
        "lastError": None,
        "completedAt": None,
        "result": None,
        "sequence": 1,
        "availableAt": None,
        "cancelledAt": None,
        "cancelReason": None,
        "backoffBase": 60,
        "attempts": [],
        "checkpoint": None,
        "progress": None,
        "waitingOn": [],
        "token": None,
        "leaseExpiresAt": None,
        "escalatedAt": None,
        "escalationNote": None,
        "title": "T",
    }


def test_given_fields_are_kept(clocked: ClockedQueue) -> None:
    """What the caller chooses is stored as given."""
    clocked.enqueue(
        type="b", id="x", priority=9, timeout=1.5, max_retries=0, backoff_seconds=0.25, idempotency_key="own", delay=2.5
    )
    task = clocked.get("x")
    assert (task.type, task.priority, task.timeout, task.max_retries) == ("b", 9, 1.5, 0)
    assert (task.backoff_seconds, task.backoff_base, task.idempotency_key) == (0.25, 0.25, "own")
    assert (task.place, task.available_at) == ("delayed", moment(clocked, 2.5))


def test_the_three_kinds_of_pending(clocked: ClockedQueue) -> None:
    """Ready, delayed until its time, blocked by a dependency: each in its place, and counted there."""
    add(clocked, "ready")
    add(clocked, "past", available_at=moment(clocked, -5))
    add(clocked, "delayed", available_at=moment(clocked, 5))
    add(clocked, "blocked", dependencies=["ready"], delay=9)
    assert places(clocked) == {"ready": "ready", "past": "ready", "delayed": "delayed", "blocked": "blocked"}
    count = clocked.stats().types["a"]
    assert (count.ready, count.delayed, count.blocked) == (2, 1, 1)
    assert clocked.get("blocked").waiting_on == {"ready"}


def test_the_later_of_delay_and_available_at(clocked: ClockedQueue) -> None:
    """With both given the later one counts."""
    add(clocked, "x", available_at=moment(clocked, 5), delay=7)
    add(clocked, "y", available_at=moment(clocked, 8), delay=7)
    assert clocked.get("x").available_at == moment(clocked, 7)
    assert clocked.get("y").available_at == moment(clocked, 8)


class Autumn(tzinfo):
    """Central Europe in the night in which clocks go back from 3 to 2."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        """Two hours before, one after."""
        return timedelta(hours=2 - (when.fold if when else 0))

    def dst(self, when: datetime | None) -> timedelta:
        """One hour before."""
        return self.utcoffset(when) - timedelta(hours=1)

    def tzname(self, when: datetime | None) -> str:
        """Not the name of any."""
        return "autumn"


def test_the_hour_that_comes_twice(clocked: ClockedQueue) -> None:
    """When clocks go back, two times that look alike are an hour apart."""
    autumn = Autumn()
    late, early = (datetime(2027, 10, 31, 2, 30, tzinfo=autumn, fold=fold) for fold in (1, 0))
    assert late == early
    made = [clocked.enqueue(type="a", payload={"at": at.fold}, available_at=at).id for at in (late, early)]
    times = [clocked.get(id).available_at for id in made]
    assert times == [datetime(2027, 10, 31, hour, 30, tzinfo=timezone.utc) for hour in (1, 0)]


def test_a_new_task_leaves_a_mark(clocked: ClockedQueue) -> None:
    """Ready and delayed work wakes a waiting agent of its type, blocked work does not."""
    somebody_waits(clocked)
    clocked.enqueue_many(
        [
            {"id": "x", "type": "a"},
            {"id": "y", "type": "b", "delay": 60},
            {"id": "z", "type": "c", "dependencies": ["x"]},
        ]
    )
    assert marks(clocked) == {"a", "b"}


def test_no_mark_for_nobody(clocked: ClockedQueue) -> None:
    """Where no claim was refused for a minute nobody waits, and no mark is written; an agent blocks 30 s at most."""
    add(clocked, "x")
    assert marks(clocked) == set()
    somebody_waits(clocked)
    clocked.clock.advance(59)
    add(clocked, "y")
    assert marks(clocked) == {"a"}
    clocked.redis.delete(clocked.keys.wake("a"))
    clocked.clock.advance(1)
    add(clocked, "z")
    assert marks(clocked) == set()


def test_dependencies_on_every_state(clocked: ClockedQueue) -> None:
    """A completed dependency is met; pending, running and dead-lettered ones are waited for."""
    add(clocked, "done")
    done(clocked, take(clocked))
    bury(clocked, "dead")
    add(clocked, "running")
    take(clocked)
    add(clocked, "pending")
    add(clocked, "x", dependencies=["done", "dead", "running", "pending", "pending"])
    task = clocked.get("x")
    assert task.waiting_on == {"dead", "running", "pending"}
    assert task.dependencies == ("done", "dead", "running", "pending")
    add(clocked, "y", dependencies=["done"])
    assert clocked.get("y").place == "ready"


def test_a_batch_in_any_order(clocked: ClockedQueue) -> None:
    """A task may stand before what it depends on."""
    clocked.enqueue_many(
        [
            {"id": "c", "type": "a", "dependencies": ["b"]},
            {"id": "b", "type": "a", "dependencies": ["a"]},
            {"id": "a", "type": "a"},
        ]
    )
    assert places(clocked) == {"c": "blocked", "b": "blocked", "a": "ready"}
    assert [task.sequence for task in every(clocked)] == [1, 2, 3]


def _refusal(queue: ClockedQueue, batch: list[Any], error: type[LokiRedisError], index: int) -> LokiRedisError:
    """The error of a batch that must store nothing."""
    before = stored(queue)
    with pytest.raises(error) as caught:
        queue.enqueue_many(batch)
    assert caught.value.index == index
    assert stored(queue) == before
    return caught.value


def test_refused_dependencies(clocked: ClockedQueue) -> None:
    """An unknown id, a cancelled task, itself and a cycle are refused with the index, and nothing is stored."""
    add(clocked, "gone")
    clocked.cancel("gone", "no")
    good = {"id": "good", "type": "a"}
    error = _refusal(clocked, [good, {"id": "x", "type": "a", "dependencies": ["nobody"]}], UnknownDependency, 1)
    assert (error.field, error.id, error.data) == ("dependencies", "x", {"dependency": "nobody"})
    _refusal(clocked, [good, {"id": "x", "type": "a", "dependencies": ["gone"]}], UnknownDependency, 1)
    _refusal(clocked, [good, {"id": "x", "type": "a", "dependencies": ["x"]}], DependencyCycle, 1)
    _refusal(clocked, [{"id": "x", "type": "a", "dependencies": ["a b"]}], InvalidTask, 0)
    with pytest.raises(UnknownDependency):
        raw(clocked, "enqueue", "r", "", *_words(GOOD, "a b"))
    with pytest.raises(InvalidTask) as caught:
        raw(clocked, "enqueue", "two words", "", *_words(GOOD))
    assert caught.value.field == "request"
    for torn in (_words(GOOD)[:-1], [*_words(GOOD), "more"]):
        with pytest.raises(InvalidTask, match="six words"):
            raw(clocked, "enqueue", "r", "", *torn)
    with pytest.raises(InvalidTask, match="seven words"):
        raw(clocked, "enqueue", "r", "", "x", "a 5 3600000", *_words(GOOD)[2:])
    circle = [{"id": f"c{i}", "type": "a", "dependencies": [f"c{(i + 1) % 3}"]} for i in range(3)]
    _refusal(clocked, [good, *circle], DependencyCycle, 1)


def test_a_cycle_through_duplicates(clocked: ClockedQueue) -> None:
    """A dependency on a duplicate means the task returned for it, and that may close a circle."""
    batch = [
        {"id": "x1", "type": "a", "idempotencyKey": "k", "dependencies": ["y"]},
        {"id": "y", "type": "a", "dependencies": ["x2"]},
        {"id": "x2", "type": "a", "idempotencyKey": "k"},
    ]
    _refusal(clocked, batch, DependencyCycle, 0)
    own = [
        {"id": "x1", "type": "a", "idempotencyKey": "k", "dependencies": ["x2"]},
        {"id": "x2", "type": "a", "idempotencyKey": "k"},
    ]
    _refusal(clocked, own, DependencyCycle, 0)


def test_a_dependency_on_a_duplicate(clocked: ClockedQueue) -> None:
    """Inside a batch the name of a duplicate stands for the stored task, running or done."""
    clocked.enqueue(type="a", id="first", idempotency_key="k")
    batch: list[dict[str, Any]] = [
        {"id": "again", "type": "a", "idempotencyKey": "k"},
        {"id": "x", "type": "a", "dependencies": ["again"]},
    ]
    made = clocked.enqueue_many(batch)
    assert made == [Enqueued("first", False, State.PENDING), Enqueued("x", True, State.PENDING)]
    assert clocked.get("x").waiting_on == {"first"}
    done(clocked, take(clocked))
    clocked.enqueue_many([batch[0], {"id": "y", "type": "a", "title": "y", "dependencies": ["again"]}])
    assert (clocked.get("y").place, clocked.get("y").dependencies) == ("ready", ("first",))


BAD = [
    (0, "", "id"),
    (0, "a b", "id"),
    (0, "-x", "id"),
    (0, "x" * 129, "id"),
    (1, "", "type"),
    (1, "t" * 65, "type"),
    (1, "a/b", "type"),
    (2, 0, "priority"),
    (2, 11, "priority"),
    (2, 1.5, "priority"),
    (2, "", "priority"),
    (3, 0, "timeout"),
    (3, 30 * DAY * 1000 + 1, "timeout"),
    (3, "nan", "timeout"),
    (4, -1, "maxRetries"),
    (4, 101, "maxRetries"),
    (5, -1, "backoffSeconds"),
    (5, 3_600_001, "backoffSeconds"),
    (6, "soon", "availableAt"),
    (6, 10**16, "availableAt"),
    (7, -1, "delay"),
    (7, 3650 * DAY * 1000 + 1, "delay"),
    (8, "a b", "idempotencyKey"),
    (8, "k" * 65, "idempotencyKey"),
    (9, 1024 * 1024 + 1, "payload"),
    (9, "nan", "payload"),
    (10, "x" * (2 * 1024 * 1024 + 1), "document"),
]


def test_the_script_checks_the_limits_itself(clocked: ClockedQueue) -> None:
    """Another client's bad word is refused with index and field before anything is stored."""
    for place, word, field in BAD:
        words = list(GOOD)
        words[place] = word
        if field == "payload":
            words[10] = "x" * (1024 * 1024 + 2)  # the payload is a part of it
        with pytest.raises(InvalidTask) as caught:
            raw(clocked, "enqueue", "r", "", *_words(GOOD), *_words(words))
        assert (caught.value.index, caught.value.field) == (1, field), (place, word)
    assert stored(clocked) == {}


def test_the_limits_of_one_call(clocked: ClockedQueue) -> None:
    """1,000 tasks, 10,000 dependencies, 1,000 of one task and 8 MiB are the most that one call takes."""
    many = [word for i in range(1001) for word in _words([f"x{i}", *GOOD[1:]])]
    with pytest.raises(InvalidTask, match="1,000 tasks"):
        raw(clocked, "enqueue", "r", "", *many)
    names = ["d"] * 1000
    wide = [word for i in range(11) for word in _words([f"x{i}", *GOOD[1:]], " ".join(names))]
    with pytest.raises(InvalidTask, match="10,000 dependencies"):
        raw(clocked, "enqueue", "r", "", *wide)
    with pytest.raises(InvalidTask, match="at most 1,000"):
        raw(clocked, "enqueue", "r", "", *_words(GOOD, " ".join([*names, "e"])))
    big = [word for i in range(5) for word in _words([f"x{i}", *GOOD[1:10], "x" * 2_000_000])]
    with pytest.raises(InvalidTask, match="8 MiB"):
        raw(clocked, "enqueue", "r", "", *big)
    assert stored(clocked) == {}


def test_the_limits_follow_the_settings(clocked: ClockedQueue) -> None:
    """The largest payload is a setting."""
    clocked.configure(payload_bytes=10)
    add(clocked, "x", payload={"n": 1234})
    with pytest.raises(InvalidTask) as caught:
        clocked.enqueue(type="a", payload={"n": 12345})
    assert caught.value.field == "payload"


def test_two_thousand_types(clocked: ClockedQueue) -> None:
    """A queue has at most 2,000 types; a further task of a known one is still taken."""
    for part in range(2):
        clocked.enqueue_many([NewTask(type=f"t{part}-{i}", id=f"x{part}-{i}") for i in range(1000)])
    with pytest.raises(InvalidTask) as caught:
        clocked.enqueue_many([{"id": "y", "type": "t0-0"}, {"id": "z", "type": "one-more"}])
    assert (caught.value.index, caught.value.field) == (1, "type")
    add(clocked, "y", "t0-0")
    before = stored(clocked)
    for key in ("", "k"):
        with pytest.raises(InvalidTask) as caught:
            clocked.enqueue(id="z", type="one-more", idempotency_key=key)
        assert caught.value.field == "type"
    assert stored(clocked) == before


# ---- one task alone, which is written while it is asked whether it is new


def test_one_task_is_stored_as_in_a_batch(clocked: ClockedQueue) -> None:
    """The two ways to write it leave the same in Redis."""
    other = ClockedQueue(clocked.redis, "other", clocked.clock)
    given: list[dict[str, Any]] = [{}, {"delay": 5}, {"idempotency_key": ""}, {"type": "b", "idempotency_key": "k"}]
    for number, fields in enumerate(given):
        whole = {"type": "a", "id": f"x{number}", "payload": {"n": number}, "title": "T", **fields}
        made = clocked.enqueue(request=f"r{number}", **whole)
        # The first one again makes it a batch, and nothing more.
        batch = [NewTask(**whole), NewTask(type="a", id="x0", payload={"n": 0}, title="T")]
        assert other.run(enqueue_batch(other.keys, batch, f"r{number}"))[0] == made
        assert made == Enqueued(whole["id"], True, State.PENDING)
    prefix, others = clocked.keys.prefix, other.keys.prefix
    assert {key.removeprefix(prefix): value for key, value in stored(clocked).items()} == {
        key.removeprefix(others): value for key, value in stored(other).items()
    }


def test_one_task_that_is_refused_leaves_no_trace(clocked: ClockedQueue) -> None:
    """Its id exists under another key, its key under another id, or both: what was there stays, and nothing else."""
    clocked.enqueue(type="a", id="x", idempotency_key="k")
    clocked.enqueue(type="a", id="y", idempotency_key="")
    before = stored(clocked)
    for id, key in (("x", "new"), ("x", ""), ("y", "k"), ("y", "new"), ("y", "")):
        with pytest.raises(TaskExists):
            clocked.enqueue(type="new", id=id, idempotency_key=key)
        assert stored(clocked) == before, (id, key)
    assert clocked.enqueue(type="new", id="z", idempotency_key="k") == Enqueued("x", False, State.PENDING)
    assert clocked.enqueue(type="new", id="x", idempotency_key="k") == Enqueued("x", False, State.PENDING)
    assert stored(clocked) == before


# ---- equal tasks (rule 12)


def test_an_equal_task_is_returned(clocked: ClockedQueue) -> None:
    """Same type, payload, dependencies and unknown fields: one task, whatever the rest."""
    add(clocked, "p")
    first = clocked.enqueue(type="a", payload={"x": [1], "y": 2}, dependencies=["p"], title="T")
    again = clocked.enqueue(type="a", payload={"y": 2, "x": [1]}, dependencies=["p"], title="T", priority=9, delay=5)
    assert again == Enqueued(first.id, False, State.PENDING)
    assert clocked.get(first.id).priority == 5


@pytest.mark.parametrize(
    "other", [{"type": "b"}, {"payload": {"x": 2}}, {"dependencies": ["p"]}, {"title": "U"}, {"idempotency_key": "k"}]
)
def test_a_task_that_differs_is_another(clocked: ClockedQueue, other: dict[str, Any]) -> None:
    """A difference in any of these makes another task."""
    add(clocked, "p")
    fields: dict[str, Any] = {"type": "a", "payload": {"x": 1}, "title": "T"}
    clocked.enqueue(**fields)
    assert clocked.enqueue(**fields | other).created


def test_the_callers_own_key(clocked: ClockedQueue) -> None:
    """A key of the caller's own decides alone; the empty key never does."""
    first = clocked.enqueue(type="a", idempotency_key="k")
    assert clocked.enqueue(type="b", payload={"x": 1}, idempotency_key="k").id == first.id
    empty = [clocked.enqueue(type="a", idempotency_key="").id for _ in range(3)]
    assert len(set(empty)) == 3


def test_which_states_block_an_equal_task(clocked: ClockedQueue) -> None:
    """Pending, in-progress and completed return the task; dead-letter and cancelled let a new one in."""

    def again() -> Enqueued:
        return clocked.enqueue(type="a", idempotency_key="k")

    first = again().id
    assert again() == Enqueued(first, False, State.PENDING)
    claim = take(clocked)
    assert again() == Enqueued(first, False, State.IN_PROGRESS)
    clocked.fail(claim, "x", retry=False)
    second = again()
    assert second.created
    clocked.cancel(second.id, "no")
    third = again()
    assert third.created
    done(clocked, take(clocked))
    assert again() == Enqueued(third.id, False, State.COMPLETED)


def test_an_id_that_exists(clocked: ClockedQueue) -> None:
    """The same id and key return the task; another key, none, or a task that is dead or cancelled is TaskExists."""
    clocked.enqueue(type="a", id="x", idempotency_key="k")
    assert clocked.enqueue(type="a", id="x", idempotency_key="k") == Enqueued("x", False, State.PENDING)
    for key in ("other", ""):
        with pytest.raises(TaskExists) as caught:
            clocked.enqueue(type="a", id="x", idempotency_key=key)
        assert (caught.value.id, caught.value.state) == ("x", "pending")
    add(clocked, "plain")
    with pytest.raises(TaskExists):
        clocked.enqueue(type="a", id="plain", idempotency_key="")
    clocked.cancel("x", "no")
    with pytest.raises(TaskExists) as caught:
        clocked.enqueue(type="a", id="x", idempotency_key="k")
    assert caught.value.state == "cancelled"
    clocked.fail(take(clocked), "x", retry=False)
    with pytest.raises(TaskExists) as caught:
        clocked.enqueue(type="a", id="plain", idempotency_key="")
    assert caught.value.state == "dead-letter"


def test_equal_tasks_in_one_batch(clocked: ClockedQueue) -> None:
    """Of equal tasks in a batch the first is made and returned for the others; one id for two tasks is refused."""
    same = {"type": "a", "payload": {"x": 1}}
    made = clocked.enqueue_many([{**same, "id": "x"}, {**same, "id": "y"}, {**same, "id": "x"}])
    assert [(m.id, m.created) for m in made] == [("x", True), ("x", False), ("x", False)]
    _refusal(clocked, [{"type": "a", "id": "z"}, {"type": "b", "id": "z"}], TaskExists, 1)


def test_an_id_twice_that_is_a_duplicate(clocked: ClockedQueue) -> None:
    """Both get the id of the stored task, not one that was never made."""
    clocked.enqueue(type="a", id="first", idempotency_key="k")
    made = clocked.enqueue_many([{"type": "a", "id": "x", "idempotencyKey": "k"}] * 2)
    assert made == [Enqueued("first", False, State.PENDING)] * 2


def test_a_repeated_request(clocked: ClockedQueue) -> None:
    """The same request answers the same for as long as the task is there, and changes nothing."""
    batch = [{"id": "x", "type": "a"}, {"id": "y", "type": "a", "idempotencyKey": ""}]
    first = clocked.enqueue_many(batch, request="r-1")
    before = stored(clocked)
    assert clocked.enqueue_many(batch, request="r-1") == first
    assert stored(clocked) == before
    claim = take(clocked)
    clocked.fail(claim, "x", retry=False)
    assert [(m.id, m.created) for m in clocked.enqueue_many(batch, request="r-1")] == [("x", True), ("y", True)]
    with pytest.raises(TaskExists):
        clocked.enqueue_many(batch, request="r-2")


def test_a_repeated_request_for_tasks_without_ids(clocked: ClockedQueue) -> None:
    """Their ids come from the request: a new one each time would be another task."""
    batch = [{"type": "a", "idempotencyKey": "", "payload": {"n": n}} for n in (1, 1)]
    first = clocked.enqueue_many(batch, request="r-1")
    before = stored(clocked)
    assert clocked.enqueue_many(batch, request="r-1") == first
    assert stored(clocked) == before
    one = clocked.enqueue(type="a", idempotency_key="", request="r-2")
    assert clocked.enqueue(type="a", idempotency_key="", request="r-2") == one
    assert clocked.counts()["pending"] == 3
    assert len({made.id for made in [*first, one]}) == 3


# ---- a plan larger than one call


def test_a_large_plan_goes_in_parts(clocked: ClockedQueue) -> None:
    """2,200 tasks, each before its dependency, are all stored, and answered in the caller's order."""
    count = 2200
    plan = [{"id": f"x{i}", "type": "a", "dependencies": [f"x{i + 1}"] if i + 1 < count else []} for i in range(count)]
    made = clocked.enqueue_many(plan)
    assert [m.id for m in made] == [f"x{i}" for i in range(count)]
    assert clocked.stats().types["a"].blocked == count - 1
    assert take(clocked).id == f"x{count - 1}"


def test_an_error_in_a_later_part_names_the_callers_index(clocked: ClockedQueue) -> None:
    """Whatever the order of the parts, the index is that of the caller's list."""
    plan: list[dict[str, Any]] = [{"id": f"x{i}", "type": "a"} for i in range(1500)]
    plan.append({"id": "bad", "type": "a", "dependencies": ["nobody"]})
    with pytest.raises(UnknownDependency) as caught:
        clocked.enqueue_many(plan)
    assert (caught.value.index, caught.value.id) == (1500, "bad")
    with pytest.raises(InvalidTask) as wrong:
        clocked.enqueue_many([*plan[:-1], {"id": "bad", "type": "a", "priority": 11}])
    assert (wrong.value.index, wrong.value.field) == (1500, "priority")
    circle: list[dict[str, Any]] = [
        {"id": "p", "type": "a", "dependencies": ["q"]},
        {"id": "q", "type": "a", "dependencies": ["p"]},
    ]
    with pytest.raises(DependencyCycle) as cycle:
        clocked.enqueue_many([*plan[:-1], *circle])
    assert cycle.value.index == 1500
    assert stored(clocked) == {}, "everything is checked before the first part is stored"


def test_duplicates_across_parts(clocked: ClockedQueue) -> None:
    """A dependency on a duplicate that went in an earlier part means the task returned for it."""
    clocked.enqueue(type="a", id="first", idempotency_key="k")
    plan: list[dict[str, Any]] = [{"id": "again", "type": "a", "idempotencyKey": "k"}]
    plan += [{"id": f"x{i}", "type": "a"} for i in range(1000)]
    plan.append({"id": "last", "type": "a", "dependencies": ["again"]})
    made = clocked.enqueue_many(plan)
    assert (made[0].id, made[-1].id) == ("first", "last")
    assert clocked.get("last").waiting_on == {"first"}


# ---- tombstones (rule 17)


def test_a_tombstone_counts_as_completed(clocked: ClockedQueue) -> None:
    """A purged task still counts as completed for 30 days, then its id is unknown."""
    add(clocked, "old")
    done(clocked, take(clocked))
    clocked.clock.advance(8 * DAY)
    add(clocked, "new")
    done(clocked, take(clocked))
    assert places(clocked) == {"new": "completed"}
    add(clocked, "x", dependencies=["old"])
    assert (clocked.get("x").place, clocked.get("x").dependencies) == ("ready", ("old",))
    clocked.clock.advance(30 * DAY)
    with pytest.raises(UnknownDependency):
        clocked.enqueue(type="a", dependencies=["old"])


def test_an_id_used_again_is_no_tombstone(clocked: ClockedQueue) -> None:
    """Once the id is in use again, dependents wait for the new task, also after that one is gone."""
    add(clocked, "old")
    done(clocked, take(clocked))
    clocked.clock.advance(8 * DAY)
    add(clocked, "new")
    done(clocked, take(clocked))
    add(clocked, "old")
    add(clocked, "x", dependencies=["old"])
    assert clocked.get("x").waiting_on == {"old"}
    clocked.fail(take(clocked), "x", retry=False)
    clocked.discard_dead("old", "gone")
    with pytest.raises(UnknownDependency):
        clocked.enqueue(type="a", dependencies=["old"])
    assert refused(clocked, agent=AGENT).reason == "empty"
