"""``lokiredis list --blocked``: what holds the plan up, and what it holds up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .session import Session, print_table
from .text import plural, safe

if TYPE_CHECKING:
    from ..task_graph import Graph, Node

#: More tasks than these are not looked at.
_MOST = 100_000
#: For so many roots it is counted how much they hold up.
_COUNTED = 1000


def list_blocked(session: Session, type: str | None, limit: int | None) -> None:
    """Print the roots, which wait for nobody, and then the blocked tasks, each behind what it waits for."""
    from ..task_graph import held_back

    found = session.queue().graph(limit=_MOST)
    blocked = [node for node in found.in_order() if type in (None, node.type)]
    wanted = _above(found, blocked)
    behind = found.waiting_for()
    roots = [(node, held_back(behind, node.id)) for node in found.roots()[:_COUNTED] if node.id in wanted]
    roots.sort(key=lambda root: -root[1])
    shown = blocked if limit is None else blocked[:limit]
    data = {
        "state": "pending",
        "roots": [_root(node, count) for node, count in roots],
        "tasks": [
            {"id": node.id, "type": node.type, "priority": node.priority, "waitingOn": sorted(node.waiting_on)}
            for node in shown
        ],
        "count": len(blocked),
        "whole": found.whole,
    }
    session.answer(data, lambda: _tell(roots, shown, len(blocked), found.whole))


def _above(found: Graph, blocked: list[Node]) -> set[str]:
    """All that these wait for, directly or through others."""
    seen = {name for node in blocked for name in node.waiting_on}
    stack = list(seen)
    while stack:
        node = found.nodes.get(stack.pop())
        for name in () if node is None else node.waiting_on:
            if name not in seen:
                seen.add(name)
                stack.append(name)
    return seen


def _root(node: Node, count: int) -> dict[str, Any]:
    return {"id": node.id, "type": node.type, "state": node.state, "place": node.place, "holdsBack": count}


def _tell(roots: list[tuple[Node, int]], shown: list[Node], count: int, whole: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    if roots:
        table = Table("root", "type", "state", "holds back", box=None, pad_edge=False)
        table.columns[3].justify = "right"
        lines = []
        for node, held in roots:
            state = node.place if node.state == "pending" else node.state
            table.add_row(*(Text(safe(cell)) for cell in (node.id, node.type, state, f"{held:,}")))
            lines.append(safe(f"{node.id}: {node.type}, {state}, holds back {held:,}"))
        print_table(table, lines)
        click.echo()
    for node in shown:
        waits = sorted(node.waiting_on)
        more = f" and {len(waits) - 3:,} more" if len(waits) > 3 else ""
        click.echo(safe(f"{node.id}  {node.type}: waits for {', '.join(waits[:3])}{more}"))
    click.echo(f"{plural(count, 'task')} blocked.", err=bool(shown))
    if len(shown) < count:
        click.echo("There are more: --limit, or --all.", err=True)
    if not whole:
        click.echo(f"Only the first {_MOST:,} tasks were looked at.", err=True)
