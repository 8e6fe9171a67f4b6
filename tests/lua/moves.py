"""The moves that bring a queue into the situation which a test is about, and pictures of all that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from lokiredis import Claim, Failed, Finished, NewTask, NoClaim, Outcome, Queue, Released, Task, commands
from lokiredis.commands import Command
from lokiredis.models import from_epoch
from lokiredis.scripts import load

from ..clock import ClockedQueue

REPORT = {"why": "asked", "what": "done"}
AGENT = "host-1/agent-1"


def take(queue: Queue, types: str | list[str] = "a", agent: str = AGENT, lease: float | None = None) -> Claim:
    """The claim that must be there."""
    found = queue.claim(agent, types, lease=lease)
    assert isinstance(found, Claim), found
    return found


def refused(queue: Queue, types: str | list[str] = "a", agent: str = AGENT) -> NoClaim:
    """Why there is no claim, which must be so."""
    found = queue.claim(agent, types)
    assert isinstance(found, NoClaim), found
    return found


def done(queue: Queue, claim: Claim) -> Outcome:
    """Completed as it should be."""
    return queue.complete(claim, output="ok", decision_report=REPORT)


def in_one_call(endings: Sequence[Finished | Failed | Released]) -> list[Any]:
    """The words of all these endings, for a call of more than the client would send."""
    return [word for words in commands.in_calls(endings) for word in words]


def add(queue: Queue, id: str, type: str = "a", **fields: Any) -> str:
    """A new task that equals no other."""
    made = queue.enqueue(**{"id": id, "type": type, "idempotency_key": "", **fields})
    assert (made.id, made.created) == (id, True)
    return id


def add_many(queue: Queue, count: int, prefix: str = "x", type: str = "a", **fields: Any) -> list[str]:
    """So many new tasks that equal no other, in parts of one call each."""
    ids = [f"{prefix}{i}" for i in range(count)]
    for first in range(0, count, 1000):
        part = ids[first : first + 1000]
        queue.enqueue_many([NewTask(**{"id": id, "type": type, "idempotency_key": "", **fields}) for id in part])
    return ids


def bury(queue: Queue, id: str, type: str = "a", **fields: Any) -> str:
    """A new task that is a dead letter. No other task of its type may be ready."""
    add(queue, id, type, **fields)
    claim = take(queue, type)
    assert claim.id == id
    queue.fail(claim, "hopeless", retry=False)
    return id


def trip_by_failures(queue: Queue, type: str = "a", count: int = 5) -> None:
    """Dead letters until the breaker of the type opens."""
    for number in range(count):
        bury(queue, f"dead-{type}-{number}", type)


def let_pass(queue: ClockedQueue, seconds: float) -> None:
    """Time goes by while somebody asks for work of another type, as in a fleet that lives: the reaper never pauses."""
    while seconds > 0:
        step = min(seconds, 50)
        queue.clock.advance(step)
        seconds -= step
        queue.claim("bystander", "no-such-work")


def moment(queue: ClockedQueue, seconds: float = 0) -> datetime:
    """The clock's time, so many seconds on."""
    return from_epoch(queue.clock.now + round(seconds * 1000))


def places(queue: Queue) -> dict[str, str]:
    """Where every task is."""
    return {task.id: task.place for task in every(queue)}


def every(queue: Queue) -> list[Task]:
    """Every task, by sequence."""
    found, cursor = [], None
    while True:
        page = queue.list(None, limit=1000, cursor=cursor)
        found += page.tasks
        cursor = page.cursor
        if cursor is None:
            return found


def stored(queue: Queue) -> dict[str, Any]:
    """All that Redis holds of the queue, save when the reaper last ran."""
    client, found = queue.redis, {}
    readers = {
        b"hash": client.hgetall,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"string": client.get,
        b"stream": client.xlen,
    }
    for key in client.scan_iter(match=queue.keys.prefix + "*", count=1000):
        value = readers[client.type(key)](key)
        if isinstance(value, dict):
            value.pop(b"reaped", None)
        if value:
            found[key.decode()] = value
    return found


def raw(queue: Queue, script: str, *words: Any) -> Any:
    """A script's reply to arguments that no client would send; the prefix goes before them."""
    found = load(script)
    keys = [queue.keys.fixed(name) for name in found.keys]
    return queue.run(Command(found, keys, [queue.keys.prefix, *words], lambda reply: reply))


def size(reply: Any) -> int:
    """About how many bytes a raw reply is."""
    return sum(map(size, reply)) if isinstance(reply, list) else len(reply) if isinstance(reply, bytes) else 8


def marks(queue: Queue) -> set[str]:
    """The types whose waiting agents would wake up."""
    prefix = queue.keys.wake("")
    return {key.decode().removeprefix(prefix) for key in queue.redis.scan_iter(match=prefix + "*", count=1000)}


def somebody_waits(queue: Queue) -> None:
    """Marks are left only where a claim was refused in the last minute."""
    assert not queue.claim("somebody", "no-such-work")


def forget_marks(queue: Queue) -> None:
    """As if somebody had taken every mark, and waited on."""
    somebody_waits(queue)
    for type in marks(queue):
        queue.redis.delete(queue.keys.wake(type))


def drive_on(queue: Queue) -> int:
    """Let others call until the to-do list is empty; how many calls that took."""
    calls = 0
    while queue.stats().todo:
        queue.claim("bystander", "no-such-work")
        calls += 1
        assert calls < 2000, "the to-do list never ends"
    return calls
