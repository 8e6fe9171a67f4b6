"""``.loki/logs/decisions/dlq-review-{date}.md``: what was decided about dead letters, by whom and why."""

from __future__ import annotations

from itertools import groupby

from ..queue import Queue
from ..review import Decision
from .decisions import Entry, append
from .folder import Folder
from .markdown import line, paragraph

#: Decisions that are read in one call.
_PAGE = 1000
_DONE = {"retry": "Retried", "resolve": "Resolved", "discard": "Discarded", "escalate": "Escalated"}


class Reviews:
    """Writes the decisions of a queue down, each once, however many jobs on however many machines do so.

    A job that stays begins where it ended; one that begins anew looks at all that Redis keeps.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._cursor: str | None = None

    def append(self, root: Folder) -> int:
        """Add what is new to the files in *root*, a .loki folder; how many decisions. Raises OSError, FileRefused."""
        count = 0
        while page := self._queue.decisions(self._cursor, limit=_PAGE):
            for date, decisions in groupby(page, key=lambda decision: decision.at.date().isoformat()):
                entries = [Entry(decision.cursor, entry(decision)) for decision in decisions]
                count += append(root, f"dlq-review-{date}.md", f"Review of dead letters, {date}", entries)
            # Only what is in the files is passed by: when the disk is full it comes with the next try.
            self._cursor = page[-1].cursor
        return count


def entry(decision: Decision) -> str:
    """One decision as Markdown."""
    at = decision.at.strftime("%H:%M:%SZ")
    done = _DONE.get(decision.action, decision.action)
    facts = {
        "Type": line(decision.type),
        "By": line(decision.by),
        "Why": paragraph(decision.why, "  ") if decision.why else "no reason given",
        "Failure pattern": line(decision.pattern),
        "How": line(decision.detail),
    }
    shown = "\n".join(f"- **{name}**: {value}" for name, value in facts.items() if value)
    return f"## {at} {done}: {line(decision.id)}\n\n{shown}"
