"""``lokiredis explain``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from .limits import agent_name, some_types, task_type
from .session import Session, pass_session
from .tasks import line_of
from .text import clock, iso, plural, safe, span
from .verb import Verb

if TYPE_CHECKING:
    from ..explanation import AgentExplanation, Explanation, Gate
    from ..models import Task

#: How many of the tasks that it waits for are told to people.
_TOLD = 10
_WHY = {
    "paused": "the queue, or the type, is paused",
    "slowdown": "the fleet was told to slow down",
    "held": "it is held after a rate limit",
    "breaker": "the circuit breaker of the type is not letting through",
    "delayed": "all tasks wait for their time",
    "blocked": "all tasks wait for others to be completed",
    "empty": "there are no tasks of its types",
}


@click.command(
    cls=Verb,
    examples="""
        lokiredis explain api-001
        lokiredis explain --agent host-17/claude-3
        lokiredis explain --agent host-17/claude-3 --type eng-backend --json
    """,
)
@click.argument("id", required=False)
# No LOKIREDIS_AGENT here: in an agent's shell `explain ID` must stay a question about a task.
@click.option("--agent", type=agent_name, metavar="AGENT", help="Why this agent gets nothing, in place of a task.")
@click.option(
    "--type",
    type=task_type,
    multiple=True,
    callback=lambda ctx, param, value: some_types(ctx, param, value) if value else value,
    metavar="TYPE",
    help="With --agent: for claims of this type; may be repeated.  [default: those that it announced]",
)
@pass_session
def explain(session: Session, /, id: str | None, agent: str | None, type: tuple[str, ...]) -> None:
    """Say why a task does not run, or why an agent gets nothing.

    The answer is that of the next claim, which is tried without being made.

    JSON: {"id", "state", "place", "expected", "ready", "position", "reason", "retryAfter", "waitsFor", "roots",
    "walkedAll", "agents", "gate", "paused", "slowdownUntil", "now"}; "position" is its place in the line of its type,
    "reason" says what stops that line. With --agent {"agent", "task", "reason", "retryAfter", "heldUntil", "lastSeen",
    "lost", "paused", "slowdownUntil", "types", "now"}; "task" is what it gets next.
    """
    if (id is None) == (agent is None):
        raise click.UsageError("explain what: the ID of a task, or --agent AGENT?")
    if agent is None:
        if type:
            raise click.UsageError("--type goes with --agent")
        assert id is not None
        found = session.queue().explain(id)
        session.answer(_shown(found), lambda: click.echo("\n".join(_task(found))))
    else:
        said = session.queue().explain_agent(agent, type)
        session.answer(_shown_agent(said), lambda: click.echo("\n".join(_agent(said))))


def _shown(found: Explanation) -> dict[str, Any]:
    return {
        "id": found.task.id,
        "state": str(found.state),
        "place": found.task.place,
        "expected": found.expected,
        "ready": found.ready,
        "position": found.position,
        "reason": found.reason,
        "retryAfter": found.retry_after,
        "waitsFor": [
            {"id": task.id, "type": task.type, "state": str(task.state), "place": task.place}
            for task in found.waits_for
        ],
        "roots": found.roots,
        "walkedAll": found.walked_all,
        "agents": found.agents,
        "gate": _gate(found.gate),
        "paused": found.paused,
        "slowdownUntil": iso(found.slowdown_until),
        "now": iso(found.now),
    }


def _gate(gate: Gate) -> dict[str, Any]:
    return {
        "type": gate.type,
        "paused": gate.paused,
        "breaker": gate.breaker.state if gate.breaker is not None else "closed",
        "probeAt": iso(gate.probe_at),
        "probe": gate.probe,
    }


def _shown_agent(said: AgentExplanation) -> dict[str, Any]:
    return {
        "agent": said.agent,
        "task": said.task,
        "reason": said.reason,
        "retryAfter": said.retry_after,
        "heldUntil": iso(said.held_until),
        "lastSeen": iso(said.last_seen),
        "lost": said.lost,
        "paused": said.paused,
        "slowdownUntil": iso(said.slowdown_until),
        "types": [
            _gate(line.gate)
            | {"ready": line.ready, "delayed": line.delayed, "blocked": line.blocked, "inProgress": line.in_progress}
            for line in said.types
        ],
        "now": iso(said.now),
    }


def _task(found: Explanation) -> Iterator[str]:
    task = found.task
    yield safe(f"{task.id}  {task.type}, priority {task.priority}, {task.state}")
    if found.expected in ("completed", "cancelled"):
        yield f"It is {found.expected}: nothing will run it again."
        return
    if found.expected == "dead":
        yield safe(f"It used up its attempts, and waits for a review: lokiredis dead show {task.id}")
        return
    if found.expected == "leased":
        yield safe(f"{task.claimed_by} works on it, until {clock(task.lease_expires_at)} at least.")
        return
    if task.place == "leased":
        yield safe(f"{task.claimed_by} did not renew its claim: the next claim of {task.type} takes it back.")
    if found.expected == "delayed":
        yield f"Not before {clock(task.available_at)}, in {span(_left(task, found))}."
    if found.expected == "blocked":
        yield from _blocked(found)
    if found.ready:
        yield safe(f"Ready now, place 1: the next claim of {task.type} takes it.")
    elif found.position is not None:
        ahead = found.position - 1
        yield safe(
            f"Place {found.position:,} of {task.type}" + (f", behind {plural(ahead, 'task')}." if ahead else ".")
        )
    yield from _stops(found)
    yield from _type_stops(found.gate)
    if not found.agents:
        yield safe(f"No live agent of {task.type} is known.")


def _left(task: Task, found: Explanation) -> float:
    return 0 if task.available_at is None else max(0, (task.available_at - found.now).total_seconds())


def _blocked(found: Explanation) -> Iterator[str]:
    least = "" if found.walked_all else "at least "
    if not found.roots:
        yield "It waits at the end of a chain that is longer than one look reaches: lokiredis graph shows it."
        return
    yield f"It waits for {least}{plural(found.roots, 'task')}:"
    for task in found.waits_for[:_TOLD]:
        yield f"  {line_of(task)}"
    if found.roots > _TOLD:
        yield f"  and {found.roots - _TOLD:,} more"


def _stops(found: Explanation | AgentExplanation) -> Iterator[str]:
    if found.paused:
        yield "The queue is paused: lokiredis resume"
    if found.slowdown_until is not None:
        yield f"SLOWDOWN until {clock(found.slowdown_until)}: lokiredis slowdown --wait 0 lifts it"


def _type_stops(gate: Gate) -> Iterator[str]:
    if gate.paused:
        yield safe(f"{gate.type} is paused: lokiredis resume --type {gate.type}")
    if gate.breaker is not None and gate.breaker.state == "open":
        yield safe(f"The breaker of {gate.type} is open, and lets one task through from {clock(gate.probe_at)} on.")
    elif gate.breaker is not None and gate.breaker.state == "half-open":
        yield safe(f"The breaker of {gate.type} is half-open: it waits for {gate.probe} to end.")


def _agent(said: AgentExplanation) -> Iterator[str]:
    if said.last_seen is None:
        yield f"{said.agent}  has not announced itself"
    else:
        yield f"{said.agent}  last seen {clock(said.last_seen)}" + (", lost since" if said.lost else "")
    if said.task is not None:
        yield safe(f"Its next claim gets {said.task}.")
    else:
        again = "" if said.retry_after is None else f"; that can change in {span(said.retry_after)}"
        yield f"Its next claim gets nothing: {_WHY.get(str(said.reason), str(said.reason))}{again}."
    if said.held_until is not None:
        yield f"It is held until {clock(said.held_until)}: lokiredis resume --agent {said.agent}"
    yield from _stops(said)
    for line in said.types:
        counts = {
            "ready": line.ready,
            "delayed": line.delayed,
            "blocked": line.blocked,
            "in progress": line.in_progress,
        }
        told = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count) or "no tasks"
        yield safe(f"  {line.gate.type}: {told}")
        for stop in _type_stops(line.gate):
            yield f"    {stop}"
