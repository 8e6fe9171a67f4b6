"""A process that takes a snapshot and ends itself by SIGKILL at one of its writes, fsyncs and renames."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from lokiredis import Queue
from lokiredis.files.snapshot import Snapshot


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def killed_at(number: int, url: str, name: str, folder: Path) -> int:
    """Take a snapshot in a process that is killed just before the call with this number, or in the middle of a write.

    Returns how many calls there were when that one was not reached, 0 when it was killed.
    """
    # A fork, since a new interpreter would take longer than the snapshot, and there are dozens of calls.
    child = os.fork()
    if child == 0:
        try:
            Path(f"{folder}.count").write_text(str(_take(number, url, name, folder)))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return 0
    assert os.waitstatus_to_exitcode(status) == 0
    return int(Path(f"{folder}.count").read_text())


def _take(number: int, url: str, name: str, folder: Path) -> int:
    count, write = 0, os.write

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                if call is write:
                    write(args[0], bytes(args[1])[: len(args[1]) // 2])
                _die()
            return call(*args, **options)

        return counting

    with Queue.from_url(url, name) as queue:
        for call in ("write", "fsync", "rename"):
            setattr(os, call, counted(getattr(os, call)))
        with Snapshot(queue, folder) as job:
            job.take()
    return count
