"""How fast tasks are put in: one at a time, by 32 at once, a thousand a call."""

from __future__ import annotations

from statistics import median

from figures import Figure, Report, number
from peers import Peer
from players import BULLMQ, OURS, Field, Turns, best, ratios

MODES = {"single": "one at a time", "parallel32": "32 at once", "batch1000": "batches of 1,000"}
#: Batches, at least so many times as fast as BullMQ's addBulk; one at a time, as the best Python peer.
AGAINST_BULLMQ, AGAINST_PYTHON = 2.0, 1.0


def measure_enqueue(turns: Turns, field: Field, *, rounds: int, count: int) -> Report:
    """All modes, one after the other."""
    everybody = list(turns.players)
    rates: dict[str, dict[str, list[float]]] = {}
    for mode in MODES:
        turns.players = [player for player in everybody if mode in player.can]

        def play(peer: Peer, mode: str = mode) -> float:
            enqueued = peer.enqueue(turns.server.url, count, mode)
            return enqueued.tasks / enqueued.seconds

        rates[mode] = turns.rounds(rounds, play)
    figures = [
        Figure(f"enqueue, {MODES[mode]}", name, "tasks/s", tuple(values))
        for mode, by_name in rates.items()
        for name, values in by_name.items()
    ]
    batches, single = rates["batch1000"], rates["single"]
    if BULLMQ in batches:
        times = ratios(batches[OURS.name], batches[BULLMQ])
        figures.append(Figure("enqueue, batches of 1,000", "ours / BullMQ's", "×", times, AGAINST_BULLMQ, True))
    python = best(single, field.of_python())
    if python:
        times = ratios(single[OURS.name], single[python])
        figures.append(Figure("enqueue, one at a time", f"ours / {python}'s", "×", times, AGAINST_PYTHON, True))
    rows = [
        (player.name, *(number(median(found)) if (found := rates[mode].get(player.name)) else "" for mode in MODES))
        for player in everybody
    ]
    title = f"Enqueue: tasks per second of one process ({rounds} rounds of {count:,})"
    return Report(title, ("", *MODES.values()), tuple(rows), tuple(figures))
