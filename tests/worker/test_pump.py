"""Several exchanges at a time: what the others are for, and that together they take no more than the slots."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from lokiredis import Queue, QueueUnavailable, SchemaMismatch, State, arguments
from lokiredis.worker import Context, Worker
from lokiredis.worker.pump import _Call

from .conftest import started, until

Make = Callable[..., Worker]
REPORT = {"decisionReport": {"summary": "done"}}


def _state(queue: Queue, id: str) -> State:
    task = queue.get(id)
    assert task is not None
    return task.state


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


async def test_large_results_go_in_as_many_calls_as_they_need(
    queue: Queue, make_worker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty results of a megabyte that come at once: no call holds more than 8 MiB, and all are completed."""
    worker = make_worker(concurrency=200)
    go_on, sizes = asyncio.Event(), []
    usual = worker.queue.run

    async def run(command: Any) -> Any:
        sizes.append(sum(len(word) for word in command.argv if isinstance(word, bytes)))
        return await usual(command)

    monkeypatch.setattr(worker.queue, "run", run)

    @worker.handler("a")
    async def work(context: Context) -> Any:
        await go_on.wait()
        return {"output": "x" * 1_040_000, **REPORT}

    _fill(queue, 40)
    started(worker)
    await until(lambda: len(worker.running) == 40)
    go_on.set()
    await until(lambda: queue.counts()["completed"] == 40, timeout=60)
    assert max(sizes) <= 8 * 1024 * 1024
    assert worker.failed == 0


async def test_what_did_not_fit_is_told_next(queue: Queue, make_worker: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which it ended; and while it waits no more is claimed than is told of, or it would pile up."""
    worker = make_worker(concurrency=8)
    monkeypatch.setattr(arguments, "MOST_BYTES", 3500)
    go_on = asyncio.Event()
    ended: list[str] = []
    told: list[str] = []
    most = 0
    usual = worker.queue.run

    async def run(command: Any) -> Any:
        if command.script.name == "exchange":
            told.extend(command.argv[8::6])
        return await usual(command)

    monkeypatch.setattr(worker.queue, "run", run)

    @worker.handler("a")
    async def work(context: Context) -> Any:
        nonlocal most
        most = max(most, len(worker._runs.jobs))
        await go_on.wait()
        ended.append(context.id)
        return {"output": "x" * 1000, **REPORT}

    _fill(queue, 8)
    started(worker)
    await until(lambda: len(worker.running) == 8)
    go_on.set()
    await until(lambda: queue.counts()["completed"] == 8)
    assert told == ended
    monkeypatch.setattr(arguments, "MOST_BYTES", 1500)
    _fill(queue, 300)  # eight of them are done
    await until(lambda: queue.counts()["completed"] == 300)
    assert sorted(told) == sorted(ended)
    assert len(told) == 300
    assert most <= 2 * 8
    assert worker.failed == 0


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


@pytest.mark.parametrize("other", [REPORT, {"output": "no report"}])
async def test_endings_of_one_call_are_sent_one_by_one_over_an_outage(
    queue: Queue, make_worker: Make, monkeypatch: pytest.MonkeyPatch, other: Any
) -> None:
    """When one of them is refused the others are sent singly, and none is forgotten when Redis goes away meanwhile."""
    worker = make_worker(concurrency=3)
    go_on = asyncio.Event()
    refused: list[Any] = []
    usual = worker.queue.run

    async def run(command: Any) -> Any:
        if not refused and any(call.sent and len(call.endings) == 1 for call in worker._pump.calls):
            refused.append(command)
            raise QueueUnavailable("gone in the middle")
        return await usual(command)

    monkeypatch.setattr(worker.queue, "run", run)

    @worker.handler("a")
    async def work(context: Context) -> Any:
        await go_on.wait()
        return {"output": {1, 2}, **REPORT} if context.task.id == "bad" else other

    queue.enqueue_many([{"type": "a", "id": id, "payload": {"id": id}, "maxRetries": 1} for id in ("bad", "x", "y")])
    started(worker)
    await until(lambda: len(worker.running) == 3)
    go_on.set()
    await until(lambda: queue.counts()["in-progress"] == 0)
    assert refused
    wanted = State.COMPLETED if other is REPORT else State.DEAD_LETTER
    assert [_state(queue, id) for id in ("bad", "x", "y")] == [State.DEAD_LETTER, wanted, wanted]
    task = queue.get("x")
    assert task is not None
    assert task.attempts[0].outcome == ("completed" if other is REPORT else "failed")


async def test_what_the_queue_refuses_for_good_ends_the_worker(queue: Queue, make_worker: Make) -> None:
    """It is raised, instead of being asked again and again; also while it waits for work."""
    worker = make_worker()

    @worker.handler("a")
    async def work(context: Context) -> None: ...

    run = started(worker)
    await until(lambda: worker._pump.asking is not None)
    key = queue.keys.fixed("queue")
    before = queue.redis.hget(key, "schema")
    queue.redis.hset(key, "schema", "999")
    queue.redis.zadd(queue.keys.wake("a"), {"1": 0})
    try:
        with pytest.raises(SchemaMismatch):
            await asyncio.wait_for(asyncio.shield(run), 10)
    finally:
        queue.redis.delete(key) if before is None else queue.redis.hset(key, "schema", before)


async def test_finishing_and_claiming_share_a_call(
    queue: Queue, make_worker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One round trip for each task: its result, and the claim of the next one."""
    worker = make_worker()
    sent: list[str] = []
    usual = worker.queue.run

    async def run(command: Any) -> Any:
        sent.append(command.script.name)
        return await usual(command)

    monkeypatch.setattr(worker.queue, "run", run)

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        return REPORT

    queue.enqueue_many([{"type": "a", "payload": {"n": i}} for i in range(20)])
    started(worker)
    await until(lambda: worker.completed == 20)
    assert sent.count("exchange") == 21
    assert "complete" not in sent
