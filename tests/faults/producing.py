"""A producer as a process: ``python -m tests.faults.producing URL QUEUE LEDGER NAME COUNT BACKLOG``.

It enqueues COUNT tasks, one by one and in batches, and notes each before the call and after it. More than BACKLOG
pending ones it does not leave, so that whoever kills the server hits a call that enqueues, early and late.
"""

from __future__ import annotations

import random
import sys
import time

from lokiredis import LokiRedisError, Queue

from .ledger import Ledger
from .working import TYPES

_MOST_AT_ONCE = 40
#: Between two looks at a queue that is full enough, in seconds.
_LOOK = 0.02


def main(url: str, queue_name: str, path: str, name: str, count: int, backlog: int) -> bool:
    """Whether all was acknowledged."""
    ledger = Ledger(path)
    refused = False
    with Queue.from_url(url, queue_name, retry_for=60) as queue:
        first = 0
        while first < count:
            while queue.counts()["pending"] > backlog:
                time.sleep(_LOOK)
            size = min(random.choice((1, _MOST_AT_ONCE)), count - first)
            made = [_task(name, number) for number in range(first, first + size)]
            ids = [str(task["id"]) for task in made]
            ledger.note("attempted", ids)
            try:
                queue.enqueue_many(made)
            except LokiRedisError as e:
                print(e, file=sys.stderr)
                refused = True
            else:
                ledger.note("acknowledged", ids)
            first += size
    ledger.close()
    return not refused


def _task(name: str, number: int) -> dict[str, object]:
    return {
        "id": f"{name}-{number}",
        "type": TYPES[number % len(TYPES)],
        "payload": {"by": name, "n": number},
        "priority": 1 + number % 4,
        # Each kill costs the tasks in hand one retry: none shall end as a dead letter.
        "maxRetries": 100,
    }


if __name__ == "__main__":
    url, queue_name, path, name, count, backlog = sys.argv[1:]
    sys.exit(not main(url, queue_name, path, name, int(count), int(backlog)))
