"""lua/import.lua: tasks in any state, as they were."""

from __future__ import annotations

from typing import Any

import pytest

from lokiredis import DependencyCycle, InvalidTask, LokiRedisError, StaleClaim, State, UnknownDependency
from lokiredis.models import from_epoch

from ..clock import START, ClockedQueue
from .moves import REPORT, add, bury, done, every, let_pass, places, raw, stored, take

FIELDS = (
    "id type priority timeout max_retries base state retries backoff created available ended token agent host claimed "
    "lease deadline sequence digest document error result incomplete checkpoint progress attempts reason "
    "escalation empty"
).split()
PLAIN: dict[str, Any] = {
    "type": "a",
    "priority": 5,
    "timeout": 3_600_000,
    "max_retries": 3,
    "base": 60_000,
    "state": "pending",
    "document": '{"payload":{"n":1},"title":"T"}',
}


def _words(id: str, dependencies: list[str] | None = None, **fields: Any) -> list[Any]:
    row = PLAIN | {"id": id} | fields
    names = dependencies or []
    return [*(row.get(field, "") for field in FIELDS), len(names), *names]


def _import(queue: ClockedQueue, *tasks: list[Any], request: str = "", check: bool = False, before: Any = "") -> Any:
    mode = "check" if check else ""
    reply = raw(queue, "import", request, mode, before, *(word for task in tasks for word in task))
    return [(row[0].decode(), row[1], row[2].decode()) for row in reply[2:]]


def _one_of_each() -> list[list[Any]]:
    return [
        _words("ready", sequence=11, created=START - 5000, retries=1, error="once", digest="d1"),
        _words("delayed", sequence=12, available=START + 9000, backoff=120_000),
        _words("blocked", ["ready", "done"], sequence=13, type="b"),
        _words(
            "running",
            sequence=14,
            token=77,
            agent="host/agent",
            host="h",
            claimed=START - 1000,
            lease=60_000,
            deadline=START + 59_000,
            state="in-progress",
            checkpoint="[1]",
            progress='"p"',
        ),
        _words("done", sequence=15, state="completed", ended=START - 9000, result='{"output":1}', token=5),
        _words(
            "dead",
            sequence=16,
            state="dead-letter",
            retries=3,
            ended=START - 8000,
            error="no",
            escalation=f"{START} ask",
            attempts=f"9 me - {START - 9} {START - 8} failed fail dead-letter 3 - no\\nway",
        ),
        _words("gone", sequence=17, state="cancelled", ended=START - 7000, reason="not needed"),
    ]


def test_every_state(clocked: ClockedQueue) -> None:
    """Each task comes back in its state with all that belonged to it, in the old order."""
    reply = _import(clocked, *_one_of_each())
    assert [(id, made) for id, made, _ in reply] == [
        (id, 1) for id in ("ready", "delayed", "blocked", "running", "done", "dead", "gone")
    ]
    assert places(clocked) == {
        "ready": "ready",
        "delayed": "delayed",
        "blocked": "blocked",
        "running": "leased",
        "done": "completed",
        "dead": "dead",
        "gone": "cancelled",
    }
    tasks = {task.id: task for task in every(clocked)}
    assert [task.sequence for task in tasks.values()] == list(range(11, 18))
    ready = tasks["ready"]
    assert (ready.retries, ready.last_error, ready.created_at) == (1, "once", from_epoch(START - 5000))
    assert (ready.payload, ready.model_extra) == ({"n": 1}, {"title": "T"})
    assert (tasks["delayed"].available_at, tasks["delayed"].backoff_seconds) == (from_epoch(START + 9000), 120)
    assert tasks["blocked"].waiting_on == {"ready"}
    running = tasks["running"]
    assert (running.token, running.claimed_by, running.checkpoint, running.progress) == (77, "host/agent", [1], "p")
    assert running.lease_expires_at == from_epoch(START + 59_000)
    assert tasks["done"].result == {"status": "success", "output": 1}
    assert tasks["done"].completed_at == from_epoch(START - 9000)
    dead = tasks["dead"]
    assert (dead.last_error, dead.escalation_note, dead.attempts[0].error) == ("no", "ask", "no\nway")
    assert (tasks["gone"].cancel_reason, tasks["gone"].cancelled_at) == ("not needed", from_epoch(START - 7000))


def test_twice(clocked: ClockedQueue) -> None:
    """What is there already is left as it is."""
    _import(clocked, *_one_of_each())
    before = stored(clocked)
    assert {made for _, made, _ in _import(clocked, *_one_of_each())} == {0}
    assert stored(clocked) == before
    states = [state for _, _, state in _import(clocked, _words("dead", state="pending"), _words("new"))]
    assert states == ["dead-letter", "pending"]


def test_they_live_on(clocked: ClockedQueue) -> None:
    """An imported claim can be finished, and its dependents go on; a lost one is reaped; a dead one retried."""
    _import(clocked, *_one_of_each())
    clocked.retry_dead("dead")
    claims = clocked.claim_many("me", ["a", "b"], 10)
    assert [c.id for c in claims] == ["ready", "dead"]
    assert all(claim.token > 77 for claim in claims)
    done(clocked, claims[0])
    assert clocked.get("blocked").place == "ready"
    done(clocked, _Proof("running", 77))  # type: ignore[arg-type]
    let_pass(clocked, 9)
    assert take(clocked).id == "delayed"


class _Proof:
    def __init__(self, id: str, token: int) -> None:
        self.id, self.token = id, token


def test_a_lost_agent_of_the_past(clocked: ClockedQueue) -> None:
    """An imported claim whose lease has passed is charged to its agent."""
    _import(clocked, _words("x", state="in-progress", token=5, agent="old", claimed=START - 10**7, deadline=START - 1))
    task = take(clocked).task
    assert (task.retries, task.attempts[0].agent, task.attempts[0].outcome) == (1, "old", "expired")


def test_sequences(clocked: ClockedQueue) -> None:
    """One that is ahead is kept, one that is behind gets the next, and new tasks come after all."""
    for i in range(3):
        add(clocked, f"x{i}")
    _import(clocked, _words("behind", sequence=2), _words("ahead", sequence=50), _words("none"))
    add(clocked, "new")
    found = {task.id: task.sequence for task in every(clocked)}
    assert found == {"x0": 1, "x1": 2, "x2": 3, "behind": 4, "ahead": 50, "none": 51, "new": 52}


def test_dependencies(clocked: ClockedQueue) -> None:
    """Any order in the batch; unknown ones are refused, or taken for completed long ago when asked; no circles."""

    def refused(kind: type[LokiRedisError], index: int, *tasks: list[Any]) -> None:
        before = stored(clocked)
        with pytest.raises(kind) as caught:
            _import(clocked, *tasks)
        assert (caught.value.index, stored(clocked)) == (index, before)

    refused(UnknownDependency, 1, _words("p"), _words("x", ["nobody"]))
    refused(DependencyCycle, 0, _words("p", ["q"]), _words("q", ["p"]))
    refused(DependencyCycle, 0, _words("p", ["p"]))
    _import(clocked, _words("old", ["?nobody"]))
    assert (clocked.get("old").place, clocked.get("old").dependencies) == ("ready", ("nobody",))
    _import(clocked, _words("late", ["early", "over"]), _words("early"), _words("over", state="completed"))
    assert clocked.get("late").waiting_on == {"early"}


def test_bad_words(clocked: ClockedQueue) -> None:
    """Each bad word is refused with index and field, and nothing is stored."""
    bad: list[tuple[str, Any, str]] = [
        ("id", "a b", "id"),
        ("type", "", "type"),
        ("priority", 11, "priority"),
        ("timeout", 0, "timeout"),
        ("state", "done", "state"),
        ("state", "", "state"),
        ("retries", -1, "retries"),
        ("retries", "x", "retries"),
        ("available", "soon", "available"),
        ("sequence", 1.5, "sequence"),
        ("token", "nan", "token"),
        ("agent", "a b", "claimedBy"),
        ("state", "in-progress", "claimedBy"),
        ("document", "x" * (2 * 1024 * 1024 + 1), "document"),
    ]
    for field, word, named in bad:
        with pytest.raises(InvalidTask) as caught:
            _import(clocked, _words("good"), _words(**{"id": "x", field: word}))
        assert (caught.value.index, caught.value.field) == (1, named), (field, word)
    with pytest.raises(InvalidTask, match="1,000 tasks"):
        _import(clocked, *(_words(f"x{i}") for i in range(1001)))
    assert stored(clocked) == {}


def test_equal_tasks(clocked: ClockedQueue) -> None:
    """The key of an imported task that is waiting, running or done holds; that of a dead or cancelled one doesn't."""
    made = clocked.enqueue(type="a", id="x", idempotency_key="k")
    assert made.created
    digest = next(iter(clocked.redis.hgetall(clocked.keys.fixed("unique"))))
    clocked.cancel("x", "no")
    _import(clocked, _words("dead", digest="other", state="dead-letter"), _words("mine", digest=digest))
    assert clocked.enqueue(type="a", idempotency_key="k").id == "mine"


def test_a_restored_state_is_sound(clocked: ClockedQueue) -> None:
    """Counts by type are right for what came in and for what was there."""
    bury(clocked, "mine")
    _import(clocked, *_one_of_each())
    assert clocked.counts() == {"pending": 3, "in-progress": 1, "completed": 1, "dead-letter": 2, "cancelled": 1}
    assert clocked.get("running").state is State.IN_PROGRESS


def test_a_dead_letter_that_waits_does_not_stop_a_cascade(clocked: ClockedQueue) -> None:
    """A cancelled parent leaves an imported dead dependent dead, and every later call works."""
    _import(
        clocked,
        _words("parent"),
        _words("dead", ["parent"], state="dead-letter", ended=START - 1),
        _words("child", ["parent"]),
    )
    assert clocked.cancel("parent").ids == ["parent", "child"]
    assert clocked.get("dead").state is State.DEAD_LETTER
    assert not clocked.claim("me", "other")
    assert clocked.stats().todo == 0


def test_what_has_ended_asks_nothing_of_its_dependencies(clocked: ClockedQueue) -> None:
    """A cancelled child is restored although its parent was cancelled, in an earlier call or in the same one."""
    _import(clocked, _words("parent", state="cancelled", ended=START - 1))
    _import(
        clocked,
        _words("child", ["parent"], state="cancelled", ended=START - 1),
        _words("second", state="cancelled", ended=START - 1),
        _words("third", ["second"], state="cancelled", ended=START - 1),
    )
    assert clocked.counts()["cancelled"] == 4


def test_a_pending_child_of_a_parent_cancelled_in_the_same_call(clocked: ClockedQueue) -> None:
    """It would wait for ever, so it is refused like one whose parent was cancelled before."""
    with pytest.raises(UnknownDependency):
        _import(clocked, _words("parent", state="cancelled", ended=START - 1), _words("child", ["parent"]))
    assert not every(clocked)


@pytest.mark.parametrize("state", ["pending", "dead-letter"])
def test_a_claim_that_has_ended_is_not_named(clocked: ClockedQueue, state: str) -> None:
    """Only what runs, or was ended by its claim, belongs to an agent."""
    _import(clocked, _words("x", state=state, token=5, agent="old", host="old-host", claimed=START - 9000))
    task = clocked.get("x")
    assert (task.claimed_by, task.claimed_at) == (None, None)
    if state == "dead-letter":
        clocked.retry_dead("x")
    assert take(clocked).token > 5


def test_a_dead_letter_that_names_a_claim(clocked: ClockedQueue) -> None:
    """Resolved, it names none: nobody completed it by a claim, and that claim's agent is not told that it did."""
    _import(
        clocked,
        _words(
            "x", state="dead-letter", token=5, agent="old", host="old-host", claimed=START - 9000, ended=START - 8000
        ),
    )
    clocked.resolve_dead("x", {"decisionReport": REPORT})
    task = clocked.get("x")
    assert (task.claimed_by, task.claimed_at, task.attempts) == (None, None, ())
    with pytest.raises(StaleClaim):
        done(clocked, _Proof("x", 5))  # type: ignore[arg-type]
    [small] = clocked.redis.hvals(clocked.keys.fixed("tasks"))
    assert b"old-host" not in small


def test_a_running_task_without_the_time_of_its_claim(clocked: ClockedQueue) -> None:
    """It counts as claimed now, and ends like any other."""
    _import(clocked, _words("running", state="in-progress", token=7, agent="me"))
    task = clocked.get("running")
    assert task.claimed_at == from_epoch(clocked.clock.now)
    claim = raw(clocked, "release", "running", "7", "0", "")
    assert claim == raw(clocked, "release", "running", "7", "0", "")
    assert clocked.get("running").attempts[0].outcome == "released"


def test_a_check_stores_nothing(clocked: ClockedQueue) -> None:
    """It answers what storing would, and refuses the same."""
    add(clocked, "dead")
    before = stored(clocked)
    checked = _import(clocked, *_one_of_each(), check=True)
    with pytest.raises(UnknownDependency):
        _import(clocked, _words("x", ["nobody"]), check=True)
    assert stored(clocked) == before
    assert checked == _import(clocked, *_one_of_each())
    assert ("dead", 0, "pending") in checked


def test_a_lost_reply(clocked: ClockedQueue) -> None:
    """The same request again is told again what it stored, whatever happened since; another one is not."""
    first = _import(clocked, _words("x"), _words("y"), request="r1")
    take(clocked)
    assert _import(clocked, _words("x"), _words("y"), request="r1") == first
    assert [made for _, made, _ in _import(clocked, _words("x"), _words("y"), request="r2")] == [0, 0]


def test_no_tasks(clocked: ClockedQueue) -> None:
    """Only the queue's last sequence and its time are told."""
    add(clocked, "x")
    assert [int(word) for word in raw(clocked, "import", "", "", "")] == [1, clocked.clock.now]
    assert len(every(clocked)) == 1


def test_what_was_met_stays_met(clocked: ClockedQueue) -> None:
    """A dependency that was completed is one, also when its id means another task by now."""
    add(clocked, "again")
    _import(clocked, _words("x", ["+again", "+purged", "other", "+again"]), _words("other"))
    task = clocked.get("x")
    assert (task.dependencies, set(task.waiting_on)) == (("again", "purged", "other"), {"other"})


def test_a_doubtful_dependency(clocked: ClockedQueue) -> None:
    """It is waited for when the queue or the batch has it, else it was completed long ago."""
    add(clocked, "stored")
    _import(clocked, _words("x", ["?stored", "?new", "?nobody"]), _words("new"))
    task = clocked.get("x")
    assert (task.dependencies, set(task.waiting_on)) == (("stored", "new", "nobody"), {"stored", "new"})
    clocked.cancel("stored")
    with pytest.raises(UnknownDependency):
        _import(clocked, _words("y", ["?stored"]))


def test_a_dependency_may_be_younger(clocked: ClockedQueue) -> None:
    """Sent first, it must not push what waits for it behind itself: numbers that were passed are kept, if free."""
    add(clocked, "old")
    _import(clocked, _words("late", sequence=9), before=1)
    _import(
        clocked,
        _words("early", ["late"], sequence=5),
        _words("taken", sequence=9),
        _words("twin", sequence=5),
        _words("behind", sequence=1),
        before=1,
    )
    found = {task.id: task.sequence for task in every(clocked)}
    assert found == {"old": 1, "early": 5, "late": 9, "taken": 10, "twin": 11, "behind": 12}
    add(clocked, "new")
    assert clocked.get("new").sequence == 13


def test_empty_texts(clocked: ClockedQueue) -> None:
    """An error without words is another thing than none."""
    _import(
        clocked,
        _words("x", empty="E"),
        _words("y", state="cancelled", ended=START, empty="N"),
        _words("z", state="cancelled", ended=START),
    )
    assert [clocked.get(id).last_error for id in "xyz"] == ["", None, None]
    assert [clocked.get(id).cancel_reason for id in "xyz"] == [None, "", None]


def test_a_lease_that_a_hold_moved(clocked: ClockedQueue) -> None:
    """It may end after the timeout, and then the timeout does so, too."""
    _import(
        clocked,
        _words(
            "x",
            state="in-progress",
            token=5,
            agent="me",
            claimed=START,
            timeout=1000,
            lease=1000,
            deadline=START + 5000,
        ),
    )
    let_pass(clocked, 4)
    assert clocked.heartbeat(_Proof("x", 5)).deadline == from_epoch(START + 5000)


def test_dependencies_are_ids(clocked: ClockedQueue) -> None:
    """One with a space would be two in the list that is kept of them."""
    for name in ("a b", "", "+", "x" * 129):
        with pytest.raises(InvalidTask) as caught:
            _import(clocked, _words("x", [name]))
        assert caught.value.field == "dependencies"
