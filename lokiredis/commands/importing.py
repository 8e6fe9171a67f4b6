"""Tasks and breakers that come back as they were: what is sent of them, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from .. import replies
from ..keys import Keys
from ..models import State, from_epoch
from .command import Command, build


@dataclass(frozen=True)
class Restored:
    """A task in the words of ``lua/import.lua``. Times and durations are milliseconds, "" stands for none."""

    id: str
    type: str
    priority: int
    timeout: int
    max_retries: int
    base: int
    state: str
    retries: int | str
    backoff: int | str
    created: int | str
    available: int | str
    ended: int | str
    token: int | str
    agent: str
    host: str
    claimed: int | str
    lease: int | str
    deadline: int | str
    sequence: int | str
    digest: str
    document: bytes
    error: bytes
    result: bytes
    incomplete: str
    checkpoint: bytes
    progress: bytes
    attempts: bytes
    reason: bytes
    escalation: bytes
    #: The letters (lua/lib/side.lua) of those that are there and empty.
    empty: str
    #: What it depends on, with a "+" before what was completed whatever is stored under that id now, and a "?" before
    #: what counts as completed long ago when nothing is.
    names: tuple[str, ...]

    def words(self) -> list[Any]:
        """As the script reads them."""
        return [*(getattr(self, name) for name in _WORDS), len(self.names), *self.names]

    @property
    def size(self) -> int:
        """How many bytes its long words have, about."""
        long = (self.document, self.error, self.result, self.checkpoint, self.progress, self.attempts)
        return 512 + sum(map(len, long)) + sum(len(name) + 16 for name in self.names)


_WORDS = [field.name for field in fields(Restored) if field.name != "names"]


@dataclass(frozen=True)
class Stored:
    """What became of one task: ``created`` is False when the queue had one of this id already."""

    id: str
    created: bool
    state: State


@dataclass(frozen=True)
class Batch:
    """The answer to one batch. ``sequence`` is the last one that the queue has given."""

    sequence: int
    now: datetime
    tasks: tuple[Stored, ...]


@dataclass(frozen=True)
class RestoredBreaker:
    """A circuit breaker in the words of ``lua/import_breakers.lua``; times are milliseconds, "" stands for none."""

    type: str
    state: str
    failures: int
    last_failure: int | str = ""
    opened: int | str = ""
    half_opened: int | str = ""
    #: What must pass before an open one lets a probe through: half, cool or now.
    wait: str = ""
    probe: str = ""
    token: int | str = ""
    skip: str = ""


def import_(
    keys: Keys,
    /,
    tasks: Sequence[Restored],
    *,
    request: str,
    before: int | None = None,
    check: bool = False,
) -> Command[Batch]:
    """Restore up to 1,000 tasks, all of them or none; ids that are there already stay as they are.

    ``before`` is the ``sequence`` that the first batch of the import found: higher ones are kept where they are free.
    ``check`` stores nothing. No tasks: only
    the queue's sequence and time. Raises InvalidTask, UnknownDependency, DependencyCycle, QueueFull, naming the index.
    """

    def parse(reply: Any) -> Batch:
        rows = tuple(Stored(replies.text(id), bool(int(made)), State(replies.text(at))) for id, made, at in reply[2:])
        return Batch(int(reply[0]), from_epoch(int(reply[1])), rows)

    return build(
        "import",
        keys,
        parse,
        (word for task in tasks for word in task.words()),
        request=request,
        mode="check" if check else "",
        before="" if before is None else before,
    )


def import_breakers(
    keys: Keys, /, breakers: Sequence[RestoredBreaker], *, request: str, check: bool = False
) -> Command[list[bool]]:
    """Restore circuit breakers; True for each that was stored, False where the type has one already."""
    words = (getattr(breaker, field.name) for breaker in breakers for field in fields(RestoredBreaker))
    mode = "check" if check else ""
    return build(
        "import_breakers",
        keys,
        lambda reply: [c == "1" for c in replies.text(reply)],
        words,
        request=request,
        mode=mode,
    )
