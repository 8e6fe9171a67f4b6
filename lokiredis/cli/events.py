"""``lokiredis events``."""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..event_kinds import ALERTS, GAP, KINDS
from .following import Handler, Place, follow_events, line
from .limits import task_type
from .params import duration
from .run_command import MOST_SECONDS, RunCommand, command_words, found_command
from .session import Session, pass_session
from .text import plural
from .verb import Verb
from .webhook import Webhook, webhook_url

if TYPE_CHECKING:
    from ..models import Event
    from ..queue import Queue

_LIMIT = 100


@dataclass(frozen=True)
class Wanted:
    """Which events. What is None, or an empty set, doesn't matter."""

    kinds: frozenset[str]
    type: str | None
    id: str | None

    def takes(self, event: Event) -> bool:
        """Whether it is one of them. A gap is: any of them may be missing there."""
        return event.kind == GAP or (
            (not self.kinds or event.kind in self.kinds)
            and self.type in (None, event.type)
            and self.id in (None, event.id)
        )


def _place(value: str | datetime | timedelta) -> str | datetime | timedelta:
    """A cursor, an ISO 8601 time, or a duration as so long ago."""
    from ..errors import InvalidTask
    from ..event_cursor import Cursor
    from ..models import LONGEST_DELAY, parse_time

    if not isinstance(value, str):
        return value
    try:
        return str(Cursor.parse(value))
    except InvalidTask:
        pass
    try:
        return timedelta(seconds=min(duration(value), LONGEST_DELAY))
    except click.BadParameter:
        pass
    try:
        return parse_time(value, "since")
    except InvalidTask:
        raise click.BadParameter(f"{value!r} is no cursor, no ISO 8601 time and no duration") from None


def _seconds(value: str | float) -> float:
    seconds = duration(value)
    if not 0 < seconds <= MOST_SECONDS:
        raise click.BadParameter("above 0, and at most a day")
    return seconds


@click.command(
    cls=Verb,
    examples="""
        lokiredis events --since 1h --type eng-backend
        lokiredis events --id api-001 --json | jq -r '.data.events[].kind'
        lokiredis events --follow --json
        lokiredis events --alerts --exec '/usr/local/bin/page-somebody the-agents-team' --cursor-file alerts.cursor
        lokiredis events --alerts --webhook https://chat.internal/hooks/agents
    """,
)
@click.option("--follow", is_flag=True, help="Go on with new events as they come, until Ctrl-C.")
@click.option(
    "--since",
    type=_place,
    metavar="CURSOR|TIME|DURATION",
    help="After this cursor; from this ISO 8601 time on; or from so long ago.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most so many: the first ones after --since, else the newest.  [default: 100; with --follow no limit]",
)
@click.option(
    "--kind", type=click.Choice(KINDS), multiple=True, metavar="KIND", help="Only of this kind; may be repeated."
)
@click.option("--type", type=task_type, metavar="TYPE", help="Only about tasks of this type.")
@click.option("--id", metavar="ID", help="Only about this task.")
@click.option("--alerts", is_flag=True, help="Only dead letters, opened breakers, lost agents, escalations, gaps.")
@click.option(
    "--exec",
    type=command_words,
    metavar="COMMAND",
    help="Follow, and run this for each event, which it gets as JSON on standard input. Split into words; no shell.",
)
@click.option("--exec-timeout", type=_seconds, metavar="DURATION", help="Then the command is killed.  [default: 30s]")
@click.option("--webhook", type=webhook_url, metavar="URL", help="Follow, and POST each event as JSON to this URL.")
@click.option(
    "--cursor-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Go on where the last run with this file ended. It wins over --since.",
)
@pass_session
def events(
    session: Session,
    /,
    follow: bool,
    since: str | datetime | timedelta | None,
    limit: int | None,
    exec: tuple[str, ...] | None,
    exec_timeout: float | None,
    webhook: str | None,
    cursor_file: Path | None,
    **filters: Any,
) -> None:
    """Tell what happened in the queue, or follow it as it happens.

    Every change of state, breaker change, hold and alert is an event; those of about the last 10,000 calls are kept.
    An event of the kind "gap" tells that some were dropped before they were read, or lost by the server.

    With --exec or --webhook one event after the other is handled, with --cursor-file each at least once. The
    command also has LOKIREDIS_EVENT_KIND, _ID, _TYPE, _AGENT and _TEXT; its output goes to standard error. When it
    fails, or the URL does after some retries, a line on standard error tells, and the next event is handled.

    JSON: {"events": [{"cursor", "at", "kind", "id", "type", "agent", "token", "text"}], "cursor"}; give the cursor back
    with --since. With --follow, --exec or --webhook it is one such event on each line, and nothing around them.
    """
    wanted = _wanted(**filters)
    handle = _handler(exec, exec_timeout, webhook)
    place = Place(cursor_file)
    queue = session.queue(patient=follow or handle is not None)
    begin = place.read() or _begin(queue, since)
    if follow or handle is not None:
        follow_events(session, queue, begin, limit, place, wanted.takes, handle)
        return
    found, cursor = _kept(queue, wanted, begin, limit or _LIMIT)
    session.answer({"events": [event.to_json() for event in found], "cursor": cursor}, lambda: _tell(found, cursor))
    place.keep(cursor)


def _wanted(kind: tuple[str, ...], type: str | None, id: str | None, alerts: bool) -> Wanted:
    if alerts and kind:
        raise click.UsageError("--alerts stands for some kinds; it excludes --kind")
    return Wanted(ALERTS if alerts else frozenset(kind), type, id)


def _handler(exec: tuple[str, ...] | None, seconds: float | None, webhook: str | None) -> Handler | None:
    if exec is not None and webhook is not None:
        raise click.UsageError("--exec and --webhook: one of them, each with a --cursor-file of its own")
    if exec is None and seconds is not None:
        raise click.UsageError("--exec-timeout needs --exec")
    if exec is not None:
        found_command(exec[0], "--exec")
        return RunCommand(exec, seconds)
    return None if webhook is None else Webhook(webhook)


def _begin(queue: Queue, since: str | datetime | timedelta | None) -> str | datetime | None:
    # The server's clock counts, as in everything.
    return queue.stats().now - since if isinstance(since, timedelta) else since


def _kept(queue: Queue, wanted: Wanted, begin: str | datetime | None, limit: int) -> tuple[list[Event], str]:
    """The events that are kept, and the cursor behind the last one that was looked at."""
    from ..event_stream import newest

    # Before the reading: what is written after it comes with the next call.
    cursor = newest(queue)
    found: deque[Event] = deque(maxlen=min(limit, sys.maxsize))
    for event in queue.events(since=begin):
        cursor = event.cursor
        if wanted.takes(event):
            found.append(event)
            if begin is not None and len(found) == limit:
                break
    return list(found), cursor


def _tell(found: list[Event], cursor: str) -> None:
    for event in found:
        click.echo(line(event))
    click.echo(f"{plural(len(found), 'event')}; what comes next: --since {cursor}", err=bool(found))
