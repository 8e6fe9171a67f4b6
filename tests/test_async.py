"""AsyncQueue is Queue, awaited; and both may be used by many at once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lokiredis import (
    AsyncQueue,
    Claim,
    Failed,
    Finished,
    InvalidTask,
    LokiRedisError,
    NoClaim,
    Queue,
    Released,
    StaleClaim,
    State,
)

from .lua.moves import REPORT
from .servers import Backend


def _public(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(kind, callable)
        if not name.startswith("_")
    }


def _arguments(signature: inspect.Signature) -> list[tuple[str, object, object]]:
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


def test_the_same_methods() -> None:
    """Every public method is on both, with the same arguments."""
    sync, asynchronous = _public(Queue), _public(AsyncQueue)
    assert sync.keys() == asynchronous.keys()
    for name, signature in sync.items():
        assert _arguments(signature) == _arguments(asynchronous[name]), name


def test_every_method_has_its_documentation() -> None:
    """Each public method says what the caller gets."""
    for kind in (Queue, AsyncQueue):
        for name in _public(kind):
            assert (inspect.getdoc(getattr(kind, name)) or "").strip(), name


@pytest.mark.parametrize("kind", [Queue, AsyncQueue])
def test_signatures_are_the_callers(kind: type) -> None:
    """help() shows the arguments of the public surface, without what the client adds."""
    shown = {name: list(signature.parameters) for name, signature in _public(kind).items()}
    assert shown["claim"] == ["self", "agent", "types", "lease", "wait", "request"]
    assert shown["claim_many"][:4] == ["self", "agent", "types", "limit"]
    assert shown["complete"] == ["self", "claim", "output", "decision_report", "result"]
    assert shown["fail"] == ["self", "claim", "error", "retry"]
    assert shown["release"] == ["self", "claim", "delay", "reason"]
    assert shown["list"] == ["self", "state", "type", "limit", "cursor"]
    assert "keys" not in {name for names in shown.values() for name in names}
    assert all(names[0] in ("self", "url") for names in shown.values())


@pytest.fixture
async def queue(backend: Backend, queue_name: str) -> AsyncIterator[AsyncQueue]:
    """An asynchronous queue on each backend."""
    client = backend.async_client()
    async with AsyncQueue(client, queue_name) as made:
        yield made
    await client.aclose()


async def _take(queue: AsyncQueue, agent: str = "me") -> Claim:
    claim = await queue.claim(agent, "a")
    assert isinstance(claim, Claim)
    return claim


async def test_a_full_life(queue: AsyncQueue) -> None:
    """Every verb, awaited."""
    await queue.load_scripts()
    made = await queue.enqueue(type="a", payload={"n": 1}, id="x")
    assert (made.id, made.created) == ("x", True)
    await queue.enqueue_many([{"type": "a", "id": f"y{i}", "payload": {"i": i}} for i in range(1100)])
    claim = await _take(queue)
    assert (claim.id, claim.task.payload) == ("x", {"n": 1})
    assert not (await queue.heartbeat(claim, checkpoint=1)).cancelled
    assert len(await queue.heartbeat_many([claim])) == 1
    assert (await queue.complete(claim, decision_report=REPORT)).state is State.COMPLETED
    with pytest.raises(StaleClaim):
        await queue.fail(claim, "x")
    assert (await queue.fail(await _take(queue), "x", retry=False)).state is State.DEAD_LETTER
    await queue.escalate_dead("y0", "ask")
    assert (await queue.retry_dead("y0")).state is State.PENDING
    await queue.fail(await _take(queue), "x", retry=False)
    assert (await queue.resolve_dead("y0", {"decisionReport": REPORT})).state is State.COMPLETED
    await queue.fail(await _take(queue), "x", retry=False)
    assert (await queue.discard_dead("y1", "no")).done
    assert (await queue.release(await _take(queue))).state is State.PENDING
    claims = await queue.claim_many("me", "a", 3)
    ended: list[Finished | Failed | Released] = [
        Finished(claims[0], decision_report=REPORT),
        Failed(claims[1], "x"),
        Released(claims[2]),
    ]
    assert len((await queue.exchange("me", "a", finished=ended, limit=2)).claims) == 2
    assert (await queue.cancel("y100", "no")).count == 1
    assert (await queue.rate_limited(await _take(queue), "429", retry_after=5)).wait == 5
    assert (await queue.claim("me", "a")) == NoClaim("slowdown", 5) or not await queue.claim("me", "a")
    assert await queue.slowdown(0) == 0
    assert await queue.resume(agent="me")
    assert await queue.pause()
    assert await queue.resume()
    await queue.trip_breaker("a")
    assert (await queue.breakers())["a"].state == "open"
    await queue.reset_breaker("a")
    assert await queue.configure(keep_count=7) == 1
    assert (await queue.settings()).keep_count == 7
    assert (await queue.get("x")).state is State.COMPLETED
    assert len((await queue.list("pending", limit=5)).tasks) == 5
    assert (await queue.counts()) == (await queue.stats()).counts
    with pytest.raises(InvalidTask):
        await queue.claim("", "a")


async def test_a_wait(queue: AsyncQueue) -> None:
    """A waiting claim gets the task that comes meanwhile."""
    waiting = asyncio.create_task(queue.claim("me", "a", wait=20))
    await asyncio.sleep(0)
    await queue.enqueue(type="a", id="x")
    claim = await waiting
    assert isinstance(claim, Claim)
    assert claim.id == "x"


async def test_fifty_at_once(queue: AsyncQueue) -> None:
    """50 asyncio tasks work off one queue: each task is done once."""
    await queue.enqueue_many([{"type": "a", "id": f"x{i}", "payload": {"i": i}} for i in range(200)])
    finished: list[str] = []

    async def work(agent: str) -> None:
        while claim := await queue.claim(agent, "a"):
            await queue.complete(claim, decision_report=REPORT)
            finished.append(claim.id)

    await asyncio.gather(*(work(f"agent-{i}") for i in range(50)))
    assert sorted(finished) == sorted(f"x{i}" for i in range(200))
    assert (await queue.counts())["completed"] == 200


def test_eight_threads(backend: Backend, queue_name: str) -> None:
    """8 threads share one Queue: each task is done once."""
    queue = Queue(backend.redis, queue_name)
    queue.enqueue_many([{"type": "a", "id": f"x{i}", "payload": {"i": i}} for i in range(200)])

    def work(agent: str) -> list[str]:
        found = []
        while claim := queue.claim(agent, "a", wait=0.05):
            queue.complete(claim, decision_report=REPORT)
            found.append(claim.id)
        return found

    with ThreadPoolExecutor(8) as pool:
        finished = [id for part in pool.map(work, [f"agent-{i}" for i in range(8)]) for id in part]
    queue.close()
    assert sorted(finished) == sorted(f"x{i}" for i in range(200))
    assert queue.counts()["completed"] == 200


def test_one_queue_belongs_to_one_event_loop(backend: Backend, queue_name: str) -> None:
    """In a second asyncio.run each call says so in our words; a new AsyncQueue is all that it takes."""
    client = backend.async_client()
    queue = AsyncQueue(client, queue_name)

    async def enqueue() -> None:
        await queue.enqueue(type="a", id="x")

    asyncio.run(enqueue())

    async def listen() -> None:
        async for _ in queue.listen(timeout=0.1):
            pass

    for call in (queue.counts, lambda: queue.claim("me", "a"), queue.load_scripts, queue.close, listen):

        async def made(call: Callable[[], Awaitable[object]] = call) -> None:
            await call()

        with pytest.raises(LokiRedisError, match="one event loop"):
            asyncio.run(made())

    async def anew() -> Claim | NoClaim:
        fresh = backend.async_client()
        async with AsyncQueue(fresh, queue_name) as other:
            found = await other.claim("me", "a")
        await fresh.aclose()
        return found

    assert asyncio.run(anew())


async def test_memory_is_shared(queue_name: str) -> None:
    """memory:// is one server per process: what a Queue stores an AsyncQueue sees."""
    with Queue.from_url("memory://shared", queue_name) as sync:
        sync.enqueue(type="a", id="x")
        async with AsyncQueue.from_url("memory://shared", queue_name) as other:
            claim = await other.claim("me", "a")
        assert isinstance(claim, Claim)
        assert sync.get("x").claimed_by == "me"
