"""What was measured, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One number: the median of its rounds. ``target`` is the most that it may be, or the least where ``at_least``;
    None: it is only shown."""

    load: str
    name: str
    unit: str
    rounds: tuple[float, ...]
    target: float | None = None
    at_least: bool = False

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def ratio(self) -> float | None:
        """The value against its target, the other way round where that is a least: above 1 the target is missed."""
        if self.target is None:
            return None
        return self.target / max(self.value, 1e-12) if self.at_least else self.value / self.target

    @property
    def missed(self) -> bool:
        """Whether there is a target and this is on the wrong side of it."""
        return self.ratio is not None and self.ratio > 1

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "load": self.load,
            "name": self.name,
            "unit": self.unit,
            "median": self.value,
            "rounds": list(self.rounds),
            "target": self.target,
            "atLeast": self.at_least,
            "met": None if self.target is None else not self.missed,
        }


@dataclass(frozen=True)
class Report:
    """A table to read, and the figures in it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: tuple[Figure, ...]


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which this part of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def number(value: float) -> str:
    """Three digits are all that such a measurement tells; thousands get their comma."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, the first to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def target_table(figures: Sequence[Figure]) -> str:
    """The figures that have a target, and whether it is met."""
    rows = [
        (
            f"{figure.load}: {figure.name}",
            f"{number(figure.value)} {figure.unit}",
            f"{'at least' if figure.at_least else 'at most'} {number(figure.target)} {figure.unit}",
            f"{figure.ratio:.2f}",
            "MISSED" if figure.missed else "met",
        )
        for figure in figures
        if figure.target is not None
    ]
    return table(("target", "measured", "wanted", "ratio", ""), rows)
