"""The texts of all tasks in one nameless file, so that memory holds only where each one is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator

from .folder import TEMPORARY, Folder, write_all

#: What stands between two texts of a file, so that neighbours there are neighbours here.
SEPARATOR = b",\n"
_READ_AT_ONCE = 1024 * 1024
Place = tuple[int, int]


class Spool:
    """Texts are added at the end, and never changed. Gone with this object, and with the process."""

    def __init__(self, folder: Folder) -> None:
        # Nameless from its first moment where the file system can do that: a killed job leaves nothing behind.
        self._file = tempfile.TemporaryFile(  # noqa: SIM115 - open for as long as this object
            dir=f"/proc/self/fd/{folder.descriptor}", prefix=TEMPORARY, buffering=0
        )
        self.size = 0

    def add(self, texts: Iterable[bytes]) -> list[Place]:
        """Where each text is now: offset and length, with the separator behind it."""
        places: list[Place] = []
        block = bytearray()
        for text in texts:
            places.append((self.size + len(block), len(text) + len(SEPARATOR)))
            block += text
            block += SEPARATOR
        write_all(self._file.fileno(), bytes(block))
        self.size += len(block)
        return places

    def read(self, place: Place) -> bytes:
        """One text."""
        at, length = place
        return os.pread(self._file.fileno(), length - len(SEPARATOR), at)

    def chunks(self, places: Iterable[Place]) -> Iterator[bytes]:
        """The texts in this order, each with its separator, in chunks of whole ones."""
        begin = end = 0
        for at, length in places:
            if at != end or end - begin >= _READ_AT_ONCE:
                if end > begin:
                    yield os.pread(self._file.fileno(), end - begin, begin)
                begin = at
            end = at + length
        if end > begin:
            yield os.pread(self._file.fileno(), end - begin, begin)

    def close(self) -> None:
        """Let go of the disk space."""
        self._file.close()
