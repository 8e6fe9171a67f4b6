"""Takes a snapshot and ends itself by SIGKILL at one of its writes, fsyncs and renames.

``python -m tests.files.killed URL QUEUE FOLDER NUMBER``: just before the call with this number, or in the middle of it
when that is a write. Says how many there were when it was not reached.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from lokiredis import Queue
from lokiredis.files.snapshot import Snapshot


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def main(url: str, name: str, folder: str, number: str) -> None:
    """One snapshot, to its end or that far."""
    count, last = 0, int(number)
    write = os.write

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == last:
                if call is write:
                    write(args[0], bytes(args[1])[: len(args[1]) // 2])
                _die()
            return call(*args, **options)

        return counting

    with Queue.from_url(url, name) as queue:
        queue.counts()
        for call in ("write", "fsync", "rename"):
            setattr(os, call, counted(getattr(os, call)))
        with Snapshot(queue, folder) as job:
            job.take()
    print(count)


if __name__ == "__main__":
    main(*sys.argv[1:])
