"""The log of one attempt: what its command wrote, control characters escaped: no line of it can move a cursor."""

from __future__ import annotations

import logging
import re
from bisect import bisect
from pathlib import Path

log = logging.getLogger("lokiredis.worker")

#: A log takes this much; what comes after it is counted and left out.
MOST_BYTES = 10 * 1024 * 1024

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def escaped(data: bytes) -> str:
    """Text with its control characters, but for newline and tab, as ``\\xNN``."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", data.decode("utf-8", "replace").replace("\r\n", "\n"))


def _size(data: bytes) -> int:
    """What it takes on the disk: a control character takes four bytes there."""
    return len(escaped(data).encode())


class AttemptLog:
    """Never raises: a disk that is full must not end the work that writes to it. Said once, then nothing is kept."""

    def __init__(self, folder: Path, id: str, attempt: int) -> None:
        # An id has no slash and does not begin with a dot (design section 2).
        self.path = folder / f"{id}-{attempt}.log"
        self._written = 0
        self._left_out = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8")
        except OSError as e:
            self._give_up(e)

    def write(self, data: bytes) -> None:
        """Add what was written, as far as there is room."""
        if self._file is None:
            return
        if self._left_out:  # what comes later might fit, but there would be a hole before it
            self._left_out += len(data)
            return
        room = MOST_BYTES - self._written
        size = _size(data)
        if size > room:
            fits = bisect(range(len(data)), room, key=lambda end: _size(data[:end])) - 1
            self._left_out = len(data) - fits
            data, size = data[:fits], _size(data[:fits])
        self._written += size
        if data:
            self._keep(escaped(data))

    def close(self) -> None:
        """Say what was left out, and let go."""
        if self._file is None:
            return
        if self._left_out:
            self._keep(f"\n… and {self._left_out:,} bytes more, left out here\n")
        try:
            if self._file is not None:
                self._file.close()
        except OSError as e:
            self._give_up(e)

    def _keep(self, text: str) -> None:
        try:
            assert self._file is not None
            self._file.write(text)
            self._file.flush()
        except OSError as e:
            self._give_up(e)

    def _give_up(self, error: OSError) -> None:
        log.warning("%s can't be written, the work goes on without: %s", self.path, error.strerror or error)
        self._file = None  # type: ignore[assignment]
