"""A small process beside the worker that ends its commands, with all that they started, when the worker is killed.

The signal that a parent's death sends reaches a child, but not what that child started. The keeper waits at the end of
a pipe that only the worker holds: whatever ends the worker ends the pipe. Then it also kills what has left the process
group of its command (setsid), known by the environment that it was started with (worker/strays.py).
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from .strays import VARIABLE

log = logging.getLogger("lokiredis.worker")

#: Reads "+group" and "-group", a line each; what is left at the end of the pipe is killed. Out of lokiredis's own code,
#: so that it starts in a few ms and takes little memory. A number that no longer leads a session is another process's.
_PROGRAM = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        if os.getsid(group) != group:
            continue
    except OSError:
        pass
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
mark, more = b"\\0" + os.fsencode(sys.argv[1]), 100
while more and os.path.isdir("/proc/self"):
    more -= 1
    killed = 0
    for number in os.listdir("/proc"):
        try:
            if number.isdigit() and mark in b"\\0" + open(f"/proc/{number}/environ", "rb").read():
                os.kill(int(number), signal.SIGKILL)
                killed += 1
        except OSError:
            pass
    more = more if killed else 0
"""

_BYTES = 8


class Birth:
    """A child that is being started: memory that it shares with us, and no other child does."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _BYTES)

    @property
    def number(self) -> int:
        """Of the process; 0 where there was none."""
        return int.from_bytes(self._memory[:], "little")

    def announce(self, number: int) -> None:
        """For the child."""
        self._memory[:] = number.to_bytes(_BYTES, "little")


class Keeper:
    """Started anew when it was killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        #: Whether it was killed and there could not be another one.
        self._lacking = False
        self._groups: set[int] = set()
        self._mark = ""

    def start(self, folder: Path) -> None:
        """Begin to keep those whose files lie in this folder of the worker."""
        self._mark = f"{VARIABLE}={folder}/"
        self._start()

    def _start(self) -> None:
        self._process = process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-u", "-c", _PROGRAM, self._mark],
            # A worker may be a command of another worker, which must not end this with it.
            env={name: value for name, value in os.environ.items() if name != VARIABLE},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            bufsize=0,
        )
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # killed, too: the next line shows it
            process.stdin.write("".join(f"+{group}\n" for group in self._groups).encode())

    def tend(self) -> None:
        """Replace it if it was killed: else that shows only when a command begins or ends, which may take hours."""
        if self._lacking or (self._process is not None and self._process.poll() is not None):
            self._replace()

    def expects(self) -> Birth:
        """A child is about to be started, which is to :meth:`announce` itself."""
        return Birth()

    def misses(self, birth: Birth) -> None:
        """It was not: a number that it announced may be another process's soon, which must not be killed for it."""
        if birth.number:
            self._tell(f"-{birth.number}\n")

    def holds(self, group: int) -> None:
        """This process group ends with the worker."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def lets_go(self, group: int) -> None:
        """It has ended; its number may be another's soon."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def announce(self, birth: Birth) -> None:
        """For the child between fork and exec: what it starts before the worker says :meth:`holds` is kept, too."""
        birth.announce(os.getpid())
        if self._process is not None and self._process.stdin is not None:
            # Popen has set it back to what it does by default: to end this child, and its task's attempt, for a keeper
            # that was killed.
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
            with suppress(OSError):
                os.write(self._process.stdin.fileno(), b"+%d\n" % os.getpid())
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    def stop(self) -> None:
        """All commands have ended."""
        if self._process is not None:
            with suppress(OSError):
                self._process.communicate()
            self._process = None

    def _tell(self, line: str) -> None:
        if self._lacking:
            self._replace()
        elif self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.write(line.encode())
            except BrokenPipeError:
                self._replace()

    def _replace(self) -> None:
        """Raises nothing: a command that has just been started would run on, unwatched."""
        self.stop()
        try:
            self._start()
        except OSError as e:
            if not self._lacking:
                log.warning("the keeper of this worker's commands was killed, and another can't be started yet: %s", e)
            self._lacking = True
            return
        self._lacking = False
        log.warning("the keeper of this worker's commands was killed; there is another one now")
