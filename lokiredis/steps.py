"""Operations of more than one call, as generators: they yield what is to be done next and are sent its answer.

Both clients drive the same steps, so waiting and splitting are written once and tested without a clock.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from . import arguments, commands
from .commands import Command
from .errors import DependencyCycle, InvalidTask, LokiRedisError, QueueUnavailable, TaskExists, TaskNotFound
from .keys import Keys
from .models import Claim, Enqueued, Exchange, Failed, Finished, NewTask, NoClaim, Outcome, Released
from .review import DeadGroup, DeadLetter
from .task_graph import Graph, Node

T = TypeVar("T")

#: A waiting agent asks again at least this often, in seconds: what a mark costs that died with the one it woke.
LONGEST_BLOCK = 30.0
_SHORTEST_BLOCK = 0.001
#: Agents that wait for the same due time ask within these seconds of each other, not all at once.
_SPREAD = 0.02

#: What one call is sent. The engine takes 10,000 dependencies, but so many different ones keep it busy for 60 ms,
#: and no call may take more than 50 (design rule 16).
MOST_TASKS, MOST_DEPENDENCIES, MOST_BYTES = 1000, 4_000, arguments.MOST_BYTES


@dataclass(frozen=True)
class Block:
    """Wait on the server until one of these marks is there, for at most so many seconds."""

    marks: Sequence[str]
    seconds: float


@dataclass(frozen=True)
class Sleep:
    """Wait here. ``unanswered``: the call that will be sent again then; it may have claimed something already."""

    seconds: float
    unanswered: Command[Any] | None = None


#: A call that may fail, and what is to be told when it did not.
Word = tuple[Command[Any], Callable[[], None]]


class Watch:
    """Is told how a waiting claim goes."""

    #: time.monotonic() before the call that was answered was first sent: from then on its lease holds.
    asked = 0.0
    #: For how many seconds a call is repeated before :meth:`away` is told.
    patience = math.inf

    def away(self, error: QueueUnavailable) -> float:
        """Seconds after which the same call is sent again, or raises. Another call would leave its claim behind."""
        raise error

    def later(self) -> float:
        """Seconds that the call is to wait for something else first; 0: it may be sent again now."""
        return 0.0

    def back(self) -> None:
        """There is an answer."""

    def word(self) -> Word | None:
        """What else is to be said before the wait: the server is awake now, and the connection is there."""
        return None


Step = Command[Any] | Block | Sleep
Steps = Generator[Step, Any, T]


@dataclass(frozen=True)
class Done:
    """What steps ended with."""

    value: Any


def advance(todo: Steps[Any], answer: Any, raised: LokiRedisError | None) -> Step | Done:
    """The next step after an answer or an error. Its end is a value: no future can carry a StopIteration."""
    try:
        return todo.throw(raised) if raised else todo.send(answer)
    except StopIteration as end:
        return Done(end.value)


def one(command: Command[T]) -> Steps[T]:
    """A single command, as steps."""
    answer: T = yield command
    return answer


def claim(
    keys: Keys,
    agent: str,
    types: str | Iterable[str],
    *,
    lease: float | None,
    wait: float | None,
    request: str | None,
    now: Callable[[], float],
    watch: Watch | None = None,
) -> Steps[Claim | NoClaim]:
    """Claim; while there is nothing, block on the types' marks until there is, or ``wait`` seconds have passed."""
    watch = watch or Watch()
    names = arguments.task_types(types)
    # The same each time: an answer that gave nothing isn't remembered, and one that was lost is told again (rule 9).
    command = commands.claim_once(keys, agent, names, lease=lease, request=request)
    command = replace(command, patience=watch.patience)
    ends = None if wait is None else now() + arguments.wait_ms(wait, "wait") / 1000
    while True:
        watch.asked = now()
        found = yield from _answered(command, watch)
        if isinstance(found, Claim):
            return found
        left = None if ends is None else ends - now()
        if left is not None and left <= 0:
            return found
        pause = _pause(found.retry_after, left)
        if pause is None:
            continue
        if (word := watch.word()) is not None:
            yield from _said(word)
        # A held agent must not take a mark that another could use.
        yield Sleep(pause) if found.reason == "held" else Block([keys.wake(type) for type in names], pause)


def _said(word: Word) -> Steps[None]:
    command, heard = word
    with suppress(LokiRedisError):
        yield command
        heard()


def _answered(command: Command[T], watch: Watch) -> Steps[T]:
    unanswered: Command[T] | None = None
    while True:
        while pause := watch.later():
            yield Sleep(pause, unanswered)
        unanswered = command
        try:
            answer: T = yield command
        except QueueUnavailable as e:
            yield Sleep(watch.away(e), command)
        else:
            watch.back()
            return answer


def _pause(retry_after: float | None, left: float | None) -> float | None:
    """How long to block; None to ask again at once, because the server has work left over."""
    if retry_after == 0:
        return None
    pause = LONGEST_BLOCK * random.uniform(0.85, 1)
    if retry_after is not None:
        pause = min(pause, retry_after + random.uniform(0, _SPREAD))
    if left is not None:
        pause = min(pause, left)
    return max(pause, _SHORTEST_BLOCK)


def enqueue_many(
    keys: Keys, tasks: Iterable[NewTask | Mapping[str, Any]], *, request: str | None
) -> Steps[list[Enqueued]]:
    """Everything is checked first; a plan too large for one call goes in parts, dependencies before dependents."""
    if not isinstance(tasks, Iterable) or isinstance(tasks, (str, bytes, Mapping)):
        raise InvalidTask("a list of tasks", field="tasks")
    base = commands.new_request() if request is None else arguments.request(request)
    made = [commands.as_new_task(task, index, request) for index, task in enumerate(tasks)]
    if not made:
        return []
    whole = commands.enqueue_batch(keys, made, base)
    if _fits(whole, made):
        return list((yield whole))
    parts = list(_parts(made, _in_order(made)))
    planned = {task.id for task in made}
    _refuse_repeated(made)
    for number, part in enumerate(parts):
        batch = [made[i] for i in part]
        names = _without(planned - {task.id for task in batch})
        checked = commands.enqueue_batch(keys, batch, f"{base}.{number}", names=names, check=True)
        yield from _of_part(checked, part)
    results: list[Enqueued | None] = [None] * len(made)
    renamed: dict[str, str] = {}
    for number, part in enumerate(parts):
        batch = [made[i] for i in part]
        command = commands.enqueue_batch(keys, batch, f"{base}.{number}", names=_renamed(renamed))
        answers = yield from _of_part(command, part)
        for i, answer in zip(part, answers, strict=True):
            results[i] = answer
            if answer.id != made[i].id:
                renamed[made[i].id] = answer.id
    return [result for result in results if result is not None]


def exchange(
    keys: Keys,
    agent: str,
    types: str | Iterable[str],
    *,
    finished: Iterable[Finished | Failed | Released],
    limit: int,
    lease: float | None,
    request: str | None,
) -> Steps[Exchange]:
    """End many claims, in as many calls as it takes, and claim with the last. Raises InvalidTask before the first."""
    *before, words = commands.in_calls(arguments.endings(finished))
    calls = [commands.exchange(keys, agent, (), part, limit=0) for part in before]
    calls.append(commands.exchange(keys, agent, types, words, limit=limit, lease=lease, request=request))
    outcomes: list[Outcome | LokiRedisError] = []
    for call in commands.linked(calls):
        reply: Exchange = yield call
        outcomes += reply.outcomes
    return Exchange(outcomes, reply.claims)


def graph(keys: Keys, id: str | None, way: commands.Way, limit: int) -> Steps[Graph]:
    """The graph from a task on, or of all that are not done; up to about *limit* tasks. Raises TaskNotFound."""
    if way not in ("up", "down"):
        raise InvalidTask("up or down", field="way")
    arguments.count(limit, "limit")
    nodes: dict[str, Node] = {}
    rest = [] if id is None else [arguments.word(id, "id")]
    cursor: str | None = None
    while True:
        part: commands.GraphPart = yield commands.graph(
            keys, None if id is None else way, rest[:MOST_TASKS], cursor=cursor
        )
        if id is None:
            nodes |= {node.id: node for node in part.nodes if node.place not in ("completed", "cancelled")}
        else:
            nodes |= {node.id: node for node in part.nodes}
        if id is not None and not nodes:
            raise TaskNotFound(id=id)
        rest = [other for other in dict.fromkeys([*rest[MOST_TASKS:], *part.rest]) if other not in nodes]
        cursor = part.cursor
        more = bool(rest) if id is not None else cursor is not None
        if not more or len(nodes) > limit:
            kept = dict(list(nodes.items())[:limit])
            return Graph(kept, not more and len(kept) == len(nodes))


def dead_groups(keys: Keys, type: str | None, limit: int | None) -> Steps[list[DeadGroup]]:
    """All dead letters, or about *limit*, by the pattern of their failure, the largest group first."""
    if limit is not None:
        arguments.count(limit, "limit")
    letters: dict[str, dict[str, DeadLetter]] = {}
    patterns: dict[str, str] = {}
    cursor: str | None = None
    while True:
        page: commands.GroupPage = yield commands.dead_groups(keys, type, cursor=cursor)
        patterns |= page.patterns
        for letter in page.letters:
            letters.setdefault(letter.group, {})[letter.id] = letter
        cursor = page.cursor
        if cursor is None or (limit is not None and sum(map(len, letters.values())) >= limit):
            break
    groups = [
        DeadGroup(group, patterns[group], tuple(sorted(found.values(), key=lambda letter: letter.sequence)))
        for group, found in letters.items()
    ]
    return sorted(groups, key=lambda group: (-len(group.letters), group.pattern))


def canary_dead(
    keys: Keys, id: str, others: Iterable[str], *, force: bool, by: str | None, reason: str, request: str | None
) -> Steps[int]:
    """Link the others first, then retry the canary: whenever this is cut off, nothing has been released too early."""
    rest = list(dict.fromkeys(other for other in arguments.texts(others, "others") if other != id))
    parts = [rest[first : first + MOST_TASKS] for first in range(0, len(rest), MOST_TASKS)] or [[]]
    linked = 0
    for number, part in enumerate(parts, 1):
        go = number == len(parts)
        named: dict[str, Any] = {"count": len(rest), "go": go, "force": force, "by": by, "reason": reason}
        linked += yield commands.canary_dead(keys, id, part, request=request, **named)
    return linked


def _fits(command: Command[Any], tasks: Sequence[NewTask]) -> bool:
    return (
        len(tasks) <= MOST_TASKS
        and sum(len(task.dependencies) for task in tasks) <= MOST_DEPENDENCIES
        and sum(map(len, command.argv)) <= MOST_BYTES
    )


def _of_part(command: Command[list[Enqueued]], part: Sequence[int]) -> Steps[list[Enqueued]]:
    """Send one part; an error names the place in the whole plan."""
    try:
        return list((yield command))
    except LokiRedisError as e:
        if e.index is not None:
            e.index = part[e.index]
        raise


def _refuse_repeated(tasks: Sequence[NewTask]) -> None:
    """Two tasks of one id: equal ones are duplicates, others an error that no single part would see."""
    keys: dict[str, str] = {}
    for i, task in enumerate(tasks):
        key = commands.key_of(task)
        if task.id in keys and (keys[task.id] != key or not key):
            raise TaskExists(f"the plan has another task {task.id}", index=i, id=task.id)
        keys[task.id] = key


def _without(elsewhere: set[str]) -> commands.Names:
    """The dependencies as a check sees them: what another part of the plan will store is no unknown id."""
    return lambda task: [name for name in task.dependencies if name not in elsewhere]


def _renamed(renamed: Mapping[str, str]) -> commands.Names:
    """A dependency on a task that turned out a duplicate in an earlier part means the task returned for it."""
    return lambda task: [renamed.get(name, name) for name in task.dependencies]


def _in_order(tasks: Sequence[NewTask]) -> list[int]:
    """Places in dependency order, else in the given one. Raises DependencyCycle."""
    place = {task.id: i for i, task in reversed(list(enumerate(tasks)))}
    waits = [0] * len(tasks)
    behind: list[list[int]] = [[] for _ in tasks]
    for i, task in enumerate(tasks):
        for name in set(task.dependencies):
            if name in place:
                waits[i] += 1
                behind[place[name]].append(i)
    order = [i for i, count in enumerate(waits) if count == 0]
    for i in order:
        for j in behind[i]:
            waits[j] -= 1
            if waits[j] == 0:
                order.append(j)
    if len(order) < len(tasks):
        stuck = next(i for i, count in enumerate(waits) if count > 0)
        raise DependencyCycle(f"{tasks[stuck].id} waits for itself", index=stuck, id=tasks[stuck].id)
    return order


def _parts(tasks: Sequence[NewTask], order: Sequence[int]) -> Iterable[list[int]]:
    part: list[int] = []
    names = size = 0
    for i in order:
        task = tasks[i]
        length = len(commands.document(task)) + 256 + sum(len(name) + 16 for name in task.dependencies)
        count = len(task.dependencies)
        if part and (len(part) == MOST_TASKS or names + count > MOST_DEPENDENCIES or size + length > MOST_BYTES):
            yield part
            part, names, size = [], 0, 0
        part.append(i)
        names, size = names + count, size + length
    if part:
        yield part
