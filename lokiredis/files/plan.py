"""The first look through the files: what can be taken, and in which order. Only this much of each entry is kept."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ..commands import Restored
from ..errors import InvalidTask
from ..models import State
from . import entry, reading
from .aside import MARK, Aside, from_json, lease_from
from .entry import Entry, Place
from .reading import Broken, NotTaken, Raw
from .report import Report
from .sources import Source


@dataclass(frozen=True, eq=False)
class Item:
    """An entry that can be taken, as far as its file says. ``sequence`` None: the file has none."""

    __slots__ = ("id", "index", "length", "offset", "sequence", "source", "waits")
    source: int
    index: int
    offset: int
    length: int
    id: str
    sequence: int | None
    waits: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """What the caller says for all files, and the server's time in milliseconds."""

    default_type: str | None
    now: int


@dataclass
class Plan:
    """The entries of all files. ``ids`` has those that aren't taken, too: who depends on them waits in vain."""

    sources: tuple[Source, ...]
    given: Given
    report: Report
    aside: Aside
    items: list[Item] = field(default_factory=list)
    ids: dict[str, int | None] = field(default_factory=dict)
    #: How many entries of unknown ids were lost: then a dependency that nobody knows may be one of them.
    lost: int = 0
    #: From a line of its own at the end of an export: how many tasks it has.
    ends: int | None = None
    marked: bool = False

    def read(self) -> None:
        """Look through all files. Raises InvalidTask, naming file and line, when one can't be read to its end."""
        for number, source in enumerate(self.sources):
            self.report.files.append(source.name)
            with source.path.open("rb") as file:
                self._read_file(number, source, file)

    def _read_file(self, number: int, source: Source, file: BinaryIO) -> None:
        raw = None
        try:
            for raw in reading.entries(file):
                self._take(number, source, raw)
        except Broken as e:
            raise InvalidTask(str(e), file=source.name, line=_line_of(source, e.offset)) from None
        if raw is None and source.path.stat().st_size == 0:
            if len(self.sources) == 1:
                raise InvalidTask("the file is empty", file=source.name)
            self.report.note(source.name, None, None, "the file is empty")
        if self.marked and self.ends is None:
            raise InvalidTask("cut off: the last line of the export is missing", file=source.name)

    def _take(self, number: int, source: Source, raw: Raw) -> None:
        id = None
        try:
            value = _decoded(raw)
            if self._is_mark(value, raw):
                return
            found = self.read_entry(source, value)
            id = found.task.id
        except (NotTaken, InvalidTask) as e:
            id = reading.guess_id(raw.data)
            if not self._is_known(number, source, raw, id):
                reason = f"{e.field}: {e.message}" if isinstance(e, InvalidTask) and e.field else str(e)
                self.report.refuse(source.name, raw.index, id, reason)
                if id is not None:
                    self.ids[id] = None
                elif isinstance(e, NotTaken):
                    self.lost += 1
            return
        if not self._is_known(number, source, raw, id):
            self.ids[id] = len(self.items)
            sequence = found.task.sequence if isinstance(found.task.sequence, int) else None
            self.items.append(Item(number, raw.index, raw.offset, raw.length, id, sequence, found.waits))
            for text in found.notes:
                self.report.note(source.name, raw.index, id, text)

    def _is_mark(self, value: Any, raw: Raw) -> bool:
        """The first or the last line of an export, which is no task."""
        if not isinstance(value, Mapping) or "id" in value or not isinstance(value.get(MARK), Mapping):
            return False
        told = value[MARK]
        if "end" in told:
            self.ends = told["end"] if isinstance(told["end"], int) else None
        else:
            try:
                self.aside, self.marked = from_json(told), True
            except ValueError as e:
                raise Broken(str(e), raw.offset) from None
        return True

    def _is_known(self, number: int, source: Source, raw: Raw, id: str | None) -> bool:
        """Is an entry of this id there already? Then that one is kept, and another content is told."""
        if id is None or id not in self.ids:
            return False
        place = self.ids[id]
        first = None if place is None else self.items[place]
        if source.echo and (first is None or first.source != number):
            return True
        if first is None:
            self.report.refuse(source.name, raw.index, id, "another entry of this id was refused before")
        elif first.source != number or not self._equal(first, raw):
            where = f"{self.sources[first.source].name} entry {first.index}"
            self.report.refuse(source.name, raw.index, id, f"another task than {where}, which has this id and is kept")
        else:
            self.report.note(source.name, raw.index, id, f"the same as entry {first.index}")
        return True

    def _equal(self, first: Item, raw: Raw) -> bool:
        with self.sources[first.source].path.open("rb") as file:
            file.seek(first.offset)
            data = file.read(first.length)
        if data == raw.data:
            return True
        try:
            return bool(reading.decode(data) == _decoded(raw))
        except NotTaken:
            return False

    def read_entry(self, source: Source, value: Any) -> Entry:
        """The task of an entry. Raises InvalidTask."""
        place, task = self._placed(source, value)
        return entry.read(task, place)

    def _placed(self, source: Source, value: Any) -> tuple[Place, Any]:
        now, default = self.given.now, self.given.default_type
        if isinstance(value, Mapping) and "id" not in value and isinstance(value.get("task"), Mapping):
            # A line of an export tells the state beside the task: a field of that name would be a user's own.
            states = {state.value: state for state in State}
            if isinstance(value.get("state"), str) and value["state"] in states:
                claim = lease_from(value)
                return Place(states[value["state"]], default, now, claim.lease, claim.host), value["task"]
        id = value.get("id") if isinstance(value, Mapping) else None
        claim = self.aside.lease_of(id) if isinstance(id, str) else lease_from(None)
        return Place(source.state, default, now, claim.lease, claim.host), value

    def in_order(self) -> Iterator[Item]:
        """Dependencies first, else by sequence, else as they stand in the files. Those in a circle are refused."""
        keys = [(item.sequence is None, item.sequence or 0, place) for place, item in enumerate(self.items)]
        waits = [0] * len(self.items)
        behind: dict[int, list[int]] = {}
        for place, item in enumerate(self.items):
            for name in set(item.waits):
                other = self.ids.get(name)
                if other is not None:
                    waits[place] += 1
                    behind.setdefault(other, []).append(place)
        free = [key for key in keys if not waits[key[2]]]
        heapq.heapify(free)
        while free:
            place = heapq.heappop(free)[2]
            yield self.items[place]
            for other in behind.pop(place, ()):
                waits[other] -= 1
                if not waits[other]:
                    heapq.heappush(free, keys[other])
        for place, count in enumerate(waits):
            if count:
                item = self.items[place]
                reason = "it waits for itself through other tasks, or for one that does"
                self.report.refuse(self.sources[item.source].name, item.index, item.id, reason)


class Reader:
    """Reads the entries of a plan again, in any order."""

    def __init__(self, plan: Plan, stack: ExitStack) -> None:
        self.plan = plan
        self.files = [stack.enter_context(source.path.open("rb")) for source in plan.sources]

    def task(self, item: Item) -> Restored:
        """The task of *item*. Raises InvalidTask when the file isn't what it was at the first look."""
        file = self.files[item.source]
        file.seek(item.offset)
        try:
            value = reading.decode(file.read(item.length))
            found = self.plan.read_entry(self.plan.sources[item.source], value).task
        except (ValueError, InvalidTask):
            found = None
        if found is None or found.id != item.id:
            raise InvalidTask("the file was changed while it was read; import it again")
        return found


def _decoded(raw: Raw) -> Any:
    if raw.data is None:
        raise NotTaken(f"longer than {reading.LONGEST_ENTRY:,} bytes")
    return reading.decode(raw.data)


def _line_of(source: Source, offset: int) -> int:
    """The line of a byte: only a file that is broken is read once more for it."""
    line = 1
    with source.path.open("rb") as file:
        while offset > 0 and (data := file.read(min(offset, 1024 * 1024))):
            line += data.count(b"\n")
            offset -= len(data)
    return line
