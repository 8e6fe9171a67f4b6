"""``queue.work(agent, types)``: a block around one task."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from lokiredis import AsyncQueue, InvalidTask, NoClaim, Queue, StaleClaim, State
from lokiredis.worker import HandBack, Worker

from ..servers import RedisServer
from ..waiting import wait_until
from .conftest import until

REPORT = {"why": "asked for"}
LEASE = 1.0


@pytest.fixture
async def pulled(redis7_server: RedisServer, queue_name: str) -> AsyncIterator[AsyncQueue]:
    """The queue of an agent that pulls by hand."""
    async with AsyncQueue.from_url(redis7_server.url, queue_name) as made:
        yield made


async def test_a_finished_block_completes_the_task(queue: Queue, pulled: AsyncQueue) -> None:
    """However long it takes: the claim is renewed meanwhile."""
    queue.enqueue(type="a", id="x")
    async with pulled.work("me", "a", lease=LEASE) as claim:
        assert claim
        assert (claim.id, claim.task.id) == ("x", "x")
        await claim.checkpoint({"at": 1})
        await asyncio.sleep(1.5 * LEASE)
        claim.finish(output=7, decision_report=REPORT)
    task = queue.get("x")
    assert task is not None
    assert (task.state, task.result) == (State.COMPLETED, {"status": "success", "output": 7, "decisionReport": REPORT})
    async with pulled.work("me", "a") as claim:
        assert claim == NoClaim("empty", None)


def test_the_same_without_asyncio(queue: Queue) -> None:
    """``with`` on a Queue; the heartbeats come from a thread."""
    queue.enqueue(type="a", id="x")
    with queue.work("me", "a", lease=LEASE) as claim:
        assert claim
        claim.progress("half")
        time.sleep(1.5 * LEASE)
        assert not claim.cancelled
        claim.finish(output=7, decision_report=REPORT)
    task = queue.get("x")
    assert task is not None
    assert (task.state, task.progress) == (State.COMPLETED, "half")
    with queue.work("me", "a") as claim:
        assert not claim


@pytest.mark.parametrize(
    ("error", "outcome", "retries"),
    [
        (ValueError("no such file"), "failed", 1),
        (HandBack("not here"), "released", 0),
        (RuntimeError("429 Too Many Requests, Retry-After: 5"), "released", 0),
        (None, "released", 0),
    ],
)
async def test_how_else_a_block_may_end(
    queue: Queue, pulled: AsyncQueue, error: Exception | None, outcome: str, retries: int
) -> None:
    """An exception fails the attempt and goes on; a hand-back, a rate limit, or no result cost none."""
    queue.enqueue(type="a", id="x")
    try:
        async with pulled.work("me", "a") as claim:
            assert claim
            if error is not None:
                raise error
    except Exception as e:
        assert e is error  # noqa: PT017
    task = queue.get("x")
    assert task is not None
    assert (task.attempts[0].outcome, task.retries) == (outcome, retries)
    held = queue.claim("me", "b")
    assert isinstance(held, NoClaim)
    assert (held.reason == "slowdown") is (error is not None and "429" in str(error))


def test_an_exception_without_asyncio(queue: Queue) -> None:
    """It fails the attempt and goes on."""
    queue.enqueue(type="a", id="x")
    with pytest.raises(ValueError, match="no such file"), queue.work("me", "a"):
        raise ValueError("no such file")
    task = queue.get("x")
    assert task is not None
    assert (task.attempts[0].outcome, task.attempts[0].error) == ("failed", "no such file")


async def test_a_cancelled_block_hands_its_task_back(queue: Queue, pulled: AsyncQueue) -> None:
    """Without a charge."""
    queue.enqueue(type="a", id="x")
    inside = asyncio.Event()

    async def work() -> None:
        async with pulled.work("me", "a"):
            inside.set()
            await asyncio.sleep(600)

    running = asyncio.ensure_future(work())
    await asyncio.wait_for(inside.wait(), 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    task = queue.get("x")
    assert task is not None
    assert (task.state, task.retries, task.attempts[0].outcome) == (State.PENDING, 0, "released")


@pytest.mark.parametrize("how", ["cancel", "lost"])
async def test_a_claim_that_ends_under_it(queue: Queue, pulled: AsyncQueue, how: str) -> None:
    """The block is left at once, and says so."""
    queue.enqueue(type="a", id="x")
    with pytest.raises(StaleClaim, match="cancelled" if how == "cancel" else "lost"):
        async with pulled.work("me", "a", lease=LEASE) as claim:
            assert claim
            if how == "cancel":
                queue.cancel("x", "no more")
            else:
                queue.release(claim, delay=600)
            await asyncio.sleep(600)
    task = queue.get("x")
    assert task is not None
    assert task.state is (State.CANCELLED if how == "cancel" else State.PENDING)


def test_a_lost_claim_without_asyncio(queue: Queue) -> None:
    """The block learns it by ``cancelled``, and at its end."""
    queue.enqueue(type="a", id="x")
    with pytest.raises(StaleClaim), queue.work("me", "a", lease=LEASE) as claim:
        assert claim
        queue.cancel("x", "no more")
        ends = time.monotonic() + 10
        while not claim.cancelled and time.monotonic() < ends:
            time.sleep(0.01)
        claim.finish(output=1, decision_report=REPORT)
    task = queue.get("x")
    assert task is not None
    assert task.state is State.CANCELLED


async def test_cancelled_on_the_way_out(queue: Queue, pulled: AsyncQueue) -> None:
    """The task is completed all the same, and its claim renewed no more."""
    queue.enqueue(type="a", id="x")

    async def work() -> None:
        async with pulled.work("me", "a", lease=LEASE) as claim:
            assert claim
            claim.finish(decision_report=REPORT)
            me = asyncio.current_task()
            assert me is not None
            asyncio.get_running_loop().call_soon(me.cancel)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(work())
    await until(lambda: queue.counts()["completed"] == 1, timeout=5)
    await until(lambda: all(thread.name != "lokiredis-leases" for thread in threading.enumerate()), timeout=5)


@pytest.mark.parametrize("lease", [None, "60", 0, float("nan"), True])
async def test_a_lease_that_nobody_could_renew_is_refused(lease: Any, queue: Queue, pulled: AsyncQueue) -> None:
    """At once: the thread that renews died of it, and the claim was lost in the middle of the block."""
    for make in (queue.work, pulled.work):
        with pytest.raises(InvalidTask) as caught:
            make("me", "a", lease=lease)
        assert caught.value.field == "lease"
    with pytest.raises(InvalidTask):
        Worker(pulled, lease=lease)


def test_a_lease_of_any_number(queue: Queue) -> None:
    """A Decimal, as a configuration may have it."""
    queue.enqueue(type="a", id="x")
    lease: Any = Decimal("0.3")
    with queue.work("me", "a", lease=lease) as claim:
        assert claim
        later = _deadline(queue) + timedelta(seconds=0.6)
        wait_until(lambda: _deadline(queue) > later, 10, "a claim that is renewed beyond two leases")
        claim.finish(decision_report=REPORT)
    assert queue.counts()["completed"] == 1


def _deadline(queue: Queue) -> datetime:
    task = queue.get("x")
    assert task is not None
    assert task.lease_expires_at is not None
    return task.lease_expires_at
