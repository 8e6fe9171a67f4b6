"""``lokiredis import``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from .limits import task_type
from .session import Session, pass_session
from .text import plural, safe
from .verb import Verb

if TYPE_CHECKING:
    from ..files.report import Imported

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def size(value: str | int) -> int:
    """Bytes: 500M, 2G, or a plain number."""
    found = re.fullmatch(r"(\d{1,15})\s*([kmgt]?)i?b?", str(value).strip().lower())
    if found is None:
        raise click.BadParameter(f"{value!r} is no size: 500M, 2G, or a number of bytes")
    return int(found[1]) * _UNITS[found[2]]


@click.command(
    "import",
    cls=Verb,
    examples="""
        lokiredis import .loki --dry-run
        lokiredis import .loki --default-type general
        lokiredis import .loki/queue/pending.json --json | jq -r '.data.refused[] | "\\(.file) \\(.index): \\(.reason)"'
        lokiredis import queue.jsonl --queue copy --max-size 4G
    """,
)
@click.argument("path", metavar="DIR|FILE", type=click.Path(exists=True))
@click.option("--default-type", type=task_type, metavar="TYPE", help="The type of tasks that have none.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and change nothing.")
@click.option(
    "--max-size",
    type=size,
    default="1G",
    show_default=True,
    metavar="SIZE",
    help="Refuse a file that is larger: 500M, 4G.",
)
@pass_session
def import_(session: Session, /, path: str, default_type: str | None, dry_run: bool, max_size: int) -> None:
    """Take the tasks of a .loki folder, or of one file, as they are.

    A task whose id is in the queue already stays as it is, so importing twice changes nothing. A task in progress whose
    agent is gone becomes pending. What can't be taken is told with file, index (from 0) and reason; the rest goes in,
    and the exit code is 1. A file that can't be read to its end stops the import before anything is stored.

    JSON: {"dryRun", "files", "created": {state: N}, "existing", "refusedCount", "refused": [{"file", "index", "id",
    "reason"}], "notesCount", "notes": [the same], "breakers", "settings"}.
    """
    done = session.queue().import_(path, default_type=default_type, dry_run=dry_run, max_bytes=max_size)
    session.answer(done.to_json(), lambda: _tell(done))
    if done.refused_count:
        raise click.exceptions.Exit(1)


def _tell(done: Imported) -> None:
    for told in done.notes:
        click.echo(safe(f"note: {told}"))
    for told in done.refused:
        click.echo(safe(f"refused: {told}"), err=True)
    untold = done.refused_count - len(done.refused)
    if untold:
        click.echo(f"refused: {untold:,} more", err=True)
    would = "would be " if done.dry_run else ""
    states = ", ".join(f"{count:,} {state}" for state, count in done.created.items())
    click.echo(f"{plural(sum(done.created.values()), 'task')} {would}imported{f' ({states})' if states else ''}.")
    if done.existing:
        click.echo(
            f"{plural(done.existing, 'task')} there already, left as {'it is' if done.existing == 1 else 'they are'}."
        )
    if done.breakers:
        click.echo(f"{plural(done.breakers, 'breaker')} {would}restored.")
    if done.settings:
        click.echo(f"Settings and pauses {would}restored.")
    if done.refused_count:
        click.echo(f"{plural(done.refused_count, 'refusal')}; see above.", err=True)
