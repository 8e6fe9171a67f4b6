"""Handlers that do not end as they should: the slot, the task and the process come free all the same."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

from lokiredis import Queue, State
from lokiredis.worker import Context, HandBack, Worker
from lokiredis.worker.job import Stop

from .conftest import ROOT, started, until

REPORT: dict[str, Any] = {"decisionReport": {"why": "asked for"}}

Make = Callable[..., Worker]


class Abort(BaseException):
    """As a test framework's outcomes, or gevent's Timeout: no Exception."""


async def _dead(queue: Queue, worker: Worker, kind: str, error: BaseException) -> str | None:
    """The last error of a task that died of this one; the worker has done another one then."""

    def plain(context: Any) -> dict[str, Any]:
        if context.id == "x":
            raise error
        return REPORT

    async def work(context: Context) -> dict[str, Any]:
        return plain(context)

    worker.handler("a")(work if kind == "async" else plain)
    queue.enqueue(type="a", id="x", max_retries=0, priority=9)
    queue.enqueue(type="a", id="y", idempotency_key="")
    started(worker)
    await until(lambda: queue.get("y").state == State.COMPLETED)
    task = queue.get("x")
    assert task.state == State.DEAD_LETTER
    return task.last_error


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_an_error_that_is_no_exception(queue: Queue, make_worker: Make, kind: str) -> None:
    """It fails the attempt; unheard, it would keep its slot for ever."""
    assert await _dead(queue, make_worker(concurrency=1), kind, Abort("no more")) == "Abort: no more"


class Mute(Exception):
    """Says nothing, not even what it is about."""

    def __str__(self) -> str:
        raise Mute


class MuteAbort(Abort):
    """As Mute, and no Exception."""

    def __str__(self) -> str:
        raise Mute


@pytest.mark.parametrize("error", [Mute, MuteAbort])
@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_an_error_that_has_no_text(
    queue: Queue, make_worker: Make, kind: str, error: type[BaseException]
) -> None:
    """It fails the attempt like any other, by its name: the worker's own look at it must not end its run."""
    assert await _dead(queue, make_worker(concurrency=1), kind, error()) == error.__name__


async def test_a_task_is_handed_back_for_a_reason_that_has_no_text(queue: Queue, make_worker: Make) -> None:
    """Without a charge, as any other."""
    worker = make_worker(concurrency=1)

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        if context.attempt == 1:
            raise HandBack(Mute())  # type: ignore[arg-type]
        return REPORT

    queue.enqueue(type="a", id="x", max_retries=0)
    started(worker)
    await until(lambda: queue.get("x").state == State.COMPLETED)
    assert [attempt.outcome for attempt in queue.get("x").attempts] == ["released", "completed"]


class Deaf:
    """Takes no notice of its end until it is ``free``."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.free = asyncio.Event()

    async def __call__(self, context: Context) -> dict[str, Any]:
        self.seen.append("begins")
        while not self.free.is_set():
            try:
                await self.free.wait()
            except asyncio.CancelledError:
                self.seen.append("is told")
        self.seen.append("ends")
        return REPORT


@pytest.fixture
async def deaf(make_worker: Make) -> AsyncIterator[Deaf]:
    """Freed before its worker is ended."""
    made = Deaf()
    yield made
    made.free.set()


async def test_a_task_that_is_given_anew(
    queue: Queue, make_worker: Make, deaf: Deaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the worker that still cleans up after its first run: the second begins when that has ended."""
    worker = make_worker(concurrency=2)
    worker.handler("a")(deaf)
    queue.enqueue(type="a", id="x", backoff_seconds=0)
    started(worker)
    await until(lambda: deaf.seen)
    [first] = worker.running
    monkeypatch.setattr(worker._runs._leases, "_renew_all", lambda: None)
    await until(lambda: worker.running and worker.running[0] is not first)
    assert deaf.seen == ["begins", "is told"]
    monkeypatch.undo()
    deaf.free.set()
    await until(lambda: deaf.seen.count("ends") == 2)
    assert deaf.seen == ["begins", "is told", "ends", "begins", "ends"]
    await until(lambda: queue.get("x").state == State.COMPLETED)


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_run_waits_for_all_before_it(queue: Queue, make_worker: Make, kind: str) -> None:
    """A thread goes on after its run was cancelled; and the third run waits for the first though the second is over."""
    worker = make_worker(concurrency=3)
    free, at_once, most, calls = threading.Event(), 0, 0, 0

    def plain(context: Any) -> dict[str, Any]:
        nonlocal at_once, most, calls
        calls, at_once = calls + 1, at_once + 1
        most = max(most, at_once)
        free.wait(30)
        at_once -= 1
        return REPORT

    async def work(context: Context) -> dict[str, Any]:
        going = asyncio.ensure_future(asyncio.to_thread(plain, context))
        while not going.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([going])
        return going.result()

    worker.handler("a")(work if kind == "async" else plain)
    queue.enqueue(type="a", id="x")
    started(worker)
    await until(lambda: calls)
    [first] = worker.running
    for _ in range(2):
        again = worker._runs.begin(first.claim, time.monotonic())
    await asyncio.sleep(0.5)
    assert (calls, again.begun) == (1, False)
    free.set()
    await until(lambda: calls == 2)
    assert most == 1


async def test_one_that_timed_out_is_charged(
    queue: Queue, make_worker: Make, deaf: Deaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the worker is stopped before its handler has ended."""
    monkeypatch.setattr("lokiredis.worker.pump.LAST_WORDS", 0.2)
    worker = make_worker()
    worker.handler("a")(deaf)
    queue.enqueue(type="a", id="x", timeout=1, max_retries=0)
    run = started(worker)
    await until(lambda: worker.running and worker.running[0].stopped is Stop.TIMEOUT)
    worker.stop()
    worker.stop()
    await until(lambda: queue.get("x").state == State.DEAD_LETTER)
    deaf.free.set()
    await run
    assert str(queue.get("x").last_error).startswith("timeout")


_ENDLESS = """
import asyncio, sys, threading
from lokiredis import AsyncQueue
from lokiredis.worker import Worker

async def main():
    async with AsyncQueue.from_url(sys.argv[1], sys.argv[2]) as queue:
        worker = Worker(queue, agent="me", grace=0)
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        @worker.handler("a")
        def work(context):
            loop.call_soon_threadsafe(begun.set)
            threading.Event().wait()

        run = asyncio.ensure_future(worker.run())
        await begun.wait()
        worker.stop()
        worker.stop()
        await run

asyncio.run(main())
print("ended")
"""


def test_a_plain_handler_that_never_ends(redis7_server: Any, queue: Queue, queue_name: str) -> None:
    """It is handed back, and goes with the process, which does not wait for it."""
    queue.enqueue(type="a", id="x")
    ran = subprocess.run(
        [sys.executable, "-c", _ENDLESS, redis7_server.url, queue_name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "ended\n"), ran.stderr
    assert "Traceback" not in ran.stderr
    assert queue.get("x").state == State.PENDING
