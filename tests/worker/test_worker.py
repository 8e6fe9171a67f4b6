"""lokiredis.worker.Worker: handlers, endings, rate limits, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from redis.exceptions import RedisError

from lokiredis import InvalidTask, Queue, Signal, State
from lokiredis.worker import Context, GiveUp, HandBack, ThreadContext, Worker
from lokiredis.worker.background import end
from lokiredis.worker.listening import Listener

from ..lua.moves import raw
from .conftest import completed, started, state_of, until

REPORT = {"decisionReport": {"why": "asked for"}}
Make = Callable[..., Worker]


async def test_tasks_are_worked_through(queue: Queue, make_worker: Make) -> None:
    """Each handler gets the tasks of its types, with what is known of them; what it returns is the result."""
    seen: list[tuple[str, int, Any]] = []
    worker = make_worker(concurrency=3)

    @worker.handler("a", "b")
    async def work(context: Context) -> dict[str, Any]:
        seen.append((context.task.id, context.attempt, context.saved))
        return {"output": context.task.payload["n"], **REPORT}

    queue.enqueue_many([{"type": "ab"[i % 2], "id": f"x{i}", "payload": {"n": i}} for i in range(50)])
    queue.enqueue(type="c", id="other")
    started(worker)
    await until(completed(queue, 50))
    assert sorted(seen) == sorted((f"x{i}", 1, None) for i in range(50))
    task = queue.get("x7")
    assert task is not None
    assert task.result == {"status": "success", "output": 7, **REPORT}
    assert state_of(queue, "other") is State.PENDING
    await until(lambda: worker.completed == 50)  # counted when the answer is here, which the queue has sent before
    assert worker.failed == 0


async def test_a_plain_function_runs_in_a_thread(queue: Queue, make_worker: Make) -> None:
    """Two of them run at the same time, and talk to the queue by their context."""
    both = threading.Barrier(2, timeout=10)
    worker = make_worker(concurrency=2)

    @worker.handler("a")
    def work(context: ThreadContext) -> dict[str, Any]:
        both.wait()
        context.checkpoint({"half": context.task.id})
        context.progress("half done")
        assert not context.heartbeat().cancelled
        return REPORT

    queue.enqueue_many([{"type": "a", "id": f"x{i}", "payload": {"n": i}} for i in range(2)])
    started(worker)
    await until(completed(queue, 2))
    task = queue.get("x1")
    assert task is not None
    assert (task.checkpoint, task.progress) == ({"half": "x1"}, "half done")


@pytest.mark.parametrize(
    ("raised", "state", "error"),
    [
        (ValueError("no such file"), State.PENDING, "ValueError: no such file"),
        (GiveUp("this can't be built"), State.DEAD_LETTER, "this can't be built"),
    ],
)
async def test_what_a_handler_raises(
    queue: Queue, make_worker: Make, raised: Exception, state: State, error: str
) -> None:
    """An exception fails the attempt, to be tried again after its backoff; GiveUp makes the task a dead letter."""
    worker = make_worker()

    @worker.handler("a")
    async def work(context: Context) -> None:
        raise raised

    queue.enqueue(type="a", id="x")
    started(worker)
    task = await until(lambda: (found := queue.get("x")) and found.last_error and found)
    assert (task.state, task.last_error, task.retries) == (state, error, 1)


async def test_a_task_is_handed_back(queue: Queue, make_worker: Make) -> None:
    """HandBack costs no attempt."""
    worker = make_worker()

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        if not context.task.attempts:
            raise HandBack("not here")
        return REPORT

    queue.enqueue(type="a", id="x")
    started(worker)
    await until(completed(queue, 1))
    task = queue.get("x")
    assert task is not None
    assert (task.retries, task.attempts[0].outcome, task.attempts[0].error) == (
        0,
        "released",
        "not here",
    )


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, "the result was refused: x: a completed task needs a non-empty decisionReport object"),
        ({"output": 1}, "the result was refused: x: a completed task needs a non-empty decisionReport object"),
        (5, "the handler returned int, not a result: a JSON object with decisionReport"),
        ({"output": {1, 2}, **REPORT}, "the handler's result was refused: "),
        (
            {"output": "x" * 2_000_000, **REPORT},
            "the result was refused: result, x: a result may be at most 1048576 bytes",
        ),
    ],
)
async def test_a_result_that_the_queue_refuses(queue: Queue, make_worker: Make, value: Any, error: str) -> None:
    """It fails the attempt with what is wrong with it; the other tasks of the same call are completed."""
    worker = make_worker(concurrency=2)
    together = asyncio.Event()

    @worker.handler("a")
    async def work(context: Context) -> Any:
        if context.task.id == "x":
            together.set()
            return value
        await together.wait()
        return REPORT

    queue.enqueue_many([{"type": "a", "id": id, "payload": {"id": id}} for id in ("x", "y")])
    started(worker)
    task = await until(lambda: (found := queue.get("x")) and found.last_error and found)
    assert task.last_error.startswith(error)
    await until(completed(queue, 1))
    assert state_of(queue, "y") is State.COMPLETED


async def test_a_result_above_the_limit_of_the_queue(queue: Queue, make_worker: Make) -> None:
    """It fails the attempt at once, with the reason, and is not missed at the end of its lease."""
    queue.configure(result_bytes=100)
    worker = make_worker(lease=60)

    @worker.handler("a")
    async def work(context: Context) -> Any:
        return {"output": "x" * 200, **REPORT}

    queue.enqueue(type="a", id="x")
    started(worker)
    task = await until(lambda: (found := queue.get("x")) and found.last_error and found)
    assert task.last_error == "the result was refused: result, x: a result may be at most 100 bytes"
    assert task.retries == 1


def test_others_may_look_while_the_work_changes(make_worker: Make) -> None:
    """Health and heartbeats ask from threads of their own what is running."""
    worker = make_worker()

    class Changing:
        @property
        def work(self) -> object:
            worker._runs.jobs[f"x{len(worker._runs.jobs)}"] = self  # type: ignore[assignment]
            return self

    worker._runs.jobs["x"] = Changing()  # type: ignore[assignment]
    assert len(worker.running) == 1
    worker._runs.jobs.clear()


async def test_a_handler_that_does_not_end(queue: Queue, make_worker: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes no notice of its cancellation does not keep the worker: its task is handed back."""
    monkeypatch.setattr("lokiredis.worker.pump.LAST_WORDS", 0.2)
    worker = make_worker(grace=0.1)
    go_on = asyncio.Event()

    @worker.handler("a")
    async def work(context: Context) -> None:
        while not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go_on.wait()

    queue.enqueue(type="a", id="x")
    run = started(worker)
    await until(lambda: worker.running)
    worker.stop()
    try:
        await asyncio.wait_for(asyncio.shield(run), 10)
        task = queue.get("x")
        assert task is not None
        assert (task.state, task.attempts[0].outcome) == (State.PENDING, "released")
    finally:
        go_on.set()


@pytest.mark.parametrize("waits", [True, False])
async def test_a_document_that_is_no_json(queue: Queue, make_worker: Make, waits: bool) -> None:
    """Another language's client stored it: who reads it makes it a dead letter at once, and the worker goes on."""
    worker = make_worker(concurrency=2)

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        return {"output": context.task.payload, **REPORT}

    def enqueue() -> None:
        words = ["bad", "a 5 60000 3 1000  ", "", "1", "not json", ""]
        raw(queue, "enqueue", "r", "", *words)

    if not waits:
        enqueue()
    started(worker)
    if waits:
        await until(lambda: worker._pump.asking is not None)
        enqueue()
    await until(lambda: queue.counts()["dead-letter"] == 1)
    queue.enqueue(type="a", id="good")
    await until(lambda: queue.counts()["completed"] == 1)
    assert worker.failed == 1


async def test_it_listens_again_after_every_error(queue: Queue, make_worker: Make) -> None:
    """Of redis-py's own kind, too: a worker that no longer listens learns of a cancel only by a heartbeat."""
    calls = []

    class Broken:
        async def listen(self) -> AsyncIterator[Signal]:
            calls.append(1)
            if len(calls) == 1:
                raise RedisError("something of redis-py's own")
            yield Signal("CANCEL", "q", datetime.now(timezone.utc), {"id": "x", "token": 7})
            await asyncio.sleep(600)

    heard: list[tuple[str, int]] = []
    listening = asyncio.ensure_future(Listener(Broken(), lambda id, token: heard.append((id, token))).run())  # type: ignore[arg-type]
    await until(lambda: heard)
    await end(listening)
    assert heard == [("x", 7)]


async def test_a_rate_limit_is_sat_out(queue: Queue, make_worker: Make) -> None:
    """The agent is held, the handler called again with its checkpoint, and no attempt is charged."""
    worker = make_worker(concurrency=2)
    calls: list[tuple[str, Any, float]] = []

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        calls.append((context.task.id, context.saved, time.monotonic()))
        if len(calls) == 1:
            await context.checkpoint({"done": 1})
            raise RuntimeError("429 Too Many Requests, Retry-After: 1")
        return REPORT

    queue.enqueue(type="a", id="x")
    started(worker)
    await until(lambda: any(event.kind == "held" for event in queue.events()))
    queue.enqueue(type="a", id="y", payload={"n": 2})
    await until(completed(queue, 2))
    assert next((id, saved) for id, saved, _ in calls[:2]) == ("x", None)
    again = next(at for id, saved, at in calls if saved == {"done": 1})
    assert again - calls[0][2] >= 1
    other = next(at for id, _, at in calls if id == "y")
    assert other - calls[0][2] >= 1, "a held agent gets nothing"
    task = queue.get("x")
    assert task is not None
    assert (task.retries, len(task.attempts)) == (0, 1)


async def test_a_rate_limit_after_a_checkpoint_by_another_way(queue: Queue, make_worker: Make) -> None:
    """The handler goes on from what the queue has, whoever stored it."""
    worker = make_worker()
    saved: list[Any] = []

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        saved.append(context.saved)
        if len(saved) == 1:
            queue.heartbeat(context.claim, checkpoint={"page": 7})
            raise RuntimeError("429 Too Many Requests, Retry-After: 1")
        return REPORT

    queue.enqueue(type="a", id="x")
    started(worker)
    await until(completed(queue, 1))
    assert saved == [None, {"page": 7}]


async def test_a_thread_that_does_not_end_keeps_its_slot(queue: Queue, make_worker: Make) -> None:
    """The next task is not claimed only to wait behind it: another worker could do that one."""
    worker = make_worker(concurrency=1)
    go_on = threading.Event()

    @worker.handler("a")
    def work(context: ThreadContext) -> dict[str, Any]:
        if context.task.id == "x":
            go_on.wait(60)
        return REPORT

    queue.enqueue_many([{"type": "a", "id": id, "payload": {"id": id}} for id in ("x", "y")])
    started(worker)
    await until(lambda: worker.running)
    job = worker.running[0]
    queue.cancel("x", "no more")
    await until(lambda: job.stopped and not worker.running)
    try:
        assert state_of(queue, "y") is State.PENDING
    finally:
        go_on.set()
    await until(completed(queue, 1))


async def test_sys_exit_in_a_handler(queue: Queue, make_worker: Make) -> None:
    """It fails the attempt, and ends neither the worker nor the other tasks."""
    worker = make_worker(concurrency=2)

    @worker.handler("a")
    def work(context: ThreadContext) -> dict[str, Any]:
        if context.task.id == "x":
            sys.exit("cannot go on")
        return REPORT

    queue.enqueue_many([{"type": "a", "id": id, "payload": {"id": id}} for id in ("x", "y")])
    run = started(worker)
    task = await until(lambda: (found := queue.get("x")) and found.last_error and found)
    assert task.last_error == "SystemExit: cannot go on"
    await until(completed(queue, 1))
    assert not run.done()


async def test_a_handler_that_ends_as_if_it_were_cancelled(queue: Queue, make_worker: Make) -> None:
    """Something of its own was cancelled, it was not: the attempt fails at once, not with the end of its lease."""
    worker = make_worker(lease=600)

    @worker.handler("a")
    async def work(context: Context) -> None:
        raise asyncio.CancelledError

    queue.enqueue(type="a", id="x", max_retries=1)
    started(worker)
    await until(lambda: state_of(queue, "x") is State.DEAD_LETTER)
    task = queue.get("x")
    assert task is not None
    assert task.last_error == "CancelledError"


async def test_stopping_lets_work_end(queue: Queue, make_worker: Make) -> None:
    """No more is claimed; what runs may end within the grace."""
    worker = make_worker(grace=20)
    go_on = asyncio.Event()

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        await go_on.wait()
        return REPORT

    queue.enqueue_many([{"type": "a", "id": id, "payload": {"id": id}} for id in ("x", "y")])
    run = started(worker)
    await until(lambda: worker.running)
    worker.stop()
    go_on.set()
    await asyncio.wait_for(run, 15)
    assert sorted(queue.counts().items()) == sorted(
        {"pending": 1, "in-progress": 0, "completed": 1, "dead-letter": 0, "cancelled": 0}.items()
    )


@pytest.mark.parametrize("stops", [1, 2])
async def test_stopping_hands_back_what_is_left(queue: Queue, make_worker: Make, stops: int) -> None:
    """After the grace, or at once when told again: without a charge."""
    worker = make_worker(grace=0.2 if stops == 1 else 600)

    @worker.handler("a")
    async def work(context: Context) -> None:
        await context.checkpoint({"at": 3})
        await asyncio.sleep(600)

    queue.enqueue(type="a", id="x")
    run = started(worker)
    await until(lambda: (found := queue.get("x")) and found.checkpoint)
    for _ in range(stops):
        worker.stop()
    await asyncio.wait_for(run, 15)
    task = queue.get("x")
    assert task is not None
    assert (task.state, task.retries, task.attempts[0].outcome) == (State.PENDING, 0, "released")
    assert (task.checkpoint, worker.running) == ({"at": 3}, [])


async def test_an_idle_worker_stops_at_once(queue: Queue, make_worker: Make) -> None:
    """It waits on the server, and is not waited for."""
    worker = make_worker()

    @worker.handler("a")
    async def work(context: Context) -> None: ...

    run = started(worker)
    await until(lambda: worker._pump.asking is not None)
    worker.stop()
    await asyncio.wait_for(run, 10)


def test_bad_options() -> None:
    """Each with its own error, before anything runs."""
    queue = object()
    for options in (
        {"concurrency": 0},
        {"concurrency": True},
        {"concurrency": 1001},
        {"lease": 0},
        {"grace": -1},
        {"agent": "no blanks"},
        {"on_lost_lease": "perhaps"},
    ):
        with pytest.raises(InvalidTask):
            Worker(queue, **options)  # type: ignore[arg-type]
    worker = Worker(queue)  # type: ignore[arg-type]
    worker.handler("a")(lambda context: REPORT)
    with pytest.raises(InvalidTask, match="already"):
        worker.handler("b", "a")(lambda context: REPORT)
    with pytest.raises(InvalidTask):
        worker.handler()(lambda context: REPORT)
    with pytest.raises(InvalidTask, match="1 to 100 types"):
        worker.handler(*(f"b{i}" for i in range(100)))(lambda context: REPORT)
