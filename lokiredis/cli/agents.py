"""``lokiredis agents``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .session import Session, pass_session, print_table
from .text import clock, iso, safe
from .verb import Verb

if TYPE_CHECKING:
    from ..models import Agent


@click.command(
    cls=Verb,
    examples="""
        lokiredis agents
        lokiredis agents --json | jq '.data.agents[] | select(.state == "lost")'
    """,
)
@pass_session
def agents(session: Session, /) -> None:
    """List who works for the queue, and on what.

    Workers announce themselves and are forgotten after a day; an agent that only claims is shown while it holds a task.

    JSON: {"agents": [{"agent", "host", "types", "state", "tasks", "lastSeen", "heldUntil", "completed", "failed"}]}.
    """
    found = session.queue().agents()
    session.answer({"agents": [_shown(agent) for agent in found]}, lambda: _tell(found))


def _shown(agent: Agent) -> dict[str, Any]:
    return {
        "agent": agent.name,
        "host": agent.host,
        "types": list(agent.types),
        "state": agent.state,
        "tasks": list(agent.tasks),
        "lastSeen": iso(agent.last_seen),
        "heldUntil": iso(agent.held_until),
        "completed": agent.completed,
        "failed": agent.failed,
    }


def _tell(found: list[Agent]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not found:
        click.echo("No agent has been heard of.")
        return
    table = Table(
        "agent", "host", "state", "tasks", "types", "last seen", "completed", "failed", box=None, pad_edge=False
    )
    lines = []
    for agent in found:
        state = f"held until {clock(agent.held_until)}" if agent.state == "held" else agent.state
        counts = ["–" if count is None else f"{count:,}" for count in (agent.completed, agent.failed)]
        words = [agent.name, agent.host, state, _some(agent.tasks), _some(agent.types), clock(agent.last_seen), *counts]
        table.add_row(*(Text(safe(word)) for word in words))
        lines.append(
            safe(f"{agent.name} on {agent.host}: {state}, {_some(agent.tasks)}, last seen {clock(agent.last_seen)}")
        )
    print_table(table, lines)


def _some(names: tuple[str, ...]) -> str:
    """The first three; a worker may hold a thousand."""
    rest = len(names) - 3
    return ", ".join(names[:3]) + (f" and {rest:,} more" if rest > 0 else "") or "–"
