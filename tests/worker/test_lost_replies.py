"""Workers whose calls are not answered: what the server did all the same is found again, and is done once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from lokiredis import AsyncQueue, InvalidTask, Queue, QueueUnavailable, State
from lokiredis.worker import Context, Worker

from ..conftest import lacking
from ..proxy import Exchange, LossyProxy
from ..servers import RedisServer, programs
from .conftest import started, until

REPORT = {"decisionReport": {"why": "asked for"}}


class Loss:
    """Loses every answer that gives a claim, for as long as it is ``on``."""

    def __init__(self) -> None:
        self.on = threading.Event()
        self.lost = 0

    def __call__(self, exchange: Exchange) -> bool:
        hit = self.on.is_set() and b"hand-me-over" in exchange.reply
        self.lost += hit
        return hit


@pytest.fixture
def loss() -> Loss:
    """On from the beginning."""
    made = Loss()
    made.on.set()
    return made


@pytest.fixture
async def make(redis7_server: RedisServer, queue_name: str, loss: Loss) -> AsyncIterator[Callable[..., Worker]]:
    """Makes workers whose calls go through the loss."""
    workers: list[tuple[Worker, AsyncQueue]] = []
    with LossyProxy(redis7_server.address, drop=loss) as proxy:

        def made(**options: Any) -> Worker:
            queue = AsyncQueue.from_url(proxy.url, queue_name, retry_for=0.2)
            workers.append((Worker(queue, agent="me", grace=5, **options), queue))
            return workers[-1][0]

        yield made
        loss.on.clear()
        for worker, queue in workers:
            worker.stop()
            worker.stop()
            await until(lambda worker=worker: not worker.running)  # type: ignore[misc]
            await queue.close()


@pytest.mark.parametrize("how", ["at once", "while it waits"])
async def test_a_claim_whose_answer_was_lost(queue: Queue, make: Callable[..., Worker], loss: Loss, how: str) -> None:
    """The same call finds it again: no task is left behind until its lease ends, none is done twice."""
    worker = make(lease=600)
    seen: list[str] = []

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        seen.append(context.id)
        return REPORT

    def add() -> None:
        queue.enqueue_many([{"type": "a", "id": id, "payload": {"hand-me-over": id}} for id in ("x", "y", "z")])

    if how == "at once":
        add()
        run = started(worker)
    else:
        run = started(worker)
        await until(lambda: worker._pump.asking is not None)
        add()
    await until(lambda: worker.away)
    loss.on.clear()
    await until(lambda: queue.counts()["completed"] == 3)
    assert loss.lost > 1
    assert sorted(seen) == ["x", "y", "z"]
    assert [len(task.attempts) for id in "xyz" if (task := queue.get(id))] == [1, 1, 1]
    worker.stop()
    await asyncio.wait_for(run, 15)


async def test_a_claim_that_is_found_after_its_lease(queue: Queue, make: Callable[..., Worker], loss: Loss) -> None:
    """It is renewed before the work begins, for another agent may have it by now; nobody has, so it is done."""
    worker = make(lease=0.5)

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        return REPORT

    queue.enqueue(type="a", id="x", payload={"hand-me-over": 1})
    run = started(worker)
    await until(lambda: worker.away)
    late = time.monotonic() + 0.6
    await until(lambda: time.monotonic() > late)
    loss.on.clear()
    await until(lambda: queue.counts()["completed"] == 1)
    task = queue.get("x")
    assert task is not None
    assert (task.retries, [attempt.outcome for attempt in task.attempts]) == (0, ["completed"])
    worker.stop()
    await asyncio.wait_for(run, 15)


@pytest.mark.parametrize("by", ["cancel", "another agent"])
async def test_a_claim_that_ended_before_it_was_known_of(
    queue: Queue, make: Callable[..., Worker], loss: Loss, by: str
) -> None:
    """Its handler is never called: the task was cancelled, or handed to another agent, in the meantime."""
    worker = make(lease=0.5)
    called: list[str] = []

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        called.append(context.id)
        return REPORT

    queue.enqueue(type="a", id="x", payload={"hand-me-over": 1})
    queue.enqueue(type="a", id="y", payload={"next": 1})
    run = started(worker)
    await until(lambda: worker.away)
    late = time.monotonic() + 0.6
    await until(lambda: time.monotonic() > late)
    if by == "cancel":
        queue.cancel("x", "no more")
    else:
        task = queue.get("x")
        assert task is not None
        assert task.token is not None
        queue.release(_Proof("x", task.token), delay=600)
    loss.on.clear()
    await until(lambda: queue.counts()["completed"] == 1)
    assert called == ["y"]
    task = queue.get("x")
    assert task is not None
    assert task.state is (State.CANCELLED if by == "cancel" else State.PENDING)
    worker.stop()
    await asyncio.wait_for(run, 15)


class _Proof:
    def __init__(self, id: str, token: int) -> None:
        self.id, self.token = id, token


@pytest.fixture
def mortal() -> Iterator[RedisServer]:
    """A server that keeps its data when it is killed."""
    with RedisServer(
        programs().get("redis7") or lacking("redis7: no such server"), appendonly=True, appendfsync="always"
    ) as server:
        yield server


async def test_an_outage_is_no_time_of_the_attempt(mortal: RedisServer, queue_name: str) -> None:
    """A claim that was asked for before the outage, and given after it, has all of its task's timeout."""
    async with AsyncQueue.from_url(mortal.url, queue_name, retry_for=0.2) as used:
        worker = Worker(used, agent="me", lease=0.5)

        @worker.handler("a")
        async def work(context: Context) -> dict[str, Any]:
            await asyncio.sleep(0.6)  # for the look at time limits
            return REPORT

        with mortal.client() as client:
            Queue(client, queue_name).enqueue(type="a", id="x", timeout=2, max_retries=1)
        await used.get("x")  # so that the worker's first call is the claim
        await asyncio.to_thread(mortal.kill)
        run = started(worker)
        await until(lambda: worker.away)
        late = time.monotonic() + 2
        await until(lambda: time.monotonic() > late)
        await asyncio.to_thread(mortal.restart)
        await until(lambda: not worker.away and not worker._runs.jobs and worker.completed + worker.failed)
        task = await used.get("x")
        assert (task.state, task.last_error) == (State.COMPLETED, None)
        worker.stop()
        await asyncio.wait_for(run, 20)


async def test_a_rate_limit_in_an_outage(
    queue: Queue, make_worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once Redis is back, once, and is no failure of the attempt."""
    worker = make_worker(lease=600)
    asked: list[Any] = []
    usual = worker.queue.run

    async def run(command: Any) -> Any:
        if command.script.name in ("rate_limited", "get"):
            asked.append(command)
            if len(asked) in (1, 3):
                await usual(command)
                raise QueueUnavailable("the answer was lost")
        return await usual(command)

    monkeypatch.setattr(worker.queue, "run", run)

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        if context.saved is None:
            await context.checkpoint({"page": 7})
            raise RuntimeError("429 Too Many Requests, Retry-After: 1")
        return REPORT

    queue.enqueue(type="a", id="x")
    started(worker)
    await until(lambda: queue.counts()["completed"] == 1)
    task = queue.get("x")
    assert task is not None
    assert (task.retries, len(task.attempts), worker.failed) == (0, 1, 0)
    assert len(asked) == 4
    assert asked[0] is asked[1]


async def test_a_claim_that_is_refused_ends_the_worker(
    queue: Queue, make_worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be refused again and again, as fast as the server can."""
    worker = make_worker()

    async def run(command: Any) -> Any:
        raise InvalidTask("no such thing", field="types")

    monkeypatch.setattr(worker.queue, "run", run)
    worker.handler("a")(lambda context: REPORT)
    with pytest.raises(InvalidTask, match="no such thing"):
        await asyncio.wait_for(started(worker), 10)


async def test_several_exchanges_whose_answers_were_lost(queue: Queue, make: Callable[..., Worker], loss: Loss) -> None:
    """Each is sent again as it was, endings and all: no slot and no task is forgotten, and nothing is done twice."""
    worker = make(lease=600, concurrency=40)
    seen: list[str] = []

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        seen.append(context.id)
        return REPORT

    queue.enqueue_many([{"type": "a", "payload": {"hand-me-over": number}} for number in range(300)])
    run = started(worker)
    calls = worker._pump.calls
    await until(lambda: len(calls) == 4 and all(call.late for call in calls))
    loss.on.clear()
    await until(lambda: queue.counts()["completed"] > 40)
    # Now with endings in them.
    loss.on.set()
    await until(lambda: len(calls) > 1 and all(call.late for call in calls) and any(call.endings for call in calls))
    loss.on.clear()
    await until(lambda: queue.counts()["completed"] == 300)
    assert len(seen) == len(set(seen)) == 300
    tasks = queue.list("completed", limit=1000).tasks
    assert [[attempt.outcome for attempt in task.attempts] for task in tasks] == [["completed"]] * 300
    await until(lambda: worker._runs.free == 40 and not worker._runs.jobs)
    worker.stop()
    await asyncio.wait_for(run, 15)


async def test_a_server_that_is_killed_under_several_exchanges(mortal: RedisServer, queue_name: str) -> None:
    """Whether it had done one of them or not, the worker asks again: every task is done, and once."""
    async with AsyncQueue.from_url(mortal.url, queue_name, retry_for=0.2) as used:
        worker = Worker(used, agent="me", lease=600, concurrency=40)
        seen: list[str] = []

        @worker.handler("a")
        async def work(context: Context) -> dict[str, Any]:
            seen.append(context.id)
            return REPORT

        with mortal.client() as client:
            queue = Queue(client, queue_name)
            queue.enqueue_many([{"type": "a", "payload": {"number": number}} for number in range(2000)])
            run = started(worker)
            for reached in (100, 700, 1300):
                await until(lambda reached=reached: worker.completed >= reached)  # type: ignore[misc]
                await asyncio.to_thread(mortal.kill)
                await until(lambda: worker.away)
                assert any(call.late for call in worker._pump.calls)
                await asyncio.to_thread(mortal.restart)
            await until(lambda: worker.completed == 2000, timeout=30)
            assert len(seen) == len(set(seen)) == 2000
            assert queue.counts()["completed"] == 2000
            tasks = [*queue.list("completed", limit=1000).tasks]
            # One whose claim was answered late, and was still being confirmed when the next kill came, was handed back.
            outcomes = [[a.outcome for a in task.attempts if a.outcome != "released"] for task in tasks]
            assert outcomes == [["completed"]] * len(tasks)
        worker.stop()
        await asyncio.wait_for(run, 20)
