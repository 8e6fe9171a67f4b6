"""What the engine costs: server time, throughput of one client, memory, claims beside many tasks.

    python bench/engine.py [--quick] [--only NAME] [--json FILE]

Exit code: 0 every target met, 1 one missed, 130 interrupted. bench/README.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from figures import Report, table, target_table
from loads.backlog import measure_backlog
from loads.cycle import measure_cycle, measure_plan
from loads.memory import measure_memory
from private_server import PrivateServer, private_server

from lokiredis import Queue, __version__

NAMES = ("cycle", "plan", "memory", "backlog")


def main() -> int:
    """Measure, print, compare."""
    options = _options()
    signal.signal(signal.SIGTERM, stop)
    try:
        with private_server() as server:
            machine = machine_of(server)
            load = os.getloadavg()[0]
            print("  ".join(f"{name}: {value}" for name, value in machine.items()))
            print("persistence: off (no AOF, no RDB); rules: all on, default settings")
            Queue(server.client, "warm").load_scripts()
            reports = _measure(server, options.only, options.quick)
            machine["load"] = (round(load, 1), round(os.getloadavg()[0], 1))
    except KeyboardInterrupt:
        return 130
    figures = [figure for report in reports for figure in report.figures]
    print(f"\n{target_table(figures)}")
    print("load average of the machine before and after: {} {}".format(*machine["load"]))
    if options.json:
        document = {
            "schemaVersion": 1,
            "machine": machine,
            "quick": options.quick,
            "figures": [figure.to_json() for figure in figures],
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if any(figure.missed for figure in figures) else 0


def _measure(server: PrivateServer, only: str | None, quick: bool) -> list[Report]:
    rounds = 5 if quick else 9
    reports: list[Report] = []
    for name in NAMES if only is None else (only,):
        if name == "cycle":
            report = measure_cycle(server, rounds=rounds, tasks=500 if quick else 2000)
        elif name == "plan":
            report = measure_plan(server, rounds=rounds, tasks=200 if quick else 1000)
        elif name == "memory":
            report = measure_memory(server, tasks=10_000 if quick else 100_000)
        else:
            many, most = (10_000, 50_000) if quick else (100_000, 1_000_000)
            report = measure_backlog(server, rounds=rounds, claims=200, many=many, most=most, say=_say)
        server.client.flushall()
        print(f"\n{report.title}\n{table(report.header, report.rows)}", flush=True)
        reports.append(report)
    return reports


def machine_of(server: PrivateServer) -> dict[str, Any]:
    """What the numbers were measured on."""
    found = server.client.info("server")
    cpu = re.search(r"^model name\s*: (.*)$", _read("/proc/cpuinfo"), re.M)
    return {
        "lokiredis": __version__,
        "server": server.program,
        "allocator": server.client.info("memory")["mem_allocator"],
        "CPU": cpu[1].strip() if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": found["os"],
        "Python": platform.python_version(),
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _say(text: str) -> None:
    print(f"({text})", file=sys.stderr, flush=True)


def stop(number: int, frame: object) -> NoReturn:
    """A handler of SIGTERM: as Ctrl-C."""
    # The server runs in a session of its own, and would outlive us.
    raise KeyboardInterrupt


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the engine on a Redis server of its own.")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds: about half a minute")
    parser.add_argument("--only", choices=NAMES, help="one of the measurements")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round of every figure there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
