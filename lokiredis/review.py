"""The review of dead letters: groups of one failure, and what was decided about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .models import iso


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter without its document. ``canary`` is the task that it waits for before it is retried, if any."""

    id: str
    type: str
    sequence: int
    died_at: datetime
    group: str
    canary: str | None


@dataclass(frozen=True)
class DeadGroup:
    """Dead letters whose errors have one ``pattern``: numbers, ids and paths apart. ``letters`` by sequence."""

    group: str
    pattern: str
    letters: tuple[DeadLetter, ...]


@dataclass(frozen=True)
class Decision:
    """What ``by`` decided about a dead letter: ``action`` is retry, resolve, discard or escalate.

    ``pattern`` is that of its failure (:class:`DeadGroup`). ``cursor`` is its place: the next decisions come after it.
    """

    cursor: str
    at: datetime
    action: str
    id: str
    type: str
    by: str
    why: str
    pattern: str
    detail: str

    def to_json(self) -> dict[str, Any]:
        """The decision as ``lokiredis dead decisions --json`` writes it."""
        return {
            "cursor": self.cursor,
            "at": iso(self.at),
            "action": self.action,
            "id": self.id,
            "type": self.type,
            "by": self.by,
            "why": self.why,
            "pattern": self.pattern,
            "detail": self.detail,
        }
