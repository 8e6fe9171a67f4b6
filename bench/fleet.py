"""What a fleet meets: how soon an idle worker begins with a task, and what waiting agents cost the server.

    python bench/fleet.py [--quick] [--only NAME] [--json FILE]

Exit code: 0 every target met, 1 one missed, 130 interrupted. bench/README.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from engine import machine_of, stop
from figures import Report, table, target_table
from loads.idle import measure_idle
from loads.pickup import measure_pickup
from private_server import PrivateServer, private_server

NAMES = ("pickup", "idle")


def main() -> int:
    """Measure, print, compare."""
    options = _options()
    signal.signal(signal.SIGTERM, stop)
    try:
        with private_server() as server:
            machine = machine_of(server)
            load = os.getloadavg()[0]
            print("  ".join(f"{name}: {value}" for name, value in machine.items()), flush=True)
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
    reports: list[Report] = []
    for name in NAMES if only is None else (only,):
        if name == "pickup":
            report = measure_pickup(server, rounds=5 if quick else 9, tasks=50 if quick else 200)
        else:
            report = measure_idle(server, agents=200 if quick else 1000, seconds=30 if quick else 125)
        server.client.flushall()
        print(f"\n{report.title}\n{table(report.header, report.rows)}", flush=True)
        reports.append(report)
    return reports


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure workers on a Redis server of their own.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and agents: under two minutes")
    parser.add_argument("--only", choices=NAMES, help="one of the measurements")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round of every figure there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
