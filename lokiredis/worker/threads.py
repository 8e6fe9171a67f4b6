"""Threads for plain handlers.

Python's own pool joins its threads at the end of the process: a handler that never ends would keep the process of a
worker that has stopped, beside whoever has its task by then. These end with the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

_Call = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Threads:
    """As many as are busy at once: a new one is started only where none is idle."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = 0
        self._ended = False

    def submit(self, call: Callable[..., Any], *words: Any) -> Future[Any]:
        """Begin a call. Raises RuntimeError where the system gives no more threads, and after :meth:`end`."""
        if self._ended:
            raise RuntimeError("the threads of this worker have ended")
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        if not self._idle.acquire(blocking=False):
            threading.Thread(target=self._run, name="lokiredis-handler", daemon=True).start()
            self._count += 1
        self._calls.put((future, call, words))
        return future

    def end(self) -> None:
        """Those that are idle end now, the others with their call."""
        self._ended = True
        for _ in range(self._count):
            self._calls.put(None)

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call, words = item
            try:
                future.set_result(call(*words))
            except StopIteration as e:
                # No future of asyncio can carry it: the handler's task would wait for ever.
                error = RuntimeError("the handler raised StopIteration")
                error.__cause__ = e
                future.set_exception(error)
            except BaseException as e:
                future.set_exception(e)
            # Else what it was called with would live on until the next call.
            del item, future, call, words
            self._idle.release()
