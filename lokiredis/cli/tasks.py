"""Tasks as people see them in tables, and pages of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .session import Session, console
from .text import clock, plural, safe

if TYPE_CHECKING:
    from ..explanation import Root
    from ..models import Task
    from ..queue import Queue

#: The values of models.State, which is too slow to import for a help text; a test holds them together.
STATES = ("pending", "in-progress", "completed", "dead-letter", "cancelled")

#: How many tasks one call asks for.
_PAGE = 100
_LONGEST_NOTE = 120


@dataclass(frozen=True)
class Wanted:
    """Which tasks to list. ``limit`` None: all of them."""

    state: str
    type: str | None
    limit: int | None
    cursor: str | None


def list_and_answer(session: Session, wanted: Wanted) -> None:
    """Print the tasks that are wanted."""
    tasks, cursor = _pages(session.queue(), wanted)
    data = {"state": wanted.state, "tasks": [task.to_json() for task in tasks], "cursor": cursor}
    session.answer(data, lambda: _tell(tasks, cursor, wanted))


def _pages(queue: Queue, wanted: Wanted) -> tuple[list[Task], str | None]:
    from ..models import State

    tasks: list[Task] = []
    cursor = wanted.cursor
    while True:
        left = _PAGE if wanted.limit is None else min(_PAGE, wanted.limit - len(tasks))
        page = queue.list(State(wanted.state), type=wanted.type, limit=left, cursor=cursor)
        tasks += page.tasks
        cursor = page.cursor
        # A page may be short, even empty, long before the end: only the cursor says so.
        if cursor is None or (wanted.limit is not None and len(tasks) >= wanted.limit):
            return tasks, cursor


def _tell(tasks: list[Task], cursor: str | None, wanted: Wanted) -> None:
    if tasks:
        from rich.table import Table
        from rich.text import Text

        table = Table("id", "type", "priority", "what", "", box=None, pad_edge=False)
        for column in ("id", "type"):
            table.columns[("id", "type").index(column)].overflow = "fold"
        table.columns[2].justify = "right"
        for task in tasks:
            row = (task.id, task.type, str(task.priority), title(task), _note(task))
            table.add_row(*(Text(safe(cell)) for cell in row))
        console().print(table)
    click.echo(f"{plural(len(tasks), 'task')} {wanted.state}.", err=bool(tasks))
    if cursor is not None:
        click.echo(f"There are more: --cursor {cursor}, or --all.", err=True)


def line_of(task: Task | Root) -> str:
    """One line for a task in a list of others, safe to print: id, type, state and what is to be known of that."""
    note = _note(task)
    state = str(task.state) if task.place == str(task.state) or task.state != "pending" else task.place
    return safe(f"{task.id}  {task.type}, {state}" + (f": {note}" if note and note != state else ""))


def title(task: Task) -> str:
    """A line that says what the task is about: its title, or what the payload says."""
    extra = task.model_extra or {}
    payload = task.payload if isinstance(task.payload, dict) else {}
    for found in (extra.get("title"), payload.get("goal"), payload.get("target"), payload.get("action")):
        if isinstance(found, str) and found.strip():
            return _cut(found)
    return ""


def _note(task: Task | Root) -> str:
    notes: dict[str, Any] = {
        "pending": _pending(task),
        "in-progress": f"{task.claimed_by}, until {clock(task.lease_expires_at)}",
        "completed": clock(task.completed_at),
        "dead-letter": f"{'escalated; ' if task.escalated_at else ''}{task.last_error or ''}",
        "cancelled": task.cancel_reason or "",
    }
    return _cut(str(notes[str(task.state)]))


def _pending(task: Task | Root) -> str:
    if task.place == "blocked":
        waiting = sorted(task.waiting_on)
        more = f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""
        return f"waits for {', '.join(waiting[:3])}{more}"
    if task.place == "delayed":
        return f"not before {clock(task.available_at)}"
    return task.place


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_NOTE else line[: _LONGEST_NOTE - 1] + "…"
