"""What it costs to have Redis write to disk: nothing, once a second, before each answer."""

from __future__ import annotations

from statistics import median

from figures import Figure, Report, number
from peers import Peer
from players import BULLMQ, OURS, Field, Turns
from private_server import PERSISTENCE, private_server

from lokiredis import Queue

LOADS = ("one at a time", "batches of 1,000", "drain")


def measure_durability(field: Field, *, rounds: int, count: int) -> Report:
    """Ours and BullMQ's, on a server of its own for each way to persist."""
    players = [player for player in field.players if player.name in (OURS.name, BULLMQ)]
    rates: dict[tuple[str, str], dict[str, list[float]]] = {}
    for persistence in PERSISTENCE:
        with private_server(port=0, persistence=persistence) as server:
            Queue(server.client, "warm").load_scripts()

            def single(peer: Peer, url: str = server.url) -> float:
                found = peer.enqueue(url, count // 5, "single")
                return found.tasks / found.seconds

            def batches(peer: Peer, url: str = server.url) -> float:
                found = peer.enqueue(url, count, "batch1000")
                return found.tasks / found.seconds

            def drain(peer: Peer, url: str = server.url) -> float:
                peer.fill(url, count)
                found = peer.drain(url, count)
                return found.tasks / found.seconds

            for load, play in zip(LOADS, (single, batches, drain), strict=True):
                rates[persistence, load] = Turns(server, players, print).rounds(rounds, play)
    figures = [
        Figure(f"durability {persistence}, {load}", name, "tasks/s", tuple(values))
        for (persistence, load), by_name in rates.items()
        for name, values in by_name.items()
    ]
    rows = [
        (f"{player.name}, {load}", *(_cell(rates[persistence, load].get(player.name)) for persistence in PERSISTENCE))
        for load in LOADS
        for player in players
    ]
    title = (
        f"Durability: tasks per second, append-only file off, fsync each second, before each answer ({rounds} rounds)"
    )
    return Report(title, ("", *PERSISTENCE), tuple(rows), tuple(figures))


def _cell(values: list[float] | None) -> str:
    return number(median(values)) if values else ""
