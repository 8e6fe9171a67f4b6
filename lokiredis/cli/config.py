"""``lokiredis config``: the settings of a queue, for all its machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .params import duration
from .session import Session, pass_session, print_table
from .text import safe, span
from .verb import Family, Verb

if TYPE_CHECKING:
    from ..config import Settings
    from ..queue import Queue

#: How often a change is tried anew when somebody else changes settings at the same time.
_TRIES = 10


@click.group(
    cls=Family,
    examples="""
        lokiredis config show
        lokiredis config apply .loki/config/circuit-breakers.yaml
        lokiredis config set overrides.ops-security.failureThreshold 3
    """,
)
def config() -> None:
    """Read and change the settings of the queue.

    They are stored in Redis, with a version that counts the changes, and count for every machine from the next call on:
    nothing is restarted.
    """


@config.command(
    cls=Verb,
    examples="""
        lokiredis config apply .loki/config/circuit-breakers.yaml
        lokiredis config apply - < circuit-breakers.yaml
    """,
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@pass_session
def apply(session: Session, /, file: str) -> None:
    """Take over the circuit breakers' settings of a YAML file.

    "defaults" and "overrides" become what the file says: an override that isn't in it goes. What "defaults" leaves out
    has its own default again. Unknown keys and wrong values are refused, with line and key; then nothing changes.

    JSON: {"version", "changed", "defaults", "overrides"}.
    """
    from ..config_file import LARGEST_FILE, read_breakers
    from ..config_key import breakers_of
    from ..line_file import refuse_odd

    if file != "-":
        refuse_odd(Path(file))  # a pipe would be waited for
    with click.open_file(file, "rb") as opened:
        found = read_breakers(opened.read(LARGEST_FILE + 1), "standard input" if file == "-" else file)
    queue = session.queue()

    def changes(settings: Settings) -> dict[str, Any]:
        gone = dict.fromkeys(settings.breaker_overrides.keys() - found.overrides.keys())
        return {"breaker_defaults": found.defaults, "breaker_overrides": found.overrides | gone}

    changed = _change(queue, changes)
    settings = queue.settings()
    data = {"version": settings.version, "changed": changed} | breakers_of(settings)
    line = f"Settings version {settings.version:,}" + ("." if changed else ": it was like this already.")
    session.answer(data, lambda: click.echo(line))


@config.command(
    cls=Verb,
    examples="""
        lokiredis config show
        lokiredis config show --json | jq .data.overrides
    """,
)
@pass_session
def show(session: Session, /) -> None:
    """Show every setting with the value in force. Durations are seconds, sizes bytes.

    JSON: {"version", "defaults", "overrides", "settings"}.
    """
    from ..config_key import PLAIN, breakers_of, flat

    settings = session.queue().settings()
    values = flat(settings)
    data = {"version": settings.version} | breakers_of(settings) | {"settings": {key: values[key] for key in PLAIN}}
    session.answer(data, lambda: _tell(values, settings.version))


def _tell(values: dict[str, Any], version: int) -> None:
    from rich.table import Table
    from rich.text import Text

    from ..config_key import SECONDS, last_word

    table = Table("setting", "value", "", box=None, pad_edge=False)
    lines = []
    for key, value in values.items():
        told = value if isinstance(value, str) else json.dumps(value)
        more = span(value) if last_word(key) in SECONDS and value >= 60 else ""
        table.add_row(*(Text(safe(cell)) for cell in (key, told, more)))
        lines.append(safe(f"{key}: {told}" + (f" ({more})" if more else "")))
    print_table(table, lines)
    click.echo(f"Version {version:,}.", err=True)


@config.command(
    "set",
    cls=Verb,
    examples="""
        lokiredis config set defaults.cooldownSeconds 5m
        lokiredis config set overrides.ops-security.failureThreshold 3
        lokiredis config set keepSeconds default
    """,
)
@click.argument("key")
@click.argument("value")
@pass_session
def set_one(session: Session, /, key: str, value: str) -> None:
    """Change one setting; the value "default" takes the default again.

    KEY is a name that `config show` tells: a breaker's is defaults.KEY or overrides.TYPE.KEY. Durations are seconds or
    30m, 2h, 7d; a list is JSON, or words between commas.

    JSON: {"key", "value", "version", "changed"}.
    """
    from ..config_key import change, flat

    wanted = None if value == "default" else _value(key, value)
    queue = session.queue()
    changed = _change(queue, lambda settings: change(settings, key, wanted))
    settings = queue.settings()
    now = flat(settings).get(key)
    data = {"key": key, "value": now, "version": settings.version, "changed": changed}
    told = "not set" if now is None else now if isinstance(now, str) else json.dumps(now)
    session.answer(data, lambda: click.echo(safe(f"{key} is {told} (version {settings.version:,}).")))


def _value(key: str, text: str) -> Any:
    """A value as somebody types it. What it can't be, the library says."""
    from ..config_key import SECONDS, last_word

    if key == "decisionReportKeys" and not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    if last_word(key) in SECONDS:
        return duration(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _change(queue: Queue, make: Callable[[Settings], dict[str, Any]]) -> bool:
    """Change the settings as *make* says from those in force; False when they are like that already.

    Whoever changes others at the same time is not overwritten: the change is then made anew.
    """
    from ..config import changes_nothing
    from ..errors import InvalidState

    for number in range(_TRIES):
        before = queue.settings()
        changes = make(before)
        if changes_nothing(before, changes):
            return False
        try:
            queue.configure(if_version=before.version, **changes)
            return True
        except InvalidState:
            if number == _TRIES - 1:
                raise
    raise AssertionError("the last try raises or returns")
