"""An agent process for the tests that Ctrl-C interrupts again and again while it claims.

``python -m tests.faults.interrupted URL QUEUE WAY`` (``claim``, ``claim_many`` or ``exchange``) claims once for each
line of its input, and tells when it begins. After the interruption it prints the ids that it was given before, which it
has completed, or ``nothing``.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

from lokiredis import Claim, Queue

TYPE = "build"
_REPORT = {"why": "a test"}


def _interrupt_again(ignored: sys.UnraisableHookArgs) -> None:
    """Python drops an interruption that comes as an object is deleted: the agent would go on for ever."""
    if isinstance(ignored.exc_value, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.001)  # to raise it here would be ignored, too
    else:
        sys.__unraisablehook__(ignored)


def main(url: str, queue_name: str, way: str) -> None:
    """Claim as often as told."""
    sys.unraisablehook = _interrupt_again
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    with Queue.from_url(url, queue_name) as queue:
        ways: dict[str, Callable[[], list[Claim]]] = {
            "claim": lambda: [claim] if (claim := queue.claim("agent", TYPE, wait=None)) else [],
            "claim_many": lambda: queue.claim_many("agent", TYPE, 5),
            "exchange": lambda: queue.exchange("agent", TYPE, limit=5).claims,
        }
        while sys.stdin.readline():
            found: list[Claim] = []
            try:
                print("claiming", flush=True)
                while not found:
                    found = ways[way]()
                while True:
                    time.sleep(0.01)  # a signal that comes just before a long sleep is heard only after it
            except KeyboardInterrupt:
                for claim in found:
                    queue.complete(claim, decision_report=_REPORT)
                print(" ".join(claim.id for claim in found) or "nothing", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
