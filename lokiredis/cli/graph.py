"""``lokiredis graph``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from .session import Session, pass_session
from .text import plural, safe
from .verb import Verb

if TYPE_CHECKING:
    from ..task_graph import Graph, Node

_COLOURS = {
    "completed": "#b7e1cd",
    "in-progress": "#cfe2ff",
    "dead-letter": "#f4b6b6",
    "cancelled": "#dddddd",
    "pending": "#ffffff",
}


@click.command(
    cls=Verb,
    examples="""
        lokiredis graph
        lokiredis graph deploy-001 --down
        lokiredis graph --dot | dot -Tsvg > plan.svg
        lokiredis graph deploy-001 --mermaid
    """,
)
@click.argument("id", required=False)
@click.option("--down", is_flag=True, help="What waits for ID, in place of what ID depends on.")
@click.option("--dot", is_flag=True, help="As Graphviz.")
@click.option("--mermaid", is_flag=True, help="As Mermaid.")
@click.option(
    "--depth", type=click.IntRange(1, 100), metavar="N", help="How deep the tree on the screen goes.  [default: 20]"
)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    metavar="N",
    help="At most so many tasks.",
)
@pass_session
def graph(
    session: Session, /, id: str | None, down: bool, dot: bool, mermaid: bool, depth: int | None, limit: int
) -> None:
    """Show what depends on what, as a tree.

    Under ID stands what it depends on; what is completed is not followed further. Without ID all tasks that are not
    done: first those that wait for nobody, under each those that wait for it.

    JSON: {"tasks": [{"id", "type", "state", "place", "priority", "dependencies", "waitingOn"}], "whole"}; with --dot or
    --mermaid {"text", "whole"}. "whole" is false when --limit left tasks out.
    """
    if dot and mermaid:
        raise click.UsageError("--dot or --mermaid, not both")
    if (dot or mermaid) and depth is not None:
        raise click.UsageError("--depth is about the tree on the screen: what --dot and --mermaid draw, --limit bounds")
    if down and id is None:
        raise click.UsageError("--down is about one task: give its ID")
    found = session.queue().graph(id, way="down" if down else "up", limit=limit)
    rest = "" if found.whole else f"There are more than {plural(limit, 'task')}: --limit shows more."
    if dot or mermaid:
        text = "\n".join((_dot if dot else _mermaid)(found))
        session.answer({"text": text + "\n", "whole": found.whole}, lambda: _print([text], rest))
    else:
        data = {"tasks": [_shown(node) for node in found.nodes.values()], "whole": found.whole}
        session.answer(data, lambda: _print(tree(found, id, down=down, depth=depth or 20), rest))


def _shown(node: Node) -> dict[str, Any]:
    return {
        "id": node.id,
        "type": node.type,
        "state": node.state,
        "place": node.place,
        "priority": node.priority,
        "dependencies": list(node.dependencies),
        "waitingOn": list(node.waiting_on),
    }


def _print(lines: Iterable[str], rest: str) -> None:
    for line in lines:
        click.echo(line)
    if rest:
        click.echo(rest, err=True)


def tree(found: Graph, id: str | None, *, down: bool, depth: int) -> Iterator[str]:
    """The graph as lines, each task once with what is under it. It is no recursion: a plan may be 10,000 tasks deep."""
    nodes = found.nodes
    if id is not None and not down:
        yield from _trees([id], lambda name: nodes[name].dependencies if name in nodes else (), nodes, depth)
        return
    behind = found.waiting_for()
    tops = [id] if id is not None else [node.id for node in nodes.values() if not (set(node.waiting_on) & nodes.keys())]
    yield from _trees(tops, lambda name: behind.get(name, ()), nodes, depth)


def _trees(
    tops: list[str], under: Callable[[str], Iterable[str]], nodes: Mapping[str, Node], depth: int
) -> Iterator[str]:
    drawn: set[str] = set()
    # What is still to be drawn, the next one last: the id, what stands before its children, and before itself.
    stack = [(name, "", "", 0) for name in reversed(tops)]
    while stack:
        name, before, own, level = stack.pop()
        children = list(under(name))
        again = name in drawn
        note = "  (see above)" if again and children else ""
        if not again and level >= depth and children:
            note = f"  … {plural(len(children), 'task')} below: lokiredis graph {name}"
        yield own + _line(name, nodes) + note
        drawn.add(name)
        if note:
            continue
        for number, child in enumerate(reversed(children)):
            last = number == 0
            stack.append((child, before + ("   " if last else "│  "), before + ("└─ " if last else "├─ "), level + 1))


def _line(name: str, nodes: Mapping[str, Node]) -> str:
    node = nodes.get(name)
    if node is None:
        return safe(f"{name}  (not shown)")
    return safe(f"{node.id}  {node.type}, {node.place if node.state == 'pending' else node.state}")


def _edges(found: Graph) -> Iterator[tuple[str, str]]:
    for node in found.nodes.values():
        for name in node.dependencies:
            if name in found.nodes:
                yield name, node.id


def _dot(found: Graph) -> Iterator[str]:
    yield "digraph queue {"
    yield '  node [shape=box, style=filled, fontname="sans-serif"];'
    for node in found.nodes.values():
        # Ids and types have neither quotes nor backslashes.
        yield f'  "{node.id}" [label="{node.id}\\n{node.type}, {node.state}", fillcolor="{_COLOURS[node.state]}"];'
    for name, other in _edges(found):
        yield f'  "{name}" -> "{other}";'
    yield "}"


def _mermaid(found: Graph) -> Iterator[str]:
    yield "graph TD"
    # An id such as "end" is a word of Mermaid's own.
    names = {id: f"t{number}" for number, id in enumerate(found.nodes)}
    for node in found.nodes.values():
        yield f'  {names[node.id]}["{node.id}<br>{node.type}, {node.state}"]:::{node.state}'
    for name, other in _edges(found):
        yield f"  {names[name]} --> {names[other]}"
    for state in dict.fromkeys(node.state for node in found.nodes.values()):
        yield f"  classDef {state} fill:{_COLOURS[state]}"
