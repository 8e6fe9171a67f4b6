"""One call of a sync or async client, made in another thread so that the test can act while it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from lokiredis import AsyncQueue, Queue
from lokiredis.commands import Command

CLIENTS = ("sync", "async")
NAME = "q"


class _Sync(Queue):
    attempts = 0

    def _send(self, command: Command[Any]) -> Any:
        self.attempts += 1
        return super()._send(command)


class _Async(AsyncQueue):
    attempts = 0

    async def _send(self, command: Command[Any]) -> Any:
        self.attempts += 1
        return await super()._send(command)


class Caller:
    """A client whose calls run in a thread of its own. ``attempts`` counts what it sent, repeats included."""

    def __init__(self, kind: str, url: str, retry_for: float, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, "caller")
        self._loop = asyncio.new_event_loop() if kind == "async" else None
        self.queue: Any = (_Async if self._loop else _Sync).from_url(url, name, retry_for=retry_for)

    @property
    def attempts(self) -> int:
        return int(self.queue.attempts)

    def start(self, call: Callable[[Any], Any]) -> Future[Any]:
        """Begin a call: ``start(lambda q: q.claim("agent", "build"))``."""
        return self._pool.submit(self._run, call)

    def call(self, call: Callable[[Any], Any]) -> Any:
        """Make a call and wait for its answer."""
        return self.start(call).result(timeout=60)

    def _run(self, call: Callable[[Any], Any]) -> Any:
        if self._loop is None:
            return call(self.queue)

        async def awaited() -> Any:
            return await call(self.queue)

        return self._loop.run_until_complete(awaited())

    def close(self) -> None:
        self.call(lambda q: q.close())
        self._pool.shutdown()
        if self._loop is not None:
            self._loop.close()


@contextmanager
def caller(kind: str, url: str, *, retry_for: float = 30, name: str = NAME) -> Iterator[Caller]:
    """A Caller on a queue, closed at the end."""
    made = Caller(kind, url, retry_for, name)
    try:
        yield made
    finally:
        made.close()
