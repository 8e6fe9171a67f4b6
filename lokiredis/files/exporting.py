"""Export: every task as it is, to the documented files of a folder or to one file of JSON lines."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from .. import commands, replies
from ..errors import InvalidTask
from ..keys import Keys
from ..models import State, Stats, iso
from ..replies import BreakerWords, Record
from ..steps import Steps
from .aside import FORMAT, MARK, breaker_json, read_object, settings_of
from .sources import ASIDE, ORCHESTRATOR, STATES, queue_file

_PAGE = 1000


@dataclass(frozen=True)
class Exported:
    """``tasks`` counts by state what was written to ``path``; ``todo`` are long cancels or releases under way."""

    path: str
    tasks: dict[str, int]
    breakers: int
    todo: int

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"path": self.path, "tasks": self.tasks, "breakers": self.breakers, "todo": self.todo}


def export(keys: Keys, path: str | Path, *, replace: bool) -> Steps[Exported]:
    """Write the queue to *path*; see ``Queue.export``."""
    target = Path(path)
    as_folder = target.is_dir() or (not target.exists() and not target.suffix)
    stats, breakers = yield _stats(keys)
    settings = yield commands.settings(keys)
    head = _head(keys, stats, breakers) | {"settings": settings_of(settings)}
    with ExitStack() as stack:
        files: _Target = _Folder(target, stack, head) if as_folder else _Lines(target, stack, head)
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
            raise FileExistsError(17, "is there already; --replace overwrites it", str(path))


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
        self.file = self.stack.enter_context(_Replacing(self.path))
        self._line({MARK: self.head})

    def _line(self, value: Any) -> None:
        self.file.write(_dumps(value) + b"\n")

    def add(self, record: Record) -> State:
        task = record.task()
        more = _claim(record) if task.state is State.IN_PROGRESS else {}
        self._line({"state": task.state.value, **more, "task": task.to_json()})
        return task.state

    def finish(self, count: int) -> None:
        self._line({MARK: {"end": count}})
        self.file.finish()


class _Folder:
    """The five documented files, the breakers in orchestrator.json, and the rest in a file of our own beside it."""

    def __init__(self, path: Path, stack: ExitStack, head: Mapping[str, Any]) -> None:
        self.path, self.stack, self.head = path, stack, head
        self.queue, self.state = path / "queue", path / "state"
        self.claims: dict[str, Any] = {}

    def paths(self) -> list[Path]:
        return [*(self.queue / queue_file(state) for state in STATES), self.state / ASIDE]

    def open(self) -> None:
        orchestrator = self.state / ORCHESTRATOR
        try:
            self.kept = dict(read_object(orchestrator)) if orchestrator.exists() else _skeleton(self.head)
        except ValueError as e:
            raise InvalidTask(f"{e}; it would be lost", file=str(orchestrator)) from None
        for folder in (self.queue, self.state):
            folder.mkdir(parents=True, exist_ok=True)
        self.files = {state: self.stack.enter_context(_Replacing(self.queue / queue_file(state))) for state in STATES}
        for file in self.files.values():
            file.write(b'{"tasks": [')
        self.first = dict.fromkeys(STATES, True)

    def add(self, record: Record) -> State:
        task = record.task()
        state, file = task.state, self.files[task.state]
        file.write((b"\n" if self.first[state] else b",\n") + _dumps(task.to_json()))
        self.first[state] = False
        if state is State.IN_PROGRESS:
            self.claims[task.id] = _claim(record)
        return state

    def finish(self, count: int) -> None:
        breakers = {
            type: {name: own[name] for name in ("state", "failures", "lastFailure", "openedAt", "halfOpenAt")}
            for type, own in self.head["breakers"].items()
        }
        aside = self.stack.enter_context(_Replacing(self.state / ASIDE))
        aside.write(_dumps({**self.head, "claims": self.claims}) + b"\n")
        orchestrator = self.stack.enter_context(_Replacing(self.state / ORCHESTRATOR))
        orchestrator.write(
            json.dumps(self.kept | {"circuitBreakers": breakers}, ensure_ascii=False, indent=2).encode() + b"\n"
        )
        for file in self.files.values():
            file.write(b"\n]}\n")
        for file in [*self.files.values(), aside, orchestrator]:
            file.finish()


def _skeleton(head: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": "1",
        "currentPhase": "",
        "startedAt": head["exportedAt"],
        "agents": {},
        "metrics": {"tasksCompleted": 0, "tasksFailed": 0},
    }


class _Replacing:
    """A new file beside the one that it will replace: whatever happens, the old one or the new one is there, whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.new = path.with_name(f".{path.name}.{os.getpid()}.new")

    def __enter__(self) -> _Replacing:
        self.file: BinaryIO = self.new.open("wb")
        return self

    def write(self, data: bytes) -> None:
        self.file.write(data)

    def finish(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.new, self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def __exit__(self, *exc: object) -> None:
        self.file.close()
        with suppress(FileNotFoundError):
            self.new.unlink()
