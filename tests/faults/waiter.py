"""An agent process for the tests: waits for one task, for ever, and tells what it got.

``python -m tests.faults.waiter URL QUEUE AGENT TYPE [seconds of lease]``; prints ``interrupted`` after Ctrl-C, then
claims once more without waiting.
"""

from __future__ import annotations

import sys

from lokiredis import Queue


def main(url: str, queue_name: str, agent: str, type: str, lease: str = "60") -> None:
    """Claim and print."""
    with Queue.from_url(url, queue_name) as queue:
        try:
            found = queue.claim(agent, type, lease=float(lease), wait=None)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            found = queue.claim(agent, type, lease=float(lease))
        print(found.id if found else found.reason, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
