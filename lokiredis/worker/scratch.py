"""A worker's folder for the files of its tasks, and the end of folders whose workers were killed."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("lokiredis.worker")

_PREFIX = "lokiredis-tasks-"
_LOCK = "alive.lock"
#: A folder without a lock is one whose worker ended between two lines of ours; or it is at the next line just now.
_BETWEEN = 3600.0


class Scratch:
    """``path`` is there from the start to the stop.

    A lock tells whether its worker lives: a process id would not, for containers that share a temp folder do not see
    each other's processes.
    """

    def __init__(self) -> None:
        self.path: Path
        self._lock: int | None = None

    def start(self) -> None:
        """Make the folder; first remove what dead workers of this user left. Raises OSError when it can't be made."""
        for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with suppress(OSError):
                _remove_dead(left)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._hold()

    def ensure(self) -> None:
        """Make it again when a cleaner of temp folders took it. Raises OSError when it can't be made."""
        if not self.path.is_dir():
            self._let_go()
            self.path.mkdir(mode=0o700)
            self._hold()

    def _hold(self) -> None:
        # Locked before it has its name: whoever sees it unlocked may remove the folder.
        fresh = self.path / f"{_LOCK}.new"
        self._lock = os.open(fresh, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        fresh.rename(self.path / _LOCK)

    def stop(self) -> None:
        """Remove the folder with all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _remove_dead(folder: Path) -> None:
    seen = folder.lstat()
    # Anybody may put something of this name into a temp folder: a link to elsewhere, or a folder of somebody else.
    if seen.st_uid != os.getuid() or not stat.S_ISDIR(seen.st_mode):
        return
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        if time.time() - seen.st_mtime > _BETWEEN:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
        log.info("%s of a worker that was killed is removed", folder)
    except BlockingIOError:
        pass  # it lives
    finally:
        os.close(lock)
