"""``lokiredis export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .session import Session, pass_session
from .text import plural, safe
from .verb import Verb

if TYPE_CHECKING:
    from ..files.report import Exported


@click.command(
    cls=Verb,
    examples="""
        lokiredis export backup
        lokiredis export queue.jsonl --replace
        lokiredis pause && lokiredis export queue.jsonl && lokiredis --queue copy import queue.jsonl
    """,
)
@click.argument("path", metavar="DIR|FILE", type=click.Path())
@click.option("--replace", is_flag=True, help="Overwrite files that are there already.")
@pass_session
def export(session: Session, /, path: str, replace: bool) -> None:
    """Write all tasks, breakers and settings to files that import takes.

    A folder, or a path without a suffix, gets the documented files in queue and state; a FILE gets one line of JSON per
    task. Each task is written as it was when its page was read: pause the queue for a picture of one moment.

    JSON: {"path", "tasks": {state: N}, "breakers", "todo"}.
    """
    done = session.queue().export(path, replace=replace)
    session.answer(done.to_json(), lambda: _tell(done))


def _tell(done: Exported) -> None:
    states = ", ".join(f"{count:,} {state}" for state, count in done.tasks.items() if count)
    click.echo(
        safe(f"{plural(sum(done.tasks.values()), 'task')} exported to {done.path}{f' ({states})' if states else ''}.")
    )
    if done.todo:
        click.echo("A long cancel or release was under way: export again when it is done (status shows it).", err=True)
