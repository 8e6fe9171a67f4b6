"""Very many agents that wait: what they cost while nothing happens, and how soon all tasks are taken."""

from __future__ import annotations

import resource
import time
from typing import Any

from figures import Figure, Report, number
from private_server import PrivateServer
from workload import small_tasks

from loads.idle import QUEUE, spent, waiting_agents
from lokiredis import Queue

#: Of a core, in percent, by the number of agents.
TARGETS = {10_000: 2.0}
_TASKS = 1000
#: Connections of each waiting agent: an AsyncQueue waits on the one by which it claims.
_EACH = 1
#: For our own files and connections, and the server's.
_SPARE = 500
_WAIT = 60.0


def measure_crowd(server: PrivateServer, *, crowds: tuple[int, ...], seconds: float) -> Report:
    """A crowd for each number of agents, as far as this machine has room for their connections."""
    figures: list[Figure] = []
    rows = []
    for wanted in crowds:
        agents = min(wanted, room())
        with waiting_agents(server, agents):
            percent, calls, connections = spent(server, seconds)
            taken = _all_claimed(server, min(_TASKS, agents))
        server.client.flushall()
        load = f"crowd of {agents:,}"
        figures.append(Figure(load, "Redis, idle", "% of a core", (percent,), TARGETS.get(wanted)))
        figures.append(Figure(load, f"until {min(_TASKS, agents):,} tasks are claimed", "ms", (taken * 1000,)))
        short = "" if agents == wanted else f" (of {wanted:,}: no more connections)"
        rows.append((f"{agents:,}{short}", number(percent), number(calls), f"{connections:,}", number(taken * 1000)))
    header = ("waiting agents", "Redis, % of a core", "script calls/s", "connections", "1,000 tasks claimed, ms")
    title = f"Crowd: agents that wait for work, in four processes, over {seconds:g} s"
    return Report(title, header, tuple(rows), tuple(figures))


def room() -> int:
    """For how many waiting agents the server may have connections: the limit of open files is shared by all of them."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (most - _SPARE) // _EACH


def _all_claimed(server: PrivateServer, tasks: int) -> float:
    """Seconds from one call that puts them in until each has its agent."""
    queue: Any = Queue(server.client, QUEUE)
    began = time.monotonic()
    queue.enqueue_many(small_tasks(tasks))
    while queue.counts()["in-progress"] < tasks:
        if time.monotonic() - began > _WAIT:
            raise SystemExit(f"bench: after {_WAIT:g} s not all of {tasks:,} tasks are claimed")
        time.sleep(0.002)
    return time.monotonic() - began
