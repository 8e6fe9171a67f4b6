"""Events as they come: each is shown, handled, and then its place kept, in this order."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..line_file import write_line
from .log_lines import print_log
from .session import Session, document
from .text import clock, safe
from .unwinding import unwinding

if TYPE_CHECKING:
    from ..models import Event
    from ..queue import Queue

#: Does something about an event, and says what went wrong.
Handler = Callable[["Event"], str | None]

#: How often the place moves over events that nobody wants, in seconds: each write waits for the disk.
_SOMETIMES = 1.0


class Place:
    """A file with the cursor of the last event that was handled. Without a file nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._kept = -_SOMETIMES

    def read(self) -> str | None:
        """Where to go on. None at the first time; a usage error when something else is in the file."""
        from ..errors import InvalidTask
        from ..event_cursor import Cursor

        if self.path is None:
            return None
        if self.path.exists() and not self.path.is_file():  # a pipe would be waited for
            raise click.BadParameter(f"{self.path}: not a regular file", param_hint="--cursor-file")
        try:
            text = self.path.read_bytes().decode("utf-8", "replace").strip()
            return str(Cursor.parse(text)) if text else None
        except FileNotFoundError:
            return None
        except InvalidTask as e:
            raise click.BadParameter(f"{self.path}: {e.message}", param_hint="--cursor-file") from None

    def keep(self, cursor: str) -> None:
        """Go on behind this one, even after a power cut."""
        if self.path is not None:
            write_line(self.path, cursor, sync=True)
            self._kept = time.monotonic()

    def pass_by(self, cursor: str) -> None:
        """Go on behind this one, which was not wanted. Else the place would be trimmed away while no alert comes."""
        if time.monotonic() - self._kept >= _SOMETIMES:
            self.keep(cursor)


def follow_events(
    session: Session,
    queue: Queue,
    begin: str | datetime | None,
    limit: int | None,
    place: Place,
    takes: Callable[[Event], bool],
    handle: Handler | None,
) -> None:
    """Show and handle the events that *takes* is true of, until there were *limit*."""
    from ..event_stream import newest

    if begin is None and place.path is not None:
        # Kept before the first event comes: whatever happens while this is away must be told afterwards.
        begin = newest(queue)
        place.keep(begin)
    count = 0
    print_log("lokiredis.events")
    with unwinding():
        for event in queue.events(since=begin, follow=True):
            if not takes(event):
                place.pass_by(event.cursor)
                continue
            click.echo(document(event.to_json()) if session.json else line(event))
            complaint = None if handle is None else handle(event)
            if complaint is not None:
                about = f"{event.kind} {event.id or event.type or ''}".strip()
                click.echo(safe(f"Warning: {complaint} ({about})"), err=True)
            place.keep(event.cursor)
            count += 1
            if count == limit:
                return


def line(event: Event) -> str:
    """When, what, which task, its type, by whom, and what was said."""
    words = (event.id, event.type, event.agent, event.text)
    return "  ".join([clock(event.at), event.kind.ljust(17), *(safe(word or "-") for word in words)])
