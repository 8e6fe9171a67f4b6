"""The error tree. A script answers ``CODE {json}``; the code is the class name, the JSON its attributes."""

from __future__ import annotations

import json
from typing import Any


class LokiRedisError(Exception):
    """The queue could not do what was asked."""

    def __init__(self, message: str | None = None, **data: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.id: str | None = data.pop("id", None)
        self.state: str | None = data.pop("state", None)
        self.index: int | None = data.pop("index", None)
        self.field: str | None = data.pop("field", None)
        self.data: dict[str, Any] = data
        super().__init__(self.message)

    @property
    def code(self) -> str:
        """The class name, the same in every client and in ``--json`` output."""
        return type(self).__name__

    def __str__(self) -> str:
        place = []
        if self.index is not None:
            place.append(f"task {self.index}")
        if self.field is not None:
            place.append(self.field)
        if self.id is not None and self.id not in self.message:
            place.append(self.id)
        text = self.message if not place else f"{', '.join(place)}: {self.message}"
        if self.state is not None and self.state not in text:
            text += f" (it is {self.state})"
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.id, self.state, self.index, self.field, self.data)


def _rebuild(
    kind: type[LokiRedisError],
    message: str,
    id: str | None,
    state: str | None,
    index: int | None,
    field: str | None,
    data: dict[str, Any],
) -> LokiRedisError:
    return kind(message, id=id, state=state, index=index, field=field, **data)


class InvalidTask(LokiRedisError):
    """A value breaks a limit of the queue."""


class InvalidState(LokiRedisError):
    """The task is in a state that does not allow this."""


class TaskNotFound(LokiRedisError):
    """There is no task with this id."""


class TaskExists(LokiRedisError):
    """Another task has this id."""


class DuplicateTask(LokiRedisError):
    """An equal task is already waiting, running or done."""


class StaleClaim(LokiRedisError):
    """This claim has ended; the token is not the current one."""


class UnknownDependency(LokiRedisError):
    """A dependency does not exist, or was cancelled."""


class DependencyCycle(LokiRedisError):
    """The dependencies of these tasks form a cycle."""


class DecisionReportMissing(LokiRedisError):
    """A completed task needs a non-empty decisionReport object."""


class SchemaMismatch(LokiRedisError):
    """The stored queue was written by another version of lokiredis."""


class QueueFull(LokiRedisError):
    """Redis is out of memory: nothing new is taken, but everything that drains the queue works."""


class QueueUnavailable(LokiRedisError):
    """Redis cannot be reached."""


class UnsupportedServer(LokiRedisError):
    """The server is older than Redis 6.2."""


class NoServer(LokiRedisError):
    """No Redis server program was found for the embedded server."""


def _tree(kind: type[LokiRedisError]) -> dict[str, type[LokiRedisError]]:
    found = {kind.__name__: kind}
    for child in kind.__subclasses__():
        found |= _tree(child)
    return found


def from_reply(code: str, text: str) -> LokiRedisError | None:
    """The error that a script meant by *code*, or None when the code is not one of ours."""
    kind = _tree(LokiRedisError).get(code)
    if kind is None:
        return None
    data = json.loads(text) if text.startswith("{") else {"message": text}
    return kind(data.pop("message", None), **data)
