"""How a step is made: in the real queue and in the model, then their answers and their whole states are compared."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from lokiredis import commands, replies
from lokiredis.commands import Command, claiming
from lokiredis.errors import LokiRedisError
from lokiredis.models import Claim, Enqueued, Failed, Finished, NoClaim, Outcome, Released

from .. import invariants
from ..clock import START, Clock, ClockedQueue
from ..lua.moves import in_one_call
from . import claim, endings, enqueue
from .compare import claim_order, compare_stats, compare_tasks, ms
from .explained import compare_explanations
from .given import AGENTS, TYPES, Ending, Held, Pick, Wanted
from .waiter import Waiter, drain
from .world import Refused, World

T = TypeVar("T")

#: The random number that the next call brings along.
spread = SimpleNamespace(value=0.5)


def code(call: Callable[[], T]) -> T | str:
    """What a call gave, or the name of its error."""
    try:
        return call()
    except (LokiRedisError, Refused) as e:
        return e.code


def equal(got: Any, want: Any, what: str) -> None:
    assert got == want, f"{what}: the queue says {got!r}, the model {want!r}"


def to_ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def answer(value: Outcome | LokiRedisError | str) -> Any:
    """An Outcome or an error in the model's words."""
    if isinstance(value, Outcome):
        return str(value.state), value.retries, ms(value.available_at)
    return value.code if isinstance(value, LokiRedisError) else value


def claimed(value: list[Claim] | NoClaim) -> Any:
    """Claims, or why there is none, in the model's words."""
    if isinstance(value, NoClaim):
        return claim.Nothing(value.reason, to_ms(value.retry_after))
    return [(c.id, c.token, ms(c.deadline), to_ms(c.lease)) for c in value]


def same(value: Any) -> Any:
    return value


class Driver(RuleBasedStateMachine):
    """One queue on a Clock, and its model."""

    def __init__(self, redis: Any, name: str) -> None:
        super().__init__()
        self.redis, self.name = redis, name
        self.clock = Clock()
        self.queue = ClockedQueue(redis, name, self.clock)
        self.keys = self.queue.keys
        self.world = World(now=START)
        self.claims: list[Held] = []
        self.tokens: dict[str, int] = {}
        self.waiter = Waiter(self)

    def both(
        self, command: Command[Any], model: Callable[[], Any], again: bool, shape: Callable[[Any], Any] = same
    ) -> None:
        """Do it in both worlds; *again* as if the reply had been lost: the same call, the same answer."""

        def real() -> Any:
            found = code(lambda: self.queue.run(command))
            return found if isinstance(found, str) else shape(found)

        got = real()
        equal(got, code(model), command.script.name)
        if again:
            equal(real(), got, f"{command.script.name} repeated")

    # ---- tasks

    def store(self, batch: Sequence[Wanted], again: bool) -> None:
        """Enqueue tasks whose dependencies are tasks of the queue or of the batch, or nobody."""
        taken = set(self.world.tasks)
        names: list[str] = []
        for new in batch:
            names.append(new.name(taken))
            taken.add(names[-1])
        there = sorted({*self.world.tasks, *self.world.tombstones, *names})
        depends = [_depends(new.depends, there, id) for new, id in zip(batch, names, strict=True)]
        made = [new.made(id, named) for new, id, named in zip(batch, names, depends, strict=True)]
        command = commands.enqueue_batch(self.keys, [task for task, _ in made], commands.new_request())

        def shape(reply: list[Enqueued]) -> Any:
            return [(e.id, e.created, str(e.state)) for e in reply]

        self.both(command, lambda: enqueue.enqueue(self.world, [new for _, new in made]), again, shape)

    # ---- claims

    def take(
        self, agent: str, types: Sequence[str], limit: int, lease: float | None, again: bool = False
    ) -> list[Claim] | NoClaim:
        """A claim: the model says before who gets what, and so does explain."""
        told = self.queue.explain_agent(agent, types)
        command = claiming._claim(self.keys, agent, types, limit, lease, None, replies.claims)
        got = self.queue.run(command)
        if isinstance(got, NoClaim):
            equal((told.task, told.reason, told.retry_after), (None, got.reason, got.retry_after), "explain_agent")
        else:
            equal((told.task, told.reason), (got[0].id, None), "explain_agent")
        self.granted(got, claim.claim(self.world, agent, types, limit, to_ms(lease)))
        if again:
            equal(claimed(self.queue.run(command)), claimed(got), "claim repeated")
        return got

    def granted(self, got: list[Claim] | NoClaim, want: Any) -> None:
        """Compare a claim with the model's prediction; then the model learns the tokens."""
        if isinstance(got, NoClaim) or isinstance(want, claim.Nothing):
            equal(claimed(got), want, "claim")
            return
        equal([c.id for c in got], [t.id for t in want], "claim")
        for given, task in zip(got, want, strict=True):
            equal((ms(given.deadline), to_ms(given.lease)), (task.deadline, task.lease), "claim")
            assert given.token > self.tokens.get(task.id, 0), f"{task.id} got the token {given.token} again"
            self.tokens[task.id] = given.token
            claim.granted(self.world, task, given.token)
            self.claims.append(Held(given.id, given.token))

    def running(self) -> list[Held]:
        """The claims that hold, the newest last."""
        tasks = self.world.tasks
        leased = [c for c in self.claims if c.id in tasks and tasks[c.id].place == "leased"]
        return [c for c in leased if tasks[c.id].token == c.token]

    def pick(self, pick: Pick) -> Held:
        """One of the claims that run, or of all that there ever were."""
        running = self.running()
        pool = self.claims if pick.stale or not running else running
        return pool[pick.number % len(pool)] if pool else Held("t0", 1)

    # ---- endings

    def end(self, ending: Ending, again: bool) -> None:
        """One ending by its own verb."""
        held = self.pick(ending.pick)
        completed: list[tuple[str, str]] = []

        def model() -> endings.Answer:
            found = self.model_end(held, ending, completed)
            endings.clear_up(self.world, completed)
            return found

        self.both(self.real_end(held, ending), model, again, answer)

    def real_end(self, held: Held, ending: Ending) -> Command[Outcome]:
        if ending.kind == "finish":
            return commands.complete(self.keys, held, output=[1], decision_report=ending.report)
        if ending.kind == "fail":
            return commands.fail(self.keys, held, ending.text, retry=ending.retry)
        return commands.release(self.keys, held, delay=ending.delay, reason=ending.text)

    def model_end(self, held: Held, ending: Ending, completed: list[tuple[str, str]]) -> endings.Answer:
        id, token = held.id, held.token
        if ending.kind == "finish":
            found, agent = endings.complete(self.world, id, token, [1], ending.report)
            if agent is not None:
                completed.append((id, agent))
            return found
        if ending.kind == "fail":
            return endings.fail(self.world, id, token, ending.text, retry=ending.retry, spread=spread.value)
        return endings.release(self.world, id, token, ending.delay * 1000, ending.text)

    def trade(
        self, agent: str, types: Sequence[str], ends: Sequence[Ending], limit: int, lease: float | None, again: bool
    ) -> None:
        """An exchange: all endings, then a claim."""
        held = [self.pick(ending.pick) for ending in ends]
        finished = [_as_part(c, ending) for c, ending in zip(held, ends, strict=True)]
        command = commands.exchange(self.keys, agent, types, in_one_call(finished), limit=limit, lease=lease)
        got = self.queue.run(command)
        completed: list[tuple[str, str]] = []
        want = []
        for c, ending in zip(held, ends, strict=True):
            want.append(code(lambda c=c, e=ending: self.model_end(c, e, completed)))  # type: ignore[misc]
        endings.clear_up(self.world, completed)
        equal([answer(o) for o in got.outcomes], want, "exchange")
        if limit:
            found = claim.claim(self.world, agent, types, limit, to_ms(lease))
            self.granted(got.claims, [] if isinstance(found, claim.Nothing) else found)
        # Silent: one call that ends a claim in two ways is no single ending, which alone can be recognised.
        if again and len(set(held)) == len(held):
            second = self.queue.run(command)
            equal([answer(o) for o in second.outcomes], want, "exchange repeated")
            equal(claimed(second.claims), claimed(got.claims), "exchange repeated")

    # ---- what must hold

    @invariant()
    def both_agree(self) -> None:
        page = self.queue.list(None, limit=1000)
        assert page.cursor is None
        compare_tasks(page.tasks, self.world)
        pending = self.queue.list("pending", limit=1000)
        equal([task.id for task in pending.tasks], claim_order(self.world), "list pending")
        compare_stats(self.queue.stats(), self.world)
        compare_explanations(self.queue, self.world)
        self.waiter.look()
        invariants.check(self.redis, self.name)

    def teardown(self) -> None:
        try:
            # What failed must not be hidden by what then can't be drained either.
            if sys.exc_info()[0] is None:
                drain(self.queue, TYPES, (*AGENTS, "waiter"))
                invariants.check(self.redis, self.name)
        finally:
            self.redis.flushdb()


def _depends(numbers: Sequence[int], there: Sequence[str], id: str) -> tuple[str, ...]:
    """Mostly tasks that are there, now and then itself or one that may not be there."""
    others = [name for name in there if name != id]
    pool = others or ["t0"]
    return tuple(pool[n % len(pool)] if n < 14 else id if n == 14 else "t0" for n in numbers)


def _as_part(held: Held, ending: Ending) -> Finished | Failed | Released:
    if ending.kind == "finish":
        return Finished(held, output=[1], decision_report=ending.report)
    if ending.kind == "fail":
        return Failed(held, ending.text, retry=ending.retry)
    return Released(held, delay=ending.delay, reason=ending.text)
