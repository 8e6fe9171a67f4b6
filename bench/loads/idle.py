"""What a fleet that has nothing to do costs its Redis."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from figures import Figure, Report, number
from private_server import PrivateServer
from workload import REPORT, TYPES

from lokiredis import AsyncQueue
from lokiredis.worker import Context, Worker

#: Of a core, in percent. A waiting agent asks again every 25 to 30 s, and an idle worker tells of itself every two
#: minutes: shorter measurements may miss that.
TARGET = 1.0
QUEUE = "idle"
_PROCESSES = 4
#: For the agents to come, in seconds.
_COMING = 120.0
#: Afterwards, for the work of their coming to be over.
_SETTLE = 5.0


def measure_idle(server: PrivateServer, *, agents: int, seconds: float) -> Report:
    """The CPU time of the server while each of so many agents waits for a task, in turn as claims and as workers."""
    rows = [_row("no agent", *spent(server, min(seconds, 10)))]
    figures = []
    for name, kind in (("waiting in claim", _claim), ("workers", _work)):
        percent, calls, connections = _idle(server, kind, agents, seconds)
        rows.append(_row(f"{agents:,} {name}", percent, calls, connections))
        figures.append(Figure("idle", f"{agents:,} {name}, of a core", "%", (percent,), TARGET))
        server.client.flushall()
    title = f"An idle fleet: CPU of the server over {seconds:g} s"
    return Report(title, ("", "% of a core", "script calls/s", "connections"), tuple(rows), tuple(figures))


def _row(name: str, percent: float, calls: float, connections: int) -> tuple[str, ...]:
    return name, number(percent), number(calls), str(connections)


def _idle(server: PrivateServer, kind: Any, agents: int, seconds: float) -> tuple[float, float, int]:
    with waiting_agents(server, agents, kind):
        return spent(server, seconds)


@contextmanager
def waiting_agents(server: PrivateServer, agents: int, kind: Any = None) -> Iterator[None]:
    """So many agents in a few processes, all of which wait when the block begins: in claim, without another *kind*."""
    spawning = multiprocessing.get_context("spawn")
    shares = [range(first, agents, _PROCESSES) for first in range(_PROCESSES)]
    processes = [
        spawning.Process(target=_run, args=(kind or _claim, server.url, share), daemon=True) for share in shares
    ]
    for process in processes:
        process.start()
    try:
        _until_all_wait(server, agents)
        time.sleep(_SETTLE)
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def _until_all_wait(server: PrivateServer, agents: int) -> None:
    ends = time.monotonic() + _COMING
    while (waiting := server.client.info("clients")["blocked_clients"]) < agents:
        if time.monotonic() > ends:
            raise SystemExit(f"bench: after {_COMING:g} s only {waiting} of {agents} agents wait")
        time.sleep(1)
    print(f"({agents} agents wait)", file=sys.stderr, flush=True)


def spent(server: PrivateServer, seconds: float) -> tuple[float, float, int]:
    """Percent of a core, script calls per second, connections without our own."""
    began, before = time.monotonic(), server.spent()
    time.sleep(seconds)
    used, lasted = server.spent().since(before), time.monotonic() - began
    clients = server.client.info("clients")["connected_clients"] - 1
    return used.cpu / 1e4 / lasted, used.calls / lasted, clients


def _run(kind: Any, url: str, share: range) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(*(kind(url, f"host-{number}/agent") for number in share))

    asyncio.run(all_of_them())


async def _claim(url: str, agent: str) -> None:
    async with AsyncQueue.from_url(url, QUEUE) as queue:
        await queue.claim(agent, TYPES, lease=60, wait=None)


async def _work(url: str, agent: str) -> None:
    async def begin(context: Context) -> dict[str, Any]:
        return {"decisionReport": REPORT}

    async with AsyncQueue.from_url(url, QUEUE) as queue:
        worker = Worker(queue, agent=agent)
        worker.handler(*TYPES)(begin)
        await worker.run()
