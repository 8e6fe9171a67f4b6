"""The only place that spells a Redis key. lua/README.md has the table of what each one holds."""

from __future__ import annotations

import re

from .errors import InvalidTask

_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def plain(value: str) -> str:
    """The text itself: a member of an Enum that is a str too would be formatted into another key, with its name."""
    return value if type(value) is str else str.__str__(value)


class Keys:
    """Every key of one queue. All share the hash tag ``{name}``, so a queue is one cluster slot.

    Attributes are the fixed keys; keys per type, task, agent and request are built from ``prefix``.
    """

    FIXED = (
        "queue",
        "settings",
        "tasks",
        "documents",
        "index",
        "unique",
        "completed",
        "dead",
        "cancelled",
        "tombstones",
        "todo",
        "alarms",
        "types",
        "tally",
        "paused",
        "breakers",
        "dependencies",
        "waiting",
        "attempts",
        "errors",
        "results",
        "checkpoints",
        "progress",
        "reasons",
        "escalations",
        "canaries",
        "decisions",
        "agents",
        "seen",
        "events",
        "signals",
    )

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not _QUEUE.fullmatch(name):
            raise InvalidTask("a queue name is a letter or digit, then up to 63 of A-Z a-z 0-9 . _ -", field="queue")
        self.name = plain(name)
        self.prefix = f"loki:{{{self.name}}}:"

    def fixed(self, key: str) -> str:
        """A key that every queue has once, by its name in the scripts' KEYS line."""
        if key not in self.FIXED:
            raise KeyError(key)
        return self.prefix + key

    def wake(self, type: str) -> str:
        """The wake-up mark of a task type, on which waiting agents block (design rule 7)."""
        return f"{self.prefix}wake:{plain(type)}"

    @property
    def signals(self) -> str:
        """The pub/sub channel of the queue."""
        return self.prefix + "signals"

    @property
    def events(self) -> str:
        """The event stream of the queue."""
        return self.prefix + "events"
