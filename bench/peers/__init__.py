"""The queues that people use today, driven as their own documentation recommends.

Each :class:`Peer` is run in its own environment (:mod:`peers.install`) by a driver, a file in ``drivers``, which speaks
in lines (``drivers/harness.py``). A load that a peer can't do is missing from ``can``; one that fails: PeerFailed.
"""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .install import ENVIRONMENTS, Installed, install, is_installed
from .processes import PeerFailed, Running

__all__ = ["PEERS", "Dag", "Drained", "Enqueued", "Installed", "Peer", "PeerFailed", "Pickup", "install"]

_DRIVERS = Path(__file__).resolve().parent / "drivers"
#: No load of a peer is waited for longer than this, in seconds.
LIMIT = 600.0
#: How long an idle worker waits for its next task in ``pickup``, in seconds: a span, so that no polling beats with it.
_IDLE = (0.010, 0.030)
#: So many pickups come before those that are measured: connections, scripts, code that is not compiled yet.
_FIRST = 20
_POLL = 0.01


@dataclass(frozen=True)
class Enqueued:
    """``tasks`` in ``seconds``, from the first call to the last reply. ``warmed`` more were put in before, untimed:
    they are in the server's statistics."""

    seconds: float
    tasks: int
    warmed: int


@dataclass(frozen=True)
class Drained:
    """``tasks`` worked through. ``seconds``: from the first handler to the last, over all processes; ``wall``: from the
    start signal to the last handler; ``cpu``: seconds of CPU of each worker process."""

    seconds: float
    wall: float
    tasks: int
    cpu: tuple[float, ...]


@dataclass(frozen=True)
class Pickup:
    """For each task, in seconds: from the call of enqueue, and from its return, to the start of the handler. The latter
    is negative when the worker was faster than the reply."""

    from_call: tuple[float, ...]
    from_return: tuple[float, ...]


@dataclass(frozen=True)
class Dag:
    """A graph: what it took to put it in, and to work it through by one worker process afterwards."""

    enqueued: Enqueued
    drained: Drained


@dataclass(frozen=True)
class Peer:
    """One peer. ``can``: ``single``, ``parallel32``, ``batch1000``, ``drain``, ``priorities``, ``pickup``, ``layers``,
    ``fan``, ``memory``. ``note``: what it does differently, for the reader of a table."""

    name: str
    key: str
    language: str
    can: frozenset[str]
    note: str
    environments: Path = ENVIRONMENTS
    drivers: Path = _DRIVERS

    @property
    def environment(self) -> Path:
        """The folder of its environment."""
        return self.environments / self.key

    @property
    def is_here(self) -> bool:
        """Whether its environment is whole."""
        return is_installed(self.environment)

    def enqueue(self, url: str, count: int, mode: str, *, limit: float = LIMIT) -> Enqueued:
        """Puts ``count`` tasks in: ``single`` (one after the other), ``parallel32`` or ``batch1000``."""
        self._must(mode)
        return _enqueued(self._ask(limit, "enqueue", url, str(count), mode))

    def fill(self, url: str, count: int, *, limit: float = LIMIT) -> None:
        """Puts ``count`` tasks in for :meth:`drain`, untimed: three types, and three priorities where it has them."""
        self._ask(limit, "fill", url, str(count))

    def drain(self, url: str, count: int, processes: int = 1, *, limit: float = LIMIT) -> Drained:
        """Works off what :meth:`fill` put in. All processes are connected before they get the start signal."""
        self._must("drain")
        return self._drain(url, count, processes, limit)

    def pickup(self, url: str, count: int, *, limit: float = LIMIT) -> Pickup:
        """``count`` tasks, one at a time, for an idle worker in another process. A few come before, unmeasured."""
        self._must("pickup")
        calls, returns = [], []
        with self._start(limit, "pickup", url) as worker, self._start(limit, "give", url) as giver:
            _expect(worker, "ready")
            _expect(giver, "ready")
            worker.send("go")
            time.sleep(0.5)  # some workers begin to listen a while after they were told to
            for turn in range(_FIRST + count):
                time.sleep(random.uniform(*_IDLE))
                giver.send("next")
                called, returned = _numbers(giver, 2)
                (began,) = _numbers(worker, 1)
                if turn >= _FIRST:
                    calls.append(began - called)
                    returns.append(began - returned)
        return Pickup(tuple(calls), tuple(returns))

    def dag(self, url: str, shape: str, count: int, *, limit: float = LIMIT) -> Dag:
        """A graph of about ``count`` tasks: ``layers`` (each task waits for three of the layer before) or ``fan`` (one,
        many, one). Put in first, then worked through by one process."""
        self._must(shape)
        enqueued = _enqueued(self._ask(limit, "dag", url, shape, str(count)))
        return Dag(enqueued, self._drain(url, enqueued.tasks + enqueued.warmed, 1, limit))

    def memory(self, url: str, count: int, document: str, state: str = "pending", *, limit: float = LIMIT) -> None:
        """Leaves ``count`` tasks with this JSON document in the queue: ``pending``, ``active`` or ``completed``."""
        self._must("memory")
        with self._start(limit, "memory", url, str(count), state) as driver:
            driver.send(document)
            driver.close()
            _reply(driver)

    def _must(self, load: str) -> None:
        if load not in self.can:
            raise PeerFailed(f"{self.name} can't do {load}")

    def _start(self, limit: float, *words: str) -> Running:
        if self.language == "Node":
            command = ["node", str(self.drivers / f"{self.key}_driver.mjs")]
        else:
            command = [str(self.environment / "bin" / "python"), str(self.drivers / f"{self.key}_driver.py")]
        if not self.is_here:
            raise PeerFailed(f"{self.name} is not installed")
        own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        own["PYTHONDONTWRITEBYTECODE"] = "1"  # the drivers lie in the project's folder
        return Running([*command, *words], folder=self.environment, environment=own, seconds=limit)

    def _ask(self, limit: float, *words: str) -> dict[str, Any]:
        with self._start(limit, *words) as driver:
            return _reply(driver)

    def _drain(self, url: str, count: int, processes: int, limit: float) -> Drained:
        with ExitStack() as stack:
            workers = [stack.enter_context(self._start(limit, "drain", url)) for _ in range(processes)]
            for worker in workers:
                _expect(worker, "ready")
            began = time.monotonic()
            for worker in workers:
                worker.send("go")
            done = [0] * processes
            while sum(done) < count:
                for place, worker in enumerate(workers):
                    while (line := worker.line(0)) is not None:
                        done[place] = _count(line)
                if sum(done) < count:
                    time.sleep(_POLL)
            for worker in workers:
                worker.close()
            ends = [_last_reply(worker) for worker in workers]
        worked = [end for end in ends if end["tasks"]]
        first = min(float(end["first"]) for end in worked)
        last = max(float(end["last"]) for end in worked)
        tasks = sum(int(end["tasks"]) for end in worked)
        return Drained(last - first, last - began, tasks, tuple(float(end["cpu"]) for end in ends))


def _expect(driver: Running, word: str) -> None:
    if (line := driver.line()) != word:
        raise PeerFailed(f"said {line!r} in place of {word!r}")


def _numbers(driver: Running, how_many: int) -> tuple[float, ...]:
    line = driver.line() or ""
    try:
        found = tuple(float(part) for part in line.split())
    except ValueError:
        found = ()
    if len(found) != how_many:
        raise PeerFailed(f"said {line!r} in place of {how_many} times")
    return found


def _count(line: str) -> int:
    word, _, number = line.partition(" ")
    if word != "done" or not number.isdecimal():
        raise PeerFailed(f"said {line!r} in place of its count")
    return int(number)


def _reply(driver: Running) -> dict[str, Any]:
    line = driver.line() or ""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise PeerFailed(f"said {line!r} in place of its figures")
    return found


def _last_reply(driver: Running) -> dict[str, Any]:
    while (line := driver.line() or "").startswith("done "):
        pass
    try:
        end = json.loads(line)
        return {name: end[name] for name in ("first", "last", "tasks", "cpu")}
    except (ValueError, KeyError, TypeError):
        raise PeerFailed(f"said {line!r} in place of its figures") from None


def _enqueued(found: dict[str, Any]) -> Enqueued:
    try:
        return Enqueued(float(found["seconds"]), int(found["tasks"]), int(found["warmed"]))
    except (KeyError, TypeError, ValueError):
        raise PeerFailed(f"said {found!r} in place of its figures") from None


_ALL = frozenset({"single", "parallel32", "drain", "pickup"})

PEERS = (
    Peer(
        "BullMQ",
        "bullmq_node",
        "Node",
        _ALL | {"batch1000", "priorities", "layers", "fan", "memory"},
        "flows are trees: in place of layers trees of 40 with 3 children each; the fan lacks its first task",
    ),
    Peer(
        "bullmq",
        "bullmq_python",
        "Python",
        _ALL | {"batch1000", "priorities", "layers", "fan"},
        "one connection for all callers; flows as with BullMQ",
    ),
    Peer("SAQ", "saq", "Python", _ALL, "no priorities on Redis, no bulk call"),
    Peer("arq", "arq", "Python", _ALL, "no priorities, no bulk call; polls, each 10 ms here"),
    Peer(
        "streaq",
        "streaq",
        "Python",
        _ALL | {"batch1000", "priorities", "layers", "fan"},
        "needs Python 3.11; tasks with dependencies one at a time, 32 at once",
    ),
    Peer(
        "dramatiq",
        "dramatiq",
        "Python",
        _ALL | {"priorities"},
        "100 threads; priorities order only what a worker has fetched; an idle worker polls, with back-off up to 1 s",
    ),
    Peer(
        "RQ",
        "rq",
        "Python",
        _ALL | {"batch1000", "priorities", "layers", "fan"},
        "one task at a time in a worker; SimpleWorker, which doesn't fork; a queue per priority; a fan takes N² time",
    ),
    Peer(
        "Celery",
        "celery",
        "Python",
        _ALL | {"priorities", "fan"},
        "100 threads, prefetch 64 × 100; the fan is a chord, which needs a result backend",
    ),
    Peer("taskiq-redis", "taskiq", "Python", _ALL, "streams; no priorities, no bulk call; uvloop"),
)
