"""Several exchanges at a time: what the others are for, and that together they take no more than the slots."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from lokiredis import Queue
from lokiredis.worker import Context, Worker
from lokiredis.worker.pump import _Call

from .conftest import started, until

Make = Callable[..., Worker]
REPORT = {"decisionReport": {"summary": "done"}}


def _fill(queue: Queue, count: int) -> None:
    queue.enqueue_many([{"type": "a", "payload": {"number": number}} for number in range(count)])


async def test_one_call_that_is_not_answered_does_not_hold_up_the_others(
    queue: Queue, make_worker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the answer of one exchange is on its way, the tasks of the others are done, and followed by more."""
    worker = make_worker(concurrency=20)
    held, go_on = asyncio.Event(), asyncio.Event()
    usual = worker.queue.run

    async def run(command: Any) -> Any:
        first = not held.is_set()
        held.set()
        answer = await usual(command)
        if first:
            await go_on.wait()
        return answer

    monkeypatch.setattr(worker.queue, "run", run)

    @worker.handler("a")
    async def work(context: Context) -> Any:
        return REPORT

    _fill(queue, 60)
    started(worker)
    try:
        await until(lambda: queue.counts()["completed"] == 52)
        assert held.is_set()
        assert queue.counts()["in-progress"] == 8
    finally:
        go_on.set()
    await until(lambda: queue.counts()["completed"] == 60)


@pytest.mark.parametrize("concurrency", [1, 5, 20])
async def test_all_together_take_no_more_than_the_slots(queue: Queue, make_worker: Make, concurrency: int) -> None:
    """However the answers come, never more handlers run than there are slots, and each task runs once."""
    worker = make_worker(concurrency=concurrency)
    running: set[str] = set()
    most = 0
    done: list[str] = []

    @worker.handler("a")
    async def work(context: Context) -> Any:
        nonlocal most
        running.add(context.id)
        most = max(most, len(running), len(worker._runs.running))
        await asyncio.sleep(0.001 * (context.token % 3))
        running.discard(context.id)
        done.append(context.id)
        return REPORT

    _fill(queue, 200)
    started(worker)
    await until(lambda: queue.counts()["completed"] == 200)
    assert most <= concurrency
    assert len(done) == len(set(done)) == 200


async def test_it_stops_with_calls_under_way(queue: Queue, make_worker: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What their answers bring is handed back without a charge, and the worker ends only after that."""
    worker = make_worker(concurrency=20)
    go_on = asyncio.Event()
    usual = worker.queue.run

    async def run(command: Any) -> Any:
        answer = await usual(command)
        await go_on.wait()
        return answer

    monkeypatch.setattr(worker.queue, "run", run)

    @worker.handler("a")
    async def work(context: Context) -> Any:
        raise AssertionError("nothing may begin any more")

    _fill(queue, 20)
    run_ = started(worker)
    try:
        await until(lambda: queue.counts()["in-progress"] == 20)
        worker.stop()
        await asyncio.sleep(0)
        assert not run_.done()
    finally:
        go_on.set()
    await asyncio.wait_for(asyncio.shield(run_), 10)
    counts = queue.counts()
    assert (counts["pending"], counts["in-progress"]) == (20, 0)
    assert all(task.retries == 0 and not task.claimed_by for task in queue.list("pending").tasks)


async def test_an_error_of_its_own_ends_the_worker(
    queue: Queue, make_worker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the worker's own code must not leave one standing that claims nothing: it is raised."""
    worker = make_worker()

    @worker.handler("a")
    async def work(context: Context) -> Any: ...

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(worker._pump, "_settle", broken)
    queue.enqueue(type="a", id="x")
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(asyncio.shield(started(worker)), 10)


async def test_the_health_check_may_look_at_any_time(make_worker: Make) -> None:
    """Its thread looks while the event loop adds calls and ends them: an error there would end the check for good."""
    worker = make_worker()
    pump = worker._pump
    errors: list[BaseException] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                _ = pump.sent
            except BaseException as e:
                errors.append(e)
                return

    looking = threading.Thread(target=look)
    looking.start()
    future: Any = asyncio.get_running_loop().create_future()
    for number in range(200_000):
        call = _Call([], 0, 0.0, sent=1.0)
        pump.calls[call] = future
        call.sent = None if number % 2 else 2.0
        if number % 4 == 3:
            pump.calls.clear()
    over.set()
    looking.join()
    pump.calls.clear()
    assert not errors
