"""``lokiredis status``."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from .session import Session, pass_session, print_table
from .tasks import STATES
from .text import clock, iso, plural, safe
from .verb import Verb

if TYPE_CHECKING:
    from ..models import Stats, TypeStats


@click.command(
    cls=Verb,
    examples="""
        lokiredis status
        lokiredis status --json | jq .data.counts
    """,
)
@pass_session
def status(session: Session, /) -> None:
    """Count the tasks per state and type; breakers and pauses.

    JSON: {"now", "counts", "types", "circuitBreakers", "paused", "slowdownUntil", "todo", "totals"}. "todo" is how
    many cascades of a cancel or a completion are still being worked through; "totals" count since the queue was made.
    """
    stats = session.queue().stats()
    session.answer(_shown(stats), lambda: _tell(stats, session.queue_name or "default"))


def _shown(stats: Stats) -> dict[str, Any]:
    return {
        "now": iso(stats.now),
        "counts": {state: stats.counts.get(state, 0) for state in STATES},
        "types": {name: _shown_type(found) for name, found in sorted(stats.types.items())},
        "circuitBreakers": {name: found.to_json() for name, found in sorted(stats.breakers.items())},
        "paused": stats.paused,
        "slowdownUntil": iso(stats.slowdown_until),
        "todo": stats.todo,
        "totals": stats.totals,
    }


def _shown_type(found: TypeStats) -> dict[str, Any]:
    names = {"in_progress": "inProgress", "dead_letter": "deadLetter"}
    return {names.get(field.name, field.name): getattr(found, field.name) for field in fields(found)}


def _tell(stats: Stats, name: str) -> None:
    click.echo(f"Queue {name}: " + ", ".join(f"{stats.counts.get(state, 0):,} {state}" for state in STATES))
    if stats.types:
        _table(stats)
    if stats.paused:
        click.echo("The queue is paused: lokiredis resume")
    if stats.slowdown_until is not None and stats.slowdown_until > stats.now:
        click.echo(f"SLOWDOWN until {clock(stats.slowdown_until)}: lokiredis slowdown --wait 0 lifts it")
    if stats.todo:
        click.echo(f"{plural(stats.todo, 'cascade')} still to be worked through.")


def _table(stats: Stats) -> None:
    from rich.table import Table
    from rich.text import Text

    columns = ("ready", "delayed", "blocked", "in_progress", "completed", "dead_letter", "cancelled")
    words = [column.replace("_", "-") for column in columns]
    table = Table("type", *words, "breaker", "", box=None, pad_edge=False)
    for column in table.columns[1 : len(columns) + 1]:
        column.justify = "right"
    lines = []
    for type, found in sorted(stats.types.items()):
        breaker = stats.breakers.get(type)
        state = breaker.state if breaker is not None else "closed"
        counts = [f"{getattr(found, column):,}" for column in columns]
        paused = "paused" if found.paused else ""
        table.add_row(Text(safe(type)), *counts, state, paused)
        told = [f"{count} {word}" for count, word in zip(counts, words, strict=True) if count != "0"]
        lines.append(f"{safe(type)}: {', '.join([*told, f'breaker {state}', *([paused] if paused else [])])}")
    print_table(table, lines)
