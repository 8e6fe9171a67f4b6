"""``lokiredis list``."""

from __future__ import annotations

import click

from .blocked import list_blocked
from .limits import task_type
from .session import Session, pass_session
from .tasks import STATES, Wanted, list_and_answer
from .verb import Verb


@click.command(
    "list",
    cls=Verb,
    examples="""
        lokiredis list
        lokiredis list --blocked
        lokiredis list --state in-progress --type eng-backend
        lokiredis list --state completed --all --json | jq -r '.data.tasks[].id'
    """,
)
@click.option("--state", type=click.Choice(STATES), default="pending", show_default=True, help="Which tasks.")
@click.option("--blocked", is_flag=True, help="The blocked tasks, and before them what they wait for in the end.")
@click.option("--type", type=task_type, metavar="TYPE", help="Only tasks of this type.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="At most so many."
)
@click.option("--cursor", metavar="CURSOR", help="Where the page before ended.")
@click.option("--all", is_flag=True, help="All of them, whatever --limit says.")
@pass_session
def list_tasks(
    session: Session, /, state: str, blocked: bool, type: str | None, limit: int, cursor: str | None, all: bool
) -> None:
    """List the tasks in one state.

    Pending tasks come in the order in which they would be claimed: ready ones, then delayed, then blocked. The others
    come in the order in which they were made.

    With --blocked the roots come first: the tasks that wait for nobody and hold others back. Then the blocked ones,
    each behind what it waits for.

    JSON: {"state", "tasks", "cursor"}; the cursor is null at the end, else give it back with --cursor. With --blocked
    {"state", "roots": [{"id", "type", "state", "place", "holdsBack"}], "tasks": [{"id", "type", "priority",
    "waitingOn"}], "count", "whole"}.
    """
    if blocked:
        if state != "pending" or cursor is not None:
            raise click.UsageError("--blocked lists pending tasks, without pages")
        list_blocked(session, type, None if all else limit)
        return
    list_and_answer(session, Wanted(state, type, None if all else limit, cursor))
