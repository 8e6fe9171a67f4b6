"""What a task costs from enqueue to completion: server time, and what one client gets through."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import truediv
from statistics import median
from typing import Any, TypeVar

from figures import Figure, Report, number
from floor import Floor
from private_server import PrivateServer, Spent
from workload import AGENT, OUTPUT, REPORT, TYPES, copy_of, independent_tasks, plan

from lokiredis import Claim, Finished, NewTask, NoClaim, Queue, commands
from lokiredis.commands import Command
from lokiredis.scripts import LUA, Script, read

#: What is measured, and the size of its batches.
LOADS = {"1": 1, "1, busy server": 1, "10": 10, "100": 100}
TARGETS = {"1": 95.0, "1, busy server": 95.0, "100": 45.0}
#: Calls that a busy server has before it at a time.
WAITING = 50
STEPS = ("enqueue", "claim", "complete")
T = TypeVar("T")


@dataclass(frozen=True)
class _Step:
    spent: Spent
    seconds: float


class _BusyQueue(Queue):
    """The calls of a fleet: one task each, and the next ones wait already when one is done."""

    def together(self, calls: list[Command[T]]) -> list[T]:
        """Send the calls without waiting for a reply in between."""
        found: list[T] = []
        for first in range(0, len(calls), WAITING):
            part = calls[first : first + WAITING]
            pipe = self.redis.pipeline(transaction=False)
            for call in part:
                loaded = self._loaded(call.script)
                send = pipe.fcall if loaded.is_library else pipe.evalsha
                send(loaded.name, str(len(call.keys)), *self._argv(call))
            found += [call.parse(reply) for call, reply in zip(part, pipe.execute(), strict=True)]
        return found


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


def _busy_round(server: PrivateServer, queue: _BusyQueue, tasks: list[dict[str, Any]]) -> dict[str, _Step]:
    queue.load_scripts()
    keys = queue.keys
    new = [commands.enqueue_batch(keys, [NewTask.from_json(task)], commands.new_request()) for task in tasks]
    taking = [commands.claim_once(keys, AGENT, TYPES) for _ in tasks]
    steps = {"enqueue": _timed(server, lambda: queue.together(new))}
    claims: list[Claim | NoClaim] = []
    steps["claim"] = _timed(server, lambda: claims.extend(queue.together(taking)))
    endings = [
        commands.complete(keys, claim, output=OUTPUT, decision_report=REPORT)
        for claim in claims
        if isinstance(claim, Claim)
    ]
    assert len(endings) == len(tasks), f"{len(endings)} of {len(tasks)} were claimed"
    steps["complete"] = _timed(server, lambda: queue.together(endings))
    return steps


def _round(server: PrivateServer, queue: Queue, tasks: list[dict[str, Any]], size: int) -> dict[str, _Step]:
    claims: list[Claim] = []
    steps = {
        "enqueue": _timed(server, lambda: _enqueue(queue, tasks, size)),
        "claim": _timed(server, lambda: _claim(queue, len(tasks), size, claims)),
        "complete": _timed(server, lambda: _complete(queue, claims, size)),
    }
    assert len(claims) == len(tasks), f"{len(claims)} of {len(tasks)} were claimed"
    return steps


def measure_cycle(
    server: PrivateServer,
    *,
    rounds: int,
    tasks: int,
    targets: Mapping[str, float] = TARGETS,
    floors_target: float | None = None,
) -> Report:
    """All loads by turns, each after the same writes without any rule; the first round of each only warms up.

    ``targets``: µs, by load; ``floors_target``: how many times the writes alone a full cycle may take.
    """
    documents = independent_tasks(plan())
    floors = {load: Floor(server, f"floor-{number}") for number, load in enumerate(LOADS)}
    queues = {load: _BusyQueue(server.client, f"cycle-{number}") for number, load in enumerate(LOADS)}
    found: dict[str, dict[str, list[float]]] = {load: defaultdict(list) for load in LOADS}
    for turn in range(rounds + 1):
        for load in random.sample(list(LOADS), len(LOADS)):
            batch = list(islice(documents, tasks))
            if load == "1, busy server":
                steps = _busy_round(server, queues[load], batch)
            else:
                steps = _round(server, queues[load], batch, LOADS[load])
            limit = floors[load].round(batch, LOADS[load], waiting=WAITING if load == "1, busy server" else 1)
            if turn == 0:
                continue
            numbers = found[load]
            numbers["floor"].append(sum(spent.script for spent in limit.values()) / tasks)
            for name in STEPS:
                numbers[name].append(steps[name].spent.script / tasks)
            numbers["full cycle"].append(sum(step.spent.script for step in steps.values()) / tasks)
            numbers["CPU"].append(sum(step.spent.cpu for step in steps.values()) / tasks)
            numbers["tasks/s"].append(tasks / sum(step.seconds for step in steps.values()))
    figures = tuple(
        Figure(
            f"batches of {load}",
            name,
            "tasks/s" if name == "tasks/s" else "µs",
            tuple(values),
            targets.get(load) if name == "full cycle" else None,
        )
        for load in LOADS
        for name, values in found[load].items()
    )
    figures += tuple(
        Figure(
            f"batches of {load}",
            "full cycle against the floor",
            "×",
            tuple(map(truediv, found[load]["full cycle"], found[load]["floor"])),
            floors_target,
        )
        for load in LOADS
    )
    rows = tuple(
        (
            load,
            *(number(median(found[load][name])) for name in (*STEPS, "full cycle")),
            number(min(found[load]["full cycle"])),
            number(median(found[load]["floor"])),
            number(median(map(truediv, found[load]["full cycle"], found[load]["floor"]))),
            *(number(median(found[load][name])) for name in ("CPU", "tasks/s")),
        )
        for load in LOADS
    )
    title = "Server time per task (µs, scripts only), CPU of the server's process (µs), one sync client (tasks/s)"
    return Report(
        title, ("batch", *STEPS, "full cycle", "lowest round", "floor", "× floor", "all CPU", "tasks/s"), rows, figures
    )


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
