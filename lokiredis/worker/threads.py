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

    def submit(self, call: Callable[..., Any], *words: Any) -> Future[Any]:
        """Begin a call. Raises RuntimeError where the system gives no more threads."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        item = (future, call, words)
        if self._idle.acquire(blocking=False):
            self._calls.put(item)
        else:
            threading.Thread(target=self._run, args=(item,), name="lokiredis-handler", daemon=True).start()
            self._count += 1
        return future

    def end(self) -> None:
        """Those that are idle end now, the others with their call."""
        for _ in range(self._count):
            self._calls.put(None)

    def _run(self, item: _Call | None) -> None:
        while item is not None:
            future, call, words = item
            try:
                future.set_result(call(*words))
            except BaseException as e:
                future.set_exception(e)
            # Else what it was called with would live on until the next call.
            del item, future, call, words
            self._idle.release()
            item = self._calls.get()
