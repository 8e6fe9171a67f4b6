"""Random histories of a queue: what agents and people do to it, and how time passes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from lokiredis import commands
from lokiredis.models import Cancelled, Heartbeat, Hold

from . import breaker, endings, operate
from .compare import ms
from .driver import Driver, answer, spread, to_ms
from .given import (
    REPORTS,
    TYPES,
    Ending,
    Pick,
    Report,
    Wanted,
    agents,
    all_endings,
    failures,
    finishes,
    leases,
    numbers,
    picks,
    releases,
    repeated,
    texts,
    type_sets,
    types,
    wanted,
)
from .world import DAY


def _ids(value: Cancelled) -> Any:
    assert value.done
    assert value.count == len(value.ids)
    return value.ids


def _hold(value: Hold) -> Any:
    return ms(value.until), to_ms(value.wait), value.released


def _beat(value: Heartbeat) -> Any:
    return ms(value.deadline), value.cancelled


class QueueMachine(Driver):
    """The rules."""

    # ---- what agents do

    @initialize(
        batch=st.lists(wanted, min_size=4, max_size=8),
        threshold=st.sampled_from([1, 2, 2, 5]),
        attempts=st.booleans(),
    )
    def begin(self, batch: list[Wanted], threshold: int, attempts: bool) -> None:
        self.configure("alpha", True, threshold, attempts, 300, True, 0)
        for new in batch:
            self.store([new], False)

    @rule(new=wanted, again=repeated)
    def enqueue_one(self, new: Wanted, again: bool) -> None:
        self.store([new], again)

    @rule(batch=st.lists(wanted, min_size=2, max_size=5), again=repeated)
    def enqueue_batch(self, batch: list[Wanted], again: bool) -> None:
        self.store(batch, again)

    @rule(agent=agents, types=type_sets, limit=st.integers(1, 3), lease=leases, again=repeated)
    def claim_many(self, agent: str, types: list[str], limit: int, lease: float | None, again: bool) -> None:
        self.take(agent, types, limit, lease, again)

    @rule(agent=agents, lease=leases, again=repeated)
    def claim_any(self, agent: str, lease: float | None, again: bool) -> None:
        self.take(agent, TYPES, 2, lease, again)

    @rule(agent=agents, ends=st.lists(all_endings, min_size=1, max_size=3))
    def work(self, agent: str, ends: list[Ending]) -> None:
        """As agents mostly do: claim, end, claim, end."""
        for ending in ends:
            self.take(agent, TYPES, 1, None)
            if self.claims:
                self.end(ending, False)

    @rule(agent=agents, text=texts)
    def bury(self, agent: str, text: str) -> None:
        """A dead letter, when there is any work."""
        if self.take(agent, TYPES, 1, None):
            self.end(Ending("fail", Pick(len(self.running()) - 1, False), retry=False, text=text), False)

    @precondition(lambda self: bool(self.claims))
    @rule(ending=finishes, again=repeated)
    def complete(self, ending: Ending, again: bool) -> None:
        self.end(ending, again)

    @precondition(lambda self: bool(self.claims))
    @rule(ending=failures, again=repeated)
    def fail(self, ending: Ending, again: bool) -> None:
        self.end(ending, again)

    @precondition(lambda self: bool(self.claims))
    @rule(ending=releases, again=repeated)
    def release(self, ending: Ending, again: bool) -> None:
        self.end(ending, again)

    @precondition(lambda self: bool(self.claims))
    @rule(
        agent=agents,
        types=type_sets,
        ends=st.lists(all_endings, max_size=4),
        limit=st.integers(0, 2),
        lease=leases,
        again=repeated,
    )
    def exchange(
        self, agent: str, types: list[str], ends: list[Ending], limit: int, lease: float | None, again: bool
    ) -> None:
        self.trade(agent, types, ends, limit, lease, again)

    @precondition(lambda self: bool(self.claims))
    @rule(
        pick=picks,
        wait=st.sampled_from([None, None, 0, 7, 30, 8 * 3600]),
        checkpoint=st.sampled_from([None, {"at": 3}]),
        give=st.sampled_from([False, False, True]),
        again=repeated,
    )
    def rate_limited(self, pick: Pick, wait: int | None, checkpoint: Any, give: bool, again: bool) -> None:
        held = self.pick(pick)
        command = commands.rate_limited(self.keys, held, "429", retry_after=wait, checkpoint=checkpoint, release=give)

        def model() -> Any:
            given = {"wait": to_ms(wait), "spread": spread.value, "checkpoint": checkpoint, "give": give}
            return endings.rate_limited(self.world, held.id, held.token, "429", **given)

        self.both(command, model, again, _hold)

    @precondition(lambda self: bool(self.claims))
    @rule(
        pick=picks,
        checkpoint=st.sampled_from([None, [1, 2]]),
        progress=st.sampled_from([None, "half"]),
        again=repeated,
    )
    def heartbeat(self, pick: Pick, checkpoint: Any, progress: Any, again: bool) -> None:
        held = self.pick(pick)
        command = commands.heartbeat(self.keys, held, checkpoint=checkpoint, progress=progress)
        given = (held.id, held.token, checkpoint, progress)
        self.both(command, lambda: endings.heartbeat(self.world, *given), again, _beat)

    @rule(types=type_sets)
    def start_waiting(self, types: list[str]) -> None:
        self.waiter.start(types)

    # ---- what people do

    @rule(number=numbers, there=st.sampled_from([True, True, True, False]), text=texts, again=repeated)
    def cancel(self, number: int, there: bool, text: str, again: bool) -> None:
        names = sorted(t.id for t in self.world.tasks.values() if t.state in ("pending", "in-progress"))
        id = names[number % len(names)] if there and names else f"t{number}"
        self.both(commands.cancel(self.keys, id, text), lambda: operate.cancel(self.world, id, text), again, _ids)

    @precondition(lambda self: bool(self.world.in_place("dead")))
    @rule(
        action=st.sampled_from(["retry", "force", "canary", "canary", "resolve", "discard", "escalate"]),
        number=numbers,
        there=st.sampled_from([True] * 6 + [False]),
        delay=st.sampled_from([0, 0, 40]),
        report=st.sampled_from(REPORTS),
        again=repeated,
    )
    def dead_letter(self, action: str, number: int, there: bool, delay: int, report: Report, again: bool) -> None:
        dead = sorted(task.id for task in self.world.in_place("dead"))
        id = dead[number % len(dead)] if there else f"t{number}"
        world = self.world
        if action in ("retry", "force"):
            force = action == "force"
            command = commands.retry_dead(self.keys, id, delay=delay, force=force)
            self.both(command, lambda: operate.retry_dead(world, id, delay * 1000, force=force), again, answer)
        elif action == "canary":
            others = [*dead, "t0"]
            canary = commands.canary_dead(self.keys, id, others, count=len(others), go=True)
            self.both(canary, lambda: operate.canary_dead(world, id, others), again)
        elif action == "resolve":
            result = {"by": "hand", "decisionReport": report}
            command = commands.resolve_dead(self.keys, id, result)
            self.both(command, lambda: operate.resolve_dead(world, id, result), again, answer)
        elif action == "discard":
            found = commands.discard_dead(self.keys, id, "no use")
            self.both(found, lambda: operate.discard_dead(world, id), again, _ids)
        else:
            note = commands.escalate_dead(self.keys, id, "help me")
            self.both(note, lambda: operate.escalate_dead(world, id, "help me"), again)

    @rule(
        action=st.sampled_from(["pause", "resume", "agent", "slowdown", "lift", "reset", "trip", "configure"]),
        type=types,
        whole=st.booleans(),
        agent=agents,
        wait=st.sampled_from([5, 4000]),
        threshold=st.sampled_from([1, 2, 2, 5]),
        attempts=st.booleans(),
        cooldown=st.sampled_from([300, 20]),
        report=st.sampled_from([True, True, False]),
        jitter=st.sampled_from([0, 0.1]),
        again=repeated,
    )
    def operate(self, action: str, type: str, whole: bool, agent: str, wait: int, again: bool, **settings: Any) -> None:
        world, keys, some = self.world, self.keys, None if whole else type
        if action == "pause":
            self.both(commands.pause(keys, some), lambda: operate.pause(world, some), again)
        elif action == "resume":
            self.both(commands.resume(keys, some), lambda: operate.resume(world, some, None), again)
        elif action == "agent":
            self.both(commands.resume(keys, agent=agent), lambda: operate.resume(world, None, agent), again)
        elif action == "slowdown":
            self.both(commands.slowdown(keys, wait), lambda: operate.slowdown(world, wait * 1000), again, to_ms)
        elif action == "trip":
            self.both(commands.trip_breaker(keys, type), lambda: breaker.trip(world, type), again)
        elif action == "reset":
            self.both(commands.reset_breaker(keys, type), lambda: breaker.reset(world, type), again)
        elif action == "lift":
            self.lift()
        else:
            self.configure(type, whole, **settings)

    @rule()
    def lift(self) -> None:
        """Pauses and slowdowns are to be met, not to stop every history."""
        world, keys = self.world, self.keys
        self.both(commands.slowdown(keys, 0), lambda: operate.slowdown(world, 0), False, to_ms)
        for type in (None, *TYPES):
            self.both(commands.resume(keys, type), lambda type=type: operate.resume(world, type, None), False)  # type: ignore[misc]

    def configure(
        self, type: str, whole: bool, threshold: int, attempts: bool, cooldown: int, report: bool, jitter: float
    ) -> None:
        count_on = "attempt" if attempts else "dead-letter"
        words = {"failure_threshold": threshold, "count_on": count_on, "cooldown_seconds": cooldown}
        config = self.world.config
        config.report, config.jitter = report, jitter
        own = {"threshold": threshold, "count_on": count_on, "cooldown": cooldown * 1000}
        if whole:
            self.queue.configure(breaker_defaults=words, decision_report=report, backoff_jitter=jitter)
            config.threshold, config.count_on, config.cooldown = threshold, count_on, cooldown * 1000
        else:
            self.queue.configure(breaker_overrides={type: words}, decision_report=report, backoff_jitter=jitter)
            self.world.overrides[type] = own

    # ---- time

    @rule(step=st.sampled_from([1, 400, 1000, 2000, 9_000, 30_000, 59_000]))
    def wait(self, step: int) -> None:
        self.world.now = self.clock.advance(step / 1000)

    @rule(step=st.sampled_from([60_000, 60_001, 61_000, 300_000, 3_600_000, 8 * DAY]))
    def wait_long(self, step: int) -> None:
        self.wait(step)

    @rule(step=st.sampled_from([-1, -5_000, -120_000]))
    def leap_back(self, step: int) -> None:
        """The server's clock is set back."""
        self.wait(step)
        self.waiter.asks_at += step

    @precondition(lambda self: self.world.now > 1_800_000_000_000 + 7 * DAY)
    @rule()
    def wait_for_ever(self) -> None:
        """Tombstones go."""
        self.wait(31 * DAY)
