"""Several files that are replaced together."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .folder import Folder


class Batch:
    """Files that take their places together. What did not come to that is removed."""

    def __init__(self, root: Folder) -> None:
        self._folders: dict[tuple[str, ...], Folder] = {}
        self._root = root
        self._waiting: list[tuple[Folder, str, str]] = []
        self.written: list[str] = []

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *exc: object) -> None:
        for folder, temporary, _ in self._waiting:
            folder.remove(temporary)
        for folder in self._folders.values():
            folder.close()

    def write(self, folder: tuple[str, ...], name: str, chunks: Iterable[bytes]) -> None:
        """A new file that is on disk, and not yet in its place."""
        if folder not in self._folders:
            self._folders[folder] = self._root.folder(*folder)
        where = self._folders[folder]
        self._waiting.append((where, where.write_temporary(name, chunks), name))
        self.written.append("/".join((*folder, name)))

    def rename(self) -> None:
        """Put each in its place, in the order in which they were written."""
        while self._waiting:
            folder, temporary, name = self._waiting[0]
            folder.rename(temporary, name)
            del self._waiting[0]
        for folder in self._folders.values():
            folder.sync()

    def like(self, folder: tuple[str, ...], name: str) -> object:
        """What the file is like now."""
        descriptor = self._folders[folder].open_to_read(name)
        if descriptor is None:
            return None
        try:
            return like(descriptor)
        finally:
            os.close(descriptor)


def like(descriptor: int) -> object:
    """What tells a file from the same one after somebody wrote to it, or replaced it."""
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
