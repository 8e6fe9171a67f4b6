"""A driver as a process: started in a group of its own, listened to with a time limit, ended with all its children."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

#: For the end of a process whose output has ended, and of an output whose process has, in seconds.
_CHILDREN_SECONDS = 5.0


class PeerFailed(Exception):
    """A peer can't do a load, or did not: ``reason`` is one line to print in place of its figures."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Running:
    """One driver. Leaving the block ends its process group, however far it got."""

    def __init__(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str] | None = None, seconds: float
    ) -> None:
        """``folder`` is its working directory; after ``seconds`` every wait for it fails."""
        self.command = tuple(command)
        self._folder = folder
        self._environment = environment
        self._deadline = time.monotonic() + seconds
        self._limit = seconds
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def __enter__(self) -> Running:
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                self.command,
                cwd=self._folder,
                env=None if self._environment is None else dict(self._environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                bufsize=1,
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise PeerFailed(f"could not be started: {error}") from None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)  # nobody has waited for it yet: its number is still its own
        except ProcessLookupError:
            pass
        self._process.wait()
        self.close()
        self._reader.join(_CHILDREN_SECONDS)
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self, seconds: float | None = None) -> str | None:
        """Its next line. With ``seconds``: None if there is none within so long (0: at once). Raises PeerFailed when it
        has ended, or when its time is up."""
        left = self._deadline - time.monotonic()
        wait = left if seconds is None else min(seconds, left)
        try:
            found = self._lines.get(timeout=wait) if wait > 0 else self._lines.get_nowait()
        except queue.Empty:
            if time.monotonic() >= self._deadline:
                raise PeerFailed(f"no answer within {self._limit:g} s") from None
            return None
        if found is None:
            self._lines.put(None)
            raise PeerFailed(self._why())
        return found

    def send(self, line: str) -> None:
        """One line to its stdin."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
        except BrokenPipeError:
            raise PeerFailed(self._why()) from None

    def close(self) -> None:
        """The end of its stdin."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass

    def _why(self) -> str:
        """After the end of its output."""
        until = time.monotonic() + _CHILDREN_SECONDS
        while True:
            # WNOWAIT: it must stay a zombie, or its group could not be ended any more without the risk of another's.
            ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if ended is not None:
                break
            if time.monotonic() > until:
                return "closed its output and went on"
            time.sleep(0.01)
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"ended with {code}" + (f": {_telling(said)}" if said else "")


def _telling(lines: Sequence[str]) -> str:
    """The line that says most. The last one of Python's tracebacks; Node puts its own before the stack."""
    named = [line.strip() for line in lines if "Error" in line.split(":")[0] and not line.startswith(" ")]
    return (named or [lines[-1].strip()])[-1][:200]
