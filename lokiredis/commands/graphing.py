"""Parts of the graph of tasks, for :func:`lokiredis.steps.graph`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .. import replies
from ..keys import Keys
from ..task_graph import Node
from .command import Command, build

Way = Literal["up", "down"]


@dataclass(frozen=True)
class GraphPart:
    """Some nodes, the ids that are still to be looked at, and where the next part of all tasks begins."""

    nodes: list[Node]
    rest: list[str]
    cursor: str | None


def graph(keys: Keys, /, way: Way | None, ids: Sequence[str] = (), *, cursor: str | None = None) -> Command[GraphPart]:
    """The tasks with these ids (1,000 at most) and those behind them, as many as one call may read; no way: all."""

    def parse(reply: Any) -> GraphPart:
        following, rest, rows = reply
        cursor = replies.text(following) if following else None
        return GraphPart([_node(row) for row in rows], [replies.text(id) for id in rest], cursor)

    return build("graph", keys, parse, ids, way=way or "", cursor=cursor or "")


def _node(row: Sequence[Any]) -> Node:
    return Node(
        id=replies.text(row[0]),
        type=replies.text(row[1]),
        place=replies.text(row[2]),
        priority=int(row[3]),
        dependencies=tuple(replies.text(row[4]).split()),
        waiting_on=tuple(replies.text(row[5]).split()),
        dependent_count=int(row[6]),
        dependents=tuple(replies.text(row[7]).split()),
    )
