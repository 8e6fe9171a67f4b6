"""Tasks without their documents, and what depends on what."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A task in the graph. ``place`` is as :attr:`Task.place`, ``waiting_on`` are the dependencies that are not met.

    ``dependents`` are those that wait for it, the first 1,000 of ``dependent_count``, where the walk went that way.
    """

    id: str
    type: str
    place: str
    priority: int
    dependencies: tuple[str, ...]
    waiting_on: tuple[str, ...]
    dependent_count: int
    dependents: tuple[str, ...]

    @property
    def state(self) -> str:
        """One of the five documented states."""
        return {"leased": "in-progress", "dead": "dead-letter", "completed": "completed", "cancelled": "cancelled"}.get(
            self.place, "pending"
        )


@dataclass(frozen=True)
class Graph:
    """``nodes`` by id, in the order in which they were met. ``whole``: nothing was left out for being too many."""

    nodes: Mapping[str, Node]
    whole: bool

    def roots(self) -> list[Node]:
        """The tasks that others wait for and that wait for nobody themselves, in the order of the nodes."""
        waited_for = {name for node in self.nodes.values() for name in node.waiting_on}
        return [node for node in self.nodes.values() if node.id in waited_for and node.place != "blocked"]

    def waiting_for(self) -> dict[str, list[str]]:
        """For each task the ids of those in the graph that wait for it."""
        found: dict[str, list[str]] = {}
        for node in self.nodes.values():
            for name in node.waiting_on:
                found.setdefault(name, []).append(node.id)
        return found

    def in_order(self) -> list[Node]:
        """The blocked tasks, each behind all that it waits for."""
        left = {node.id: sum(name in self.nodes for name in node.waiting_on) for node in self.nodes.values()}
        behind = self.waiting_for()
        ready = deque(id for id, count in left.items() if count == 0)
        order: list[Node] = []
        while ready:
            node = self.nodes[ready.popleft()]
            if node.place == "blocked":
                order.append(node)
            for id in behind.get(node.id, ()):
                left[id] -= 1
                if left[id] == 0:
                    ready.append(id)
        return order


def held_back(behind: Mapping[str, Iterable[str]], id: str) -> int:
    """How many tasks wait for this one, directly or through others. *behind*: :meth:`Graph.waiting_for`."""
    seen, stack = {id}, [id]
    while stack:
        for other in behind.get(stack.pop(), ()):
            if other not in seen:
                seen.add(other)
                stack.append(other)
    return len(seen) - 1
