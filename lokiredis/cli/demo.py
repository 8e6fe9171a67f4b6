"""``lokiredis demo``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .session import Session, console, pass_session
from .text import safe
from .verb import Verb

if TYPE_CHECKING:
    from ..demo.summary import Summary


@click.command(
    cls=Verb,
    apart="the demo uses the embedded server, and a queue of its own",
    examples="""
        lokiredis demo
        lokiredis demo --dir /tmp/todo-app
    """,
)
@click.option(
    "--dir",
    "dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where to work: its .loki, its demo-out.  [default: this folder, and the nearest .loki upwards]",
)
@pass_session
def demo(session: Session, /, dir: Path | None) -> None:
    """Watch a fleet of agents work through a real plan.

    Seven agents, each a lokiredis worker, share the 26 tasks of a todo application, on the embedded Redis and in a
    queue of the run's own. One task fails and is tried again, one ends in the dead-letter queue and opens a breaker,
    one agent is killed with -9, one meets a rate limit. Everything is checked in the queue's records; the exit code is
    1 when something did not happen as it should. It takes 20 to 30 seconds. Files are written to demo-out, data stays
    in .loki, and no process is left.

    JSON: {"ok", "queue", "folder", "seconds", "counts", "expectations", "commands"}.
    """
    summary = _run(session, Path(os.path.abspath(dir or ".")), own=dir is not None)
    session.answer(summary.to_json(), lambda: _tell(summary))
    if summary.missing:
        raise click.exceptions.Exit(1)


def _run(session: Session, folder: Path, *, own: bool) -> Summary:
    from ..demo.director import new_run, perform, server, tidy_ending
    from ..demo.expectations import examine
    from ..demo.screen import Silent, screen_for
    from ..demo.summary import summarize, write
    from ..embedded import find_folder

    begin = time.monotonic()
    home = folder / ".loki" if own else find_folder()
    with tidy_ending(), server(home, session.warnings.append) as url:
        run = new_run(home, folder)
        with Silent() if session.json else screen_for(console(), run.queue) as screen:
            seen = perform(run, url, screen)
    summary = summarize(run, seen, examine(seen), time.monotonic() - begin)
    write(summary)
    return summary


def _tell(summary: Summary) -> None:
    from ..demo.summary import tell

    tell(console(), summary)
    if summary.missing:
        names = "; ".join(finding.what for finding in summary.missing)
        words = safe(summary.folder / "logs")
        click.echo(f"Error: not as expected: {names}. The agents' own words: {words}", err=True)
