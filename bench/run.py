"""Every load, ours beside the queues that people use today: prints tables, writes results and plots.

    python bench/run.py [--full] [--only LOAD …] [--peer NAME … | --no-peers] [--port PORT]

Exit code: 0 every target met, 1 one missed, 130 interrupted. bench/README.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from engine import machine_of, stop
from figures import Figure, Report, table, target_table
from loads.backlog import measure_backlog
from loads.cost import measure_cost
from loads.crowd import measure_crowd
from loads.cycle import measure_cycle
from loads.dag import measure_dag
from loads.drain import measure_drain
from loads.durability import measure_durability
from loads.enqueue import measure_enqueue
from loads.memory import measure_memory, measure_memory_states
from loads.pickup import measure_pickup, measure_pickups
from loads.soak import measure_soak
from loads.storm import measure_storm
from peers import PEERS
from players import BULLMQ, OURS, Field, Turns, gather
from private_server import PrivateServer, private_server

RESULTS = Path(__file__).with_name("results")
#: µs of server time per task, and how many times the floor a full cycle may take.
CYCLE, FLOORS = {"1": 80.0, "1, busy server": 80.0, "100": 40.0}, 2.0


@dataclass(frozen=True)
class Sizes:
    """How much of everything: ``small`` ends in about five minutes, ``full`` is what the issue and the README quote."""

    #: Of the drain, and of what else is measured beside peers.
    rounds: int
    others: int
    #: Of the slow ones too many tasks would take all the time; of Node too few would show its compiler.
    drain: dict[str, int]
    #: Whether all peers are measured with four processes, too, or BullMQ alone.
    all_by_four: bool
    enqueue: int
    pickups: int
    dag: dict[str, int]
    cycle: int
    claims: int
    many: int
    most: int
    storm: int
    memory: int
    durability: int
    cost: int
    crowds: tuple[int, ...]
    crowd_seconds: float


SMALL = Sizes(
    rounds=2,
    others=1,
    drain={"lokiredis": 20_000, BULLMQ: 20_000, "": 2_000},
    all_by_four=False,
    enqueue=2_000,
    pickups=50,
    dag={"layers": 2_000, "fan": 2_000},
    cycle=500,
    claims=200,
    many=10_000,
    most=50_000,
    storm=50_000,
    memory=10_000,
    durability=5_000,
    cost=2_000,
    crowds=(200,),
    crowd_seconds=30,
)
FULL = Sizes(
    rounds=5,
    others=5,
    drain={"": 50_000},
    all_by_four=True,
    enqueue=20_000,
    pickups=200,
    dag={"layers": 20_000, "fan": 100_000},
    cycle=2_000,
    claims=200,
    many=100_000,
    most=1_000_000,
    storm=1_000_000,
    memory=100_000,
    durability=20_000,
    cost=10_000,
    crowds=(1_000, 10_000),
    crowd_seconds=66,
)

Load = Callable[[PrivateServer, Field, Sizes], list[Report]]


def _turns(server: PrivateServer, field: Field) -> Turns:
    return Turns(server, field.players, _say)


def _drain(server: PrivateServer, field: Field, sizes: Sizes) -> list[Report]:
    one = measure_drain(_turns(server, field), field, rounds=sizes.rounds, count=sizes.drain, processes=1)
    together = _turns(server, field)
    if not sizes.all_by_four:
        together.players = [player for player in together.players if player.name in (OURS.name, BULLMQ)]
    four = measure_drain(together, field, rounds=sizes.rounds, count=sizes.drain, processes=4)
    return [one, four]


def _enqueue(server: PrivateServer, field: Field, sizes: Sizes) -> list[Report]:
    return [measure_enqueue(_turns(server, field), field, rounds=sizes.others, count=sizes.enqueue)]


def _pickup(server: PrivateServer, field: Field, sizes: Sizes) -> list[Report]:
    handed = measure_pickup(server, rounds=sizes.others, tasks=sizes.pickups)
    return [handed, measure_pickups(_turns(server, field), rounds=sizes.others, tasks=sizes.pickups)]


def _dag(server: PrivateServer, field: Field, sizes: Sizes) -> list[Report]:
    return [measure_dag(_turns(server, field), rounds=sizes.others, count=sizes.dag)]


def _backlog(server: PrivateServer, field: Field, sizes: Sizes) -> list[Report]:
    rounds, claims = max(sizes.others, 5), sizes.claims
    return [
        measure_backlog(server, rounds=rounds, claims=claims, many=sizes.many, most=sizes.most, say=_say, more=True)
    ]


def _crowd(server: PrivateServer, field: Field, sizes: Sizes) -> list[Report]:
    return [measure_crowd(server, crowds=sizes.crowds, seconds=sizes.crowd_seconds)]


def _storm(server: PrivateServer, field: Field, sizes: Sizes) -> list[Report]:
    return [measure_storm(server, due=sizes.storm)]


def _memory(server: PrivateServer, field: Field, sizes: Sizes) -> list[Report]:
    return [measure_memory(server, tasks=sizes.memory), measure_memory_states(server, field, tasks=sizes.memory // 10)]


def _durability(server: PrivateServer, field: Field, sizes: Sizes) -> list[Report]:
    return [measure_durability(field, rounds=sizes.others, count=sizes.durability)]


def _cost(server: PrivateServer, field: Field, sizes: Sizes) -> list[Report]:
    cycle = measure_cycle(server, rounds=max(sizes.others, 5), tasks=sizes.cycle, targets=CYCLE, floors_target=FLOORS)
    return [cycle, measure_cost(_turns(server, field), rounds=sizes.others, count=sizes.cost)]


LOADS: dict[str, Load] = {
    "drain": _drain,
    "enqueue": _enqueue,
    "pickup": _pickup,
    "dag": _dag,
    "backlog": _backlog,
    "crowd": _crowd,
    "storm": _storm,
    "memory": _memory,
    "durability": _durability,
    "cost": _cost,
}


def main() -> int:
    """Measure, print, compare, write."""
    options = _options()
    signal.signal(signal.SIGTERM, stop)
    sizes = FULL if options.full else SMALL
    failed: dict[str, str] = {}
    try:
        field = gather([] if options.no_peers else options.peer or None)
        for name, why in field.absent.items():
            print(f"{name} is not measured: {why}", flush=True)
        with private_server(port=options.port) as server:
            machine = _machine(server, field)
            load = os.getloadavg()[0]
            print("  ".join(f"{name}: {value}" for name, value in machine.items()), flush=True)
            if options.minutes:
                reports = [_shown(measure_soak(server, minutes=options.minutes))]
            else:
                reports = _measure(server, field, sizes, options.only or list(LOADS), failed)
            machine["load"] = [round(load, 1), round(os.getloadavg()[0], 1)]
    except KeyboardInterrupt:
        return 130
    figures = [figure for report in reports for figure in report.figures]
    print(f"\n{target_table(figures)}")
    for name, why in failed.items():
        print(f"{name} was not measured: {why}")
    print("load average of the machine before and after: {} {}".format(*machine["load"]))
    _write(machine, options, reports)
    return 1 if failed or any(figure.missed for figure in figures) else 0


def _measure(
    server: PrivateServer, field: Field, sizes: Sizes, names: Sequence[str], failed: dict[str, str]
) -> list[Report]:
    """The loads by turns; one that gives up goes to *failed* with its reason, and what came before it is not lost."""
    reports: list[Report] = []
    for name in names:
        server.client.flushall()
        try:
            reports += [_shown(report) for report in LOADS[name](server, field, sizes)]
        except SystemExit as why:
            failed[name] = str(why)
            print(f"\n{why}", flush=True)
    return reports


def _shown(report: Report) -> Report:
    print(f"\n{report.title}\n{table(report.header, report.rows)}", flush=True)
    return report


def _machine(server: PrivateServer, field: Field) -> dict[str, Any]:
    return machine_of(server) | field.versions


def _part(options: argparse.Namespace) -> str:
    """What the name of a result says besides: a run of a part must not take the place of a whole one, nor a small one
    that of a full one."""
    if options.minutes:
        return "-soak"
    peers = [peer.key for peer in PEERS if peer.name in (options.peer or [])]
    names = [*(options.only or []), *peers, *(["no-peers"] if options.no_peers else [])]
    return "".join(f"-{name}" for name in (["full", *names] if options.full else names))


def _write(machine: dict[str, Any], options: argparse.Namespace, reports: Sequence[Report]) -> None:
    from plots import draw

    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"{date.today().isoformat()}-{socket.gethostname()}{_part(options)}"
    figures: list[Figure] = [figure for report in reports for figure in report.figures]
    document = {
        "schemaVersion": 1,
        "machine": machine,
        "full": options.full,
        "tables": [{"title": r.title, "header": r.header, "rows": r.rows} for r in reports],
        "figures": [figure.to_json() for figure in figures],
    }
    result = stem.with_name(f"{stem.name}.json")
    result.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    drawn = draw(figures, stem)
    print(f"written: {result}" + "".join(f", {path.name}" for path in drawn))


def _say(text: str) -> None:
    print(f"({text})", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure lokiredis beside other queues, on a Redis server of its own.")
    parser.add_argument("--full", action="store_true", help="the sizes that bench/README.md quotes: an hour or more")
    parser.add_argument("--only", choices=list(LOADS), action="append", help="this load; may be given again")
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--peer", choices=[peer.name for peer in PEERS], action="append", help="this peer; again")
    some.add_argument("--no-peers", action="store_true", help="lokiredis alone")
    parser.add_argument("--port", type=int, default=0, help="the server's port on loopback (default: a free one)")
    parser.add_argument("--minutes", type=float, metavar="N", help="in place of all that: a mixed load for N minutes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
