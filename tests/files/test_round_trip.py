"""export, then import into an empty queue: the same state, field for field."""

from __future__ import annotations

import contextlib
import errno
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from lokiredis import Claim, LokiRedisError, Queue, QueueUnavailable, Task, replies

from ..lua.moves import REPORT, add, add_many, bury, done, every, stored, take
from ..servers import RedisServer
from .queues import new_queue, picture

_TYPES = ["a", "b", "eng-qa"]
#: No unpaired surrogates: enqueue refuses them.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(["title", "created_at", "status", "state", "task", "imported", "ümlaut", "big", "lokiredis"])
_TASKS = st.fixed_dictionaries(
    {"type": st.sampled_from(_TYPES), "payload": st.dictionaries(_TEXTS, _JSON, max_size=3)},
    optional={
        "priority": st.integers(1, 10),
        "timeout": st.sampled_from([60, 90.5, 3600, 86400]),
        "maxRetries": st.integers(0, 3),
        "backoffSeconds": st.sampled_from([60, 300.25, 3600]),
        "delay": st.sampled_from([0, 0, 0, 300, 4000.5]),
        "idempotencyKey": st.sampled_from(["", "mine", "ключ"]),
        "fields": st.dictionaries(_NAMES, _JSON, max_size=3),
    },
)
_ENDINGS = "complete complete fail bury bury release heartbeat incomplete claim claim claim claim empty-words".split()
_OPERATOR = "cancel retry resolve escalate discard trip pause configure".split()
_PLANS = st.lists(st.tuples(_TASKS, st.lists(st.integers(0, 9), max_size=1)), min_size=8, max_size=20)
#: First work, then what stops it: the other way round hardly a task would get anywhere.
_PLAYED = st.builds(
    lambda work, operated, more: [*work, *operated, *more],
    st.lists(st.tuples(st.sampled_from(_ENDINGS), st.integers(0, 9), _JSON), min_size=5, max_size=14),
    st.lists(st.tuples(st.sampled_from(_OPERATOR), st.integers(0, 9), _JSON), max_size=6),
    st.lists(st.tuples(st.sampled_from([*_ENDINGS, *_OPERATOR]), st.integers(0, 9), _JSON), max_size=6),
)


class _Player:
    """Plays moves on a queue; one that isn't possible now is left out."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.claims: list[Claim] = []

    def plan(self, plan: list[tuple[dict[str, Any], list[int]]]) -> None:
        made: list[str] = []
        for number, (task, depends) in enumerate(plan):
            fields = dict(task)
            extra = fields.pop("fields", {})
            names = [made[i % len(made)] for i in depends] if made else []
            whole = {**extra, **fields, "id": f"t-{number}", "dependencies": names}
            made.append(self.queue.enqueue_many([whole])[0].id)

    def play(self, move: str, number: int, value: Any) -> None:
        with contextlib.suppress(LokiRedisError):
            if move in _ENDINGS:
                self._work(move, number, value)
            else:
                self._operate(move, self._chosen(move, number), number, value)

    def _chosen(self, move: str, number: int) -> str:
        """The task of an operator's move."""
        tasks: Sequence[Task] = ()
        if move in ("retry", "resolve", "escalate", "discard"):
            tasks = self.queue.list("dead-letter").tasks
        elif move == "cancel":
            tasks = every(self.queue)
        return tasks[number % len(tasks)].id if tasks else "none"

    def _work(self, move: str, number: int, value: Any) -> None:
        """Claim a task and end the claim, or one of an earlier move."""
        found = self.queue.claim(f"host-{number}/agent", _TYPES, lease=None if number % 2 else 60)
        self.claims += [found] if isinstance(found, Claim) else []
        if not self.claims or move == "claim":
            return
        claim = self.claims[number % len(self.claims)]
        if move == "heartbeat":
            self.queue.heartbeat(claim, checkpoint=value, progress=value)
        elif move == "incomplete":
            self.queue.complete(claim, output=value)
        else:
            self.claims.remove(claim)
            endings: dict[str, Callable[[], Any]] = {
                "complete": lambda: self.queue.complete(claim, output=value, decision_report=REPORT),
                "fail": lambda: self.queue.fail(claim, f"line\nback\\slash {value}"),
                "bury": lambda: self.queue.fail(claim, "hopeless", retry=False),
                "release": lambda: self.queue.release(claim, delay=500 if number % 2 else 0),
                "empty-words": lambda: self.queue.fail(claim, "", retry=False),
            }
            endings[move]()

    def _operate(self, move: str, id: str, number: int, value: Any) -> None:
        queue, type = self.queue, _TYPES[number % 3]
        moves: dict[str, Callable[[], Any]] = {
            "cancel": lambda: queue.cancel(id, "" if number % 2 else str(value)),
            "retry": lambda: queue.retry_dead(id, delay=900 if number % 2 else 0, force=True),
            "resolve": lambda: queue.resolve_dead(id, {"output": value, "decisionReport": REPORT}),
            "escalate": lambda: queue.escalate_dead(id, str(value)),
            "discard": lambda: queue.discard_dead(id, "no"),
            "trip": lambda: queue.trip_breaker(type),
            "pause": lambda: queue.pause(type if number % 2 else None),
            "configure": lambda: queue.configure(
                keep_count=number + 1, breaker_overrides={type: {"failureThreshold": 1, "halfOpenAfter": 0}}
            ),
        }
        moves[move]()


def _round_trip(client: Redis, place: Path, plan: Any, played: Any, name: str) -> None:
    queue, copy = (Queue(client, name=f"q-{uuid4().hex[:12]}") for _ in range(2))
    try:
        player = _Player(queue)
        player.plan(plan)
        for move in played:
            player.play(*move)
        with tempfile.TemporaryDirectory(dir=place) as folder:
            target = Path(folder) / name
            before = picture(queue)
            exported = queue.export(target)
            assert sum(exported.tasks.values()) == len(before["tasks"])
            imported = copy.import_(target)
            assert (imported.refused, imported.existing) == ((), 0)
            assert picture(copy) == before
            untouched = stored(copy)
            again = copy.import_(target)
            assert (again.refused, again.existing, again.breakers) == ((), len(before["tasks"]), 0)
            assert stored(copy) == untouched
        for each in (queue, copy):
            each.resume()
            for type in _TYPES:
                each.resume(type)
        assert [_next(queue) for _ in plan] == [_next(copy) for _ in plan]
    finally:
        for each in (queue, copy):
            for key in each.redis.scan_iter(match=each.keys.prefix + "*", count=1000):
                each.redis.unlink(key)


def _next(queue: Queue) -> str:
    found = queue.claim("next", _TYPES)
    return found.id if isinstance(found, Claim) else found.reason


@pytest.fixture
def examples(long_run: bool) -> int:
    """How many queues are tried."""
    return 5000 if long_run else 200


@pytest.mark.longest
@pytest.mark.timeout(3600)
def test_random_queues(server7: RedisServer, in_memory: Path, examples: int) -> None:
    """Tasks in all five states with everything that may belong to them, breakers, settings and pauses come back."""

    @settings(max_examples=examples)
    @given(plan=_PLANS, played=_PLAYED, name=st.sampled_from(["folder", "file.jsonl"]))
    def property(plan: Any, played: Any, name: str) -> None:
        _round_trip(client, in_memory, plan, played, name)

    # One for all: redis-py reads its own version from the disk for each new one.
    with server7.client() as client:
        property()


@pytest.mark.parametrize("name", ["folder", "file.jsonl"])
def test_more_than_one_batch(server7: RedisServer, tmp_path: Path, name: str) -> None:
    """2,500 tasks, among them some that wait for younger ones of another part, keep their order and their numbers."""
    queue, copy = new_queue(server7), new_queue(server7)
    add_many(queue, 700)
    late = [{"id": f"w{n}", "type": "a", "idempotencyKey": "", "dependencies": [f"v{n}"]} for n in range(450)]
    queue.enqueue_many([*late, *({"id": f"v{n}", "type": "a", "idempotencyKey": ""} for n in range(450))])
    add_many(queue, 900, "y")
    before = picture(queue)
    queue.export(tmp_path / name)
    assert copy.import_(tmp_path / name).created == {"pending": 2500}
    assert picture(copy) == before


def test_an_id_that_was_used_again(server7: RedisServer, tmp_path: Path) -> None:
    """What waited for the first task of that id waits for nothing, there as here."""
    queue, copy = new_queue(server7), new_queue(server7)
    add(queue, "x")
    done(queue, take(queue))
    add(queue, "y", dependencies=("x",))
    queue.configure(keep_count=0, keep_seconds=600)
    queue.redis.zadd(queue.keys.fixed("completed"), {"x": 1})
    add(queue, "z", "b")
    [words] = [queue.redis.hget(queue.keys.fixed("tasks"), "x")]
    fields = words.decode().split(" ")
    fields[9] = "1"
    queue.redis.hset(queue.keys.fixed("tasks"), "x", " ".join(fields))
    done(queue, take(queue, "b"))
    with pytest.raises(LokiRedisError):
        queue.get("x")
    add(queue, "x", dependencies=("y",))
    before = picture(queue)
    queue.export(tmp_path / "out")
    copy.import_(tmp_path / "out")
    assert picture(copy) == before
    assert (copy.get("y").place, copy.get("x").place) == ("ready", "blocked")


@pytest.mark.parametrize("name", ["out", "out.jsonl"])
def test_a_probe_goes_on(server7: RedisServer, tmp_path: Path, name: str) -> None:
    """Half-open breakers keep the task that decides, and its agent ends it in the new queue with the old token."""
    queue, copy = new_queue(server7), new_queue(server7)
    queue.configure(breaker_defaults={"failureThreshold": 1, "halfOpenAfter": 0, "cooldownSeconds": 0})
    bury(queue, "dead")
    add(queue, "x")
    claim = take(queue, lease=120)
    assert queue.breakers()["a"].state == "half-open"
    add(queue, "keyed", "b", idempotency_key=None, title="none of its own")
    queue.export(tmp_path / name)
    copy.import_(tmp_path / name)
    assert picture(copy) == picture(queue)
    assert copy.heartbeat(claim).deadline is not None
    done(copy, claim)
    assert copy.breakers()["a"].state == "closed"


def test_a_claim_whose_lease_is_over(server7: RedisServer, tmp_path: Path) -> None:
    """Imported too late for its agent, the task is pending, uncharged, and its ledger tells who had it."""
    queue, copy = new_queue(server7), new_queue(server7)
    add(queue, "x", backoff_seconds=0)
    claim = take(queue)
    queue.export(tmp_path / "out.jsonl")
    text = (tmp_path / "out.jsonl").read_text()
    deadline = queue.get("x").to_json()["leaseExpiresAt"]
    (tmp_path / "out.jsonl").write_text(text.replace(deadline, "2026-01-01T00:00:00.000Z"))
    told = copy.import_(tmp_path / "out.jsonl")
    task = copy.get("x")
    assert (task.place, task.retries, task.claimed_by) == ("ready", 0, None)
    assert [(past.agent, past.token, past.outcome) for past in task.attempts] == [
        (claim.task.claimed_by, claim.token, "released")
    ]
    assert "gone" in told.notes[0].reason


def test_settings_of_a_queue_in_use_stay(server7: RedisServer, tmp_path: Path) -> None:
    """An import must not stop a queue that works, nor change what somebody set."""
    queue, used, set_ = (new_queue(server7) for _ in range(3))
    queue.configure(keep_count=7)
    queue.pause()
    add(queue, "x")
    queue.export(tmp_path / "out")
    add(used, "mine")
    set_.configure(keep_count=9)
    for copy in (used, set_):
        count = copy.settings().keep_count
        assert not copy.import_(tmp_path / "out").settings
        assert (copy.settings().keep_count, copy.stats().paused) == (count, False)
        assert copy.get("x").place == "ready"


async def test_async(server7: RedisServer, tmp_path: Path) -> None:
    """AsyncQueue has the same two methods."""
    from lokiredis import AsyncQueue, InvalidTask

    queue = new_queue(server7)
    add_many(queue, 1200)
    before = picture(queue)
    async with AsyncQueue.from_url(server7.url, queue.name) as first:
        assert (await first.export(tmp_path / "out")).tasks["pending"] == 1200
    copy = new_queue(server7)
    async with AsyncQueue.from_url(server7.url, copy.name) as second:
        assert (await second.import_(tmp_path / "out", dry_run=True)).created == {"pending": 1200}
        assert (await second.import_(tmp_path / "out")).created == {"pending": 1200}
        with pytest.raises(InvalidTask, match="no queue files"):
            await second.import_(tmp_path / "out" / "state")
    assert picture(copy) == before


def test_what_an_export_overwrites(server7: RedisServer, tmp_path: Path) -> None:
    """Nothing, unless told to; and of orchestrator.json only the breakers."""
    queue = new_queue(server7)
    add(queue, "x")
    queue.trip_breaker("a")
    state = tmp_path / "out" / "state"
    state.mkdir(parents=True)
    (state / "orchestrator.json").write_text('{"version": "4.2.0", "agents": {"n": 9007199254740993}}')
    queue.export(tmp_path / "out")
    kept = json.loads((state / "orchestrator.json").read_text())
    assert (kept["version"], kept["agents"]) == ("4.2.0", {"n": 9007199254740993})
    assert kept["circuitBreakers"]["a"].keys() == {"state", "failures", "lastFailure", "openedAt", "halfOpenAt"}
    add(queue, "y")
    before = (tmp_path / "out" / "queue" / "pending.json").read_bytes()
    with pytest.raises(FileExistsError):
        queue.export(tmp_path / "out")
    assert (tmp_path / "out" / "queue" / "pending.json").read_bytes() == before
    queue.export(tmp_path / "out", replace=True)
    assert len(json.loads((tmp_path / "out" / "queue" / "pending.json").read_text())["tasks"]) == 2
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.endswith(".new")]


@pytest.mark.parametrize("name", ["out", "out.jsonl"])
def test_an_export_that_fails(server7: RedisServer, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of the tasks, or when the disk is full: what was there is whole, and nothing else is left."""
    queue = new_queue(server7)
    add_many(queue, 600)
    queue.export(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    add(queue, "more")
    pages = []

    def failing(reply: Any) -> Any:
        pages.append(reply)
        if len(pages) == 2:
            raise QueueUnavailable
        return replies.records(reply)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(
            "lokiredis.files.exporting.replies", SimpleNamespace(records=failing, breaker_words=_no_breakers)
        )
        with pytest.raises(QueueUnavailable):
            queue.export(tmp_path / name, replace=True)
    with monkeypatch.context() as patched:
        patched.setattr("lokiredis.files.exporting.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            queue.export(tmp_path / name, replace=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def _no_breakers(reply: Any) -> dict[str, Any]:
    return {}


def test_no_link_leads_out_of_an_export(server7: RedisServer, tmp_path: Path) -> None:
    """A folder that is a link is refused; a file that is one is replaced, and what it leads to stays."""
    queue = new_queue(server7)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "queue").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LokiRedisError, match="symbolic link"):
        queue.export(tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "kept.jsonl").write_text("kept")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "kept.jsonl")
    queue.export(tmp_path / "link.jsonl", replace=True)
    assert (tmp_path / "kept.jsonl").read_text() == "kept"
    assert not (tmp_path / "link.jsonl").is_symlink()
