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
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .orphans import prctl

log = logging.getLogger("lokiredis.worker")

#: What tells the processes of a task from others, and the file's folder those of a worker.
VARIABLE = "LOKIREDIS_TASK_FILE"
_PR_SET_CHILD_SUBREAPER = 36
#: How often it is looked again, in seconds: what a stray had started itself is found when the stray has ended.
_AGAIN, _MOST_LOOKS = 0.01, 200
#: Where in what follows the name in /proc/PID/stat (proc_pid_stat(5)) its state stands, and the two addresses between
#: which its environment lies: "0" while there is none, and the same when it is empty.
_STATE, _ENVIRONMENT = 0, slice(47, 49)


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
        """Kill what still runs with this file in its environment. Raises nothing: what the task came to must count."""
        killed, blind = False, None
        for _ in range(_MOST_LOOKS):
            try:
                found, blind = self._found(task_file), None
            except OSError as e:  # no descriptor is free: perhaps in a moment
                found, blind = {}, e
            if not found and not blind:
                return
            marked = [pid for pid, is_of_task in found.items() if is_of_task]
            if marked and not killed:
                log.warning("%d processes that the command had left behind are killed", len(marked))
                killed = True
            for pid in marked:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(_AGAIN)
        log.warning("nobody can see whether the command has left processes behind: %s", blind or sorted(found))

    def bury(self) -> None:
        """Those that have ended by themselves: as their parent we must."""
        with suppress(OSError):  # no descriptor is free: next time
            self._adopted(self._children())

    def _found(self, task_file: str) -> dict[int, bool | None]:
        """Which of the adopted are of this task, or may be (None)."""
        children = self._children()
        found = {pid: _is_of(pid, task_file) for pid in self._adopted(children)}
        # One that died while we looked has left its own children to us just then, and they are not looked at yet.
        found |= dict.fromkeys(self._children() - children)
        return {pid: is_of_task for pid, is_of_task in found.items() if is_of_task is not False}

    def _adopted(self, children: Iterable[int]) -> list[int]:
        """Which of these somebody has left to us; the dead ones are buried."""
        alive = []
        for pid in children:
            if pid in self.own:
                continue
            # One that is being started is the event loop's to bury, and not known yet.
            with suppress(ChildProcessError):
                if not self.expected and os.waitpid(pid, os.WNOHANG)[0]:
                    continue
            alive.append(pid)
        return alive

    def _children(self) -> set[int]:
        """Those that this thread has started, and those that the process has adopted.

        Linux lists the children of each thread apart, and gives an orphan to the first thread of the new parent that
        lives: the main thread. To look at all threads, of which there is one per command before Python 3.12, took each
        of a thousand tasks 20 ms.
        """
        found: set[int] = set()
        for thread in {os.getpid(), threading.get_native_id()} if self._there else ():
            with suppress(FileNotFoundError, PermissionError):  # a kernel that doesn't tell
                found.update(map(int, Path(f"/proc/self/task/{thread}/children").read_text().split()))
        return found


def _is_of(pid: int, task_file: str) -> bool | None:
    """Whether it was started with this file in its environment; None while that can't be told.

    For it is dying, which takes a large one long, and what it has started itself is not our child yet; or it begins to
    run another program just now.
    """
    about, environment = Path("/proc", str(pid)), b""
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # it has ended, or is another user's
        with suppress(ProcessLookupError):
            environment = (about / "environ").read_bytes()
        if environment:
            return f"{VARIABLE}={task_file}".encode() in environment.split(b"\0")
        stat = (about / "stat").read_bytes().rpartition(b")")[2].split()
        begins, ends = stat[_ENVIRONMENT]
        if stat[_STATE] not in b"ZX" and (begins == b"0" or begins != ends):
            return None
    return False
