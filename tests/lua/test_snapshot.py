"""lua/snapshot.lua: pages along the index, what changed since, and what fits into an answer."""

from __future__ import annotations

import pytest

from lokiredis import InvalidTask, commands
from lokiredis.replies import Part

from ..clock import ClockedQueue
from .moves import add, add_many, bury, done, raw, take, trip_by_failures


def _part(queue: ClockedQueue, before: Part | None = None, limit: int = 3, ids: tuple[str, ...] = ()) -> Part:
    place = {} if before is None else {"after": before.after, "last": before.last, "since": str(before.since)}
    return queue.run(commands.snapshot(queue.keys, limit=limit, ids=ids, **place))


def _ids(part: Part) -> list[str]:
    return [record.task().id for record in part.records]


def test_pages(clocked: ClockedQueue) -> None:
    """All tasks in order of their sequence, each whole; the last part has the breakers, too."""
    trip_by_failures(clocked)
    add_many(clocked, 3, "x", "b")
    first = _part(clocked, limit=5)
    second = _part(clocked, first, limit=5)
    assert _ids(first) == [f"dead-a-{i}" for i in range(5)]
    assert _ids(second) == ["x0", "x1", "x2"]
    assert first.records[0].task() == clocked.get("dead-a-0")
    assert (first.after, second.after, second.more, first.breakers) == ("5", "", False, {})
    breaker, due = second.breakers["a"]
    assert (breaker, due and due.timestamp() * 1000) == (clocked.breakers()["a"], clocked.clock.now + 60_000)
    assert (second.completed, second.dead, second.paused, second.now) == (0, 5, False, clocked.clock.now)
    clocked.pause()
    assert _part(clocked, second).paused


def test_what_is_new_is_a_change_not_a_page(clocked: ClockedQueue) -> None:
    """Pages end where the queue did when they began; later tasks come at once, and none comes twice."""
    add_many(clocked, 7)
    first = _part(clocked)
    add(clocked, "new")
    second = _part(clocked, first)
    third = _part(clocked, second)
    assert [_ids(part) for part in (first, second, third)] == [["x0", "x1", "x2"], ["new", "x3", "x4", "x5"], ["x6"]]
    assert (third.after, _ids(_part(clocked, third))) == ("", [])


def test_changes_of_read_tasks_only(clocked: ClockedQueue) -> None:
    """A change of a task whose page is yet to come is no reason to read it twice."""
    add_many(clocked, 7)
    first = _part(clocked)
    for id in ("x0", "x6"):
        clocked.cancel(id, "no")
    second = _part(clocked, first)
    third = _part(clocked, second)
    assert [_ids(part) for part in (second, third)] == [["x0", "x3", "x4", "x5"], ["x6"]]
    assert third.records[0].task().state == "cancelled"


def test_a_met_dependency_is_a_change(clocked: ClockedQueue) -> None:
    """Each of its dependents comes, whether or not it still waits for others."""
    for id in ("one", "two"):
        add(clocked, id, id)
    add(clocked, "both", "c", dependencies=["one", "two"])
    part = _part(clocked, limit=100)
    done(clocked, take(clocked, "one"))
    part = _part(clocked, part)
    assert {record.task().id: record.task().waiting_on for record in part.records} == {
        "one": frozenset(),
        "both": frozenset({"two"}),
    }
    done(clocked, take(clocked, "two"))
    assert _ids(_part(clocked, part)) == ["two", "both"]


def test_many_changes_come_in_parts(clocked: ClockedQueue) -> None:
    """About as many as the limit, with the word that there are more, until all are told."""
    add_many(clocked, 950)
    part = _part(clocked, limit=1000)
    for _ in range(350):
        clocked.release(take(clocked))
        clocked.cancel(take(clocked).id, "no")
    seen: set[str] = set()
    calls, more = 0, True
    while more:
        part = _part(clocked, part, limit=50)
        assert len(part.records) <= 150
        seen |= set(_ids(part))
        calls, more = calls + 1, part.more
    assert len(seen) == 350
    assert calls >= 350 / 150
    assert _ids(_part(clocked, part)) == []


def test_tasks_that_are_gone(clocked: ClockedQueue) -> None:
    """Are named; asked for by id, too."""
    bury(clocked, "x")
    part = _part(clocked)
    clocked.discard_dead("x", "no")
    part = _part(clocked, part, ids=("never",))
    assert (part.gone, part.records) == (["never", "x"], [])


def test_asked_for_by_id(clocked: ClockedQueue) -> None:
    """Comes in any case, and once, even if it changed and its page comes now."""
    add_many(clocked, 4)
    first = _part(clocked)
    clocked.release(take(clocked))
    assert sorted(_ids(_part(clocked, first, ids=("x3", "x0", "x0")))) == ["x0", "x3"]


def test_what_does_not_fit(clocked: ClockedQueue) -> None:
    """An answer stops at 4 MiB: pages go on, changed tasks and those asked for are named as left."""
    for i in range(6):
        add(clocked, f"x{i}", payload={"x": "x" * 1_000_000})
    first = _part(clocked, limit=100)
    second = _part(clocked, first, limit=100)
    assert (len(first.records), _ids(second), second.after) == (4, ["x4", "x5"], "")
    for _ in range(6):
        take(clocked)
    third = _part(clocked, second, limit=100)
    assert (_ids(third), third.left) == (["x0", "x1", "x2", "x3"], ["x4", "x5"])
    assert _ids(_part(clocked, third, ids=tuple(third.left))) == ["x4", "x5"]


def test_results_and_checkpoints_count(clocked: ClockedQueue) -> None:
    """The limit of an answer holds for all that a task has, not for its document alone."""
    add_many(clocked, 6)
    for claim in clocked.claim_many("me", "a", 6):
        clocked.complete(claim, output="x" * 1_000_000, decision_report={"why": "x"})
    assert len(_part(clocked, limit=100).records) == 4


@pytest.mark.parametrize("harm", ["deleted", "trimmed"])
def test_a_history_that_is_lost(clocked: ClockedQueue, harm: str) -> None:
    """When the entry is gone up to which all was read, nobody knows what was behind it."""
    add(clocked, "x")
    part = _part(clocked)
    take(clocked)
    if harm == "deleted":
        clocked.redis.delete(clocked.keys.events)
    else:
        clocked.redis.xtrim(clocked.keys.events, maxlen=1, approximate=False)
    assert _part(clocked, part).since is None


def test_an_empty_queue(clocked: ClockedQueue) -> None:
    """Has nothing, and what comes later is told."""
    part = _part(clocked)
    assert (part.records, part.after, part.since) == ([], "", "0-0")
    add(clocked, "x")
    assert _ids(_part(clocked, part)) == ["x"]


def test_a_stream_that_was_trimmed_to_its_usual_length(clocked: ClockedQueue) -> None:
    """Begun on an empty stream: what fell off is missed, though as many entries are left as are always kept."""
    part = _part(clocked)
    add(clocked, "x")
    pipe = clocked.redis.pipeline()
    for _ in range(10_000):
        pipe.xadd(clocked.keys.events, {"at": "1", "events": "paused - - - -"})
    pipe.execute()
    clocked.redis.xtrim(clocked.keys.events, maxlen=10_000, approximate=False)
    assert _part(clocked, part).since is None


def test_bad_places(clocked: ClockedQueue) -> None:
    """Refused by the script, whatever the client lets through."""
    for words in (
        ("x", "", "", 3),
        ("0", "-1", "", 3),
        ("9" * 17, "", "", 3),
        ("0", "", "now", 3),
        ("0", "", "1", 3),
        ("0", "", "", 0),
        ("0", "", "", 1001),
        ("0", "", "", "x"),
        ("0", "", "", 3, *["x"] * 1001),
    ):
        with pytest.raises(InvalidTask):
            raw(clocked, "snapshot", *words)
