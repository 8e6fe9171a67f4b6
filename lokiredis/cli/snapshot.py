"""``lokiredis snapshot``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .params import duration
from .session import Session, pass_session
from .text import clock, iso, plural, safe
from .verb import Verb

if TYPE_CHECKING:
    from ..files.snapshot import Snapshot, Taken

#: For the service, which tries again anyway and must end soon when it is told to.
_RETRY_FOR = 2.0


def _pause(value: str | float) -> float:
    seconds = duration(value)
    if not 0.1 <= seconds <= 86400:
        raise click.BadParameter("from 100ms to a day")
    return seconds


class _Ended(BaseException):
    """SIGTERM came."""


@click.command(
    cls=Verb,
    examples="""
        lokiredis snapshot .loki
        lokiredis snapshot .loki --every 2s
        lokiredis snapshot /srv/board/.loki --every 5s --escape-html
    """,
)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--every",
    type=_pause,
    metavar="TIME",
    help="Go on, and bring the files up to date at most so often, until SIGTERM or Ctrl-C.",
)
@click.option(
    "--extras/--no-extras",
    default=True,
    show_default=True,
    help="The files and fields that loki-mode's own tools read, too.",
)
@click.option(
    "--escape-html",
    is_flag=True,
    help="<, > and & as HTML entities, for tools that put values into a page. Such files are not for import.",
)
@pass_session
def snapshot(session: Session, /, folder: Path, every: float | None, extras: bool, escape_html: bool) -> None:
    """Write the documented files of a .loki folder.

    DIR/queue/*.json, circuitBreakers in DIR/state/orchestrator.json, with --extras what other tools read, and a
    decision report of each completed task and the reviews of dead letters in DIR/logs/decisions. All files are of one
    moment; a file that is right already is left alone. docs/files.md tells what each holds.

    JSON: {"at", "exact", "cursor", "counts", "written", "reports", "decisions"}; with --every nothing.
    """
    from ..files.service import Service
    from ..files.snapshot import Snapshot

    queue = session.queue(patient=every is None)
    with Snapshot(queue, folder, extras=extras, escape_html=escape_html) as job:
        if every is None:
            _once(session, job, folder)
            return
        queue.retry_for = _RETRY_FOR
        _end_by_sigterm()
        try:
            _say(f"writes {folder} at most every {every:g} s")
            Service(job, every=every, say=_say).run()
        except _Ended:
            _say("stopped")
            sys.exit(0)


def _once(session: Session, job: Snapshot, folder: Path) -> None:
    taken = job.take()
    notes, reports, written, decisions = list(taken.notes), taken.reports, list(taken.written), taken.decisions
    while taken.reports_left:
        taken = job.take()
        reports += taken.reports
        decisions += taken.decisions
        notes += taken.notes
        written += [path for path in taken.written if path not in written]
    for note in notes:
        click.echo(f"Warning: {safe(note)}", err=True)
    session.answer(
        _shown(taken, written, reports, decisions), lambda: _tell(taken, written, reports, decisions, folder)
    )


def _shown(taken: Taken, written: list[str], reports: int, decisions: int) -> dict[str, Any]:
    return {
        "at": iso(taken.at),
        "exact": taken.exact,
        "cursor": taken.cursor,
        "counts": taken.counts,
        "written": written,
        "reports": reports,
        "decisions": decisions,
    }


def _tell(taken: Taken, written: list[str], reports: int, decisions: int, folder: Path) -> None:
    counts = ", ".join(f"{count:,} {state}" for state, count in taken.counts.items())
    click.echo(safe(f"{folder} as of {clock(taken.at)}{'' if taken.exact else ' or shortly before'}: {counts}"))
    done = [f"{plural(len(written), 'file')} written", f"{plural(reports, 'decision report')} archived"]
    click.echo(", ".join([*done, f"{plural(decisions, 'review')} written down"]))


def _say(text: str) -> None:
    from datetime import datetime, timezone

    click.echo(f"{clock(datetime.now(timezone.utc))} {safe(text)}", err=True)


def _end_by_sigterm() -> None:
    def end(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Ended

    signal.signal(signal.SIGTERM, end)
