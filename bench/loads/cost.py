"""What a task costs the server from being put in to its end: its CPU time, and the time in commands, scripts once."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Any

from figures import Figure, Report, number
from peers import Peer
from players import OURS, Turns, ratios
from private_server import PrivateServer

#: Tasks that are watched to learn which commands a peer calls itself, and which its scripts call.
_WATCHED = 300


@dataclass(frozen=True)
class _Cost:
    """Microseconds per task."""

    put_in: float
    worked: float
    commands: float


def measure_cost(turns: Turns, *, rounds: int, count: int) -> Report:
    """Tasks put in as fast as a player can, then worked through by one process at concurrency 100."""
    server = turns.server
    turns.players = [player for player in turns.players if "drain" in player.can]
    own: dict[str, dict[str, float]] = {}

    def learn(peer: Peer) -> None:
        with _Watch(server) as watch:
            peer.fill(server.url, _WATCHED)
            peer.drain(server.url, _WATCHED)
        own[peer.name] = watch.shares()

    def play(peer: Peer) -> _Cost:
        server.client.config_resetstat()
        begun = server.spent().cpu
        peer.fill(server.url, count)
        filled = server.spent().cpu
        peer.drain(server.url, count)
        ended = server.spent().cpu
        return _Cost((filled - begun) / count, (ended - filled) / count, _in_commands(server, own[peer.name]) / count)

    turns.rounds(1, learn)
    found = turns.rounds(rounds, play)
    whole = {name: [cost.put_in + cost.worked for cost in costs] for name, costs in found.items()}
    figures = [Figure("server cost", f"{name}, CPU of a cycle", "µs", tuple(costs)) for name, costs in whole.items()]
    rows = [
        (
            name,
            number(median(cost.put_in for cost in costs)),
            number(median(cost.worked for cost in costs)),
            number(median(whole[name])),
            number(median(cost.commands for cost in costs)),
            f"{median(ratios(whole[name], whole[OURS.name])):.2f}",
        )
        for name, costs in sorted(found.items(), key=lambda item: median(whole[item[0]]))
    ]
    title = f"Server cost per task, µs ({rounds} rounds of {count:,}; CPU of the process, and of that in commands)"
    header = ("", "put in", "worked through", "both", "in commands", "this / ours")
    return Report(title, header, tuple(rows), tuple(figures))


def _in_commands(server: PrivateServer, own: dict[str, float]) -> float:
    """The microseconds of the commands that came from outside: what a script calls is in the script's time already."""
    stats: dict[str, Any] = server.client.info("commandstats")
    names = {key.removeprefix("cmdstat_").partition("|")[0]: 0.0 for key in stats}
    for key, line in stats.items():
        names[key.removeprefix("cmdstat_").partition("|")[0]] += line["usec"]
    return sum(usec * own.get(name, 0.0) for name, usec in names.items())


class _Watch:
    """Counts, by MONITOR, which commands come from clients and which from scripts."""

    def __init__(self, server: PrivateServer) -> None:
        self._server = server
        self._all: Counter[str] = Counter()
        self._own: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._begun = threading.Event()

    def __enter__(self) -> _Watch:
        self._thread.start()
        self._begun.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.client.echo("the watch ends")
        self._thread.join()

    def _count(self) -> None:
        with self._server.client.monitor() as watching:  # type: ignore[no-untyped-call]
            self._begun.set()
            for call in watching.listen():
                if call["command"].upper().startswith("ECHO THE WATCH ENDS"):
                    return
                name = call["command"].split(" ", 1)[0].lower()
                self._all[name] += 1
                self._own[name] += call["client_type"] != "lua"

    def shares(self) -> dict[str, float]:
        """By command: the part of its calls that came from clients."""
        return {name: self._own[name] / total for name, total in self._all.items()}
