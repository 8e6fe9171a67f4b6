"""``lokiredis show``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from .session import Session, console, pass_session
from .text import clock, pretty, safe, span
from .verb import Verb

if TYPE_CHECKING:
    from ..models import Task

#: Shown in ways of their own, or of no interest to people.
_APART = frozenset({"id", "type", "priority", "attempts", "sequence", "backoff_base"})
_SPANS = frozenset({"timeout", "backoff_seconds"})


@click.command(
    cls=Verb,
    examples="""
        lokiredis show api-001
        lokiredis show api-001 --json | jq .data.task.payload
    """,
)
@click.argument("id")
@pass_session
def show(session: Session, /, id: str) -> None:
    """Show one task with everything that is known about it.

    JSON: {"state", "place", "task"}. The place of a pending task is ready, delayed or blocked.
    """
    answer_task(session, session.queue().get(id))


def answer_task(
    session: Session, task: Task, more: dict[str, Any] | None = None, tell_more: Callable[[], None] = lambda: None
) -> None:
    """Print a task, and *more* about it."""
    data = {"state": str(task.state), "place": task.place, "task": task.to_json()} | (more or {})

    def tell() -> None:
        _tell(task)
        tell_more()

    session.answer(data, tell)


def _tell(task: Task) -> None:
    place = "" if task.place == str(task.state) else f", {task.place}"
    click.echo(safe(f"{task.id}  {task.type}, priority {task.priority}, {task.state}{place}"))
    for name in type(task).model_fields:
        value = getattr(task, name)
        # A 0 says something, an empty list or object doesn't.
        if name not in _APART and value is not None and value not in ((), {}, [], frozenset()):
            _field(name.replace("_", " "), _shown(name, value))
    for name, value in (task.model_extra or {}).items():
        _field(name, _shown(name, value))
    if task.attempts:
        _attempts(task)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, datetime):
        return clock(value)
    if name in _SPANS:
        return span(value)
    if isinstance(value, (tuple, frozenset)):
        return safe(", ".join(sorted(value)))
    return safe(value, lines=True) if isinstance(value, str) else pretty(value)


def _field(name: str, text: str) -> None:
    if "\n" in text:
        indented = text.replace("\n", "\n    ")
        click.echo(f"  {safe(name)}:\n    {indented}")
    else:
        click.echo(f"  {safe(name)}: {text}")


def _attempts(task: Task) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("attempt", "agent", "host", "from", "to", "outcome", "error", box=None, pad_edge=False)
    for number, attempt in enumerate(task.attempts):
        ends = (clock(attempt.claimed_at), clock(attempt.ended_at))
        row = (str(attempt.token), attempt.agent, attempt.host or "", *ends, attempt.outcome, attempt.error or "")
        table.add_row(*(Text(safe(cell)) for cell in row), end_section=number == len(task.attempts) - 1)
    click.echo()
    console().print(table)
