"""Whether a claim gets slower when many tasks wait: ready ones, blocked ones, delayed ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from figures import Figure, Report, number, quantile
from private_server import PrivateServer
from workload import AGENT, TYPES, small_tasks

from lokiredis import Claim, Finished, Queue

TARGET = 1.5
FEW = 1000


@dataclass(frozen=True)
class _Crowd:
    """A queue with many tasks in it, and the microseconds of each claim, by round."""

    name: str
    queue: Queue
    types: tuple[str, ...] = TYPES
    rounds: list[list[int]] = field(default_factory=list)

    @property
    def claims(self) -> list[int]:
        """All claims of all rounds."""
        return [time for times in self.rounds for time in times]


def measure_backlog(
    server: PrivateServer,
    *,
    rounds: int,
    claims: int,
    many: int,
    most: int,
    say: Callable[[str], None],
    more: bool = False,
) -> Report:
    """Claims of one task over three types, queue by queue in turns; what was claimed is completed and replaced.

    ``more``: also beside a type whose breaker is open, with 10 and 50 types a claim, and p99 has a target, too.
    """
    crowds = [
        _crowd(server, f"{FEW:,} ready", FEW, 0),
        _crowd(server, f"{many:,} ready", many, 0),
        _crowd(server, f"{FEW:,} ready, {many:,} blocked", FEW, many, blocked=True),
        _crowd(server, f"{FEW:,} ready, {many:,} delayed", FEW, many),
    ]
    if more:
        crowds += [
            _behind_breaker(server, f"{FEW:,} ready, {most // 2:,} behind an open breaker", most // 2),
            *(_of_types(server, types) for types in (1, 10, 50)),
        ]
    say(f"filling a queue with {most:,} small tasks by enqueue_many in batches of 1,000 …")
    crowds.insert(2, _crowd(server, f"{most:,} ready", most, 0))
    for turn in range(rounds + 1):
        for crowd in random.sample(crowds, len(crowds)):
            times = _claim_some(server, crowd, claims)
            if turn:
                crowd.rounds.append(times)
    few = crowds[0]
    figures = [Figure(few.name, "mean claim", "µs", tuple(map(mean, few.rounds)))]
    rows = [_row(few, None)]
    for crowd in crowds[1:]:
        ratios = tuple(mean(times) / mean(base) for times, base in zip(crowd.rounds, few.rounds, strict=True))
        ratio = Figure(crowd.name, f"mean claim against {few.name}", "×", ratios, TARGET)
        figures += [Figure(crowd.name, "mean claim", "µs", tuple(map(mean, crowd.rounds))), ratio]
        if more:
            high = tuple(quantile(t, 0.99) / quantile(b, 0.99) for t, b in zip(crowd.rounds, few.rounds, strict=True))
            figures.append(Figure(crowd.name, f"p99 of a claim against {few.name}", "×", high, TARGET))
        rows.append(_row(crowd, ratio.value))
    header = ("in the queue", "mean", "p50", "p99", "ratio of means")
    return Report("Server time of a claim of one task (µs)", header, tuple(rows), tuple(figures))


def _row(crowd: _Crowd, ratio: float | None) -> tuple[str, ...]:
    times = [float(time) for time in crowd.claims]
    numbers = (mean(times), quantile(times, 0.5), quantile(times, 0.99))
    return (crowd.name, *map(number, numbers), "" if ratio is None else f"{ratio:.2f}")


def _crowd(server: PrivateServer, name: str, ready: int, waiting: int, *, blocked: bool = False) -> _Crowd:
    queue = Queue(server.client, name.replace(",", "").replace(" ", "-"))
    queue.enqueue_many(small_tasks(ready))
    if blocked:
        # One task each that nobody claims, so that completing it isn't part of this.
        parent = queue.enqueue(type="nobody", payload={}).id
        queue.enqueue_many(small_tasks(waiting, dependencies=[parent]))
    elif waiting:
        queue.enqueue_many(small_tasks(waiting, delay=86_400))
    return _Crowd(name, queue)


def _behind_breaker(server: PrivateServer, name: str, held: int) -> _Crowd:
    queue = Queue(server.client, "behind-a-breaker")
    queue.enqueue_many(small_tasks(FEW))
    queue.enqueue_many({**task, "type": "held"} for task in small_tasks(held))
    queue.trip_breaker("held")
    return _Crowd(name, queue, (*TYPES, "held"))


def _of_types(server: PrivateServer, number: int) -> _Crowd:
    """Of the types that it names three have tasks, or the one."""
    queue = Queue(server.client, f"types-{number}")
    names = (*TYPES, *(f"empty-{place}" for place in range(number)))[:number]
    crowd = _Crowd(f"{FEW:,} ready, {number} type{'s' * (number > 1)} per claim", queue, names)
    queue.enqueue_many(_tasks_of(crowd, FEW))
    return crowd


def _tasks_of(crowd: _Crowd, number: int) -> Iterator[dict[str, Any]]:
    """Small tasks of the types that it claims."""
    for task in small_tasks(number):
        yield task if task["type"] in crowd.types else {**task, "type": crowd.types[0]}


def _claim_some(server: PrivateServer, crowd: _Crowd, number: int) -> list[int]:
    queue, types = crowd.queue, crowd.types
    times: list[int] = []
    taken: list[Claim] = []
    _, before = server.script_time()
    for _ in range(number):
        claim = queue.claim(AGENT, types)
        _, after = server.script_time()
        assert isinstance(claim, Claim), claim
        taken.append(claim)
        times.append(after - before)
        before = after
    finished = [Finished(claim, decision_report={"what": "claimed"}) for claim in taken]
    queue.exchange(AGENT, types, finished=finished, limit=0)
    queue.enqueue_many(_tasks_of(crowd, number))
    return times
