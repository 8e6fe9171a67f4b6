"""What a tool outside the queue does that checks tokens: effects in SQLite, the later token wins, an older is refused.

``python tests/faults/ledger.py FILE`` is a command for ``lokiredis worker``: it writes the effect of its task. It
starts once per task, so this file imports little, and nothing of the package.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Iterable

_TABLES = """
CREATE TABLE effect (task TEXT PRIMARY KEY, token INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE accepted (task TEXT NOT NULL, token INTEGER NOT NULL);
CREATE TABLE refused (task TEXT NOT NULL, token INTEGER NOT NULL);
CREATE TABLE attempted (task TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE acknowledged (task TEXT PRIMARY KEY) WITHOUT ROWID;
"""

# The same token again is taken, and counted: it would be a handler that ran twice for one claim.
_WRITE = (
    "INSERT INTO effect VALUES (?, ?) "
    "ON CONFLICT (task) DO UPDATE SET token = excluded.token WHERE excluded.token >= effect.token"
)


class Ledger:
    """One process's view of the file. Whoever is killed in the middle of a write has not written."""

    def __init__(self, path: str, *, new: bool = False) -> None:
        # One transaction at a time: the handlers of a worker run in several threads.
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        if new:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_TABLES)
        # kill -9 of a process loses nothing that the kernel has: only a crash of the machine would.
        self._db.execute("PRAGMA synchronous=OFF")

    def write(self, task: str, token: int) -> bool:
        """The effect of one attempt; False when a later token was there before."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            taken = self._db.execute(_WRITE, (task, token)).rowcount == 1
            self._db.execute(f"INSERT INTO {'accepted' if taken else 'refused'} VALUES (?, ?)", (task, token))
            self._db.execute("COMMIT")
        return taken

    def note(self, table: str, tasks: Iterable[str]) -> None:
        """A producer's tasks, before the call (``attempted``) and after it (``acknowledged``)."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(f"INSERT INTO {table} VALUES (?)", [(task,) for task in tasks])
        self._db.execute("COMMIT")

    def tasks(self, table: str) -> set[str]:
        """What is noted there."""
        return {task for (task,) in self._db.execute(f"SELECT task FROM {table}")}

    def count(self, table: str) -> int:
        """How many entries it has."""
        return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def effects(self) -> dict[str, int]:
        """The token of the effect that is in force, for each task."""
        return dict(self._db.execute("SELECT task, token FROM effect"))

    def repeated(self) -> set[str]:
        """Tasks of which one token's effect was accepted more than once."""
        rows = self._db.execute("SELECT task FROM accepted GROUP BY task, token HAVING count(*) > 1")
        return {task for (task,) in rows}

    def close(self) -> None:
        """Close the file."""
        self._db.close()


if __name__ == "__main__":
    if not Ledger(sys.argv[1]).write(os.environ["LOKIREDIS_TASK_ID"], int(os.environ["LOKIREDIS_TASK_TOKEN"])):
        sys.exit("the effect of a later token is there")
    print('{"decisionReport": {"why": "a test"}}')
