"""The live picture of a run: one frame on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..models import Task
from .evidence import Snapshot
from .happenings import Happening
from .plan import FLEET, STEPS

_STYLES = {"good": "green", "bad": "yellow", "news": "cyan"}
_STATES = {"pending": "cyan", "in-progress": "bold", "completed": "green", "dead-letter": "red"}
_BREAKERS = {"closed": "green", "open": "red", "half-open": "yellow"}
#: With the agents and the counts these fit a terminal of 24 lines.
_LINES_OF_NEWS = 8


def screen_for(console: Console, name: str) -> Frame | Lines:
    """A frame when the console can move its cursor, else lines."""
    return Frame(console, name) if console.is_terminal and not console.is_dumb_terminal else Lines(console)


class Silent:
    """Nothing: the answer is one document at the end."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def show(self, snapshot: Snapshot, dead: frozenset[str]) -> None:
        """Nothing."""

    def tell(self, happening: Happening, seconds: float) -> None:
        """Nothing."""


class Lines:
    """News as lines, for files, pipes and CI."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def show(self, snapshot: Snapshot, dead: frozenset[str]) -> None:
        """Nothing: a picture would only repeat the news."""

    def tell(self, happening: Happening, seconds: float) -> None:
        """One line."""
        self._console.print(_line(happening, seconds), soft_wrap=True)


class Frame:
    """Agents, counts and the latest news, drawn in place. It is gone when the run is over."""

    def __init__(self, console: Console, name: str) -> None:
        self._begin = time.monotonic()
        self._name = name
        self._news: deque[Text] = deque(maxlen=_LINES_OF_NEWS)
        # No thread that refreshes: each look at the queue draws a frame.
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def __enter__(self) -> Frame:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot, dead: frozenset[str]) -> None:
        """Draw the queue as it is now."""
        news = [*self._news, *([Text("")] * (_LINES_OF_NEWS - len(self._news)))]
        parts = (self._head(), _agents(snapshot, dead), Text(""), self._counts(snapshot), _stops(snapshot), Text(""))
        self._live.update(Group(*parts, *news), refresh=True)

    def tell(self, happening: Happening, seconds: float) -> None:
        """Keep a line for the next frames."""
        self._news.append(_line(happening, seconds))

    def _head(self) -> Text:
        text = Text.assemble(
            ("lokiredis demo", "bold"), f"   queue {self._name}   {time.monotonic() - self._begin:.0f} s"
        )
        return _one_line(text)

    def _counts(self, snapshot: Snapshot) -> Text:
        counts = snapshot.stats.counts
        words = [(f"{counts[state]:>2} {state}   ", style) for state, style in _STATES.items()]
        return _one_line(Text.assemble("tasks    ", *words))


def _agents(snapshot: Snapshot, dead: frozenset[str]) -> Table:
    busy = {task.claimed_by: task for task in snapshot.tasks.values() if str(task.state) == "in-progress"}
    table = Table.grid(padding=(0, 2), expand=True)
    for width, ratio in ((10, None), (9, None), (16, None), (None, 1)):
        table.add_column(width=width, ratio=ratio, no_wrap=True, overflow="ellipsis")
    for role in FLEET:
        table.add_row(*_agent(role.name, busy.get(role.name), role.name in dead))
    return table


def _agent(name: str, task: Task | None, dead: bool) -> tuple[Text, Text, Text, Text]:
    # A task stays its own until the lease of a dead agent ends.
    shown = Text(task.id, "bold") if task else Text("")
    if dead:
        return Text(name, "strike red"), shown, Text("killed with -9", "red"), _goal(task)
    if task is None:
        return Text(name, "dim"), shown, Text("waits", "dim"), Text("")
    return Text(name), shown, _progress(task), _goal(task)


def _goal(task: Task | None) -> Text:
    return Text(task.payload["goal"] if task else "", "dim")


def _progress(task: Task) -> Text:
    progress: dict[str, Any] = task.progress if isinstance(task.progress, dict) else {"step": 0, "doing": "begins"}
    step, doing = int(progress["step"]), str(progress["doing"])
    style = "yellow" if doing.startswith("held") else "green"
    return Text.assemble(("=" * step, style), ("-" * (len(STEPS) - step), "dim"), f"  {doing}")


def _stops(snapshot: Snapshot) -> Text:
    """What keeps ready tasks from being claimed. Always one line, so that the picture stands still."""
    stats = snapshot.stats
    words: list[tuple[str, str]] = []
    for type, breaker in stats.breakers.items():
        words.append((f"breaker of {type} {breaker.state}   ", _BREAKERS[breaker.state]))
    if stats.slowdown_until is not None and stats.slowdown_until > stats.now:
        words.append((f"SLOWDOWN for {(stats.slowdown_until - stats.now).total_seconds():.1f} s", "bold yellow"))
    return _one_line(Text.assemble("stops    ", *(words or [("none", "dim")])))


def _line(happening: Happening, seconds: float) -> Text:
    return _one_line(Text.assemble((f"{seconds:5.1f} s  ", "dim"), (happening.text, _STYLES[happening.mood])))


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
