"""What an import or an export did, or would do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

#: So many of each are told; the counts are of all.
MOST_TOLD = 10_000


@dataclass(frozen=True)
class Told:
    """Something about one entry: why it was refused, or what was made of it. ``index`` None: about the whole file."""

    file: str
    index: int | None
    id: str | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"file": self.file, "index": self.index, "id": self.id, "reason": self.reason}

    def __str__(self) -> str:
        place = self.file if self.index is None else f"{self.file} entry {self.index}"
        return f"{place}: {self.reason}" if self.id is None else f"{place}: {self.id}: {self.reason}"


@dataclass(frozen=True)
class Imported:
    """``created`` counts by state what went in (``dry_run``: would go in), ``existing`` what was there already.

    ``refused`` and ``notes`` hold the first 10,000 of each; ``refused_count`` and ``notes_count`` are of all.
    """

    dry_run: bool
    files: tuple[str, ...]
    created: dict[str, int]
    existing: int
    refused_count: int
    refused: tuple[Told, ...]
    notes_count: int
    notes: tuple[Told, ...]
    breakers: int
    settings: bool

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "dryRun": self.dry_run,
            "files": list(self.files),
            "created": self.created,
            "existing": self.existing,
            "refusedCount": self.refused_count,
            "refused": [told.to_json() for told in self.refused],
            "notesCount": self.notes_count,
            "notes": [told.to_json() for told in self.notes],
            "breakers": self.breakers,
            "settings": self.settings,
        }


@dataclass(frozen=True)
class Exported:
    """``tasks`` counts by state what was written to ``path``; ``todo`` are long cancels or releases under way."""

    path: str
    tasks: dict[str, int]
    breakers: int
    todo: int

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"path": self.path, "tasks": self.tasks, "breakers": self.breakers, "todo": self.todo}


@dataclass
class Report:
    """An import's report while it is written."""

    files: list[str] = field(default_factory=list)
    created: Counter[str] = field(default_factory=Counter)
    existing: int = 0
    breakers: int = 0
    settings: bool = False
    refused_count: int = 0
    notes_count: int = 0
    _refused: list[Told] = field(default_factory=list)
    _notes: list[Told] = field(default_factory=list)

    def refuse(self, file: str, index: int | None, id: str | None, reason: str) -> None:
        """An entry, or a whole file, that isn't taken."""
        self.refused_count += 1
        if len(self._refused) < MOST_TOLD:
            self._refused.append(Told(file, index, id, reason))

    def note(self, file: str, index: int | None, id: str | None, reason: str) -> None:
        """Something that a person should know of an entry that is taken."""
        self.notes_count += 1
        if len(self._notes) < MOST_TOLD:
            self._notes.append(Told(file, index, id, reason))

    def imported(self, *, dry_run: bool) -> Imported:
        """The report as it is now."""
        place = {name: number for number, name in enumerate(self.files)}
        refused = sorted(self._refused, key=lambda told: (place.get(told.file, -1), told.index or 0))
        return Imported(
            dry_run=dry_run,
            files=tuple(self.files),
            created=dict(sorted(self.created.items())),
            existing=self.existing,
            refused_count=self.refused_count,
            refused=tuple(refused),
            notes_count=self.notes_count,
            notes=tuple(self._notes),
            breakers=self.breakers,
            settings=self.settings,
        )
