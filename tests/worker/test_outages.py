"""A Redis that is away for longer than any call is repeated: workers and their tasks live on."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lokiredis import AsyncQueue, Claim, LokiRedisError, Queue, QueueUnavailable, commands
from lokiredis.commands import Command
from lokiredis.worker import Context, ThreadContext, Worker
from lokiredis.worker.command import CommandHandler
from lokiredis.worker.job import Job
from lokiredis.worker.leases import Leases
from lokiredis.worker.outage import PATIENCE

from ..conftest import lacking
from ..invariants import check
from ..servers import RedisServer, programs
from .conftest import started, until

pytestmark = pytest.mark.faults

REPORT: dict[str, Any] = {"decisionReport": {"why": "asked for"}}
#: For how long a call of these workers is repeated, in seconds.
RETRY_FOR = 0.3


@pytest.fixture
def mortal() -> Iterator[RedisServer]:
    """A server that keeps its data when it is killed."""
    program = programs().get("redis7") or lacking("redis7: no such server")
    with RedisServer(program, appendonly=True, appendfsync="always") as server:
        yield server


At = tuple[Worker, "Gate", "CountingQueue"]


@asynccontextmanager
async def _worker(url: str, name: str, lease: float, **options: Any) -> AsyncIterator[At]:
    async with CountingQueue.from_url(url, name, retry_for=RETRY_FOR) as queue:
        worker = Worker(queue, agent="me", lease=lease, grace=0, **options)
        gate = Gate(worker)
        run = started(worker)
        yield worker, gate, queue
        assert not run.done(), "the worker ended by itself"
        worker.stop()
        await asyncio.wait_for(run, 30)


class CountingQueue(AsyncQueue):
    """``given_up``: how many calls were repeated in vain."""

    given_up = 0

    async def _answer(self, command: Command[Any]) -> Any:
        try:
            return await super()._answer(command)
        except QueueUnavailable:
            self.given_up += 1
            raise


class Gate:
    """The handler of type a: a task whose id is in ``closed`` waits for ``open``."""

    def __init__(self, worker: Worker) -> None:
        self.begun: list[str] = []
        self._open: set[str] = set()
        self._more = asyncio.Event()

        @worker.handler("a")
        async def work(context: Context) -> dict[str, Any]:
            self.begun.append(context.id)
            while context.id.startswith("long") and context.id not in self._open:
                await self._more.wait()
            return REPORT

    def open(self, id: str) -> None:
        """This one may end."""
        self._open.add(id)
        self._more.set()
        self._more = asyncio.Event()


def _add(server: RedisServer, name: str, *ids: str) -> None:
    with server.client() as client:
        Queue(client, name).enqueue_many({"id": id, "type": "a", "payload": {"id": id}} for id in ids)


async def _all_completed(server: RedisServer, name: str, count: int) -> None:
    """That many are completed, each by its first claim."""
    with server.client() as client:
        seen = Queue(client, name)
        await until(lambda: seen.counts()["completed"] == count, timeout=30)
        tasks = seen.list("completed").tasks
        assert [[attempt.outcome for attempt in task.attempts] for task in tasks] == [["completed"]] * count
        check(client, name)


async def test_an_outage_longer_than_any_retry(
    mortal: RedisServer, queue_name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it works and while it waits: work that ends then, or goes on, is completed; and it says it once."""
    async with _worker(mortal.url, queue_name, 20, concurrency=3) as (worker, gate, queue):
        _add(mortal, queue_name, "long-1", "long-2")
        await until(lambda: len(gate.begun) == 2)
        await asyncio.to_thread(mortal.kill)
        # It waits for a third task: that it is away shows there first.
        await until(lambda: worker.away, timeout=30)
        gate.open("long-1")
        before, beats = queue.given_up, _refused_heartbeats(worker, monkeypatch)
        await until(lambda: queue.given_up > before + 3 and beats, timeout=60)
        assert [job.claim.id for job in worker.running] == ["long-2"]
        await asyncio.to_thread(mortal.start)
        await until(lambda: not worker.away, timeout=30)
        _add(mortal, queue_name, "next")
        await until(lambda: "next" in gate.begun, timeout=30)
        gate.open("long-2")
        await _all_completed(mortal, queue_name, 3)
    said = [record.message for record in caplog.records if record.name == "lokiredis.worker"]
    assert len([line for line in said if "cannot be reached" in line]) == 1, said


async def test_heartbeats_alone_reach_nobody(
    mortal: RedisServer, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their connections are others: the worker renews by its own, claims on, and in the end hands back what it has."""
    async with _worker(mortal.url, queue_name, 1.5, concurrency=2) as (worker, gate, _):
        _add(mortal, queue_name, "long")
        await until(lambda: gate.begun == ["long"])

        def refused(claims: Any) -> Any:
            raise QueueUnavailable("refused")

        monkeypatch.setattr(worker._runs._leases.queue, "heartbeat_many", refused)
        for number in range(8):
            await until(lambda: worker._outage.failed > worker._pump.doubt._sure_of, "a refused heartbeat")
            _add(mortal, queue_name, f"short-{number}")
            await until(lambda number=number: f"short-{number}" in gate.begun)  # type: ignore[misc]
        await until(lambda: worker.completed == 8)
        await until(lambda: worker.away, "a refused heartbeat")
        worker.stop()
    with mortal.client() as client:
        [attempt] = Queue(client, queue_name).get("long").attempts
        assert attempt.outcome == "released"


async def test_what_is_held_is_renewed_though_nothing_is_to_be_claimed(
    mortal: RedisServer, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats reach nobody, and no slot is free: its lease holds all the same, by the other connection."""
    async with _worker(mortal.url, queue_name, 1) as (worker, gate, _):
        _add(mortal, queue_name, "long")
        await until(lambda: gate.begun == ["long"])
        [job] = worker.running

        def refused(claims: Any) -> Any:
            raise QueueUnavailable("refused")

        monkeypatch.setattr(worker._runs._leases.queue, "heartbeat_many", refused)
        first = job.held_until
        await until(lambda: job.held_until > first + 3, timeout=30)
        gate.open("long")
        await _all_completed(mortal, queue_name, 1)


async def test_a_waiting_claim_begins_no_round_in_doubt(mortal: RedisServer, queue_name: str) -> None:
    """Not only one that has failed: what comes back from its wait, too, would make the queue charge our own work."""
    async with _worker(mortal.url, queue_name, 60, concurrency=2) as (worker, gate, _):
        _add(mortal, queue_name, "long")
        await until(lambda: gate.begun == ["long"])
        with mortal.client() as client:
            await until(lambda: client.info("clients")["blocked_clients"] == 1, "the waiting claim waits")
        never = asyncio.ensure_future(asyncio.sleep(600))
        worker._outage.failed = time.monotonic()
        worker._pump.doubt.renewing = never  # it goes on and on
        _add(mortal, queue_name, "next")
        await until(lambda: _no_marks(mortal, queue_name), "the waiting claim has taken the mark")
        await asyncio.sleep(0.2)
        assert gate.begun == ["long"]
        never.cancel()
        worker._pump.doubt.renewing = None
        await until(lambda: gate.begun == ["long", "next"])
        gate.open("long")
        await _all_completed(mortal, queue_name, 2)


def _no_marks(server: RedisServer, name: str) -> bool:
    with server.client() as client:
        return not client.exists(Queue(client, name).keys.wake("a"))


async def test_a_server_that_takes_no_writes_for_a_while(queue_name: str) -> None:
    """Its disk is full, say: that is an outage too, and ends neither the worker nor what it works on."""
    program = programs().get("redis7") or lacking("redis7: no such server")
    config: dict[str, str | int] = {"save": "3600 1", "enable-protected-configs": "yes"}
    with RedisServer(program, config=config) as server, server.client() as client:
        async with _worker(server.url, queue_name, 60, concurrency=2) as (worker, gate, queue):
            _add(server, queue_name, "long")
            await until(lambda: gate.begun == ["long"])
            gone = server.folder / "gone"
            gone.mkdir()
            client.config_set("dir", str(gone))
            gone.rmdir()
            client.bgsave()
            await until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
            gate.open("long")
            await _given_up(queue, 2)
            assert worker.away
            client.config_set("dir", str(server.folder))
            client.bgsave()
            await _all_completed(server, queue_name, 1)


async def test_an_outage_is_no_standstill(
    mortal: RedisServer, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a call is repeated: whoever watches the worker must not end it, nor its tasks, for that."""
    monkeypatch.setattr("lokiredis.worker.worker._LONGEST_ATTEMPT", 0)
    async with _worker(mortal.url, queue_name, 60) as (worker, gate, queue):
        queue.retry_for = 60
        _add(mortal, queue_name, "long-1")
        await until(lambda: gate.begun)
        await asyncio.to_thread(mortal.kill)
        gate.open("long-1")
        sent = await until(lambda: worker._pump.sent)
        await until(lambda: time.monotonic() > sent + 4)
        assert worker.silent_for < 3
        await asyncio.to_thread(mortal.start)
        await _all_completed(mortal, queue_name, 1)


async def test_a_claim_that_never_comes_back_is_a_standstill(
    mortal: RedisServer, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A waiting claim asks again within half a minute: one that doesn't is seen, though the event loop is well."""
    async with _worker(mortal.url, queue_name, 60) as (worker, *_):
        monkeypatch.setattr("lokiredis.worker.worker._LONGEST_ATTEMPT", 0)
        monkeypatch.setattr("lokiredis.worker.worker.LONGEST_BLOCK", 0)
        asked = await until(lambda: worker._pump.watch and worker._pump.watch.asked)
        await until(lambda: time.monotonic() > asked + 3)
        assert worker.silent_for > 2


async def test_a_renewal_that_never_comes_back_is_a_standstill(
    mortal: RedisServer, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims wait for it, so that nothing else would show it."""
    async with _worker(mortal.url, queue_name, 60) as (worker, gate, queue):
        _add(mortal, queue_name, "long")
        await until(lambda: gate.begun)
        monkeypatch.setattr("lokiredis.worker.worker._LONGEST_ATTEMPT", 0)
        usual = queue._answer

        async def answer(command: Command[Any]) -> Any:
            if command.script.name == "heartbeat":
                await asyncio.sleep(600)
            return await usual(command)

        monkeypatch.setattr(queue, "_answer", answer)
        worker._outage.failed = time.monotonic()
        assert worker._pump.doubt()
        await until(lambda: worker.silent_for > 2)
        assert worker._pump.doubt.renewing is not None
        worker._pump.doubt.renewing.cancel()
        await until(lambda: worker.silent_for < 1)
        gate.open("long")
        worker._outage.failed = 0.0


async def test_claims_are_repeated_for_a_moment_only(
    mortal: RedisServer, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an outage leases run out, which is looked at before the next one. Endings are sent as long as any call."""
    async with _worker(mortal.url, queue_name, 60, concurrency=2) as (worker, gate, queue):
        patience: dict[str, set[float]] = {}
        usual = queue._answer

        async def answer(command: Command[Any]) -> Any:
            name = command.script.name
            if name == "exchange" and int(command.argv[command.script.argv.index("limit")]):
                name = "claim"
            patience.setdefault(name, set()).add(command.patience)
            return await usual(command)

        monkeypatch.setattr(queue, "_answer", answer)
        _add(mortal, queue_name, "long", "short")
        await until(lambda: gate.begun and worker.completed == 1)
        never = asyncio.ensure_future(asyncio.sleep(600))
        worker._pump.doubt.renewing, worker._outage.failed = never, time.monotonic()
        gate.open("long")
        await until(lambda: worker.completed == 2)
        never.cancel()
        assert patience == {"claim": {PATIENCE}, "exchange": {math.inf}}


async def test_a_call_has_the_patience_of_its_command(mortal: RedisServer, queue_name: str) -> None:
    """Where that is less than the queue's."""
    async with AsyncQueue.from_url(mortal.url, queue_name, retry_for=3600) as queue:
        await queue.counts()
        await asyncio.to_thread(mortal.kill)
        command = commands.heartbeat_many(queue.keys, [SimpleNamespace(id="x", token=1)])
        with pytest.raises(QueueUnavailable):
            await asyncio.wait_for(queue.run(replace(command, patience=0.1)), 30)


@pytest.mark.parametrize("released", [True, False])
def test_heartbeats_go_on_at_their_usual_pace(
    mortal: RedisServer, queue_name: str, monkeypatch: pytest.MonkeyPatch, released: bool
) -> None:
    """After an outage: though nothing is held any more, and though the queue refuses the call."""
    with Queue.from_url(mortal.url, queue_name) as queue:
        queue.enqueue(type="a", id="x")
        claim = queue.claim("me", "a", lease=60)
        assert isinstance(claim, Claim)
        job = Job(claim, time.monotonic())
        leases = Leases(queue, 60, lambda job, why: None)
        leases.hold(job)
        errors: list[LokiRedisError] = [QueueUnavailable("away"), LokiRedisError("refused")]

        def refused(claims: Any) -> Any:
            raise errors.pop(0)

        monkeypatch.setattr(queue, "heartbeat_many", refused)
        leases._renew_all()
        assert leases._pause() < 1
        if released:
            leases.drop(job)
        leases._renew_all()
        assert leases._pause() == 20


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_checkpoint_and_a_rate_limit_in_an_outage(mortal: RedisServer, queue_name: str, kind: str) -> None:
    """Both wait until Redis is back, for longer than any retry: neither fails the attempt, nor is lost."""
    may_go_on = threading.Event()
    saved: list[Any] = []
    async with CountingQueue.from_url(mortal.url, queue_name, retry_for=RETRY_FOR) as queue:
        worker = Worker(queue, agent="me", lease=60, grace=0)

        def first(context: Context | ThreadContext) -> bool:
            saved.append(context.saved)
            return len(saved) == 1

        if kind == "async":

            @worker.handler("a")
            async def work(context: Context) -> dict[str, Any]:
                if first(context):
                    await asyncio.to_thread(may_go_on.wait)
                    await context.checkpoint({"page": 7})
                    await asyncio.to_thread(mortal.kill)
                    raise RuntimeError("429 Too Many Requests, Retry-After: 0.1")
                return REPORT

        else:

            @worker.handler("a")
            def work_in_thread(context: ThreadContext) -> dict[str, Any]:
                if first(context):
                    may_go_on.wait()
                    context.checkpoint({"page": 7})
                    mortal.kill()
                    raise RuntimeError("429 Too Many Requests, Retry-After: 0.1")
                return REPORT

        run = started(worker)
        _add(mortal, queue_name, "x")
        await until(lambda: saved)
        await asyncio.to_thread(mortal.kill)
        may_go_on.set()
        for _ in range(2):  # the checkpoint, and the rate limit
            await _given_up(queue, 2)
            await asyncio.to_thread(mortal.start)
            await until(lambda: not mortal.running or len(saved) == 2, timeout=60)
        await _all_completed(mortal, queue_name, 1)
        assert saved == [None, {"page": 7}]
        worker.stop()
        await asyncio.wait_for(run, 30)


_FAILS_WITH_A_CHECKPOINT = """
import os, pathlib, sys, time
(at := pathlib.Path(sys.argv[1]) / "begun").touch()
while at.exists():
    time.sleep(0.01)
pathlib.Path(os.environ["LOKIREDIS_TASK_CHECKPOINT_FILE"]).write_text('{"page": 7}')
sys.exit("no more")
"""


async def test_the_checkpoint_of_a_command_that_ends_in_an_outage(
    mortal: RedisServer, queue_name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It waits until Redis is back, and its failure with it."""
    words = [sys.executable, "-c", _FAILS_WITH_A_CHECKPOINT, str(tmp_path)]
    begun = tmp_path / "begun"
    async with CountingQueue.from_url(mortal.url, queue_name, retry_for=RETRY_FOR) as queue:
        worker = Worker(queue, agent="me", lease=60, grace=0)
        handler = CommandHandler(words, logs=tmp_path, grace=lambda why: 5.0, environment={})
        worker.handler("a")(handler)
        handler.start()
        request.addfinalizer(handler.stop)
        run = started(worker)
        _add(mortal, queue_name, "x")
        await until(begun.exists)
        await asyncio.to_thread(mortal.kill)
        begun.unlink()
        await _given_up(queue, 2)
        await asyncio.to_thread(mortal.start)
        with mortal.client() as client:
            seen = Queue(client, queue_name)
            await until(lambda: seen.get("x").attempts, timeout=30)
            task = seen.get("x")
            assert (task.checkpoint, task.last_error, len(task.attempts)) == ({"page": 7}, "no more", 1)
            check(client, queue_name)
        worker.stop()
        await asyncio.wait_for(run, 30)


async def _given_up(queue: CountingQueue, calls: int) -> None:
    """So many more calls were repeated in vain."""
    before = queue.given_up
    await until(lambda: queue.given_up >= before + calls, timeout=60)


def _refused_heartbeats(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> list[QueueUnavailable]:
    """Fills when the thread that renews the claims, which has connections of its own, meets the outage."""
    queue, found = worker._runs._leases.queue, []
    beat = queue.heartbeat_many

    def noting(claims: Any) -> Any:
        try:
            return beat(claims)
        except QueueUnavailable as e:
            found.append(e)
            raise

    monkeypatch.setattr(queue, "heartbeat_many", noting)
    return found
