"""Claims that wait: on real servers of each version, in real time. All of them wake far sooner than by asking again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from lokiredis import AsyncQueue, Claim, NoClaim, Queue

from ..invariants import check
from ..servers import RedisServer
from ..waiting import wait_until
from .calling import CLIENTS, NAME, Caller, caller
from .conftest import program_of

pytestmark = pytest.mark.faults

_REPORT = {"why": "a test"}
#: A waiter asks again after 25 to 30 s on its own. What takes less was woken.
_SOON = 8.0
_ROOT = Path(__file__).parents[2]


@dataclass
class _Place:
    """A server, a queue on it for the test itself, and a client that only looks."""

    server: RedisServer
    queue: Queue
    redis: Redis

    @property
    def blocked(self) -> int:
        return int(self.redis.info("clients")["blocked_clients"])

    def wait_for_blocked(self, count: int) -> None:
        wait_until(lambda: self.blocked == count, 30, f"{count} waiting clients")

    @property
    def scripts_run(self) -> int:
        stats = self.redis.info("commandstats")
        return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("evalsha", "eval", "fcall"))

    def mark_of(self, type: str) -> bool:
        return bool(self.redis.exists(self.queue.keys.wake(type)))


@pytest.fixture(scope="module", params=["redis6", "redis7"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server of each version, for these tests alone: they count its waiting clients and its calls."""
    with RedisServer(program_of(request.param)) as started:
        yield started


@pytest.fixture
def place(server: RedisServer) -> Iterator[_Place]:
    """An empty queue on each server."""
    with server.client() as redis, Queue.from_url(server.url, NAME) as queue:
        redis.flushall()
        # Else the first call of each script counts twice.
        queue.load_scripts()
        yield _Place(server, queue, redis)
        check(redis, NAME)


@pytest.fixture(params=CLIENTS)
def waiter(request: pytest.FixtureRequest, place: _Place) -> Iterator[Caller]:
    """A sync and an async client in turn."""
    with caller(request.param, place.server.url) as made:
        yield made


def _waits(waiter: Caller, place: _Place, types: Any = "build", **options: Any) -> Future[Any]:
    """Begin to wait for ever (a bound of 60 s in a broken case) and come back once it blocks on the server."""
    found = waiter.start(lambda q: q.claim("waiter", types, **{"wait": 60} | options))
    place.wait_for_blocked(1)
    return found


def _woken(found: Future[Any], id: str = "a") -> Claim:
    began = time.monotonic()
    claim = found.result(timeout=60)
    assert time.monotonic() - began < _SOON, "it was not woken but asked again by itself"
    assert isinstance(claim, Claim)
    assert claim.id == id
    return claim


def test_new_work_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """A task enqueued while an agent waits is claimed at once."""
    found = _waits(waiter, place)
    place.queue.enqueue(id="a", type="build")
    _woken(found)


def test_wait_none_waits_for_ever(waiter: Caller, place: _Place) -> None:
    """wait=None blocks until there is work, and then wakes as any other."""
    found = _waits(waiter, place, wait=None)
    place.queue.enqueue(id="a", type="build")
    _woken(found)


def test_a_waiter_for_several_types_wakes_for_each(waiter: Caller, place: _Place) -> None:
    """Whichever of its types gets work wakes a waiter."""
    for type in ("build", "test"):
        found = _waits(waiter, place, ["build", "test"])
        place.queue.enqueue(id=type, type=type)
        _woken(found, type)


def test_a_wait_ends_in_time(waiter: Caller, place: _Place) -> None:
    """Without work the wait ends after its seconds, with the reason."""
    began = time.monotonic()
    found = waiter.call(lambda q: q.claim("waiter", "build", wait=0.3))
    assert isinstance(found, NoClaim)
    assert found.reason == "empty"
    assert 0.29 < time.monotonic() - began < _SOON


def test_a_retry_that_falls_due_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """A task that fails while an agent waits is claimed by it when its backoff is over."""
    place.queue.enqueue(id="a", type="build", backoff_seconds=1)
    claim = place.queue.claim("failing", "build")
    found = _waits(waiter, place)
    assert claim
    place.queue.fail(claim, "try again")
    assert _woken(found).task.retries == 1


def test_a_delayed_task_that_falls_due_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """An earlier due time reaches an agent that already waits for a later one."""
    place.queue.enqueue(id="later", type="build", payload={"n": 1}, delay=600)
    found = _waits(waiter, place)
    place.queue.enqueue(id="a", type="build", delay=1)
    _woken(found)


def test_an_expired_lease_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """The task of an agent that fell silent is claimed when its lease is over."""
    place.queue.enqueue(id="a", type="build")
    assert place.queue.claim("silent", "build", lease=1.5)
    found = _waits(waiter, place)
    assert _woken(found).task.attempts[0].outcome == "expired"


def test_a_breaker_that_falls_due_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """A breaker that opens while an agent waits lets it have the probe when it is due."""
    place.queue.configure(breaker_defaults={"halfOpenAfter": 1})
    place.queue.trip_breaker("build")
    found = _waits(waiter, place, ["build", "other"])
    place.queue.trip_breaker("build")
    place.queue.enqueue(id="a", type="build")
    _woken(found)
    assert place.queue.breakers()["build"].state == "half-open"


def test_the_end_of_a_probe_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """A probe that succeeds closes the breaker, and the next task goes to the one that waits."""
    place.queue.configure(breaker_defaults={"halfOpenAfter": 0})
    place.queue.trip_breaker("build")
    for id in ("probe", "a"):
        place.queue.enqueue(id=id, type="build", payload={"id": id})
    probe = place.queue.claim("prober", "build")
    assert probe
    found = _waits(waiter, place)
    place.queue.complete(probe, decision_report=_REPORT)
    _woken(found)


def test_the_end_of_a_slowdown_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """Work that a SLOWDOWN holds back is claimed when that ends by itself."""
    place.queue.enqueue(id="a", type="build")
    place.queue.slowdown(1.5)
    found = _waits(waiter, place)
    _woken(found)


def test_a_lifted_slowdown_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """slowdown(0) does not leave anybody to wait for the old end."""
    place.queue.enqueue(id="a", type="build")
    place.queue.slowdown(600)
    found = _waits(waiter, place)
    place.queue.slowdown(0)
    _woken(found)


@pytest.mark.parametrize("type", [None, "build"])
def test_resume_wakes_a_waiter(type: str | None, waiter: Caller, place: _Place) -> None:
    """Resuming the queue, or the type, hands out what was held back."""
    place.queue.enqueue(id="a", type="build")
    place.queue.pause(type)
    found = _waits(waiter, place)
    place.queue.resume(type)
    _woken(found)


def test_a_handed_back_task_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """Release gives the task to somebody who waits."""
    place.queue.enqueue(id="a", type="build")
    claim = place.queue.claim("leaving", "build")
    assert claim
    found = _waits(waiter, place)
    place.queue.release(claim, reason="shutdown")
    _woken(found)


def test_a_task_whose_dependency_completes_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """Completing a task wakes whoever waits for the type of its dependent."""
    place.queue.enqueue(id="first", type="plan")
    place.queue.enqueue(id="a", type="build", dependencies=["first"])
    claim = place.queue.claim("planner", "plan")
    assert claim
    found = _waits(waiter, place)
    place.queue.complete(claim, decision_report=_REPORT)
    _woken(found)


def test_a_dead_letter_made_pending_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """retry_dead gives the task to somebody who waits."""
    place.queue.enqueue(id="a", type="build")
    claim = place.queue.claim("failing", "build")
    assert claim
    place.queue.fail(claim, "hopeless", retry=False)
    found = _waits(waiter, place)
    place.queue.retry_dead("a")
    _woken(found)


def test_a_breaker_reset_wakes_a_waiter(waiter: Caller, place: _Place) -> None:
    """reset_breaker hands out what the breaker held back."""
    place.queue.enqueue(id="a", type="build")
    place.queue.trip_breaker("build")
    found = _waits(waiter, place)
    place.queue.reset_breaker("build")
    _woken(found)


def test_shorter_settings_wake_a_waiter(waiter: Caller, place: _Place) -> None:
    """A breaker that is due at once under new settings lets the waiting agent have the probe."""
    place.queue.enqueue(id="a", type="build")
    place.queue.trip_breaker("build")
    found = _waits(waiter, place)
    place.queue.configure(breaker_defaults={"halfOpenAfter": 0})
    _woken(found)


@contextmanager
def _many_waiters(place: _Place, count: int, **options: Any) -> Iterator[list[Future[Any]]]:
    """So many threads with a client each that all block on the server."""
    queues = [Queue.from_url(place.server.url, NAME) for _ in range(count)]

    def wait(number: int) -> Any:
        return queues[number].claim(f"agent-{number}", "build", **{"wait": 60} | options)

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(wait, number) for number in range(count)]
        try:
            place.wait_for_blocked(count)
            yield futures
        finally:
            # Whoever still waits gets a task: the pool's end waits for all of them.
            for number in range(count):
                place.queue.enqueue(id=f"end-{number}", type="build", payload={"end": number})
            for future in futures:
                future.result(timeout=90)
            for queue in queues:
                queue.close()


def test_one_task_wakes_one_of_twenty(place: _Place) -> None:
    """One new task costs one claim, not twenty; the others don't stir."""
    with _many_waiters(place, 20) as futures:
        before = place.scripts_run
        place.queue.enqueue(id="a", type="build")
        place.wait_for_blocked(19)
        wait_until(lambda: sum(future.done() for future in futures) == 1, what="the one that was woken")
        assert place.blocked == 19
        assert not place.mark_of("build")
        assert place.scripts_run - before == 2  # the enqueue and one claim


def test_enough_tasks_wake_enough_waiters(place: _Place) -> None:
    """Ten tasks at once leave one mark, which is passed on until ten waiters have one each."""
    with _many_waiters(place, 20) as futures:
        before = place.scripts_run
        place.queue.enqueue_many([{"id": f"t-{n}", "type": "build", "payload": {"n": n}} for n in range(10)])
        wait_until(lambda: sum(future.done() for future in futures) == 10, _SOON, "ten woken waiters")
        assert place.scripts_run - before <= 12
        place.wait_for_blocked(10)
        assert len({future.result().id for future in futures if future.done()}) == 10


def test_twenty_tasks_one_by_one_reach_twenty_waiters(place: _Place) -> None:
    """However marks and claims interleave, nobody is left waiting while there is work."""
    with _many_waiters(place, 20) as futures:
        for n in range(20):
            place.queue.enqueue(id=f"t-{n}", type="build", payload={"n": n})
        wait_until(lambda: all(future.done() for future in futures), _SOON, "twenty woken waiters")


def test_a_mark_that_nobody_acts_on_costs_a_bounded_time(
    waiter: Caller, place: _Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A woken agent that never claims is made good when the next waiter asks again (here after 2 s, else 30 s)."""
    monkeypatch.setattr("lokiredis.steps.LONGEST_BLOCK", 2.0)
    with place.server.client() as doomed, ThreadPoolExecutor(1) as pool:
        popped = pool.submit(lambda: doomed.bzpopmin([place.queue.keys.wake("build")], timeout=60))
        place.wait_for_blocked(1)
        found = waiter.start(lambda q: q.claim("waiter", "build", wait=60))
        place.wait_for_blocked(2)
        place.queue.enqueue(id="a", type="build")
        # The server serves whoever has waited longest.
        assert popped.result(timeout=30)
        _woken(found)


def _spawn(place: _Place, agent: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.faults.waiter", place.server.url, NAME, agent, "build"]
    return subprocess.Popen(words, cwd=_ROOT, stdout=subprocess.PIPE, text=True)


@contextmanager
def _process(place: _Place, agent: str) -> Iterator[subprocess.Popen[str]]:
    """A waiting agent in a process of its own, blocked on the server."""
    process = _spawn(place, agent)
    try:
        place.wait_for_blocked(1)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_the_task_of_a_waiter_killed_on_waking_goes_to_another(place: _Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 of the process that got the mark, before it could claim: the others get the task within the bound."""
    monkeypatch.setattr("lokiredis.steps.LONGEST_BLOCK", 2.0)
    with _process(place, "doomed") as doomed:
        # Stopped, it is still connected: the server gives the mark to it, who has waited longest.
        os.kill(doomed.pid, signal.SIGSTOP)
        with caller("sync", place.server.url) as other:
            found = other.start(lambda q: q.claim("other", "build", wait=60))
            place.wait_for_blocked(2)
            place.queue.enqueue(id="a", type="build")
            wait_until(lambda: not place.mark_of("build"), what="the mark to be taken")
            doomed.kill()
            doomed.wait(timeout=30)
            assert not found.done()
            _woken(found)


def test_ctrl_c_ends_a_wait_and_loses_nothing(place: _Place) -> None:
    """After Ctrl-C in a waiting claim the same client goes on, and no task is lost."""
    with _process(place, "interrupted") as process:
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "interrupted\n"
        assert process.stdout.readline() == "empty\n"
        assert process.wait(timeout=30) == 0
    place.queue.enqueue(id="a", type="build")
    assert place.queue.claim("next", "build")


def test_a_cancelled_wait_leaves_a_usable_client(place: _Place) -> None:
    """Cancelling an asyncio task that waits leaves the client usable, again and again, and loses no work."""

    async def run() -> None:
        async with AsyncQueue.from_url(place.server.url, NAME) as q:
            for n in range(5):
                waiting = asyncio.create_task(q.claim("agent-1", "build", wait=None))
                await asyncio.to_thread(place.wait_for_blocked, 1)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await asyncio.to_thread(place.wait_for_blocked, 0)
                await q.enqueue(id=f"t-{n}", type="build", payload={"n": n})
                claim = await asyncio.wait_for(q.claim("agent-1", "build", wait=None), _SOON)
                assert isinstance(claim, Claim)
                assert claim.id == f"t-{n}"

    asyncio.run(run())


def test_many_waits_on_one_async_client_at_once(place: _Place) -> None:
    """Ten tasks of one event loop wait on one AsyncQueue, each on a connection of its own, and all get work."""

    async def run() -> set[str]:
        async with AsyncQueue.from_url(place.server.url, NAME) as q:
            waiting = [asyncio.create_task(q.claim(f"agent-{n}", "build", wait=60)) for n in range(10)]
            await asyncio.to_thread(place.wait_for_blocked, 10)
            await q.enqueue_many([{"id": f"t-{n}", "type": "build", "payload": {"n": n}} for n in range(10)])
            return {claim.id for claim in await asyncio.wait_for(asyncio.gather(*waiting), _SOON) if claim}

    assert len(asyncio.run(run())) == 10


def test_many_waits_on_one_sync_client_at_once(place: _Place) -> None:
    """The same for ten threads that share one Queue."""
    with Queue.from_url(place.server.url, NAME) as q, ThreadPoolExecutor(10) as pool:
        waiting: list[Future[Any]] = [pool.submit(q.claim, f"agent-{n}", "build", wait=60) for n in range(10)]
        place.wait_for_blocked(10)
        place.queue.enqueue_many([{"id": f"t-{n}", "type": "build", "payload": {"n": n}} for n in range(10)])
        assert len({future.result(timeout=_SOON).id for future in waiting}) == 10


@pytest.mark.parametrize("held", ["before", "meanwhile"])
def test_a_held_agent_leaves_the_mark_to_others(held: str, place: _Place) -> None:
    """Held before or after it began to wait, an agent keeps no new work from another one."""
    place.queue.enqueue(id="first", type="build", payload={"n": 1})
    claim = place.queue.claim("held", "build")
    assert claim

    def hold() -> None:
        place.queue.rate_limited(claim, "429", retry_after=600)
        place.queue.slowdown(0)

    async def run() -> None:
        async with AsyncQueue.from_url(place.server.url, NAME) as q:
            if held == "before":
                hold()
            before = place.scripts_run
            waiting = asyncio.create_task(q.claim("held", "build", wait=None))
            if held == "before":
                await asyncio.to_thread(wait_until, lambda: place.scripts_run > before, what="its refusal")
            else:
                await asyncio.to_thread(place.wait_for_blocked, 1)
            found = asyncio.create_task(q.claim("other", "build", wait=None))
            await asyncio.to_thread(place.wait_for_blocked, 1 if held == "before" else 2)
            if held == "meanwhile":
                hold()
            place.queue.enqueue(id="a", type="build")
            claimed = await asyncio.wait_for(found, _SOON)
            assert isinstance(claimed, Claim)
            assert claimed.id == "a"
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(run())


def test_an_outage_in_the_middle_of_a_wait_is_survived(waiter: Caller, place: _Place) -> None:
    """The server is killed and comes back while an agent waits: it goes on waiting, and gets the next task."""
    found = _waits(waiter, place)
    place.server.kill()
    place.server.start()
    place.wait_for_blocked(1)
    place.queue.enqueue(id="a", type="build")
    _woken(found)


def test_a_refused_second_connection_does_not_spin(waiter: Caller, place: _Place) -> None:
    """A server that is full takes no connection to block on: the wait goes on by asking at a calm pace."""
    waiter.call(lambda q: q.claim("waiter", "build"))
    most = str(place.redis.config_get("maxclients")["maxclients"])
    place.redis.config_set("maxclients", int(place.redis.info("clients")["connected_clients"]))
    try:
        before = place.scripts_run
        assert waiter.call(lambda q: q.claim("waiter", "build", wait=2)) == NoClaim("empty", None)
        assert place.scripts_run - before <= 15
    finally:
        place.redis.config_set("maxclients", most)
    place.queue.enqueue(id="a", type="build")
    assert waiter.call(lambda q: q.claim("waiter", "build", wait=5))


def test_a_closed_client_leaves_no_connection(place: _Place) -> None:
    """The connections that it blocked on end with it."""

    def connections() -> int:
        return int(place.redis.info("clients")["connected_clients"])

    async def run() -> None:
        async with AsyncQueue.from_url(place.server.url, NAME) as q:
            await asyncio.gather(*(q.claim(f"agent-{n}", "build", wait=0.2) for n in range(5)))

    before = connections()
    with Queue.from_url(place.server.url, NAME) as q:
        q.claim("waiter", "build", wait=0.2)
        assert connections() >= before + 2
    asyncio.run(run())
    wait_until(lambda: connections() == before, what="the connections to end")


async def test_a_claim_cancelled_at_any_moment_loses_no_task(server7: RedisServer, queue_name: str) -> None:
    """Tasks arrive while waiting claims are cancelled after a moment: each is given to somebody or still there."""
    queue = AsyncQueue(server7.async_client(), queue_name)
    got = 0
    for number in range(100):
        waiting = asyncio.create_task(queue.claim("me", "a", wait=None))
        await asyncio.sleep(0)
        await queue.enqueue(type="a", payload={"n": number})
        waiting.cancel()
        try:
            got += bool(await waiting)
        except asyncio.CancelledError:
            pass
    counts = await queue.counts()
    assert (counts["in-progress"], counts["pending"]) == (got, 100 - got)
    await queue.close()
    await queue.redis.aclose()
