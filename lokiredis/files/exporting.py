"""Export: every task as it is, to the documented files of a folder or to one file of JSON lines."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from .. import __version__, arguments, commands, replies
from ..errors import InvalidTask
from ..keys import Keys
from ..line_file import refuse_odd
from ..models import State, Stats, iso, parse_time
from ..replies import BreakerWords, Record
from ..steps import Steps
from . import orchestrator
from .aside import FORMAT, MARK, breaker_json, settings_of
from .folder import QUEUE_LOCK, TEMPORARY, Folder
from .report import Exported
from .sources import ASIDE, ORCHESTRATOR, STATES, queue_file

_PAGE = 250
#: Of the snapshot job, which takes turns with an export into the same folder.
JOB_LOCK = "snapshot.lock"
_BREAKER = ("state", "failures", "lastFailure", "openedAt", "halfOpenAt")


def export(keys: Keys, path: str | Path, *, replace: bool) -> Steps[Exported]:
    """Write the queue to *path*; see ``Queue.export``."""
    arguments.flag(replace, "replace")
    target = Path(arguments.path(path))
    as_folder = target.is_dir() or (not target.exists() and not target.suffix)
    stats, breakers = yield _stats(keys)
    settings = yield commands.settings(keys)
    head = _head(keys, stats, breakers) | {"settings": settings_of(settings)}
    with ExitStack() as stack:
        files: _Target = _Folder(target, stack, head) if as_folder else _Lines(target, stack, head)
        for file in files.paths():
            refuse_odd(file)
        if not replace:
            _refuse_existing(files.paths())
        files.open()
        counts: Counter[str] = Counter()
        cursor: str | None = None
        while True:
            records, cursor = yield _page(keys, cursor)
            for record in records:
                counts[files.add(record).value] += 1
            if cursor is None:
                break
        files.finish(sum(counts.values()))
    return Exported(str(path), {state.value: counts[state.value] for state in State}, len(breakers), stats.todo)


def _stats(keys: Keys) -> commands.Command[tuple[Stats, dict[str, BreakerWords]]]:
    command = commands.stats(keys)
    parse = command.parse
    return commands.Command(
        command.script, command.keys, command.argv, lambda reply: (parse(reply), replies.breaker_words(reply))
    )


def _page(keys: Keys, cursor: str | None) -> commands.Command[tuple[list[Record], str | None]]:
    """Along the index of all tasks: none is missed and none is seen twice, however they move meanwhile."""
    command = commands.list_(keys, None, limit=_PAGE, cursor=cursor)
    return commands.Command(command.script, command.keys, command.argv, replies.records)


def _head(keys: Keys, stats: Stats, breakers: Mapping[str, BreakerWords]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "queue": keys.name,
        "exportedAt": iso(stats.now),
        "breakers": {type: breaker_json(words) for type, words in breakers.items()},
        "paused": stats.paused,
        "pausedTypes": [type for type, found in stats.types.items() if found.paused],
    }


def _refuse_existing(paths: list[Path]) -> None:
    for path in paths:
        if path.exists():
            raise FileExistsError(errno.EEXIST, "is there already; --replace overwrites it", str(path))


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _claim(record: Record) -> dict[str, Any]:
    """What the documented schema has no name for."""
    lease = record.lease_ms
    return {"host": record.host} | ({} if lease is None else {"lease": lease / 1000})


class _Target(Protocol):
    """Where the tasks are written."""

    def paths(self) -> list[Path]:
        """The files that it makes."""
        ...

    def open(self) -> None:
        """Begin; nothing that is there is touched yet."""
        ...

    def add(self, record: Record) -> State:
        """Write one task."""
        ...

    def finish(self, count: int) -> None:
        """Put the new files in the places of the old ones."""
        ...


class _Lines:
    """One file: a line about the queue, a line per task, a line that says that these were all."""

    def __init__(self, path: Path, stack: ExitStack, head: Mapping[str, Any]) -> None:
        self.path, self.stack, self.head = path, stack, head

    def paths(self) -> list[Path]:
        return [self.path]

    def open(self) -> None:
        if not self.path.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "no such folder", str(self.path.parent))
        folder = self.stack.enter_context(Folder.open(self.path.parent))
        self.file = self.stack.enter_context(_New(folder, self.path.name))
        self._line({MARK: self.head})

    def _line(self, value: Any) -> None:
        self.file.write(_dumps(value) + b"\n")

    def add(self, record: Record) -> State:
        fields = record.fields()
        more = _claim(record) if fields.state is State.IN_PROGRESS else {}
        self._line({"state": fields.state.value, **more, "task": fields.to_json()})
        return fields.state

    def finish(self, count: int) -> None:
        self._line({MARK: {"end": count}})
        self.file.close()
        self.file.put()


class _Folder:
    """The five documented files, the breakers in orchestrator.json, and the rest in a file of our own beside it."""

    def __init__(self, path: Path, stack: ExitStack, head: Mapping[str, Any]) -> None:
        self.path, self.stack, self.head = path, stack, head
        self.claims: dict[str, Any] = {}

    def paths(self) -> list[Path]:
        return [*(self.path / "queue" / queue_file(state) for state in STATES), self.path / "state" / ASIDE]

    def open(self) -> None:
        self.root = self.stack.enter_context(Folder.open(self.path))
        # The snapshot job removes what looks like the rest of a run that was killed.
        self.stack.enter_context(self.root.locked(JOB_LOCK))
        self.queue, self.state = (self.stack.enter_context(self.root.folder(name)) for name in ("queue", "state"))
        for folder in (self.queue, self.state):
            folder.remove_leftovers()
        self.files = {state: self.stack.enter_context(_New(self.queue, queue_file(state))) for state in STATES}
        for file in self.files.values():
            file.write(b'{"tasks": [')
        self.first = dict.fromkeys(STATES, True)

    def add(self, record: Record) -> State:
        fields = record.fields()
        state, file = fields.state, self.files[fields.state]
        file.write((b"\n" if self.first[state] else b",\n") + _dumps(fields.to_json()))
        self.first[state] = False
        if state is State.IN_PROGRESS:
            self.claims[str(fields.values["id"])] = _claim(record)
        return state

    def finish(self, count: int) -> None:
        aside = self.stack.enter_context(_New(self.state, ASIDE))
        aside.write(_dumps({**self.head, "claims": self.claims}) + b"\n")
        for file in self.files.values():
            file.write(b"\n]}\n")
        with self.root.locked(QUEUE_LOCK):
            breakers = self.stack.enter_context(_New(self.state, ORCHESTRATOR))
            breakers.write(self._orchestrator().encode())
            files = [*self.files.values(), aside, breakers]
            for file in files:
                file.close()
            for file in files:
                file.put()

    def _orchestrator(self) -> str:
        breakers = {type: {name: own[name] for name in _BREAKER} for type, own in self.head["breakers"].items()}
        present = self.state.read(ORCHESTRATOR)
        if present is None:
            return orchestrator.new(__version__, parse_time(self.head["exportedAt"], ""), 0, 0, breakers)
        try:
            return orchestrator.merged(present.decode(), breakers)
        except (ValueError, RecursionError):
            file = str(self.state.path / ORCHESTRATOR)
            raise InvalidTask("not a JSON object; what is in it would be lost", file=file) from None


class _New:
    """A new file beside the one that it will replace: whatever happens, the old one or the new one is there, whole."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.folder, self.name = folder, name
        self.temporary = f"{TEMPORARY}{name[:200]}.{os.getpid()}"

    def __enter__(self) -> _New:
        self.folder.remove(self.temporary)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.file: BinaryIO = os.fdopen(os.open(self.temporary, flags, 0o666, dir_fd=self.folder.descriptor), "wb")
        return self

    def write(self, data: bytes) -> None:
        self.file.write(data)

    def close(self) -> None:
        """All of it is on the disk from here on."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def put(self) -> None:
        """Put it in its place."""
        self.folder.rename(self.temporary, self.name)
        self.folder.sync()

    def __exit__(self, *exc: object) -> None:
        # A full disk would be told a second time.
        with suppress(OSError):
            self.file.close()
        self.folder.remove(self.temporary)
