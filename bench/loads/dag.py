"""Tasks that wait for others: ten layers of which each task waits for three of the one before, and one, many, one."""

from __future__ import annotations

from statistics import median

from figures import Figure, Report, number
from peers import Dag, Peer
from players import OURS, Turns, best, ratios

SHAPES = ("layers", "fan")
#: Of a peer to which a shape is quadratic no more tasks than these: a smaller graph is to its favour.
_MOST = {("RQ", "fan"): 500}
#: At least so many times as fast as the best peer that can do it at all.
AGAINST_ALL = 3.0


def measure_dag(turns: Turns, *, rounds: int, count: dict[str, int]) -> Report:
    """``count``: tasks by shape. The rate is that of putting in and working through, one after the other."""
    everybody = list(turns.players)
    figures: list[Figure] = []
    rows: list[tuple[str, ...]] = []
    for shape in SHAPES:
        turns.players = [player for player in everybody if shape in player.can]

        def play(peer: Peer, shape: str = shape) -> Dag:
            return peer.dag(turns.server.url, shape, min(count[shape], _MOST.get((peer.name, shape), count[shape])))

        found = turns.rounds(rounds, play)
        rates = {name: [_rate(dag) for dag in dags] for name, dags in found.items()}
        load = f"dag, {shape} of {count[shape]:,}"
        figures += [Figure(load, name, "tasks/s", tuple(values)) for name, values in rates.items()]
        peer = best(rates, [name for name in rates if name != OURS.name])
        if peer:
            figures.append(
                Figure(load, f"ours / {peer}'s", "×", ratios(rates[OURS.name], rates[peer]), AGAINST_ALL, True)
            )
        rows += [
            (
                f"{name}: {shape}",
                number(median(rates[name])),
                number(median(dag.enqueued.tasks / dag.enqueued.seconds for dag in dags)),
                number(median(dag.drained.tasks / dag.drained.seconds for dag in dags)),
            )
            for name, dags in sorted(found.items(), key=lambda item: -median(rates[item[0]]))
        ]
    title = f"Dependencies: tasks per second, put in and then worked through by one process ({rounds} rounds)"
    return Report(title, ("", "both", "put in", "worked through"), tuple(rows), tuple(figures))


def _rate(dag: Dag) -> float:
    return dag.enqueued.tasks / (dag.enqueued.seconds + dag.drained.wall)
