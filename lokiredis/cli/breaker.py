"""``lokiredis breaker``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .limits import task_type
from .session import Session, pass_session, print_table
from .text import clock, plural, safe
from .verb import Family, Verb

if TYPE_CHECKING:
    from ..models import Breaker
    from ..queue import Queue


@click.group(
    cls=Family,
    examples="""
        lokiredis breaker list
        lokiredis breaker reset eng-backend
    """,
)
def breaker() -> None:
    """Look at the circuit breakers, reset or trip one.

    A type whose tasks keep ending in the dead-letter queue gets no more of them claimed (open), until one task, the
    probe, was tried and went well (half-open, then closed).
    """


@breaker.command(
    "list",
    cls=Verb,
    examples="""
        lokiredis breaker list
        lokiredis breaker list --json | jq '.data.circuitBreakers["eng-backend"].state'
    """,
)
@pass_session
def list_breakers(session: Session, /) -> None:
    """List the breakers that have seen a failure.

    JSON: {"circuitBreakers": {type: {"state", "failures", "lastFailure", "openedAt", "halfOpenAt"}}}.
    """
    _answer(session, session.queue().breakers())


@breaker.command(cls=Verb, examples="lokiredis breaker reset eng-backend")
@click.argument("type", type=task_type)
@pass_session
def reset(session: Session, /, type: str) -> None:
    """Close a breaker and forget its failures: the cause is gone.

    JSON: as of list, with this type only.
    """
    queue = session.queue()
    queue.reset_breaker(type)
    _answer_one(session, queue, type, "closed")


@breaker.command(cls=Verb, examples="lokiredis breaker trip ops-devops")
@click.argument("type", type=task_type)
@pass_session
def trip(session: Session, /, type: str) -> None:
    """Open a breaker by hand: no task of this type for now.

    JSON: as of list, with this type only.
    """
    queue = session.queue()
    queue.trip_breaker(type)
    _answer_one(session, queue, type, "open")


def _answer_one(session: Session, queue: Queue, type: str, state: str) -> None:
    breakers = {name: found for name, found in queue.breakers().items() if name == type}
    _answer(session, breakers, f"{type} is {state}.")


def _answer(session: Session, breakers: dict[str, Breaker], line: str | None = None) -> None:
    data = {"circuitBreakers": {type: found.to_json() for type, found in sorted(breakers.items())}}
    session.answer(data, lambda: click.echo(safe(line)) if line is not None else _tell(breakers))


def _tell(breakers: dict[str, Breaker]) -> None:
    if not breakers:
        click.echo("No breaker has seen a failure; all are closed.")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("type", "state", "failures", "last failure", "opened", "half-open", box=None, pad_edge=False)
    lines = []
    for type, found in sorted(breakers.items()):
        times = [clock(when) for when in (found.last_failure, found.opened_at, found.half_open_at)]
        table.add_row(Text(safe(type)), found.state, str(found.failures), *times)
        last, opened, half_open = times
        told = (
            f"{found.state}, {plural(found.failures, 'failure')}, last {last}, opened {opened}, half-open {half_open}"
        )
        lines.append(f"{safe(type)}: {told}")
    print_table(table, lines)
