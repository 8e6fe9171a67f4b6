"""The files that loki-mode's own tools read beside the documented ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..models import Agent, State, iso
from .markdown import visible
from .texts import Escape, as_bytes, listed

#: In dashboard-state.json; what is under review is no state of this queue.
_LISTS = {
    "pending": State.PENDING,
    "inProgress": State.IN_PROGRESS,
    "review": None,
    "completed": State.COMPLETED,
    "failed": State.DEAD_LETTER,
}
# A line is a task. Before its priority stand its id, key and type, and in a string the quotes would be escaped.
_PRIORITY = b'"priority": '

#: Where the timestamp is in the dashboard's file: two that differ there only are equal.
TIMESTAMP = slice(15, 39)


@dataclass(frozen=True)
class Scene:
    """What the extra files tell beside the tasks."""

    version: str
    phase: str
    paused: bool
    counts: dict[State, int]
    completed: int
    dead: int
    agents: list[dict[str, Any]]

    @property
    def mode(self) -> str:
        """``autonomous``, or ``paused``."""
        return "paused" if self.paused else "autonomous"


def word(priority: int) -> str:
    """A priority as loki-mode's tools name it."""
    return "critical" if priority >= 10 else "high" if priority >= 8 else "medium" if priority >= 5 else "low"


def agents_json(agents: Sequence[Agent], before: bytes | None) -> list[dict[str, Any]]:
    """Each agent with both vocabularies. ``spawned_at`` is when it was first seen: *before*, the last file, knows."""
    seen = _first_seen(before)
    return [
        {
            "agent_id": agent.name,
            "agent_type": ",".join(agent.types),
            "current_task": agent.tasks[0] if agent.tasks else None,
            "spawned_at": seen.get(agent.name) or iso(agent.last_seen),
            "tasks_completed": agent.completed or 0,
            "status": agent.state,
            "id": agent.name,
            "type": ",".join(agent.types),
            "currentTask": agent.tasks[0] if agent.tasks else None,
            "tasks": list(agent.tasks),
            "model": None,
        }
        for agent in agents
    ]


def _first_seen(before: bytes | None) -> dict[str, str]:
    try:
        found = json.loads(before or b"[]")
        return {one["agent_id"]: one["spawned_at"] for one in found if isinstance(one["spawned_at"], str)}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def agents_file(scene: Scene, escape: Escape) -> Iterator[bytes]:
    """``state/agents.json``: a bare list."""
    return listed(b"[", (escape(as_bytes(agent)) + b",\n" for agent in scene.agents), b"]\n")


def failed_file(dead_letters: Iterable[bytes], escape: Escape) -> Iterator[bytes]:
    """``queue/failed.json``: the dead letters, a bare list."""
    return listed(b"[", map(escape, dead_letters), b"]\n")


def status_file(scene: Scene, escape: Escape) -> Iterator[bytes]:
    """``STATUS.txt``: the phase and four counts."""
    count = scene.counts
    lines = [
        f"Phase:        {' '.join(visible(scene.phase).split())}",
        f"Mode:         {scene.mode}",
        "",
        f"Pending:      {count[State.PENDING]}",
        f"In progress:  {count[State.IN_PROGRESS]}",
        f"Completed:    {count[State.COMPLETED]}",
        f"Failed:       {count[State.DEAD_LETTER]}",
    ]
    yield escape.plain("\n".join(lines) + "\n").encode()


def dashboard_file(
    scene: Scene, at: datetime, texts: Callable[[State], Iterator[bytes]], escape: Escape
) -> Iterator[bytes]:
    """``dashboard-state.json``: all lists in one file, priorities as words."""
    head = {"timestamp": iso(at), "version": scene.version, "mode": scene.mode, "phase": scene.phase}
    yield escape(as_bytes(head)[:-1]) + b', "tasks": {'
    for number, (name, state) in enumerate(_LISTS.items()):
        begin = (b", " if number else b"") + b'"%s": [' % name.encode()
        yield from listed(begin, map(escape, map(_worded, texts(state) if state else ())), b"]")
    metrics = {"tasksCompleted": scene.completed, "tasksFailed": scene.dead}
    yield b'}, "agents": ' + escape(as_bytes(scene.agents)) + b', "metrics": ' + as_bytes(metrics) + b"}\n"


#: The first two bytes of a priority and what follows it: the word in their place.
_WORDED = {
    (b"%d," % number)[:2]: (b'"%s",' % word(number).encode())[: None if number < 10 else -1] for number in range(1, 11)
}


def _worded(lines: bytes) -> bytes:
    # Not by a regular expression, which looked at every byte: that was a tenth of a snapshot.
    made = []
    for line in lines.split(b"\n"):
        before, mark, behind = line.partition(_PRIORITY)
        made.append(before + mark + _WORDED[behind[:2]] + behind[2:] if mark else line)
    return b"\n".join(made)
