"""Which files of a .loki folder hold tasks, and in which state."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidTask
from ..models import State

#: In this order they are read: of an id that stands in two files the entry that got further counts. A task is
#: written to its new file before it is taken out of the old one.
STATES = (State.COMPLETED, State.DEAD_LETTER, State.CANCELLED, State.IN_PROGRESS, State.PENDING)
#: What loki-mode's own tools call the dead letters; the snapshot writes it beside dead-letter.json.
_FAILED = "failed.json"
#: What an export holds beside the documented files.
ASIDE = "lokiredis.json"
ORCHESTRATOR = "orchestrator.json"


@dataclass(frozen=True)
class Source:
    """A file with tasks. ``state`` None: its name says nothing. ``echo``: ids that other files have are no news."""

    path: Path
    name: str
    state: State | None
    echo: bool = False


@dataclass(frozen=True)
class Folder:
    """The files of a folder, or the one that was named; ``beside`` are others of its folder, not to be taken.

    ``odd`` are the names of queue files at which stands what is no file (a folder, a pipe, a link that leads nowhere),
    ``odd_beside`` those of the files in state.
    """

    sources: tuple[Source, ...]
    beside: tuple[Source, ...] = ()
    orchestrator: Path | None = None
    aside: Path | None = None
    odd: tuple[str, ...] = ()
    odd_beside: tuple[str, ...] = ()


def queue_file(state: State) -> str:
    """The documented name of a state's file."""
    return f"{state.value}.json"


_NAMES = [(queue_file(state), state, False) for state in STATES] + [(_FAILED, State.DEAD_LETTER, True)]


def find(path: str | Path) -> Folder:
    """The files at *path*: a project, its .loki folder, the queue folder in it, or one file.

    Raises InvalidTask for a folder without queue files, and for what is neither folder nor file; OSError.
    """
    given = Path(path)
    if not stat.S_ISDIR(os.stat(given).st_mode):
        return _one(given)
    for queue in (given / ".loki" / "queue", given / "queue", given):
        found, odd = _sources(queue, given), [name for name, *_ in _NAMES if _is_odd(queue / name)]
        if found or odd:
            state = queue.parent / "state"
            return Folder(
                found,
                orchestrator=_existing(state / ORCHESTRATOR),
                aside=_existing(state / ASIDE),
                odd=tuple(str((queue / name).relative_to(given)) for name in odd),
                odd_beside=tuple(f"state/{name}" for name in (ORCHESTRATOR, ASIDE) if _is_odd(state / name)),
            )
    names = ", ".join(queue_file(state) for state in reversed(STATES))
    raise InvalidTask(f"no queue files there: none of {names}, in it or in its queue folder", file=str(path))


def _one(path: Path) -> Folder:
    if not path.is_file():
        raise InvalidTask("neither a file nor a folder", file=str(path))
    states = {queue_file(state): state for state in STATES} | {_FAILED: State.DEAD_LETTER}
    state = states.get(path.name)
    beside = () if state is None else tuple(s for s in _sources(path.parent, path.parent) if s.path.name != path.name)
    return Folder((Source(path, str(path), state),), beside)


def _sources(folder: Path, shown: Path) -> tuple[Source, ...]:
    found = [
        Source(folder / name, str((folder / name).relative_to(shown)), state, echo)
        for name, state, echo in _NAMES
        if _existing(folder / name)
    ]
    return tuple(found)


def _is_odd(path: Path) -> bool:
    return os.path.lexists(path) and not path.is_file()


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
