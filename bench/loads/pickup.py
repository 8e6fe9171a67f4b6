"""How soon an idle worker begins with a task, beside what Redis itself takes to hand a value to another process."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from figures import Figure, Report, number, quantile
from players import Turns
from private_server import PrivateServer
from redis import Redis
from workload import REPORT

from lokiredis import AsyncQueue, Queue
from lokiredis.worker import Context, Worker

#: The median pickup may take so many BLPOP hand-overs.
TARGET = 5.0
P99 = 10.0
_TYPE, _LIST, _QUEUE = "eng-backend", "handed-over", "pickup"
#: For the two that wait to have gone to sleep, after the server says that they wait, in seconds.
_SETTLE = 0.005
_MEASURED = (
    "BLPOP hand-over, from the call of LPUSH",
    "BLPOP hand-over, from its return",
    "pickup, from the call of enqueue",
    "pickup, from its return",
)


def measure_pickup(server: PrivateServer, *, rounds: int, tasks: int) -> Report:
    """Tasks and BLPOP hand-overs by turns, one at a time, each when both who wait for them are idle."""
    found: list[list[tuple[float, ...]]] = []
    client = Redis.from_url(server.url)
    queue = Queue.from_url(server.url, _QUEUE)
    with _child(_pop, server.url) as popper, _child(_work, server.url) as worker:
        for _ in range(rounds + 1):
            found.append([_turn(server, client, popper, queue, worker) for _ in range(tasks)])
    queue.close()
    client.close()
    # The first round made the connections, loaded the libraries, and warmed up the interpreters.
    by_name = {name: [[turn[place] for turn in turns] for turns in found[1:]] for place, name in enumerate(_MEASURED)}
    rows = [
        (name, *(number(quantile([value for values in rounds for value in values], part)) for part in (0.5, 0.99)))
        for name, rounds in by_name.items()
    ]
    figures = [
        Figure("pickup", f"{name}, {label}", "µs", tuple(quantile(values, part) for values in rounds))
        for name, rounds in by_name.items()
        for label, part in (("p50", 0.5), ("p99", 0.99))
    ]
    handed, _, _, picked = (list(map(median, rounds)) for rounds in by_name.values())
    ratios = tuple(p / h for p, h in zip(picked, handed, strict=True))
    figures.append(Figure("pickup", "median, against BLPOP's in the same round", "×", ratios, TARGET))
    slow_handed, _, _, slow_picked = ([quantile(values, 0.99) for values in rounds] for rounds in by_name.values())
    slowest = tuple(p / h for p, h in zip(slow_picked, slow_handed, strict=True))
    figures.append(Figure("pickup", "p99, against BLPOP's in the same round", "×", slowest, P99))
    title = f"Pickup by an idle worker in another process, µs ({rounds} rounds of {tasks}, by turns)"
    return Report(title, ("", "p50", "p99"), tuple(rows), tuple(figures))


def measure_pickups(turns: Turns, *, rounds: int, tasks: int) -> Report:
    """The same of all players, by their drivers: a task is put in 10 to 30 ms after the one before has begun."""
    turns.players = [player for player in turns.players if "pickup" in player.can]
    found = turns.rounds(rounds, lambda peer: peer.pickup(turns.server.url, tasks))
    figures: list[Figure] = []
    rows = []
    for name, pickups in found.items():
        us = [[seconds * 1e6 for seconds in pickup.from_return] for pickup in pickups]
        figures += [
            Figure("pickup, all", f"{name}, {label}", "µs", tuple(quantile(values, part) for values in us))
            for label, part in (("p50", 0.5), ("p99", 0.99))
        ]
        rows.append((name, *(number(figure.value) for figure in figures[-2:])))
    rows.sort(key=lambda row: float(row[1].replace(",", "")))
    title = f"Pickup by each player's idle worker, from the return of enqueue, µs ({rounds} rounds of {tasks})"
    return Report(title, ("", "p50", "p99"), tuple(rows), tuple(figures))


def _turn(
    server: PrivateServer, client: Redis, popper: Connection, queue: Queue, worker: Connection
) -> tuple[float, ...]:
    """The µs of one hand-over and of one pickup, each from the call that gives and from its return."""
    _both_wait(server)
    pushing = time.monotonic_ns()
    client.lpush(_LIST, "x")
    pushed = time.monotonic_ns()
    popped = popper.recv()
    _both_wait(server)
    enqueueing = time.monotonic_ns()
    queue.enqueue(type=_TYPE, payload={"action": "implement"}, idempotency_key="")
    enqueued = time.monotonic_ns()
    began = worker.recv()
    return tuple(us / 1000 for us in (popped - pushing, popped - pushed, began - enqueueing, began - enqueued))


def _both_wait(server: PrivateServer) -> None:
    while server.client.info("clients")["blocked_clients"] != 2:
        time.sleep(0.001)
    time.sleep(_SETTLE)


@contextmanager
def _child(target: Callable[[str, Connection], None], url: str) -> Iterator[Connection]:
    """A process that sends when it got something, as time.monotonic_ns(), which all processes of a machine share."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe(duplex=False)
    process = spawning.Process(target=target, args=(url, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def _pop(url: str, told: Connection) -> None:
    client = Redis.from_url(url)
    while True:
        client.blpop([_LIST], 0)
        told.send(time.monotonic_ns())


def _work(url: str, told: Connection) -> None:
    async def work() -> None:
        async with AsyncQueue.from_url(url, _QUEUE) as queue:
            worker = Worker(queue, agent="bench-host/idle")

            @worker.handler(_TYPE)
            async def begin(context: Context) -> dict[str, Any]:
                told.send(time.monotonic_ns())
                return {"decisionReport": REPORT}

            await worker.run()

    asyncio.run(work())
