"""The standard streams of this process, which may be closed or unable to take a word."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


def mend() -> bool:
    """Put the null device in place of what is closed. False when standard output was: nobody hears the answer."""
    heard = _is_open(1)
    for number in (0, 1, 2):
        if not _is_open(number):
            # It gets the lowest number that is free, which is this one. Else a socket would, and be written to.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # typeshed thinks that they are always there.
    streams: Any = sys
    if streams.stdin is None:
        streams.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    if streams.stdout is None:
        streams.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8")
    encoding = "utf-8" if streams.stderr is None else streams.stderr.encoding
    # Without a buffer: one that a signal interrupts behind its back, as it has written, writes its line again.
    raw: Any = _Forgiving(2, "w", closefd=False)
    streams.stderr = io.TextIOWrapper(raw, encoding, "backslashreplace", write_through=True)
    return heard


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


class _Forgiving(io.FileIO):
    """Standard error. What can't be said there must not change the exit code, which may be all that a script sees."""

    def write(self, data: Any) -> int:
        """Write all of it, or lose the rest."""
        rest = memoryview(data)
        try:
            while rest and (count := super().write(rest)):
                rest = rest[count:]
        except OSError:
            pass
        return len(data)
