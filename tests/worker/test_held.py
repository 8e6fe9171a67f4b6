"""What a worker holds: leases that are renewed, claims that are cancelled, lost or given anew, timeouts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from lokiredis import Claim, Queue, State
from lokiredis.worker import Context, Worker
from lokiredis.worker.job import Job, Stop

from .conftest import LEASE, completed, started, state_of, until

REPORT = {"decisionReport": {"why": "asked for"}}
Make = Callable[..., Worker]


async def test_claims_are_renewed(queue: Queue, make_worker: Make) -> None:
    """Work that takes longer than its lease keeps it, though the handler says nothing, or blocks the event loop."""
    worker = make_worker(concurrency=2)

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        if context.task.id == "blocks":
            time.sleep(LEASE * 1.5)  # noqa: ASYNC251  that is the point
        await asyncio.sleep(LEASE * 1.5)
        return REPORT

    queue.enqueue_many([{"type": "a", "id": id, "payload": {"id": id}} for id in ("blocks", "waits")])
    started(worker)
    await until(lambda: queue.counts()["in-progress"] == 2)
    await until(lambda: (queue.claim("other", "a") and False) or queue.counts()["completed"] == 2)
    for id in ("blocks", "waits"):
        task = queue.get(id)
        assert task is not None
        assert (task.retries, task.claimed_by) == (0, "me")


async def test_renewing_goes_on_after_every_error(
    queue: Queue, make_worker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any kind: without it all leases of the worker would end."""
    worker = make_worker(lease=1)
    raised: list[int] = []

    @worker.handler("a")
    async def work(context: Context) -> None:
        await asyncio.sleep(600)

    queue.enqueue(type="a", id="x")
    started(worker)
    await until(lambda: worker.running)
    usual = worker._runs._leases.queue.heartbeat_many

    def heartbeat_many(claims: Any) -> Any:
        if not raised:
            raised.append(1)
            raise RuntimeError("something unheard of")
        return usual(claims)

    monkeypatch.setattr(worker._runs._leases.queue, "heartbeat_many", heartbeat_many)
    await until(lambda: raised)
    job = worker.running[0]
    before = job.held_until
    await until(lambda: job.held_until > before)


async def test_a_cancelled_task_ends_at_once(queue: Queue, make_worker: Make) -> None:
    """Long before the next heartbeat would have told."""
    worker = make_worker(lease=600)
    at_work, ended = asyncio.Event(), asyncio.Event()

    @worker.handler("a")
    async def work(context: Context) -> None:
        at_work.set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            assert context.cancelled
            ended.set()
            raise

    queue.enqueue(type="a", id="x")
    started(worker)
    await asyncio.wait_for(at_work.wait(), 10)
    # The channel may be subscribed a moment later than the first claim: the cancel is for one that listens.
    await until(lambda: queue.redis.pubsub_numsub(queue.keys.signals)[0][1])
    queue.cancel("x", "no more")
    await asyncio.wait_for(ended.wait(), 10)
    await until(lambda: not worker.running)
    assert state_of(queue, "x") is State.CANCELLED


async def test_a_task_that_is_stopped_before_its_first_step(
    queue: Queue, make_worker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel that comes with the claim: its handler never runs, and its slot is free for the next task."""
    worker = make_worker()
    begun: list[str] = []
    begin = worker._runs.begin

    def begin_too_late(claim: Claim, asked: float, *, late: bool) -> Job:
        job = begin(claim, asked, late=late)
        if claim.id == "x":
            queue.cancel("x", "no more")
            worker._runs.stop(job, Stop.CANCELLED)
        return job

    monkeypatch.setattr(worker._runs, "begin", begin_too_late)

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        begun.append(context.task.id)
        return REPORT

    queue.enqueue_many([{"type": "a", "id": id, "payload": {"id": id}} for id in ("x", "y")])
    started(worker)
    await until(completed(queue, 1))
    assert begun == ["y"]
    assert state_of(queue, "x") is State.CANCELLED


async def test_a_cancel_whose_message_was_lost(
    queue: Queue, make_worker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next heartbeat tells it."""
    worker = make_worker()
    monkeypatch.setattr(worker._runs, "cancelled", lambda *_: None)
    at_work = asyncio.Event()

    @worker.handler("a")
    async def work(context: Context) -> None:
        at_work.set()
        await asyncio.sleep(600)

    queue.enqueue(type="a", id="x")
    started(worker)
    await asyncio.wait_for(at_work.wait(), 10)
    job = worker.running[0]
    queue.cancel("x", "no more")
    await until(lambda: job.stopped)
    assert job.stopped is Stop.CANCELLED


async def test_a_lost_claim_ends_its_work(queue: Queue, make_worker: Make) -> None:
    """When another agent has the task, the work on it stops, and its late result counts for nothing."""
    worker = make_worker()
    at_work = asyncio.Event()

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        at_work.set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            return {"output": "too late", **REPORT}
        return REPORT

    queue.enqueue(type="a", id="x")
    started(worker)
    await asyncio.wait_for(at_work.wait(), 10)
    job = worker.running[0]
    queue.release(job.claim, delay=600)
    await until(lambda: job.stopped)
    assert job.stopped is Stop.LOST
    await until(lambda: not worker.running)
    assert state_of(queue, "x") is State.PENDING


async def test_a_task_that_is_given_anew_to_the_same_worker(queue: Queue, make_worker: Make) -> None:
    """After its claim was lost, long before a heartbeat could tell: the first work on it ends, the second counts."""
    worker = make_worker(lease=600, concurrency=2)
    begun: list[Context] = []
    ended, go_on = asyncio.Event(), asyncio.Event()

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        begun.append(context)
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            ended.set()
            raise
        return REPORT

    queue.enqueue(type="a", id="x")
    started(worker)
    await until(lambda: begun)
    queue.release(begun[0].claim)
    await asyncio.wait_for(ended.wait(), 20)
    assert begun[0].cancelled
    go_on.set()
    await until(completed(queue, 1))
    await until(lambda: not worker.running)
    task = queue.get("x")
    assert [(attempt.token, attempt.outcome) for attempt in task.attempts] == [
        (begun[0].token, "released"),
        (begun[1].token, "completed"),
    ]
    assert worker._runs.free == 2


async def test_the_timeout_ends_the_work(queue: Queue, make_worker: Make) -> None:
    """An attempt that takes longer than the task's timeout is stopped and fails."""
    worker = make_worker()

    @worker.handler("a")
    async def work(context: Context) -> None:
        await asyncio.sleep(600)

    queue.enqueue(type="a", id="x", timeout=1, max_retries=1)
    started(worker)
    await until(lambda: state_of(queue, "x") is State.DEAD_LETTER)
    task = queue.get("x")
    assert task is not None
    assert str(task.last_error).startswith("timeout: ")
