"""A command that is run for each event. Nothing that an agent wrote ever becomes a word of its command line."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from .text import safe, span

if TYPE_CHECKING:
    from ..models import Event

_SECONDS = 30.0
#: What --exec-timeout may be at most: poll() takes no month.
MOST_SECONDS = 86400
_STANDARD_ERROR = 2


def command_words(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """A command line as words, split as a shell splits them; but nothing is expanded."""
    if not isinstance(value, str):
        return value
    try:
        words = tuple(shlex.split(value))
    except ValueError as e:
        raise click.BadParameter(f"{value!r}: {e}") from None
    if not words or not words[0] or "\0" in value:
        raise click.BadParameter("a command")
    return words


def found_command(word: str, option: str) -> str:
    """Where the command is that *option* names: a wrong one is told at the start, not when there is something to do."""
    found = shutil.which(word)
    if found is None:
        there = os.path.dirname(word) and os.path.isfile(word)
        told = f"{safe(word)} is not executable" if there else f"there is no command {safe(word)} here"
        raise click.BadParameter(told, param_hint=option)
    return found


class RunCommand:
    """Runs *words* for an event, and waits for its end."""

    def __init__(self, words: tuple[str, ...], seconds: float | None) -> None:
        self._words = words
        self._seconds = _SECONDS if seconds is None else seconds

    def __call__(self, event: Event) -> str | None:
        """What went wrong, if anything did."""
        from ..worker.orphans import dies_with_us

        name = self._words[0]
        try:
            # A group of its own, so that what the command started can be ended with it. Standard output is for events.
            process = subprocess.Popen(
                self._words,
                stdin=subprocess.PIPE,
                stdout=_STANDARD_ERROR,
                env=os.environb | _environment(event),
                start_new_session=True,
                # Killed with -9 we end nothing any more, and the next run handles the event again, beside it.
                preexec_fn=dies_with_us(),
            )
        except (OSError, ValueError) as e:
            return f"{name} cannot be run: {getattr(e, 'strerror', None) or e}"
        try:
            process.communicate((json.dumps(event.to_json()) + "\n").encode(), self._seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            return f"{name} was killed after {span(self._seconds)}"
        except BaseException:
            # Ctrl-C doesn't reach another group.
            _kill(process)
            raise
        code = process.returncode
        if code == 0:
            return None
        return f"{name} ended with exit code {code}" if code > 0 else f"{name} was ended by signal {-code}"


def _environment(event: Event) -> dict[bytes, bytes]:
    words = {"KIND": event.kind, "ID": event.id, "TYPE": event.type, "AGENT": event.agent, "TEXT": event.text}
    found = {}
    for name, word in words.items():
        # The system takes no NUL here.
        found[f"LOKIREDIS_EVENT_{name}".encode()] = (word or "").replace("\0", " ").encode()
    return found


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Not waited for yet, so the number is still its own.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
