"""The files of a ``.loki`` folder, written from the queue (docs/files.md)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..models import State, from_epoch
from ..queue import Queue
from . import extras, orchestrator
from .batch import Batch, like
from .decisions import FOLDER
from .extras import Scene
from .folder import QUEUE_LOCK, FileRefused, Folder
from .mirror import Mirror
from .reports import Archive
from .reviews import Reviews
from .texts import Escape, TaskText, listed

#: Two jobs on one folder take turns.
_JOB_LOCK = "snapshot.lock"
_ORCHESTRATOR = "orchestrator.json"
#: Decision reports per snapshot: each waits for the disk.
_MOST_REPORTS = 500


@dataclass(frozen=True)
class Taken:
    """What a snapshot did. ``exact``: the files are of the moment ``at``, else of moments shortly before it."""

    at: datetime
    exact: bool
    #: The entry of the event stream up to which the files tell what happened.
    cursor: str
    counts: dict[str, int]
    #: The files that were replaced; the others were as they should be.
    written: list[str]
    reports: int
    reports_left: int
    #: Reviews of dead letters that were written down.
    decisions: int
    #: What a person should know.
    notes: list[str]


@dataclass(frozen=True)
class _File:
    """A file to be. ``chunks`` may be asked for more than once. ``of``, ``beside``: what it is made of."""

    folder: tuple[str, ...]
    name: str
    chunks: Callable[[], Iterator[bytes]]
    of: frozenset[State]
    beside: object = None
    varies: slice = field(default_factory=lambda: slice(0, 0))

    @property
    def path(self) -> str:
        return "/".join((*self.folder, self.name))


class Snapshot:
    """Writes the files of a queue into *folder*. Close it, or use ``with``.

    *extras*: the files and fields that loki-mode's own tools read, too. *escape_html*: ``<``, ``>`` and ``&`` as HTML's
    entities, for tools that put values into a page; such files are to look at, not to import.
    """

    def __init__(
        self, queue: Queue, folder: str | os.PathLike[str], *, extras: bool = True, escape_html: bool = False
    ) -> None:
        self._queue = queue
        self._path = folder
        self._extras = extras
        self._escape = Escape(html=escape_html)
        self._mirror: Mirror | None = None
        self._archive = Archive()
        self._reviews = Reviews(queue)
        #: path -> what the file was like when it was last known to be right.
        self._known: dict[str, object] = {}

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the disk space that it needs between two snapshots."""
        if self._mirror is not None:
            self._mirror.close()
            self._mirror = None

    def take(self) -> Taken:
        """Bring the files up to date. What fails leaves each file as it was.

        Raises QueueUnavailable, FileRefused (a link where a folder should be, a lock that others hold for 10 seconds)
        and OSError.
        """
        with (
            Folder.open(self._path) as root,
            root.locked(_JOB_LOCK),
            root.folder("queue") as queue,
            root.folder("state") as state,
            root.folder(*FOLDER) as decisions,
        ):
            for each in (root, queue, state, decisions):
                each.remove_leftovers()
            if self._mirror is None:
                self._mirror = Mirror(self._queue, state, TaskText(extras=self._extras))
            return self._take(root, state, self._mirror)

    def _take(self, root: Folder, state: Folder, mirror: Mirror) -> Taken:
        # The spool of a mirror that begins anew is made in a folder that is open now.
        mirror.folder = state
        mirror.refresh()
        scene = self._scene(state, mirror)
        planned = [file for file in self._plan(mirror, scene) if not self._is_right(root, file, mirror)]
        try:
            written, notes = self._replace(root, planned, mirror)
        except BaseException:
            self._known.clear()
            raise
        mirror.touched.clear()
        reports, left = self._archive.add(root, mirror, mirror.ids(State.COMPLETED), _MOST_REPORTS)
        return Taken(
            at=from_epoch(mirror.now),
            exact=mirror.exact,
            cursor=mirror.cursor,
            counts={each.value: count for each, count in scene.counts.items()},
            written=written,
            reports=reports,
            reports_left=left,
            decisions=self._reviews.append(root),
            notes=notes,
        )

    def _scene(self, state: Folder, mirror: Mirror) -> Scene:
        from .. import __version__

        agents: list[dict[str, Any]] = []
        if self._extras:
            agents = extras.agents_json(self._queue.agents(), state.read("agents.json"))
        return Scene(
            version=__version__,
            phase=orchestrator.phase(state.read(_ORCHESTRATOR)),
            paused=mirror.paused,
            counts=mirror.counts(),
            completed=mirror.completed,
            dead=mirror.dead,
            agents=agents,
        )

    def _plan(self, mirror: Mirror, scene: Scene) -> Iterator[_File]:
        escape = self._escape

        def documented(state: State) -> Callable[[], Iterator[bytes]]:
            return lambda: listed(b'{"tasks": [', map(escape, mirror.texts(state)), b"]}\n")

        for state in State:
            yield _File(("queue",), f"{state.value}.json", documented(state), frozenset({state}))
        if self._extras:
            dead, every = State.DEAD_LETTER, frozenset(State)
            yield _File(
                ("queue",), "failed.json", lambda: extras.failed_file(mirror.texts(dead), escape), frozenset({dead})
            )
            yield _File(("state",), "agents.json", lambda: extras.agents_file(scene, escape), frozenset(), scene.agents)
            yield _File((), "STATUS.txt", lambda: extras.status_file(scene, escape), every, scene)
            at = from_epoch(mirror.now)
            yield _File(
                (),
                "dashboard-state.json",
                lambda: extras.dashboard_file(scene, at, mirror.texts, escape),
                every,
                scene,
                extras.TIMESTAMP,
            )

    def _is_right(self, root: Folder, file: _File, mirror: Mirror) -> bool:
        """Whether the file is there, with this content. Its time is left alone then: tools go by it."""
        with root.folder(*file.folder) as folder:
            descriptor = folder.open_to_read(file.name)
            if descriptor is None:
                return False
            with os.fdopen(descriptor, "rb") as present:
                now = like(present.fileno()), file.beside
                if not (file.of & mirror.touched) and self._known.get(file.path) == now:
                    return True
                if not _same(present.read, file.chunks(), file.varies):
                    return False
        self._known[file.path] = now
        return True

    def _replace(self, root: Folder, planned: list[_File], mirror: Mirror) -> tuple[list[str], list[str]]:
        """All new files are on disk before the first one takes its place; readers who hold the lock see all or none."""
        with Batch(root) as batch:
            for file in planned:
                batch.write(file.folder, file.name, file.chunks())
            with root.locked(QUEUE_LOCK):
                # Read under the lock: somebody else's change of it must not be lost.
                notes = self._orchestrator(batch, root, mirror)
                batch.rename()
            for file in planned:
                self._known[file.path] = batch.like(file.folder, file.name), file.beside
            return batch.written, notes

    def _orchestrator(self, batch: Batch, root: Folder, mirror: Mirror) -> list[str]:
        breakers = orchestrator.breakers_json(mirror.breakers, extras=self._extras)
        with root.folder("state") as state:
            if state.is_link(_ORCHESTRATOR):
                raise FileRefused(f"{state.path / _ORCHESTRATOR} is a symbolic link, which is not followed")
            present, notes = state.read(_ORCHESTRATOR), []
            text = None
            try:
                text = None if present is None else orchestrator.merged(present.decode(), breakers)
            except (ValueError, RecursionError) as e:
                kept = _free_name(state)
                batch.write(("state",), kept, [present or b""])
                notes.append(f"state/{_ORCHESTRATOR} was no JSON object ({e}): kept as {kept}, and made anew")
            if text is None:
                from .. import __version__

                at = from_epoch(mirror.now)
                text = orchestrator.new(__version__, at, mirror.completed, mirror.dead, breakers)
            made = text.encode("utf-8", "backslashreplace")
            if made != present:
                batch.write(("state",), _ORCHESTRATOR, [made])
        return notes


def _same(read: Callable[[int], bytes], chunks: Iterator[bytes], varies: slice) -> bool:
    """Whether a file's content is this. In the first chunk a part may differ."""
    skip = varies
    for chunk in chunks:
        present = read(len(chunk))
        if present[: skip.start] != chunk[: skip.start] or present[skip.stop :] != chunk[skip.stop :]:
            return False
        skip = slice(0, 0)
    return not read(1)


def _free_name(state: Folder) -> str:
    names, name, number = set(state.names()), f"{_ORCHESTRATOR}.bak", 1
    while name in names:
        number += 1
        name = f"{_ORCHESTRATOR}.bak{number}"
    return name
