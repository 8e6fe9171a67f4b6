"""The whole queue as it was at one moment, read in parts that are each of a moment of their own (docs/files.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from .. import commands
from ..models import Breaker, State, at_ms
from ..queue import Queue
from ..replies import Fields, Part
from .folder import Folder
from .spool import Place, Spool

#: Tasks per page, changed tasks per call: a few milliseconds of the server's time.
_AT_ONCE = 400
#: Calls that may pass, when all pages are read, until one of them finds nothing new behind it.
_MOST_CALLS = 200
_MOST_RESTARTS = 5
#: What changed texts may leave unused in the spool before all is read anew.
_MOST_UNUSED = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """What memory holds of a task: where it stands in which file, and where its text is."""

    state: State
    blocked: bool
    #: The rank of a claim: priority, then age.
    rank: int
    sequence: int
    #: Milliseconds; 0 for at once.
    available: int
    place: Place

    def order(self, now: int) -> tuple[int, int, int]:
        """Its place in its file. Pending ones stand in claim order: claimable, then delayed, then blocked."""
        if self.state is not State.PENDING:
            return 0, 0, self.sequence
        if self.blocked:
            return 2, 0, self.rank
        # One that is due is claimable, whether or not a claim has noticed yet.
        return (1, self.available, self.rank) if self.available > now else (0, 0, self.rank)


class Mirror:
    """A copy of the queue in *folder*, brought up to date by refresh(). *text* makes a task's text for the files."""

    def __init__(self, queue: Queue, folder: Folder, text: Callable[[Fields], bytes]) -> None:
        self._queue = queue
        self.folder = folder
        self._text = text
        self._spool: Spool | None = None
        self._reset()

    def _reset(self) -> None:
        self.close()
        self._tasks: dict[str, Kept] = {}
        self._after, self._last, self._since = "0", "", ""
        self._used = 0
        #: States whose files may differ from what they were; whoever writes them takes a state out.
        self.touched = set(State)
        self.breakers: dict[str, tuple[Breaker, datetime | None]] = {}
        self.completed = self.dead = self.now = 0
        self.paused = self._gave_up = False
        #: Whether all is of the moment ``now``; else each task is as it was when it was read, not long before.
        self.exact = False

    @property
    def cursor(self) -> str:
        """The entry of the event stream behind which nothing is known."""
        return self._since

    def refresh(self) -> None:
        """Read all, or what changed since the last time. Raises LokiRedisError and, for the spool, OSError."""
        if self._gave_up or (self._spool is not None and self._spool.size > 2 * self._used + _MOST_UNUSED):
            self._reset()
        before = self.now
        try:
            for _ in range(_MOST_RESTARTS):
                if self._catch_up():
                    break
                # The event stream was trimmed, or is another one after a failover: begin anew.
                self._reset()
            else:
                self._gave_up = True
                self._catch_up(exact=False)
        except BaseException:
            self._reset()
            raise
        if any(before < kept.available <= self.now for kept in self._tasks.values()):
            self.touched.add(State.PENDING)  # what fell due is claimable, without an event

    def _catch_up(self, *, exact: bool = True) -> bool:
        """Parts until one has nothing behind it: then all is of its moment. False when changes may have been lost."""
        if self._spool is None:
            self._spool = Spool(self.folder)
        # What agents say by heartbeats is in no event.
        wanted = dict.fromkeys(id for id, kept in self._tasks.items() if kept.state is State.IN_PROGRESS)
        self.exact = False
        calls = 0
        while True:
            ids = [id for id, _ in zip(wanted, range(_AT_ONCE), strict=False)]
            since = self._since if exact else ""
            part = self._queue.run(
                commands.snapshot(
                    self._queue.keys, after=self._after, last=self._last, since=since, limit=_AT_ONCE, ids=ids
                )
            )
            if part.since is None:
                return False
            self._take(part)
            for id in ids:
                del wanted[id]
            wanted.update(dict.fromkeys(part.left))
            if part.after == "" and not part.more and not wanted:
                self.exact = exact
                break
            calls += part.after == ""
            if calls > _MOST_CALLS:
                break
        return True

    def _take(self, part: Part) -> None:
        self._after, self._last, self._since, self.now = part.after, part.last, part.since or "", part.now
        self.completed, self.dead, self.paused = part.completed, part.dead, part.paused
        if part.after == "" and not part.more:
            self.breakers = part.breakers
        for id in part.gone:
            self._forget(id)
        texts, changed = [], []
        for record in part.records:
            fields = record.fields()
            text = self._text(fields)
            before = self._tasks.get(fields.values["id"])
            if before is None or before.state is not fields.state or self._spooled.read(before.place) != text:
                texts.append(text)
                changed.append(fields)
        for fields, place in zip(changed, self._spooled.add(texts), strict=True):
            id = fields.values["id"]
            self._forget(id)
            self._tasks[id] = _kept(fields, place)
            self.touched.add(fields.state)
            self._used += place[1]

    def _forget(self, id: str) -> None:
        before = self._tasks.pop(id, None)
        if before is not None:
            self.touched.add(before.state)
            self._used -= before.place[1]

    @property
    def _spooled(self) -> Spool:
        assert self._spool is not None
        return self._spool

    def counts(self) -> dict[State, int]:
        """How many tasks are in each file."""
        found = dict.fromkeys(State, 0)
        for kept in self._tasks.values():
            found[kept.state] += 1
        return found

    def ids(self, state: State) -> list[str]:
        """The tasks of a file, in no order."""
        return [id for id, kept in self._tasks.items() if kept.state is state]

    def text(self, id: str) -> bytes:
        """The text of one task."""
        return self._spooled.read(self._tasks[id].place)

    def texts(self, state: State) -> Iterator[bytes]:
        """The texts of a file, in its order, each with a separator behind it, in chunks of whole ones."""
        found = sorted((kept for kept in self._tasks.values() if kept.state is state), key=lambda k: k.order(self.now))
        return self._spooled.chunks(kept.place for kept in found)

    def close(self) -> None:
        """Let go of the disk space. Another refresh() begins anew."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None


def _kept(fields: Fields, place: Place) -> Kept:
    values = fields.values
    return Kept(
        state=fields.state,
        blocked=fields.place == "blocked",
        rank=(10 - values["priority"]) << 49 | values["sequence"],
        sequence=values["sequence"],
        available=at_ms(values["available_at"]) if values["available_at"] else 0,
        place=place,
    )
