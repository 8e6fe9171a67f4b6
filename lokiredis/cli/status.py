"""``lokiredis status``."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

from .params import duration
from .session import Session, console, fitting, pass_session
from .tasks import STATES
from .text import clock, iso, plural, safe, span
from .verb import Verb

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..models import Agent, Stats, TypeStats, Wait
    from ..queue import Queue
    from ..review import DeadGroup

#: So many dead letters are looked at for their groups, and so many groups and held agents are told.
_LETTERS, _TOLD = 2000, 5


@dataclass(frozen=True)
class View:
    """What is looked at, in a few calls after each other."""

    name: str
    stats: Stats
    waits: list[Wait]
    agents: list[Agent]
    groups: list[DeadGroup]


def _pause(value: str | float) -> float:
    seconds = duration(value)
    if not 0.1 <= seconds <= 3600:
        raise click.BadParameter("from 100ms to an hour")
    return seconds


@click.command(
    cls=Verb,
    examples="""
        lokiredis status
        lokiredis status --watch --every 5s
        lokiredis status --json | jq .data.counts
    """,
)
@click.option("--watch", is_flag=True, help="Stay, and refresh it in place until Ctrl-C.")
@click.option("--every", type=_pause, metavar="DURATION", help="With --watch: how often.  [default: 2s]")
@pass_session
def status(session: Session, /, watch: bool, every: float | None) -> None:
    """Count the tasks, and tell what waits, stops or failed.

    Per state and type; the oldest waits, breakers, pauses and holds, agents, dead letters by group.

    JSON: {"now", "counts", "types", "circuitBreakers", "paused", "slowdownUntil", "todo", "totals", "waits":
    [{"priority", "id", "type", "since"}], "agents": {state: N}, "holds": [{"agent", "until"}], "deadLetters":
    [{"group", "pattern", "count"}]}. "todo" is how many cascades of a cancel or a completion are still being worked
    through; "totals" count since the queue was made; "waits" are the oldest ready tasks of each priority; the groups
    are those of the first 2,000 dead letters.
    """
    if watch and session.json:
        raise click.UsageError("--json is one document: it takes no --watch")
    if watch and not sys.stdout.isatty():
        raise click.UsageError("--watch refreshes a terminal, and this is none")
    if every is not None and not watch:
        raise click.UsageError("--every needs --watch")
    queue = session.queue(patient=watch)
    name = session.queue_name or "default"
    if watch:
        _watch(queue, name, 2 if every is None else every)
        return
    view = _look(queue, name)
    session.answer(_shown(view), lambda: _print(view))


def _look(queue: Queue, name: str) -> View:
    stats = queue.stats()
    dead = stats.counts.get("dead-letter", 0)
    groups = queue.dead_groups(limit=_LETTERS) if dead else []
    return View(name, stats, queue.waits(), queue.agents(), groups)


def _print(view: View) -> None:
    terminal = console()
    for part in _parts(view, terminal):
        if isinstance(part, str):
            click.echo(part)
        else:
            terminal.print(part)


def _watch(queue: Queue, name: str, every: float) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    terminal = console()
    with Live(console=terminal, screen=True, auto_refresh=False) as live:
        while True:
            parts = _parts(_look(queue, name), terminal)
            shown = (Text(part, overflow="fold") if isinstance(part, str) else part for part in parts)
            live.update(Group(*shown), refresh=True)
            time.sleep(every)


def _shown(view: View) -> dict[str, Any]:
    stats = view.stats
    return {
        "now": iso(stats.now),
        "counts": {state: stats.counts.get(state, 0) for state in STATES},
        "types": {name: _shown_type(found) for name, found in sorted(stats.types.items())},
        "circuitBreakers": {name: found.to_json() for name, found in sorted(stats.breakers.items())},
        "paused": stats.paused,
        "slowdownUntil": iso(stats.slowdown_until),
        "todo": stats.todo,
        "totals": stats.totals,
        "waits": [
            {"priority": wait.priority, "id": wait.id, "type": wait.type, "since": iso(wait.since)}
            for wait in view.waits
        ],
        "agents": dict(Counter(agent.state for agent in view.agents)),
        "holds": [{"agent": agent.name, "until": iso(agent.held_until)} for agent in _held(view)],
        "deadLetters": [
            {"group": group.group, "pattern": group.pattern, "count": len(group.letters)} for group in view.groups
        ],
    }


def _shown_type(found: TypeStats) -> dict[str, Any]:
    names = {"in_progress": "inProgress", "dead_letter": "deadLetter"}
    return {names.get(field.name, field.name): getattr(found, field.name) for field in fields(found)}


def _held(view: View) -> list[Agent]:
    return [agent for agent in view.agents if agent.held_until is not None]


def _parts(view: View, terminal: Console) -> Iterator[RenderableType]:
    from rich.text import Text

    counts = ", ".join(f"{view.stats.counts.get(state, 0):,} {state}" for state in STATES)
    yield f"Queue {view.name}: {counts}"
    if view.stats.types:
        yield from _table(view.stats, terminal)
    for line in _lines(view):
        yield Text(safe(line), overflow="fold")


def _lines(view: View) -> Iterator[str]:
    stats = view.stats
    if stats.paused:
        yield "The queue is paused: lokiredis resume"
    if stats.slowdown_until is not None and stats.slowdown_until > stats.now:
        yield f"SLOWDOWN until {clock(stats.slowdown_until)}: lokiredis slowdown --wait 0 lifts it"
    if stats.todo:
        yield f"{plural(stats.todo, 'cascade')} still to be worked through."
    if view.waits:
        told = (f"{span(_seconds(view, wait))} of priority {wait.priority} ({wait.id})" for wait in view.waits)
        yield f"Oldest ready: {', '.join(told)}"
    if view.agents:
        states = Counter(agent.state for agent in view.agents)
        yield "Agents: " + ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    held = _held(view)
    for agent in held[:_TOLD]:
        yield f"{agent.name} is held until {clock(agent.held_until)}: lokiredis resume --agent {agent.name}"
    if len(held) > _TOLD:
        yield f"and {len(held) - _TOLD:,} more are held: lokiredis agents"
    for group in view.groups[:_TOLD]:
        yield f"{plural(len(group.letters), 'dead letter')} in group {group.group}: {group.pattern}"
    if len(view.groups) > _TOLD:
        yield f"and {plural(len(view.groups) - _TOLD, 'more group')}: lokiredis dead list --group"


def _seconds(view: View, wait: Wait) -> float:
    return max(0, (view.stats.now - wait.since).total_seconds())


def _table(stats: Stats, terminal: Console) -> list[RenderableType]:
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
    return fitting(terminal, table, lines)
