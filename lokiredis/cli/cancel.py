"""``lokiredis cancel``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from .params import duration
from .session import Session, pass_session
from .text import plural, safe
from .verb import Verb

if TYPE_CHECKING:
    from ..queue import Queue


@click.command(
    cls=Verb,
    examples="""
        lokiredis cancel api-001 --reason 'the customer wants GraphQL'
        lokiredis cancel plan-001 --reason 'wrong plan' --wait 1m --json
    """,
)
@click.argument("id")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept with the task.")
@click.option(
    "--wait", type=duration, metavar="DURATION", help="Carry on for so long, until all dependents are cancelled."
)
@click.option("--request", metavar="ID", help="Repeating with the same id gives the same answer for 10 minutes.")
@pass_session
def cancel(session: Session, /, id: str, reason: str, wait: float | None, request: str | None) -> None:
    """Cancel a task and everything that depends on it.

    A running task's claim ends at once, and its agent is told. Thousands of dependents are cancelled in slices: the
    answer comes after the first ones, with "done": false, and whoever works on the queue carries on.

    JSON: {"id", "count", "ids", "done"}: how many so far, and the first 1,000 of them.
    """
    queue = session.queue()
    cancelled = queue.cancel(id, reason, request=request)
    done = cancelled.done or (wait is not None and finished(queue, wait))
    data = {"id": id, "count": cancelled.count, "ids": cancelled.ids, "done": done}

    def human() -> None:
        rest = "" if done else " so far; the rest goes on in the background"
        click.echo(f"Cancelled {plural(cancelled.count, 'task')}{rest}.")
        for each in cancelled.ids[:20]:
            click.echo(f"  {safe(each)}")
        if cancelled.count > 20:
            click.echo(f"  and {cancelled.count - 20:,} more")

    session.answer(data, human)


def finished(queue: Queue, seconds: float) -> bool:
    """Carry the cascades on until nothing is left to do. False when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        # Any agent's call does a slice of the work; this one ends and claims nothing.
        queue.exchange("lokiredis-cancel", [], limit=0)
        if not queue.stats().todo:
            return True
        if time.monotonic() >= deadline:
            return False
