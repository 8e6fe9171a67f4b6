"""``lokiredis list``."""

from __future__ import annotations

import click

from .limits import task_type
from .session import Session, pass_session
from .tasks import STATES, Wanted, list_and_answer
from .verb import Verb


@click.command(
    "list",
    cls=Verb,
    examples="""
        lokiredis list
        lokiredis list --state in-progress --type eng-backend
        lokiredis list --state completed --all --json | jq -r '.data.tasks[].id'
    """,
)
@click.option("--state", type=click.Choice(STATES), default="pending", show_default=True, help="Which tasks.")
@click.option("--type", type=task_type, metavar="TYPE", help="Only tasks of this type.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="At most so many."
)
@click.option("--cursor", metavar="CURSOR", help="Where the page before ended.")
@click.option("--all", is_flag=True, help="All of them, whatever --limit says.")
@pass_session
def list_tasks(session: Session, /, state: str, type: str | None, limit: int, cursor: str | None, all: bool) -> None:
    """List the tasks in one state.

    Pending tasks come in the order in which they would be claimed: ready ones, then delayed, then blocked. The others
    come in the order in which they were made.

    JSON: {"state", "tasks", "cursor"}; the cursor is null at the end, else give it back with --cursor.
    """
    list_and_answer(session, Wanted(state, type, None if all else limit, cursor))
