"""Every way a command can end, as one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import click

from .address import shown_url, without_secrets
from .session import Session, document, json_by_environment
from .text import safe

ERROR, USAGE, STALE, UNREACHABLE, INTERRUPTED = 1, 2, 5, 6, 130
#: What a shell reports for a program that SIGPIPE ended, as for every other program before ``| head``.
BROKEN_PIPE = 141

_EXITS = {"StaleClaim": STALE, "QueueUnavailable": UNREACHABLE}


@dataclass(frozen=True)
class Ending:
    """How a command failed. ``show`` prints it for people in a way of its own."""

    exit: int
    code: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)
    show: Callable[[], None] | None = None


def guarded(run: Callable[[], None], session: Session, words: Sequence[str]) -> int:
    """Run a command and return its exit code, having told the user what went wrong."""
    _survive_encodings()
    try:
        run()
        return _finish(0, session)
    except click.exceptions.Exit as e:
        return _finish(e.exit_code, session)
    except BrokenPipeError:
        return _quiet_pipe()
    except (Exception, KeyboardInterrupt) as e:
        if os.environ.get("LOKIREDIS_DEBUG"):
            import traceback

            traceback.print_exc()
        _write_out()
        return _tell(_ending(e, session), session, words)


def _finish(code: int, session: Session) -> int:
    """Write out what is left. It may only now turn out that nobody reads it, or that the disk is full."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _quiet_pipe()
    except OSError as e:
        _forget_output()
        return _tell(_ending(e, session), session, ())
    _warn(session)
    return code


def _write_out() -> None:
    """What is left of the output of a command that failed. A disk that is full is not worth another error."""
    try:
        sys.stdout.flush()
    except OSError:
        _forget_output()


def _warn(session: Session) -> None:
    for warning in session.warnings:
        click.echo(f"Warning: {safe(warning)}", err=True)


def _quiet_pipe() -> int:
    _forget_output()
    return BROKEN_PIPE


def _forget_output() -> None:
    # Python flushes standard output once more at exit, and would complain about the pipe or the disk then.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _survive_encodings() -> None:
    """A terminal that isn't UTF-8 must get an escape, not a UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _tell(ending: Ending, session: Session, words: Sequence[str]) -> int:
    with suppress(BrokenPipeError):
        if _wants_json(session, words):
            body = {"code": ending.code, "message": ending.message} | ending.data
            click.echo(document({"error": body}), err=True)
        elif ending.show is not None:
            ending.show()
        else:
            _warn(session)
            click.echo(f"Error: {safe(ending.message)}", err=True)
        sys.stderr.flush()
    return ending.exit


def _wants_json(session: Session, words: Sequence[str]) -> bool:
    # click stops at the first wrong option, so a --json that stands after it was never seen.
    before = list(words)[: list(words).index("--")] if "--" in words else words
    return session.json if session.json is not None else "--json" in before or json_by_environment()


def _ending(error: BaseException, session: Session) -> Ending:
    from ..errors import LokiRedisError

    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Ending(INTERRUPTED, "Interrupted", "interrupted")
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, click.ClickException):
        return Ending(error.exit_code, "Error", error.format_message())
    if isinstance(error, LokiRedisError):
        return _of_queue(error, session)
    if isinstance(error, OSError) and not _from_redis(error):
        place = f"{error.filename}: " if error.filename is not None else ""
        return Ending(ERROR, "System", without_secrets(f"{place}{error.strerror or error}", session.url))
    return _unexpected(error, session)


def _usage(error: click.UsageError) -> Ending:
    if error.ctx is not None and type(error).__name__ == "NoArgsIsHelpError":
        return Ending(USAGE, "Usage", "a command is missing; see --help", show=error.show)
    # click puts the choices of an argument on lines of their own.
    message = " ".join(line.strip() for line in error.format_message().splitlines())

    def show() -> None:
        if error.ctx is not None:
            click.echo(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n", err=True)
        click.echo(f"Error: {safe(message)}", err=True)

    return Ending(USAGE, "Usage", message, show=show)


def _of_queue(error: Any, session: Session) -> Ending:
    data = {name: getattr(error, name) for name in ("id", "state", "index", "field")}
    data = {name: value for name, value in (data | error.data).items() if value is not None}
    message = without_secrets(str(error), session.url)
    if "file" in error.data:
        line = f" line {error.data['line']}" if "line" in error.data else ""
        message = f"{error.data['file']}{line}: {message}"
    if error.code == "QueueUnavailable":
        message = _unreachable(message, session)
    return Ending(_EXITS.get(error.code, ERROR), error.code, message, data)


def _unreachable(message: str, session: Session) -> str:
    line = " ".join(message.split())
    if not session.url:
        return line
    url = shown_url(session.url)
    return line if url in line else f"cannot reach Redis at {url}: {line.removeprefix('Redis cannot be reached: ')}"


def _from_redis(error: BaseException) -> bool:
    return any(kind.__module__.startswith("redis.") for kind in type(error).__mro__)


def _unexpected(error: BaseException, session: Session) -> Ending:
    message = without_secrets(" ".join(str(error).split()), session.url)
    if _from_redis(error):
        lost = type(error).__name__ in ("ConnectionError", "TimeoutError", "BusyLoadingError")
        if lost:
            return Ending(UNREACHABLE, "QueueUnavailable", _unreachable(message, session))
        return Ending(ERROR, "Redis", f"Redis refused: {message}")
    hint = "this is a mistake in lokiredis; LOKIREDIS_DEBUG=1 shows where"
    return Ending(ERROR, "Internal", f"{type(error).__name__}: {message} ({hint})")
