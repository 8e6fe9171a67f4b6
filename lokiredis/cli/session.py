"""What one command line works with: which server, which queue, and how it answers."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .address import is_redis_url, shown_url
from .limits import queue_name

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from ..queue import Queue

SCHEMA_VERSION = 1

#: Seconds that a call is repeated while Redis is away. Somebody may look at the screen meanwhile.
_RETRY_FOR = 5.0

#: An unpaired surrogate can't be written as UTF-8, and a C1 control moves a terminal's cursor: both as \uXXXX.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass
class Session:
    """The global options. None: not given yet, so that an option after the verb can still decide."""

    url: str | None = None
    queue_name: str | None = None
    json: bool | None = None
    #: False when standard output is closed: what is told only once, a claim's token, would be lost.
    heard: bool = True
    warnings: list[str] = field(default_factory=list)

    def _name(self) -> str:
        if self.url is not None and not is_redis_url(self.url):
            raise click.BadParameter(f"not a Redis URL: {shown_url(self.url)}", param_hint="--url")
        return "default" if self.queue_name is None else queue_name(self.queue_name)

    def target(self) -> tuple[str, str]:
        """URL and queue for a command that connects by itself; an embedded server runs then."""
        name = self._name()
        from ..connect import resolve

        return resolve(self.url), name

    def queue(self, *, patient: bool = False) -> Queue:
        """The queue that the options name, closed when the command ends. *patient*: sit a restart of Redis out."""
        name = self._name()
        from ..executor import RETRY_FOR
        from ..queue import Queue

        self._catch_warnings()
        queue = Queue.from_url(self.url, name, retry_for=RETRY_FOR if patient else _RETRY_FOR)
        ctx = click.get_current_context(silent=True)
        if ctx is not None:
            ctx.call_on_close(queue.close)
        return queue

    def _catch_warnings(self) -> None:
        """Hold warnings back until the end, without Python's file and line; each once."""

        def keep(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
            # A DeprecationWarning of some library is nothing that a user could act on.
            if issubclass(category, UserWarning) and str(message) not in self.warnings:
                self.warnings.append(str(message))

        # A command is a process: nobody else's warnings are caught here.
        warnings.showwarning = keep

    def answer(self, data: object, human: Callable[[], None]) -> None:
        """One JSON document on standard output when --json was given, else what *human* prints."""
        if self.json:
            click.echo(document({"schemaVersion": SCHEMA_VERSION, "data": data}))
        else:
            human()


def json_by_environment() -> bool:
    """What LOKIREDIS_JSON says as far as it can be read, for what ends before the variable is looked at."""
    try:
        return bool(click.BOOL.convert(os.environ.get("LOKIREDIS_JSON") or "0", None, None))
    except click.BadParameter:
        return False


def document(value: Any) -> str:
    """*value* as one line of JSON that any terminal and any encoding takes."""
    unicode = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=not unicode)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def console() -> Console:
    """A rich console that takes user text as it is: no markup, no emoji codes, no highlighting."""
    from os import environ

    from rich.console import Console

    class Plain(Console):
        """Leaves a broken pipe to the guard; rich would end the process with an exit code of its own."""

        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError

    # rich prints nothing at all where COLUMNS says 0, as some that run a command without a terminal set it.
    told = environ.get("COLUMNS", "").strip("0")
    wide = None if sys.stdout.isatty() or told else 160
    return Plain(file=sys.stdout, markup=False, emoji=False, highlight=False, width=wide)


def fitting(terminal: Console, table: Table, lines: Iterable[str]) -> list[RenderableType]:
    """A table, or where it is too wide, one of *lines* for each row: cells cut short would look alike, or be wrong."""
    from rich.measure import Measurement
    from rich.text import Text

    unbounded = terminal.options.update(max_width=10_000)
    if Measurement.get(terminal, unbounded, table).maximum <= terminal.width:
        return [table]
    return [Text(line, overflow="fold") for line in lines]


def print_table(table: Table, lines: Iterable[str]) -> None:
    """Print a table as fitting() has it."""
    terminal = console()
    for part in fitting(terminal, table, lines):
        terminal.print(part)


pass_session = click.make_pass_decorator(Session, ensure=True)
