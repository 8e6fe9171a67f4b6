"""``lokiredis server``: the embedded Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .session import Session, pass_session
from .text import plural, safe, span
from .verb import Family, Verb

if TYPE_CHECKING:
    from ..embedded import EmbeddedServer, ServerStatus


_APART = "this is about the embedded server of the nearest .loki folder, and all its queues"


@click.group(
    cls=Family,
    apart=True,
    examples="""
        lokiredis server status
        lokiredis server start --port 6379 --bind 127.0.0.1
        lokiredis server stop
    """,
)
def server() -> None:
    """Start, stop and see the embedded Redis of this folder.

    It is the one of the nearest .loki folder upwards, else one is made here. Every other command starts it by itself
    when neither --url nor $LOKIREDIS_URL is given.
    """


@server.command(
    cls=Verb,
    apart=_APART,
    examples="""
        lokiredis server status
        lokiredis server status --json | jq -r .data.url
    """,
)
@pass_session
def status(session: Session, /) -> None:
    """Say whether the server runs, and where. It is not started.

    JSON: {"running", "url", "folder", "socket", "log", "pid", "version", "program", "port", "bind", "memory",
    "clients", "uptime", "loading"}.
    """
    _answer(session, _server().status())


@server.command(
    cls=Verb,
    apart=_APART,
    examples="""
        lokiredis server start
        lokiredis server start --port 6379
    """,
)
@click.option("--port", type=click.IntRange(1, 65535), metavar="PORT", help="Listen on TCP too.  [default: no TCP]")
@click.option("--bind", metavar="ADDRESS", help="The address for --port.  [default: 127.0.0.1]")
@pass_session
def start(session: Session, /, port: int | None, bind: str | None) -> None:
    """Start the server, if it doesn't run yet.

    JSON: as of status.
    """
    if bind is not None and port is None:
        raise click.UsageError("--bind needs --port")
    found = _server()
    found.start(port=port, bind=bind)
    _answer(session, found.status())


@server.command(cls=Verb, apart=_APART, examples="lokiredis server stop")
@pass_session
def stop(session: Session, /) -> None:
    """Stop the server. Its data stays, and the next command starts it again.

    JSON: as of status.
    """
    found = _server()
    was_running = found.status().running
    found.stop()
    _answer(session, found.status(), "Stopped" if was_running else "Not running")


def _server() -> EmbeddedServer:
    from ..embedded import EmbeddedServer, find_folder

    return EmbeddedServer(find_folder())


def _answer(session: Session, found: ServerStatus, not_running: str = "Not running") -> None:
    data = {
        name: value if value is None or isinstance(value, (bool, int)) else str(value) for name, value in _fields(found)
    }
    session.answer(data, lambda: _tell(found, not_running))


def _fields(found: ServerStatus) -> list[tuple[str, Any]]:
    from dataclasses import fields

    return [(field.name, getattr(found, field.name)) for field in fields(found)]


def _tell(found: ServerStatus, not_running: str) -> None:
    if not found.running:
        click.echo(safe(f"{not_running}. Its data: {found.folder}"))
        return
    click.echo(safe(f"Running: {found.url}"))
    if found.port is not None:
        click.echo(safe(f"  TCP port {found.port} of {found.bind}"))
    click.echo(safe(f"  version {found.version}, pid {found.pid}, data in {found.folder}"))
    if found.memory is not None and found.clients is not None and found.uptime is not None:
        size = f"{found.memory / 1e6:,.1f} MB"
        click.echo(f"  {size} in memory, {plural(found.clients, 'client')}, up for {span(found.uptime)}")
