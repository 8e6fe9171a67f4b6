"""A folder that is reached by its descriptor, so that no symbolic link in it leads out of it."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import LokiRedisError

#: What a temporary file's name begins with: who finds one that nobody writes any more may remove it.
TEMPORARY = ".lokiredis-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: The documented lock, under which other tools read and change the files of the queue.
QUEUE_LOCK = "queue.lock"
_LOCK_PAUSE = 0.02


class FileRefused(LokiRedisError):
    """A file of the folder is not what it has to be."""


class Folder:
    """An open folder. Close it, or use ``with``. OSErrors name the path from the outermost folder on."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Folder:
        """The folder that somebody named, made when it isn't there. It may be a link itself: the person chose it."""
        os.makedirs(path, exist_ok=True)
        return cls(Path(path), os.open(path, _FOLDER))

    def folder(self, *names: str) -> Folder:
        """A folder in it, made when it isn't there. Raises FileRefused when one of *names* is a link."""
        here, path = os.dup(self.descriptor), self.path
        try:
            for name in names:
                path = path / name
                with suppress(FileExistsError), _named(path):
                    os.mkdir(name, dir_fd=here)
                    os.fsync(here)
                try:
                    with _named(path):
                        inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
                except NotADirectoryError:
                    raise FileRefused(f"{path} is no folder, or a symbolic link, which is not followed") from None
                os.close(here)
                here = inner
        except BaseException:
            os.close(here)
            raise
        return Folder(path, here)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)

    def names(self) -> list[str]:
        """What is in it."""
        with _named(self.path):
            return os.listdir(self.descriptor)

    def open_to_read(self, name: str) -> int | None:
        """The descriptor of a plain file in it; None when there is none, or something else stands there."""
        try:
            # A pipe would wait here for somebody who writes.
            found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.descriptor)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                return None
            raise _at(e, self.path / name) from None
        if stat.S_ISREG(os.fstat(found).st_mode):
            return found
        os.close(found)
        return None

    def read(self, name: str) -> bytes | None:
        """What a plain file in it holds. None when there is none."""
        descriptor = self.open_to_read(name)
        if descriptor is None:
            return None
        with _named(self.path / name), os.fdopen(descriptor, "rb") as file:
            return file.read()

    def is_link(self, name: str) -> bool:
        """Whether a symbolic link stands there."""
        try:
            return stat.S_ISLNK(os.lstat(name, dir_fd=self.descriptor).st_mode)
        except FileNotFoundError:
            return False

    def write_temporary(self, name: str, chunks: Iterable[bytes]) -> str:
        """A new file that is on disk when this returns; its name, under which it is renamed to *name* or removed."""
        temporary = f"{TEMPORARY}{name[:200]}.{os.getpid()}"
        with _named(self.path / name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o666, dir_fd=self.descriptor)
            try:
                for chunk in chunks:
                    write_all(descriptor, chunk)
                os.fsync(descriptor)
            except BaseException:
                os.close(descriptor)
                self.remove(temporary)
                raise
            os.close(descriptor)
        return temporary

    def rename(self, old: str, new: str) -> None:
        """Put *old* in the place of *new*, at once. It outlasts a power cut only after sync()."""
        with _named(self.path / new):
            os.rename(old, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def replace(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a file so that the old or the new one is there, whole, whatever happens."""
        temporary = self.write_temporary(name, chunks)
        try:
            self.rename(temporary, name)
        except OSError:
            self.remove(temporary)
            raise
        self.sync()

    def append(self, name: str, text: bytes) -> None:
        """Add to the end of a file, all of it or nothing. The caller holds a lock that others keep to."""
        with _named(self.path / name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o666, dir_fd=self.descriptor)
            try:
                before = os.fstat(descriptor).st_size
                try:
                    write_all(descriptor, text)
                    os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, before)
                    raise
            finally:
                os.close(descriptor)
        self.sync()

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError), _named(self.path / name):
            os.unlink(name, dir_fd=self.descriptor)

    def remove_leftovers(self) -> None:
        """Remove what a run that was killed has left. The caller is the only one that writes here."""
        for name in self.names():
            if name.startswith(TEMPORARY):
                self.remove(name)

    def sync(self) -> None:
        """Renames and new names outlast a power cut from here on."""
        with _named(self.path):
            os.fsync(self.descriptor)

    @contextmanager
    def locked(self, name: str, *, wait: float = 10) -> Iterator[None]:
        """Hold the flock of ``state/locks/<name>``. Raises FileRefused when others hold it for *wait* seconds."""
        with self.folder("state", "locks") as locks:
            with _named(locks.path / name):
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(name, flags, 0o666, dir_fd=locks.descriptor)
            try:
                ends = time.monotonic() + wait
                while True:
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        if time.monotonic() >= ends:
                            raise FileRefused(f"{locks.path / name} is locked by another process") from None
                        time.sleep(_LOCK_PAUSE)
                yield
            finally:
                os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """All of *data*: the system may take a part only."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of calls that know only a descriptor get the path that a person knows."""
    try:
        yield
    except OSError as e:
        raise _at(e, path) from None


def _at(error: OSError, path: Path) -> OSError:
    if error.errno == errno.ELOOP:
        return OSError(errno.ELOOP, "a symbolic link, which is not followed", str(path))
    return OSError(error.errno, error.strerror or str(error), str(path))
