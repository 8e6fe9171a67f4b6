"""Histories in which every bound of rule 16 is tiny: work is always left over, and whoever calls next carries it on."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lokiredis import DependencyCycle, InvalidState, State, TaskExists, TaskNotFound, UnknownDependency
from lokiredis.models import Claim, Failed, Finished, Released
from lokiredis.scripts import LUA, Script, read

from .. import invariants
from ..clock import FROM_ARGUMENT, Clock, ClockedQueue
from .given import TYPES, numbers, type_sets, types
from .waiter import drain

#: One entry of a job, two jobs and one due task at a time.
_BOUNDS = {
    "lib/carry_on.lua": ("WORK_PER_CALL, LEAST_WORK = 500, 50", "WORK_PER_CALL, LEAST_WORK = 2, 2"),
    "lib/to_do.lua": ("WORK_AT_ONCE = 100", "WORK_AT_ONCE = 1"),
    "lib/reap.lua": ("PROMOTED_AT_ONCE = 200, 200", "PROMOTED_AT_ONCE = 1, 1"),
}


@cache
def _tight(name: str) -> Script:
    replaced = dict(FROM_ARGUMENT)
    for path, (large, small) in _BOUNDS.items():
        text = (LUA / path).read_text()
        assert large in text, f"{path} has another bound now"
        replaced[path] = text.replace(large, small)
    return read(name, replaced)


class TightQueue(ClockedQueue):
    """A queue whose scripts do very little in one call."""

    def _prepare(self, script: Script) -> Script:
        return _tight(script.name)


class TightMachine(RuleBasedStateMachine):
    """No model: the stored data is sound at every step, and in the end all work has been done."""

    def __init__(self, redis: Any, name: str) -> None:
        super().__init__()
        self.redis, self.name = redis, name
        self.queue = TightQueue(redis, name, Clock())
        self.ids: list[str] = []
        self.claims: list[Claim] = []

    def one(self, number: int) -> str:
        return self.ids[number % len(self.ids)] if self.ids else "nobody"

    @rule(
        type=types,
        depends=st.lists(numbers, max_size=4),
        retries=st.integers(0, 1),
        delay=st.sampled_from([None, None, 5]),
        again=st.sampled_from([False, False, True]),
    )
    def enqueue(self, type: str, depends: list[int], retries: int, delay: float | None, again: bool) -> None:
        # An id of a discarded task is used again while what waited for it is still being cancelled.
        id = self.one(len(depends)) if again else f"t{len(self.ids)}"
        fields: dict[str, Any] = {"max_retries": retries, "delay": delay, "idempotency_key": "", "timeout": 20}
        try:
            self.queue.enqueue(id=id, type=type, dependencies=[self.one(n) for n in depends], **fields)
        except (TaskExists, UnknownDependency, DependencyCycle):
            return
        self.ids.append(id)

    @rule(types=type_sets, limit=st.integers(1, 3))
    def claim(self, types: list[str], limit: int) -> None:
        told = self.queue.explain_agent("one", types)
        found = self.queue.claim_many("one", types, limit)
        # However much is left over, what is only tried does as much as what is really done.
        assert told.task == (found[0].id if found else None)
        self.claims += found

    @rule(kinds=st.lists(st.sampled_from(["finish", "finish", "fail", "dead", "release"]), min_size=1, max_size=3))
    def exchange(self, kinds: list[str]) -> None:
        ends: list[Finished | Failed | Released] = []
        for kind, claim in zip(kinds, self.claims, strict=False):
            if kind == "finish":
                ends.append(Finished(claim, decision_report={"why": "so"}))
            elif kind == "release":
                ends.append(Released(claim))
            else:
                ends.append(Failed(claim, "no", retry=kind == "fail"))
        del self.claims[: len(ends)]
        self.claims += self.queue.exchange("one", TYPES, finished=ends, limit=1).claims

    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        with suppress(TaskNotFound, InvalidState):
            self.queue.cancel(self.one(number), "no")

    @rule(number=numbers, action=st.sampled_from(["discard", "discard", "retry", "canary", "canary", "resolve"]))
    def dead_letter(self, number: int, action: str) -> None:
        dead = [task.id for task in self.queue.list(State.DEAD_LETTER).tasks]
        if not dead:
            return
        id = dead[number % len(dead)]
        if action == "discard":
            self.queue.discard_dead(id, "no")
        elif action == "retry":
            self.queue.retry_dead(id)
        elif action == "canary":
            self.queue.canary_dead(id, dead)
        else:
            self.queue.resolve_dead(id, {"decisionReport": {"why": "so"}})

    @rule(seconds=st.sampled_from([1, 5, 30, 61]))
    def wait(self, seconds: float) -> None:
        self.queue.clock.advance(seconds)

    @invariant()
    def sound(self) -> None:
        invariants.check(self.redis, self.name)

    def teardown(self) -> None:
        try:
            drain(self.queue, TYPES, ["one"])
            assert self.queue.stats().todo == 0
            invariants.check(self.redis, self.name)
        finally:
            self.redis.flushdb()
