"""What a task costs from enqueue to completion: server time, and what one client gets through."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any

from figures import Figure, Report, number
from private_server import PrivateServer, Spent
from workload import AGENT, OUTPUT, REPORT, TYPES, copy_of, independent_tasks, plan

from lokiredis import Claim, Finished, Queue
from lokiredis.scripts import LUA, Script, read

SIZES = (1, 10, 100)
TARGETS = {1: 95.0, 100: 45.0}
STEPS = ("enqueue", "claim", "complete")


@dataclass(frozen=True)
class _Step:
    spent: Spent
    seconds: float


def _timed(server: PrivateServer, run: Callable[[], Any]) -> _Step:
    before, began = server.spent(), time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    return _Step(server.spent().since(before), seconds)


def _enqueue(queue: Queue, tasks: list[dict[str, Any]], size: int) -> None:
    if size == 1:
        for task in tasks:
            queue.enqueue_many([task])
    else:
        for first in range(0, len(tasks), size):
            queue.enqueue_many(tasks[first : first + size])


def _claim(queue: Queue, count: int, size: int, claims: list[Claim]) -> None:
    for _ in range(count // size):
        if size == 1:
            claim = queue.claim(AGENT, TYPES)
            assert isinstance(claim, Claim), claim
            claims.append(claim)
        else:
            claims += queue.claim_many(AGENT, TYPES, size)


def _complete(queue: Queue, claims: list[Claim], size: int) -> None:
    if size == 1:
        for claim in claims:
            queue.complete(claim, output=OUTPUT, decision_report=REPORT)
        return
    for first in range(0, len(claims), size):
        batch = [Finished(claim, output=OUTPUT, decision_report=REPORT) for claim in claims[first : first + size]]
        queue.exchange(AGENT, TYPES, finished=batch, limit=0)


def _round(server: PrivateServer, queue: Queue, tasks: list[dict[str, Any]], size: int) -> dict[str, _Step]:
    claims: list[Claim] = []
    steps = {
        "enqueue": _timed(server, lambda: _enqueue(queue, tasks, size)),
        "claim": _timed(server, lambda: _claim(queue, len(tasks), size, claims)),
        "complete": _timed(server, lambda: _complete(queue, claims, size)),
    }
    assert len(claims) == len(tasks), f"{len(claims)} of {len(tasks)} were claimed"
    return steps


def measure_cycle(server: PrivateServer, *, rounds: int, tasks: int) -> Report:
    """Batches of 1, 10 and 100 by turns; the first round of each only warms up."""
    documents = independent_tasks(plan())
    queues = {size: Queue(server.client, f"cycle-{size}") for size in SIZES}
    found: dict[int, dict[str, list[float]]] = {size: defaultdict(list) for size in SIZES}
    for turn in range(rounds + 1):
        for size in random.sample(SIZES, len(SIZES)):
            steps = _round(server, queues[size], list(islice(documents, tasks)), size)
            if turn == 0:
                continue
            numbers = found[size]
            for name in STEPS:
                numbers[name].append(steps[name].spent.script / tasks)
            numbers["full cycle"].append(sum(step.spent.script for step in steps.values()) / tasks)
            numbers["CPU"].append(sum(step.spent.cpu for step in steps.values()) / tasks)
            numbers["tasks/s"].append(tasks / sum(step.seconds for step in steps.values()))
    figures = tuple(
        Figure(
            f"batches of {size}",
            name,
            "tasks/s" if name == "tasks/s" else "µs",
            tuple(values),
            TARGETS.get(size) if name == "full cycle" else None,
        )
        for size in SIZES
        for name, values in found[size].items()
    )
    rows = tuple(
        (
            str(size),
            *(number(median(found[size][name])) for name in (*STEPS, "full cycle")),
            number(min(found[size]["full cycle"])),
            *(number(median(found[size][name])) for name in ("CPU", "tasks/s")),
        )
        for size in SIZES
    )
    title = "Server time per task (µs, scripts only), CPU of the server's process (µs), one sync client (tasks/s)"
    return Report(title, ("batch", *STEPS, "full cycle", "lowest round", "all CPU", "tasks/s"), rows, figures)


class _PastQueue(Queue):
    """A queue whose scripts believe that it is eight days ago: what it completes is due for removal today."""

    def _prepare(self, script: Script) -> Script:
        clock = (LUA / "lib" / "clock.lua").read_text()
        return read(script.name, {"lib/clock.lua": f"{clock}\nnow = now - {8 * 86_400_000}\n"})


def measure_plan(server: PrivateServer, *, rounds: int, tasks: int) -> Report:
    """Two loads that the cycle leaves out: the plan's own dependencies, and one old task removed per completed one."""
    demo = plan()
    types = sorted({task["type"] for task in demo})
    size = 10
    queue, present, past = (Queue(server.client, "plan"), Queue(server.client, "old"), _PastQueue(server.client, "old"))
    documents = independent_tasks(demo)
    with_dependencies: list[float] = []
    removing: list[float] = []
    copies = max(tasks // len(demo), 1)
    for turn in range(rounds + 1):
        plans = [copy_of(demo) for _ in range(copies)]

        def work(plans: list[list[dict[str, Any]]] = plans) -> None:
            for one in plans:
                queue.enqueue_many(one)
            claims: list[Claim] = []
            done = 0
            while done < copies * len(demo):
                batch = [Finished(claim, output=OUTPUT, decision_report=REPORT) for claim in claims]
                claims = queue.exchange(AGENT, types, finished=batch, limit=size).claims
                done += len(batch)

        dependent = _timed(server, work)
        _round(server, past, list(islice(documents, tasks)), 100)
        removal = _round(server, present, list(islice(documents, 2 * tasks)), size)
        if turn:
            with_dependencies.append(dependent.spent.script / (copies * len(demo)))
            removing.append(sum(step.spent.script for step in removal.values()) / (2 * tasks))
    figures = (
        Figure("exchange of 10", "the plan with its 13 types and its dependencies", "µs", tuple(with_dependencies)),
        Figure("batches of 10", "three types, every second task removes an old one", "µs", tuple(removing)),
    )
    rows = tuple((f"{f.load}: {f.name}", number(f.value)) for f in figures)
    return Report("Server time per task, full cycle (µs)", ("load", "full cycle"), rows, figures)
