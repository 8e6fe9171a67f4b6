"""The tasks of the loads, and the clock and counter of a worker process. Standard library only, as in the harness."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

TYPES = ("eng-backend", "eng-frontend", "eng-qa")
LEVELS = 3
CONCURRENCY = 100
#: A worker tells its count so often, in seconds: 20 lines a second, and nothing on the Redis that is measured.
_TELL = 0.05
#: From the last handler to the end of the process: the acknowledgements of the last tasks belong to the server's work.
_SETTLE = 0.3


@dataclass(frozen=True)
class Task:
    """A no-op task: its number, its type, its level (0 is the most urgent of three)."""

    number: int
    type: str
    level: int


def tasks(count: int) -> Iterator[Task]:
    """Three types, and each of them on three levels, as evenly as it goes."""
    for number in range(count):
        yield Task(number, TYPES[number % len(TYPES)], number // len(TYPES) % LEVELS)


class Meter:
    """Counts the handlers of one worker process.

    ``drain``: it prints ``ready``, and works from the first line on stdin on; then it prints ``done N`` whenever N has
    changed. The end of stdin ends it: it prints ``{"first", "last", "tasks", "cpu"}``. So no task carries a COUNT, no
    worker asks Redis whether all are done, and a handler costs one clock reading and one append.
    """

    def __init__(self) -> None:
        self._times: list[float] = []  # append is atomic, an addition by 100 threads is not
        self._each = False
        self._cpu = 0.0

    def handled(self) -> None:
        """Called by every handler."""
        self._times.append(time.monotonic())
        if self._each:
            os.write(1, f"{self._times[-1]!r}\n".encode())

    def wait(self, *, each: bool = False) -> None:
        """Called by the worker when it is connected and before it takes anything. Blocks until the start signal."""
        self._each = each
        say("ready")
        if not sys.stdin.readline():
            os._exit(0)
        self._cpu = time.process_time()
        if not each:
            threading.Thread(target=self._tell, daemon=True).start()
        threading.Thread(target=self._end, daemon=True).start()

    def _tell(self) -> None:
        told = 0
        while True:
            time.sleep(_TELL)
            if len(self._times) > told:
                told = len(self._times)
                say(f"done {told}")

    def _end(self) -> None:
        while sys.stdin.readline():
            pass
        times, cpu = list(self._times), time.process_time() - self._cpu
        time.sleep(_SETTLE)
        first, last = (min(times), max(times)) if times else (0.0, 0.0)
        say(json.dumps({"first": first, "last": last, "tasks": len(times), "cpu": cpu}))
        os._exit(0)  # the queue is thrown away: no peer's shutdown, which may take a minute, is waited for


#: The one of this process. RQ imports its handlers by name, so they can't get it as an argument.
METER = Meter()


def say(line: str) -> None:
    """One line for the runner, at once."""
    os.write(1, line.encode() + b"\n")
