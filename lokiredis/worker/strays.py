"""Ends what left the process group of its command: a daemon, or whatever else has made a session of its own (setsid).

Linux gives a process whose parent has ended to the nearest "child subreaper" above it: the worker asks to be that one.
Then each stray is its child sooner or later, and which task it is of tells the environment that it was started with.
So a program that is to outlive its task is started without that variable (``env -u LOKIREDIS_TASK_FILE …``).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from .orphans import prctl

log = logging.getLogger("lokiredis.worker")

#: What tells the processes of a task from others, and the file's folder those of a worker.
VARIABLE = "LOKIREDIS_TASK_FILE"
_PR_SET_CHILD_SUBREAPER = 36
#: How often it is looked again, in seconds: what a stray had started itself is found when the stray has ended.
_AGAIN, _MOST_LOOKS = 0.01, 200


class Strays:
    """``own``: the children that somebody else waits for. Without Linux it finds nobody."""

    def __init__(self) -> None:
        self.own: set[int] = set()
        #: How many children are being started, whose numbers are not known yet.
        self.expected = 0
        self._there = sys.platform == "linux"

    def adopt(self, yes: bool) -> None:
        """Become the parent of orphans, or no longer."""
        if self._there:
            prctl()(_PR_SET_CHILD_SUBREAPER, int(yes))

    async def end(self, task_file: str) -> None:
        """Kill what still runs with this file in its environment."""
        said = False
        for _ in range(_MOST_LOOKS):
            found = [pid for pid in self._adopted() if _has(pid, task_file)]
            if not found:
                return
            if not said:
                log.warning("%d processes that the command had left behind are killed", len(found))
            said = True
            for pid in found:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(_AGAIN)

    def bury(self) -> None:
        """Those that have ended by themselves: as their parent we must."""
        self._adopted()

    def _adopted(self) -> list[int]:
        """Which children we have beside our own; the dead ones are buried."""
        alive = []
        for pid in _children() if self._there else ():
            if pid in self.own:
                continue
            # One that is being started is the event loop's to bury, and not known yet.
            with suppress(ChildProcessError):
                if not self.expected and os.waitpid(pid, os.WNOHANG)[0]:
                    continue
            alive.append(pid)
        return alive


def _children() -> list[int]:
    found: list[int] = []
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that ended meanwhile, or a kernel that doesn't tell
            found += map(int, (thread / "children").read_text().split())
    return found


def _has(pid: int, task_file: str) -> bool:
    with suppress(OSError):  # it has ended, or is another user's
        return f"{VARIABLE}={task_file}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False
