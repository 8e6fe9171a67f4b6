"""The threads of plain handlers."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from lokiredis import Queue, State
from lokiredis.worker import Worker
from lokiredis.worker.threads import Threads

from .conftest import started, until


def test_as_many_as_are_busy_at_once() -> None:
    """Ten calls one after the other share one; two at once get two."""
    threads, seen = Threads(), set()
    for _ in range(10):
        seen.add(threads.submit(threading.get_ident).result(10))
        while not threads._idle._value:
            pass
    assert len(seen) == 1
    both = threading.Barrier(2)
    for future in [threads.submit(both.wait, 10) for _ in range(2)]:
        future.result(10)
    threads.end()
    with pytest.raises(RuntimeError, match="ended"):
        threads.submit(print)


class Payload:
    """Something that a call is given."""


def test_nothing_of_a_call_is_kept() -> None:
    """Neither of the first one of a thread, nor of a later one."""
    threads = Threads()
    for _ in range(2):
        payload = Payload()
        known = weakref.ref(payload)
        threads.submit(id, payload).result(10)
        while not threads._idle._value:
            pass
        del payload
        gc.collect()
        assert known() is None
    threads.end()


async def test_a_worker_that_runs_again(queue: Queue, make_worker: Callable[..., Worker]) -> None:
    """Its plain handlers are called, as they were in its first run."""
    worker = make_worker()
    worker.handler("a")(lambda context: {"decisionReport": {"why": "asked for"}})
    for id in ("x", "y"):
        queue.enqueue(type="a", id=id, idempotency_key="")
        run = started(worker)
        await until(lambda id=id: queue.get(id).state == State.COMPLETED)  # type: ignore[misc]
        run.cancel()
        await asyncio.wait([run])


async def test_a_handler_that_raises_stop_iteration(queue: Queue, make_worker: Callable[..., Worker]) -> None:
    """No future can carry that: it fails the attempt under another name, at once."""
    worker = make_worker()

    def work(context: Any) -> Any:
        return next(iter(()))

    worker.handler("a")(work)
    queue.enqueue(type="a", id="x", max_retries=0)
    started(worker)
    await until(lambda: queue.get("x").state == State.DEAD_LETTER)
    assert "StopIteration" in str(queue.get("x").last_error)
