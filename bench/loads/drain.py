"""How fast no-op tasks of three types with priorities are worked through."""

from __future__ import annotations

import os
from dataclasses import dataclass
from statistics import median

from figures import Figure, Report, number
from peers import Peer
from players import BULLMQ, OURS, Field, Turns, best, ratios

#: At least so many times as fast as BullMQ on Node, and as the best Python peer; Redis' part of a core, in percent, and
#: how much faster, with four processes.
AGAINST_BULLMQ, AGAINST_PYTHON, SERVER_BOUND, FOUR = 1.2, 8.0, 90.0, 1.5


@dataclass(frozen=True)
class _Run:
    rate: float
    #: Of a core, in percent: the server, and the busiest worker process.
    server: float
    worker: float


def measure_drain(turns: Turns, field: Field, *, rounds: int, count: dict[str, int], processes: int) -> Report:
    """``count``: tasks, by the name of the player, "" for all others: rates are compared, and some are slow."""

    def play(peer: Peer) -> _Run:
        tasks = count.get(peer.name, count[""])
        peer.fill(turns.server.url, tasks)
        before = turns.server.spent()
        drained = peer.drain(turns.server.url, tasks, processes)
        cpu = turns.server.spent().since(before).cpu
        busiest = max(drained.cpu)
        return _Run(drained.tasks / drained.seconds, cpu / 1e4 / drained.wall, busiest * 100 / drained.wall)

    turns.players = [player for player in turns.players if "drain" in player.can]
    found = turns.rounds(rounds, play)
    rates = {name: [run.rate for run in runs] for name, runs in found.items()}
    load = f"drain, {processes} process{'es' * (processes > 1)}"
    figures = [Figure(load, name, "tasks/s", tuple(values)) for name, values in rates.items()]
    if processes == 1:
        figures += _against(load, rates, field)
    else:
        figures.append(
            Figure(load, "Redis", "% of a core", tuple(run.server for run in found[OURS.name]), SERVER_BOUND, True)
        )
    rows = [
        (
            name,
            number(median(rates[name])),
            f"{min(rates[name]):,.0f} to {max(rates[name]):,.0f}",
            number(median(run.server for run in runs)),
            number(median(run.worker for run in runs)),
            f"{median(ratios(rates[OURS.name], rates[name])):.2f}",
        )
        for name, runs in sorted(found.items(), key=lambda item: -median(rates[item[0]]))
    ]
    title = (
        f"Drain: no-op tasks per second, {processes} worker process{'es' * (processes > 1)} at concurrency 100 "
        f"({rounds} rounds, {os.cpu_count()} cores)"
    )
    header = ("", "tasks/s", "lowest to highest", "Redis, % of a core", "busiest worker, %", "ours / this")
    return Report(title, header, tuple(rows), tuple(figures))


def _against(load: str, rates: dict[str, list[float]], field: Field) -> list[Figure]:
    ours = rates[OURS.name]
    figures = []
    if BULLMQ in rates:
        figures.append(Figure(load, "ours / BullMQ's", "×", ratios(ours, rates[BULLMQ]), AGAINST_BULLMQ, True))
    python = best(rates, field.of_python())
    if python:
        figures.append(Figure(load, f"ours / {python}'s", "×", ratios(ours, rates[python]), AGAINST_PYTHON, True))
    return figures
