"""``lokiredis cancel``."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import click

from .limits import request_id
from .params import duration, plain_text
from .session import Session, pass_session
from .text import plural, safe
from .verb import Verb

if TYPE_CHECKING:
    from ..queue import Queue


#: How many ids are told, as by the queue itself.
_SHOWN = 1000
_PAGE = 1000
#: What lua/lib/work_on.lua writes for a task that was cancelled with another.
_PARENT = re.compile(r"Parent (\S+) cancelled")


@click.command(
    cls=Verb,
    examples="""
        lokiredis cancel api-001 --reason 'the customer wants GraphQL'
        lokiredis cancel plan-001 --reason 'wrong plan' --wait 1m --json
    """,
)
@click.argument("id")
@click.option("--reason", type=plain_text, required=True, metavar="TEXT", help="Why; it is kept with the task.")
@click.option(
    "--wait", type=duration, metavar="DURATION", help="Carry on for so long, until all dependents are cancelled."
)
@click.option(
    "--request", type=request_id, metavar="ID", help="Repeating with the same id gives the same answer for 10 minutes."
)
@pass_session
def cancel(session: Session, /, id: str, reason: str, wait: float | None, request: str | None) -> None:
    """Cancel a task and everything that depends on it.

    A running task's claim ends at once, and its agent is told. Thousands of dependents are cancelled in slices: the
    answer comes after the first ones, with "done": false, and whoever works on the queue carries on.

    JSON: {"id", "count", "ids", "done"}: how many so far, and the first 1,000 of them.
    """
    queue = session.queue()
    cancelled = queue.cancel(id, reason, request=request)
    count, ids, done = cancelled.count, cancelled.ids, cancelled.done
    if not done and wait is not None:
        done = finished(queue, wait)
        # The answer knows of its own slice only.
        found = cascade(queue, id)
        count, ids = max(count, len(found)), list(dict.fromkeys([*ids, *found]))[:_SHOWN]

    def human() -> None:
        rest = "" if done else " so far; the rest goes on in the background"
        click.echo(f"Cancelled {plural(count, 'task')}{rest}.")
        for each in ids[:20]:
            click.echo(f"  {safe(each)}")
        if count > 20:
            click.echo(f"  and {count - 20:,} more")

    session.answer({"id": id, "count": count, "ids": ids, "done": done}, human)


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


def cascade(queue: Queue, id: str) -> list[str]:
    """The task and all that was cancelled with it, as the reasons of the cancelled tasks tell."""
    from ..models import State

    root = queue.get(id)
    behind: dict[str, list[str]] = {}
    cursor = None
    while True:
        page = queue.list(State.CANCELLED, limit=_PAGE, cursor=cursor)
        for task in page.tasks:
            parent = _PARENT.fullmatch(task.cancel_reason or "")
            # An older cancel of a task with that id, before it was used again, is another cascade.
            if parent and task.cancelled_at and root.cancelled_at and task.cancelled_at >= root.cancelled_at:
                behind.setdefault(parent[1], []).append(task.id)
        cursor = page.cursor
        if cursor is None:
            break
    found = {id: None}
    left = [id]
    for name in left:
        new = [child for child in behind.get(name, ()) if child not in found]
        found |= dict.fromkeys(new)
        left += new
    return left
