"""What keeps claims from being given out: ``pause``, ``resume``, ``slowdown``."""

from __future__ import annotations

from datetime import datetime, timezone

import click

from .limits import agent_name, request_id, task_type
from .params import delay_time, plain_text
from .session import Session, pass_session
from .text import clock, iso, safe, span
from .verb import Verb


@click.command(
    cls=Verb,
    examples="""
        lokiredis pause
        lokiredis pause --type ops-devops
    """,
)
@click.option("--type", type=task_type, metavar="TYPE", help="Only this type.  [default: the whole queue]")
@pass_session
def pause(session: Session, /, type: str | None) -> None:
    """Give out no more tasks, of one type or of all.

    Running tasks may end. The queue and each type have switches of their own: a paused type stays paused when the
    queue is resumed.

    JSON: {"type", "paused"}; the type is null for the queue.
    """
    session.queue().pause(type)
    line = f"{type or 'The queue'} is paused."
    session.answer({"type": type, "paused": True}, lambda: click.echo(safe(line)))


@click.command(
    cls=Verb,
    examples="""
        lokiredis resume
        lokiredis resume --type ops-devops
        lokiredis resume --agent host-17/claude-3
    """,
)
@click.option("--type", type=task_type, metavar="TYPE", help="Only this type.  [default: the whole queue]")
# No LOKIREDIS_AGENT here: an agent's shell that resumes the queue must not lift its own hold instead.
@click.option("--agent", type=agent_name, metavar="AGENT", help="Lift the hold of this agent after a rate limit.")
@pass_session
def resume(session: Session, /, type: str | None, agent: str | None) -> None:
    """Lift a pause, or the hold of one agent.

    JSON: {"type", "paused": false}, or {"agent", "held": false}.
    """
    if agent is not None and type is not None:
        raise click.UsageError("--agent lifts a hold, --type a pause: one at a time")
    session.queue().resume(type, agent=agent)
    if agent is not None:
        session.answer({"agent": agent, "held": False}, lambda: click.echo(safe(f"{agent} is not held any more.")))
    else:
        line = f"{type or 'The queue'} is not paused any more."
        session.answer({"type": type, "paused": False}, lambda: click.echo(safe(line)))


@click.command(
    cls=Verb,
    examples="""
        lokiredis slowdown --wait 30 --reason 'the API answers 429'
        lokiredis slowdown --wait 0
    """,
)
@click.option("--wait", type=delay_time, required=True, metavar="DURATION", help="For how long; 0 lifts a slowdown.")
@click.option("--reason", type=plain_text, default="", metavar="TEXT", help="Why; the agents are told.")
@click.option(
    "--request", type=request_id, metavar="ID", help="Repeating with the same id gives the same answer for 10 minutes."
)
@pass_session
def slowdown(session: Session, /, wait: float, reason: str, request: str | None) -> None:
    """Let the whole fleet wait for a while.

    No claims are given out until then, and a SLOWDOWN signal tells every agent. Of two the later end wins; 30 minutes
    is the longest.

    JSON: {"wait", "until"}; the wait is cut to the longest, and "until" is null when it was lifted.
    """
    queue = session.queue()
    ends = queue.slowdown(wait, reason, request=request)
    # Not the time that is left: a repeated request must get the same answer.
    longest = queue.settings().longest_slowdown
    done = min(wait, int(longest) if longest == int(longest) else longest)
    until = datetime.fromtimestamp(ends, timezone.utc) if ends else None
    cut = f" ({span(done)} is the longest)" if done < wait else ""
    line = f"No claims before {clock(until)}{cut}." if until else "The slowdown is lifted."
    session.answer({"wait": done, "until": iso(until)}, lambda: click.echo(line))
