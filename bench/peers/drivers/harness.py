"""What the Python drivers share. It runs inside the peers' own environments, so it needs the standard library only.

A driver is started as ``PYTHON <name>_driver.py WORD URL …`` and speaks in lines:

=================================  =================================================================================
``enqueue URL COUNT MODE``         puts COUNT tasks in, prints ``{"seconds", "tasks", "warmed"}``
``fill URL COUNT``                 the same as fast as it can, untimed, prints ``{"tasks"}``
``drain URL``                      a worker: see :class:`meter.Meter`
``pickup URL``                     a worker that prints the time of each handler start
``give URL``                       for each line on stdin puts one task in, prints the times before and after
``dag URL SHAPE COUNT``            puts a graph in (``layers`` or ``fan``), prints ``{"seconds", "tasks", "warmed"}``
=================================  =================================================================================

All times are CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from meter import CONCURRENCY, LEVELS, METER, TYPES, Meter, Task, say, tasks

__all__ = ["CONCURRENCY", "LEVELS", "METER", "TYPES", "AsyncDriver", "Driver", "Meter", "Task", "before", "main"]

_LANES = 32
_BATCH = 1000


class Driver:
    """A peer whose client blocks. A driver overrides what the peer can do."""

    def __init__(self, url: str) -> None:
        self.url = url

    def put(self, task: Task) -> None:
        """One task, acknowledged by the server on return."""
        raise NotImplementedError

    def put_batch(self, batch: Sequence[Task]) -> None:
        """Many tasks by the peer's own call for that."""
        raise NotImplementedError

    def layers(self, width: int, depth: int) -> None:
        """``depth`` layers of ``width`` tasks, each of which depends on three of the layer before."""
        raise NotImplementedError

    def fan(self, width: int) -> None:
        """One task, then ``width``, then one that depends on all of those."""
        raise NotImplementedError

    def work(self, meter: Meter, *, each: bool) -> None:
        """Connects, calls ``meter.wait(each=each)``, works and never returns."""
        raise NotImplementedError

    def enqueue(self, count: int, mode: str) -> dict[str, Any]:
        """Puts ``count`` tasks in and tells how long it took. What opens connections and loads scripts comes before."""
        todo = list(tasks(count))
        if mode == "single":
            self.put(todo[0])
            began = time.monotonic()
            for task in todo:
                self.put(task)
            return _timed(began, count, 1)
        if mode == "batch1000":
            self.put_batch(todo[:1])
            began = time.monotonic()
            for start in range(0, count, _BATCH):
                self.put_batch(todo[start : start + _BATCH])
            return _timed(began, count, 1)
        with ThreadPoolExecutor(_LANES) as lanes:
            together = threading.Barrier(_LANES)  # else one thread warms up for all

            def warm(task: Task) -> None:
                together.wait()
                self.put(task)

            list(lanes.map(warm, tasks(_LANES)))
            began = time.monotonic()
            shared = iter(todo)
            lock = threading.Lock()

            def lane(_: int) -> None:
                while True:
                    with lock:
                        task = next(shared, None)
                    if task is None:
                        return
                    self.put(task)

            list(lanes.map(lane, range(_LANES)))
            return _timed(began, count, _LANES)

    def fill(self, count: int) -> None:
        """Puts ``count`` tasks in."""
        if type(self).put_batch is Driver.put_batch:
            with ThreadPoolExecutor(_LANES) as lanes:
                list(lanes.map(self.put, tasks(count)))
        else:
            for batch in _batches(count):
                self.put_batch(batch)

    def dag(self, shape: str, count: int) -> dict[str, Any]:
        """Puts a graph of about ``count`` tasks in."""
        self.put(Task(0, TYPES[0], 1))
        began = time.monotonic()
        if shape == "fan":
            self.fan(count - 2)
            return _timed(began, count, 1)
        width, depth = layers_of(count)
        self.layers(width, depth)
        return _timed(began, width * depth, 1)

    def give(self) -> None:
        """Puts a task in for each line on stdin."""
        say("ready")
        for number, _ in enumerate(sys.stdin):
            called = time.monotonic()
            self.put(Task(number, TYPES[0], 1))
            say(f"{called!r} {time.monotonic()!r}")


class AsyncDriver:
    """The same for a peer with an asyncio client."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def connect(self) -> None:
        """Called before anything else, except before :meth:`work`."""

    async def put(self, task: Task) -> None:
        """See :meth:`Driver.put`."""
        raise NotImplementedError

    async def put_batch(self, batch: Sequence[Task]) -> None:
        """See :meth:`Driver.put_batch`."""
        raise NotImplementedError

    async def layers(self, width: int, depth: int) -> None:
        """See :meth:`Driver.layers`."""
        raise NotImplementedError

    async def fan(self, width: int) -> None:
        """See :meth:`Driver.fan`."""
        raise NotImplementedError

    async def work(self, meter: Meter, *, each: bool) -> None:
        """See :meth:`Driver.work`."""
        raise NotImplementedError

    async def enqueue(self, count: int, mode: str) -> dict[str, Any]:
        """See :meth:`Driver.enqueue`."""
        await self.connect()
        todo = list(tasks(count))
        if mode == "single":
            await self.put(todo[0])
            began = time.monotonic()
            for task in todo:
                await self.put(task)
            return _timed(began, count, 1)
        if mode == "batch1000":
            await self.put_batch(todo[:1])
            began = time.monotonic()
            for start in range(0, count, _BATCH):
                await self.put_batch(todo[start : start + _BATCH])
            return _timed(began, count, 1)
        await asyncio.gather(*map(self.put, tasks(_LANES)))
        began = time.monotonic()
        await self._lanes(todo)
        return _timed(began, count, _LANES)

    async def _lanes(self, todo: Sequence[Task]) -> None:
        shared = iter(todo)

        async def lane() -> None:
            for task in shared:
                await self.put(task)

        await asyncio.gather(*(lane() for _ in range(_LANES)))

    async def fill(self, count: int) -> None:
        """See :meth:`Driver.fill`."""
        await self.connect()
        if type(self).put_batch is AsyncDriver.put_batch:
            await self._lanes(list(tasks(count)))
        else:
            for batch in _batches(count):
                await self.put_batch(batch)

    async def dag(self, shape: str, count: int) -> dict[str, Any]:
        """See :meth:`Driver.dag`."""
        await self.connect()
        await self.put(Task(0, TYPES[0], 1))
        began = time.monotonic()
        if shape == "fan":
            await self.fan(count - 2)
            return _timed(began, count, 1)
        width, depth = layers_of(count)
        await self.layers(width, depth)
        return _timed(began, width * depth, 1)

    async def give(self) -> None:
        """See :meth:`Driver.give`."""
        await self.connect()
        say("ready")
        for number in itertools.count():
            if not sys.stdin.readline():  # blocks the loop, which has nothing else to do
                return
            called = time.monotonic()
            await self.put(Task(number, TYPES[0], 1))
            say(f"{called!r} {time.monotonic()!r}")


def layers_of(count: int) -> tuple[int, int]:
    """Width and depth of the layers for about ``count`` tasks: ten layers, as far as each can be three wide."""
    depth = min(10, max(2, count // 3))
    return max(3, count // depth), depth


def before(place: int, width: int) -> tuple[int, int, int]:
    """The places in the layer before that the task at this place depends on."""
    return place, (place + 1) % width, (place + 2) % width


def _batches(count: int) -> Iterator[list[Task]]:
    todo = tasks(count)
    while batch := list(itertools.islice(todo, _BATCH)):
        yield batch


def _timed(began: float, count: int, warmed: int) -> dict[str, Any]:
    return {"seconds": time.monotonic() - began, "tasks": count, "warmed": warmed}


def main(driver: type[Driver] | type[AsyncDriver], run: Callable[[Any], Any] = asyncio.run) -> None:
    """Does what the command line says. ``run`` is for peers that recommend an event loop of their own."""
    word, url, *rest = sys.argv[1:]
    one = driver(url)
    calls: dict[str, Callable[[], Any]] = {
        "enqueue": lambda: one.enqueue(int(rest[0]), rest[1]),
        "fill": lambda: one.fill(int(rest[0])),
        "drain": lambda: one.work(METER, each=False),
        "pickup": lambda: one.work(METER, each=True),
        "give": one.give,
        "dag": lambda: one.dag(rest[0], int(rest[1])),
    }
    found = calls[word]()
    if isinstance(one, AsyncDriver):
        found = run(found)
    if word in ("enqueue", "dag"):
        say(json.dumps(found))
    elif word == "fill":
        say(json.dumps({"tasks": int(rest[0])}))
    os._exit(0)  # client threads and pools of some peers don't let the interpreter end
