"""All files are of one moment in the queue's history, whatever happens while the job reads."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from lokiredis import Claim, Event, NewTask, Queue, commands, replies
from lokiredis.files import mirror
from lokiredis.files.snapshot import Snapshot

from ..lua.moves import add, add_many, bury, done, take
from ..servers import RedisServer
from ..waiting import wait_until
from .reading import STATES, everything, ids, no_contradiction, tasks

SNAPSHOTS = 200
#: So many calls have changed tasks before each snapshot since the one before.
CALLS = 3

_STATE_AFTER = {
    "enqueued": "pending",
    "claimed": "in-progress",
    "completed": "completed",
    "resolved": "completed",
    "released": "pending",
    "failed": "pending",
    "expired": "pending",
    "dead": "dead-letter",
    "cancelled": "cancelled",
    "retried": "pending",
}


class History:
    """All events of a queue, as a thread hears them."""

    def __init__(self, url: str, name: str) -> None:
        self.events: list[Event] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(url, name))
        self._thread.start()

    def _listen(self, url: str, name: str) -> None:
        with Queue.from_url(url, name) as queue:
            cursor = "0-0.0"
            while True:
                last = self._ends.is_set()
                for event in queue.events(since=cursor):
                    self.events.append(event)
                    cursor = event.cursor
                if last:
                    return
                self._ends.wait(0.05)

    def end(self) -> None:
        """Hear the last of them."""
        self._ends.set()
        self._thread.join(60)
        assert not any(event.kind == "gap" for event in self.events)

    def states(self, cursors: Iterable[str]) -> dict[str, dict[str, str]]:
        """For each of these entries of the stream: which task was where when it was written."""
        wanted, found, now = set(cursors), {}, {}
        for entry, events in groupby(self.events, key=lambda event: event.cursor.partition(".")[0]):
            for event in events:
                if event.kind in _STATE_AFTER:
                    now[str(event.id)] = _STATE_AFTER[event.kind]
                elif event.kind in ("removed", "discarded"):
                    now.pop(str(event.id), None)
            if entry in wanted:
                found[entry] = dict(now)
        return found

    def changes(self, parts: Iterable[tuple[str, str]]) -> list[Counter[str]]:
        """For each part of the stream, behind one entry and up to another: how many changes of state of which kind."""
        kinds = (*_STATE_AFTER, "discarded")
        changes = [(_place(event.cursor.partition(".")[0]), event.kind) for event in self.events if event.kind in kinds]
        places = [place for place, _ in changes]
        ends = [(bisect_right(places, _place(since)), bisect_right(places, _place(until))) for since, until in parts]
        return [Counter(kind for _, kind in changes[first:last]) for first, last in ends]


def _place(entry: str) -> tuple[int, ...]:
    return tuple(map(int, entry.split("-")))


def _told(found: Iterable[Counter[str]]) -> str:
    totals = sorted(each.total() for each in found)
    return f"{totals[0]} to {totals[-1]}, {sum(totals) / len(totals):.1f} on average"


@pytest.mark.timeout(900)
def test_two_hundred_snapshots_under_full_load(
    queue: Queue,
    queue_name: str,
    redis7_server: RedisServer,
    in_memory: Path,
    under_load: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each equals the state that the queue's own events tell for that moment; no file contradicts another.

    Half of them read everything anew, half go on from the one before, in dozens of parts. The load changes tasks in
    every way, many before each snapshot, and many while it reads.
    """
    folder, history = in_memory, History(redis7_server.url, queue_name)
    monkeypatch.setattr(mirror, "_AT_ONCE", 20)
    seen: list[tuple[str, bool, dict[str, str]]] = []
    begun: list[str] = []

    def stream() -> tuple[int, str]:
        found = queue.redis.xinfo_stream(queue.keys.fixed("events"))
        return found["entries-added"], found["last-generated-id"].decode()

    def look(job: Snapshot) -> None:
        before, _ = stream()
        wait_until(lambda: stream()[0] >= before + CALLS, 60, "changes by the load")
        begun.append(stream()[1])
        taken = job.take()
        found = everything(folder)
        if taken.exact:
            no_contradiction(found)
        files = Counter(task["file"] for task in found.values())
        assert taken.counts == {state: files[state] for state in STATES}
        seen.append((taken.cursor, taken.exact, {id: task["file"] for id, task in found.items()}))

    try:
        with under_load(), Snapshot(queue, folder) as lasting:
            for number in range(SNAPSHOTS):
                if number % 2:
                    with Snapshot(queue, folder) as fresh:
                        look(fresh)
                else:
                    look(lasting)
    finally:
        history.end()
    exact = [(cursor, states) for cursor, is_exact, states in seen if is_exact]
    assert len(exact) > 0.9 * SNAPSHOTS
    then = history.states(cursor for cursor, _ in exact)
    taken = [cursor for cursor, _, _ in seen]
    between, during = history.changes(pairwise(taken)), history.changes(zip(begun, taken, strict=True))
    print(f"changes of state: {_told(between)} between two snapshots, {_told(during)} while the job read")
    assert min(found.total() for found in between) >= CALLS, "there was no load"
    assert sum(between, Counter()).total() >= 10 * SNAPSHOTS, "there was little load"
    assert sum(between, Counter()).keys() >= _STATE_AFTER.keys() - {"expired", "resolved"}
    assert sum(during, Counter()).total() >= SNAPSHOTS, "hardly anything changed while the job read"
    for cursor, states in exact:
        assert states == then[cursor]


def test_the_pending_order_is_the_claim_order(queue: Queue, folder: Path) -> None:
    """A single claimer gets the claimable ones in the order of the file; then come delayed ones, then blocked ones."""
    add_many(queue, 40, "x", "a")
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    for number, priority in enumerate([3, 9, 9, 1, 10, 5, 7]):
        add(queue, f"y{number}", "bc"[number % 2], priority=priority)
        add(queue, f"d{number}", "b", priority=priority, available_at=later + timedelta(seconds=number // 2))
        add(queue, f"z{number}", "c", priority=priority, dependencies=["x0"])
    add(queue, "soon", "b", priority=10, delay=0.001)  # due, and no claim has noticed yet
    claim = take(queue, "a")
    queue.release(claim)  # keeps its place
    with Snapshot(queue, folder) as job:
        job.take()
    shown = ids(folder, "pending")
    got: list[str] = []
    while isinstance(found := queue.claim("me", ["a", "b", "c"]), Claim):
        got.append(found.id)
    assert shown[: len(got)] == got
    assert len(got) == 48
    assert shown[48:55] == ["d1", "d0", "d2", "d3", "d4", "d5", "d6"]
    assert shown[55:] == ["z4", "z1", "z2", "z6", "z5", "z0", "z3"]


def test_what_falls_due_moves_without_an_event(queue: Queue, folder: Path) -> None:
    """A delayed task whose time has come stands among the claimable ones in the next snapshot."""
    add(queue, "late", priority=10, delay=0.3)
    add(queue, "x", priority=5)
    with Snapshot(queue, folder) as job:
        job.take()
        assert ids(folder, "pending") == ["x", "late"]
        wait_until(lambda: job.take() and ids(folder, "pending") == ["late", "x"], 10, "the move")


class Interfering:
    """A queue whose state changes between two parts of a snapshot, as the test says."""

    def __init__(self, queue: Queue, changes: Iterable[Callable[[], Any]]) -> None:
        self._queue = queue
        self._changes = iter(changes)
        self.keys = queue.keys
        self.calls = 0

    def run(self, command: commands.Command[Any]) -> Any:
        answer = self._queue.run(command)
        if isinstance(answer, replies.Part):
            self.calls += 1
            next(self._changes, lambda: None)()
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


@pytest.fixture
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_AT_ONCE", 5)


@pytest.mark.usefixtures("_small_pages")
def test_a_task_that_moves_between_pages(queue: Queue, folder: Path) -> None:
    """Parent and child change after the parent's page was read, and before the child's: the files agree."""
    add(queue, "parent")
    add_many(queue, 10, "x", "b")
    add(queue, "child", "c", dependencies=["parent"])

    def move() -> None:
        done(queue, take(queue, "a"))
        take(queue, "c")

    with Snapshot(Interfering(queue, [move]), folder) as job:  # type: ignore[arg-type]
        assert job.take().exact
    found = everything(folder)
    no_contradiction(found)
    assert (found["parent"]["file"], found["child"]["file"]) == ("completed", "in-progress")


@pytest.mark.usefixtures("_small_pages")
def test_a_dependent_that_was_read_before(queue: Queue, folder: Path) -> None:
    """Its waitingOn shrinks when a dependency completes later: it is read again, though it stays pending."""
    plan = [NewTask(id="child", type="c", dependencies=("one", "two"), idempotency_key="")]
    plan += [NewTask(id=id, type=id, idempotency_key="") for id in ("one", "two")]
    queue.enqueue_many(plan)
    add_many(queue, 20, "x", "b")
    with Snapshot(Interfering(queue, [lambda: done(queue, take(queue, "one"))]), folder) as job:  # type: ignore[arg-type]
        assert job.take().exact
        assert [task["waitingOn"] for task in tasks(folder, "pending") if task["id"] == "child"] == [["two"]]
        done(queue, take(queue, "two"))
        job.take()
        assert [task["waitingOn"] for task in tasks(folder, "pending") if task["id"] == "child"] == [[]]


@pytest.mark.usefixtures("_small_pages")
def test_tasks_that_come_and_go_meanwhile(queue: Queue, folder: Path) -> None:
    """One that was read and is gone is in no file; one that came, in exactly one, also with an id of before."""
    bury(queue, "old", "a")
    bury(queue, "again", "a")
    add_many(queue, 20, "x", "b")

    def change() -> None:
        queue.discard_dead("old", "no")
        queue.discard_dead("again", "no")
        add(queue, "again", "c", title="new")
        add(queue, "new", "c")

    with Snapshot(Interfering(queue, [change]), folder) as job:  # type: ignore[arg-type]
        assert job.take().exact
    found = everything(folder)
    assert found.keys() == {"again", "new"} | {f"x{i}" for i in range(20)}
    assert (found["again"]["file"], found["again"]["title"]) == ("pending", "new")


@pytest.mark.usefixtures("_small_pages")
def test_changes_that_never_end(queue: Queue, folder: Path) -> None:
    """A queue that changes after every part is not waited for: each task is as it was when it was read."""
    add_many(queue, 30, "x", "b")
    names = iter(range(10_000))

    def churn() -> None:
        for _ in range(12):
            add(queue, f"n{next(names)}", "c")

    with Snapshot(Interfering(queue, (churn for _ in range(100_000))), folder) as job:  # type: ignore[arg-type]
        assert not job.take().exact
    assert everything(folder).keys() >= {f"x{i}" for i in range(30)}


def test_a_lost_history_is_no_lost_task(queue: Queue, folder: Path) -> None:
    """When the event stream is trimmed, deleted or another one, the next snapshot reads everything anew."""
    add(queue, "x")
    with Snapshot(queue, folder) as job:
        job.take()
        trim: Callable[[str], object] = partial(queue.redis.xtrim, maxlen=0)
        for harm in (trim, queue.redis.delete):
            claim = take(queue)
            harm(queue.keys.events)
            assert job.take().exact
            assert ids(folder, "in-progress") == ["x"]
            queue.release(claim)
            job.take()
            assert ids(folder, "pending") == ["x"]


def test_progress_is_as_of_the_snapshot(queue: Queue, folder: Path) -> None:
    """Heartbeats are no events: what agents tell by them is read anew each time."""
    add(queue, "x")
    claim = take(queue, lease=60)
    with Snapshot(queue, folder) as job:
        job.take()
        queue.heartbeat(claim, progress={"step": 2}, checkpoint={"at": 1})
        assert job.take().written == ["queue/in-progress.json", "dashboard-state.json"]
    [task] = tasks(folder, "in-progress")
    assert (task["progress"], task["checkpoint"]) == ({"step": 2}, {"at": 1})
