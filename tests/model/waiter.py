"""An agent that waits for work (rule 7), and the end of every history: all work can be done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lokiredis import Queue, State, replies
from lokiredis.commands import claiming
from lokiredis.models import Finished, NoClaim
from lokiredis.steps import LONGEST_BLOCK

from ..clock import ClockedQueue
from . import claim

if TYPE_CHECKING:
    from .driver import Driver

AGENT = "waiter"


class Waiter:
    """It does what a waiting claim does, on the machine's clock: asks, pops a mark or sleeps, asks again."""

    def __init__(self, machine: Driver) -> None:
        self.machine = machine
        self.types: list[str] | None = None
        self.asks_at = 0
        self.held = False

    def start(self, types: list[str]) -> None:
        self.types = types
        self._ask()

    def look(self) -> None:
        """After every step: what can be claimed wakes it at once, unless it asks by itself by then."""
        if self.types is None:
            return
        world = self.machine.world
        if world.now >= self.asks_at or (not self.held and self._popped(self.types)):
            self._ask()
        elif not self.held:
            # A lost lease is found when somebody asks; all else must have left a mark.
            later = world.copy()
            later.grace = later.now + 1
            found = claim.claim(later, AGENT, self.types, 1, None)
            assert isinstance(found, claim.Nothing), f"{found[0].id} can be claimed, but nothing wakes the waiter"

    def _ask(self) -> None:
        assert self.types is not None
        for _ in range(10):
            got = self.machine.take(AGENT, self.types, 1, None)
            if not isinstance(got, NoClaim):
                self.types = None
                return
            wait = LONGEST_BLOCK if got.retry_after is None else min(LONGEST_BLOCK, got.retry_after)
            self.asks_at, self.held = self.machine.world.now + round(wait * 1000), got.reason == "held"
            if self.held or not self._popped(self.types):
                return
        raise AssertionError(f"the waiter is woken again and again, for nothing: {got}")

    def _popped(self, types: Sequence[str]) -> bool:
        keys = self.machine.keys
        return any(self.machine.redis.zpopmin(keys.wake(type)) for type in types)


def drain(queue: ClockedQueue, types: Sequence[str], agents: Sequence[str]) -> None:
    """Lift everything, and work until nothing is left: every task ends, nothing is stuck."""
    _lift(queue, types, agents)
    for _ in range(200):
        found: Any = queue.run(claiming._claim(queue.keys, "drainer", types, 100, None, None, replies.claims))
        if not isinstance(found, NoClaim):
            done = [Finished(c, output=1) for c in found]
            outcomes = queue.exchange("drainer", types, finished=done, limit=0).outcomes
            assert all(getattr(o, "state", None) == State.COMPLETED for o in outcomes), outcomes
        elif found.retry_after is not None:
            queue.clock.advance(max(found.retry_after, 0.001))
        elif found.reason == "empty":
            break
        else:
            _resolve(queue, found)
    counts = queue.counts()
    assert counts["pending"] == counts["in-progress"] == 0, f"never done: {counts}"


def _lift(queue: Queue, types: Sequence[str], agents: Sequence[str]) -> None:
    queue.configure(decision_report=False)
    queue.resume()
    queue.slowdown(0)
    for type in types:
        queue.resume(type)
        queue.reset_breaker(type)
    for agent in agents:
        queue.resume(agent=agent)


def _resolve(queue: Queue, found: NoClaim) -> None:
    """What still waits must wait for dead letters: a person does these."""
    assert found.reason == "blocked", found
    dead = queue.list("dead-letter", limit=1000).tasks
    assert dead, "tasks are blocked, and nothing that they wait for can be done"
    for task in dead:
        # The one before it was its canary: completed now, that has released the rest of its group.
        if queue.get(task.id).state == State.DEAD_LETTER:
            queue.resolve_dead(task.id, {"by": "hand"})
