"""Workers as a fleet meets them: one that stands still, a server that goes away, a rate limit that slows all down."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lokiredis import AsyncQueue, Queue, QueueUnavailable, State
from lokiredis.worker import Context, Worker, outage
from lokiredis.worker.job import Job

from ..conftest import lacking
from ..servers import RedisServer, programs
from ..waiting import wait_until
from .conftest import LEASE, ROOT, Start, alive, started, until

REPORT = {"decisionReport": {"why": "asked for"}}
DONE = (sys.executable, "-c", 'print(\'{"output": "by the other", "decisionReport": {"why": "x"}}\')')

KINDS = ("async", "plain")

pytestmark = pytest.mark.faults


def _stand_still(process: subprocess.Popen[Any], queue: Queue, meanwhile: Callable[[], bool]) -> None:
    """SIGSTOP for twice the lease by the server's clock, and until *meanwhile* is true; then SIGCONT."""
    process.send_signal(signal.SIGSTOP)
    try:
        ends = _server_time(queue) + 2 * LEASE
        wait_until(lambda: meanwhile() and _server_time(queue) > ends, 40, "another worker's work")
    finally:
        process.send_signal(signal.SIGCONT)


def _server_time(queue: Queue) -> float:
    seconds, microseconds = queue.redis.time()
    return int(seconds) + int(microseconds) / 1e6


def test_a_worker_that_stood_still_learns_that_it_lost_its_claim(queue: Queue, start: Start, tmp_path: Path) -> None:
    """Another one does the task meanwhile; when it goes on it ends its own command, says so, and works on."""
    pids = tmp_path / "pids"
    queue.enqueue(type="a", id="x", payload={"does": "waits", "pids": str(pids)})
    still = start("--agent", "still", "--grace", "1s")
    wait_until(lambda: pids.exists() and pids.read_text(), timeout=20)
    group = [int(word) for word in pids.read_text().split()]
    other = start("--agent", "other", command=DONE)
    _stand_still(still, queue, lambda: queue.counts()["completed"] == 1)
    wait_until(lambda: not any(map(alive, group)), timeout=20)
    done = queue.get("x")
    assert (done.result or {})["output"] == "by the other"
    assert [(a.agent, a.outcome) for a in done.attempts] == [("still", "expired"), ("other", "completed")]
    other.kill()
    queue.enqueue(type="a", id="y", payload={})
    wait_until(lambda: queue.counts()["completed"] == 2, timeout=20)
    assert queue.get("y").claimed_by == "still"
    still.terminate()
    _, said = still.communicate(timeout=30)
    assert "x is stopped: " in said
    assert queue.get("x") == done


def test_handlers_of_a_worker_that_stood_still(
    queue: Queue, start: Start, redis7_server: RedisServer, queue_name: str, tmp_path: Path
) -> None:
    """An async one is cancelled, a plain one sees it and is refused its checkpoint; the worker works on."""
    words = [redis7_server.url, queue_name, "still", str(tmp_path), str(LEASE)]
    still = subprocess.Popen([sys.executable, "-m", "tests.worker.handlers", *words], cwd=ROOT)
    try:
        _add_both(queue, "x", waits=True)
        wait_until(lambda: all((tmp_path / f"x-{kind} begun").exists() for kind in KINDS), 20, "work")
        other = start("--agent", "other", "--type", "async", "--type", "plain", command=DONE)
        _stand_still(still, queue, lambda: queue.counts()["completed"] == 2)
        wait_until(lambda: all((tmp_path / f"x-{kind} cancelled True").exists() for kind in KINDS), 20, "their end")
        other.kill()
        _add_both(queue, "y", waits=False)
        wait_until(lambda: queue.counts()["completed"] == 4, timeout=20)
        still.terminate()
        assert still.wait(timeout=30) == 0
    finally:
        still.kill()
        still.wait(timeout=30)
    for kind in KINDS:
        done = queue.get(f"x-{kind}")
        assert (done.result or {})["output"] == "by the other"
        assert [(a.agent, a.outcome) for a in done.attempts] == [("still", "expired"), ("other", "completed")]
        assert queue.get(f"y-{kind}").claimed_by == "still"


def _add_both(queue: Queue, name: str, *, waits: bool) -> None:
    queue.enqueue_many(
        {"type": kind, "id": f"{name}-{kind}", "payload": {"name": name, "waits": waits}} for kind in KINDS
    )


@pytest.fixture
def mortal() -> Iterator[RedisServer]:
    """A server that keeps its data when it is killed."""
    with RedisServer(
        programs().get("redis7") or lacking("redis7: no such server"), appendonly=True, appendfsync="always"
    ) as server:
        yield server


async def test_a_restart_of_redis_ends_nothing(mortal: RedisServer, queue_name: str) -> None:
    """Neither the worker nor what it works on; it says so once, and the task is completed."""
    async with AsyncQueue.from_url(mortal.url, queue_name, retry_for=0.5) as used:
        worker = Worker(used, agent="me", lease=30)
        go_on = asyncio.Event()

        @worker.handler("a")
        async def work(context: Context) -> dict[str, Any]:
            await go_on.wait()
            return REPORT

        with mortal.client() as client:
            Queue(client, queue_name).enqueue(type="a", id="x")
        run = started(worker)
        await until(lambda: worker.running)
        await asyncio.to_thread(mortal.kill)
        go_on.set()
        await until(lambda: worker.away, timeout=20)
        assert not run.done()
        await asyncio.to_thread(mortal.restart)
        with mortal.client() as client:
            seen = Queue(client, queue_name)
            await until(lambda: seen.counts()["completed"] == 1, timeout=30)
            task = seen.get("x")
            assert task is not None
            assert task.retries == 0
            await until(lambda: not worker.away)
        worker.stop()
        await asyncio.wait_for(run, 20)


async def test_an_idle_worker_sees_that_redis_is_back(mortal: RedisServer, queue_name: str) -> None:
    """Without a task that would tell it, and long before its wait for one ends."""
    async with AsyncQueue.from_url(mortal.url, queue_name, retry_for=0.5) as used:
        worker = Worker(used, agent="me")
        worker.handler("a")(lambda context: REPORT)
        run = started(worker)
        await until(lambda: worker._pump.asking is not None)
        await asyncio.to_thread(mortal.kill)
        await until(lambda: worker.away, timeout=20)
        await asyncio.to_thread(mortal.restart)
        await until(lambda: not worker.away, timeout=20)
        worker.stop()
        await asyncio.wait_for(run, 20)


async def test_work_whose_lease_may_have_run_out_is_stopped(mortal: RedisServer, queue_name: str) -> None:
    """While Redis is away nobody can tell whether another agent has the task by now."""
    async with AsyncQueue.from_url(mortal.url, queue_name, retry_for=0.5) as used:
        stopped: dict[str, bool] = {}

        async def work(context: Context) -> dict[str, Any]:
            try:
                await asyncio.sleep(600)
            finally:
                stopped[context.task.type] = True
            return REPORT

        careful = Worker(used, agent="careful", lease=2)
        careful.handler("a")(work)
        with mortal.client() as client:
            Queue(client, queue_name).enqueue(type="a", id="x")
        run = started(careful)
        await until(lambda: careful.running)
        await asyncio.to_thread(mortal.kill)
        await until(lambda: stopped.get("a"), timeout=20)
        await asyncio.to_thread(mortal.restart)
        with mortal.client() as client:
            seen = Queue(client, queue_name)

            def again() -> Any:
                task = seen.get("x")
                return task is not None and (task.attempts or task.state is State.PENDING) and task

            task = await until(again, timeout=30)
            assert task.retries == 0
        careful.stop()
        careful.stop()
        await asyncio.wait_for(run, 20)


@dataclass
class AtWork:
    """A worker for two tasks, of which it holds one until ``go_on`` is set, and beyond the end of its lease."""

    used: AsyncQueue
    worker: Worker
    job: Job
    go_on: asyncio.Event
    run: asyncio.Future[None]


@asynccontextmanager
async def _at_work(server: RedisServer, name: str, *, retry_for: float, lease: float) -> AsyncIterator[AtWork]:
    async with AsyncQueue.from_url(server.url, name, retry_for=retry_for) as used:
        worker = Worker(used, agent="me", lease=lease, concurrency=2, on_lost_lease="continue")
        go_on = asyncio.Event()

        @worker.handler("a")
        async def work(context: Context) -> dict[str, Any]:
            await go_on.wait()
            return REPORT

        with server.client() as client:
            Queue(client, name).enqueue(type="a", id="x")
        run = started(worker)
        await until(lambda: worker.running and worker.running[0].begun)
        yield AtWork(used, worker, worker.running[0], go_on, run)
        worker.stop()
        await asyncio.wait_for(run, 20)


async def test_work_goes_on_where_two_at_it_do_no_harm(
    mortal: RedisServer, queue_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With on_lost_lease="continue" an outage longer than the lease ends nothing; it is told once, not per try."""
    async with _at_work(mortal, queue_name, retry_for=0.2, lease=1) as at:
        worker, job = at.worker, at.job
        await asyncio.to_thread(mortal.kill)
        await until(lambda: time.monotonic() > job.held_until + 1.5, timeout=20)
        await until(lambda: worker.away, timeout=20)
        assert job.stopped is None
        at.go_on.set()
        await until(lambda: not worker.running)
        await asyncio.to_thread(mortal.restart)
        await until(lambda: worker.completed == 1, timeout=30)
        task = await at.used.get("x")
        assert (task.state, task.retries) == (State.COMPLETED, 0)
        said = [record.getMessage() for record in caplog.records]
        assert len([line for line in said if line.endswith("going on as soon as it is back")]) == 1
        assert said.count("Redis is back") == 1


@pytest.mark.parametrize("retry_for", [0.05, 20])
async def test_it_renews_before_it_claims(
    mortal: RedisServer, queue_name: str, retry_for: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim makes the queue charge what has run out: sent before the heartbeats it ends the worker's own work."""
    monkeypatch.setattr(outage.Watch, "away", lambda watch, error: watch._outage.begins(error) or 0.01)
    async with _at_work(mortal, queue_name, retry_for=retry_for, lease=2) as at:
        used, worker, job = at.used, at.worker, at.job
        await asyncio.to_thread(mortal.kill)
        await until(lambda: time.monotonic() > job.held_until + 0.5)
        await asyncio.to_thread(mortal.restart)
        await until(lambda: not worker.away and (time.monotonic() < job.held_until or worker.running != [job]))
        await used.enqueue(type="a", id="y", idempotency_key="")
        await until(lambda: len(worker.running) == 2)
        at.go_on.set()
        await until(lambda: worker.completed == 2)
        assert ((await used.get("x")).retries, (await used.get("y")).retries) == (0, 0)


async def test_a_claim_that_a_stop_ends_comes_after_the_heartbeats(
    mortal: RedisServer, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unanswered in an outage it is sent again, to hand back what it may have claimed: leases run out by that, too."""
    async with _at_work(mortal, queue_name, retry_for=0.05, lease=2) as at:
        used, worker, job = at.used, at.worker, at.job
        usual, renewing = used._answer, asyncio.Event()

        async def answer(command: Any) -> Any:
            if command.script.name == "heartbeat":
                renewing.set()
                await asyncio.sleep(0.3)  # the claim would be first
            return await usual(command)

        def refused(claims: Any) -> Any:
            raise QueueUnavailable("refused")

        monkeypatch.setattr(worker._runs._leases.queue, "heartbeat_many", refused)
        await asyncio.to_thread(mortal.kill)
        await until(lambda: time.monotonic() > job.held_until + 0.5)
        monkeypatch.setattr(used, "_answer", answer)
        await asyncio.to_thread(mortal.restart)
        renewing.clear()
        await asyncio.wait_for(renewing.wait(), 20)
        worker.stop()
        await until(lambda: worker._pump.asking is None)
        at.go_on.set()
        await asyncio.wait_for(at.run, 20)
        assert ((await used.get("x")).state, (await used.get("x")).retries) == (State.COMPLETED, 0)


async def test_it_stops_while_redis_is_away(mortal: RedisServer, queue_name: str) -> None:
    """What it could not tell comes back with the end of the lease; it does not wait for ever."""
    async with AsyncQueue.from_url(mortal.url, queue_name, retry_for=0.5) as used:
        worker = Worker(used, agent="me", lease=600, grace=0)

        @worker.handler("a")
        async def work(context: Context) -> dict[str, Any]:
            await asyncio.sleep(600)
            return REPORT

        with mortal.client() as client:
            Queue(client, queue_name).enqueue(type="a", id="x")
        run = started(worker)
        await until(lambda: worker.running)
        await asyncio.to_thread(mortal.kill)
        worker.stop()
        await asyncio.wait_for(run, 30)


async def test_one_rate_limit_slows_the_whole_fleet(queue: Queue, make_worker: Callable[..., Worker]) -> None:
    """With Retry-After: 3, nobody claims for 1.5 s and the limited agent not for 3; then all come back, uncharged."""
    claims: list[tuple[str, str, float, Any]] = []
    limited: list[float] = []

    def handler(name: str) -> Callable[[Context], Any]:
        async def work(context: Context) -> dict[str, Any]:
            claims.append((name, context.task.id, time.monotonic(), context.saved))
            if context.task.id == "limit" and context.saved is None:
                await context.checkpoint({"page": 7})
                limited.append(time.monotonic())
                raise RuntimeError("HTTP 429, Retry-After: 3")
            await asyncio.sleep(0.02)
            return REPORT

        return work

    queue.enqueue(type="a", id="limit", priority=10)
    queue.enqueue_many([{"type": "a", "id": f"x{i}", "payload": {"n": i}} for i in range(300)])
    workers = [make_worker(agent=f"w{i}", lease=10) for i in range(6)]
    for i, worker in enumerate(workers):
        worker.handler("a")(handler(f"w{i}"))
    for worker in workers:
        started(worker)
    await until(lambda: limited)
    await until(lambda: queue.counts()["completed"] == 301, timeout=60)
    [at] = limited
    agent = next(name for name, id, _, _ in claims if id == "limit")
    # What was claimed before the limit was told, and a call that was under way, may still begin.
    slow = [when - at for _, _, when, _ in claims if when - at > 0.3]
    assert min(slow) >= 1.4
    own = [when - at for name, id, when, _ in claims if name == agent and when > at]
    assert min(own) >= 2.9
    assert {name for name, _, when, _ in claims if when - at > 1.4} == {f"w{i}" for i in range(6)}
    [saved] = [saved for _, id, when, saved in claims if id == "limit" and when > at]
    task = queue.get("limit")
    assert task is not None
    assert (saved, task.retries, task.claimed_by) == ({"page": 7}, 0, agent)
