"""The event stream: what is in it, reading on from any place, following, and what is told when something is gone."""

from __future__ import annotations

import asyncio
import importlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any

import pytest

from lokiredis import AsyncQueue, Event, InvalidTask, LokiRedisError, NewTask, Queue, QueueUnavailable, scripts
from lokiredis.connect import blocking_twin
from lokiredis.event_cursor import BEGIN, Cursor
from lokiredis.event_kinds import ALERTS, GAP, KINDS
from lokiredis.models import from_epoch

from .clock import Clock, ClockedQueue
from .lua.moves import AGENT, add, add_many, bury, done, let_pass, take
from .servers import Backend, RedisServer
from .waiting import wait_until

LONG_AGO = datetime(2001, 1, 1, tzinfo=timezone.utc)


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    """Kinds and ids."""
    return [(event.kind, event.id) for event in events]


@contextmanager
def following(queue: Queue, since: str | None = str(BEGIN)) -> Iterator[list[Event]]:
    """One call of events(follow=True) in a thread of its own, which goes on until it finds the task "last"."""
    found: list[Event] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            for event in queue.events(since=since, follow=True, timeout=60):
                found.append(event)
                if event.id == "last":
                    return
        except BaseException as e:
            failed.append(e)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield found
    thread.join(70)
    assert not thread.is_alive()
    assert failed == []


def blocked(backend_or_server: Backend | RedisServer) -> int:
    """How many clients wait on the server."""
    server = backend_or_server.server if isinstance(backend_or_server, Backend) else backend_or_server
    assert server is not None
    with server.client() as client:
        return int(client.info("clients")["blocked_clients"])


def test_the_kinds_are_those_that_the_scripts_write() -> None:
    """The list that --kind knows, against every script with all that it includes."""
    written = set()
    for name in scripts.NAMES:
        source = scripts.load(name).source
        written |= set(re.findall(r"\b(?:event|tell)\('([a-z-]+)(?:'| ')", source))
        if "event('breaker-' .. to" in source:
            written |= {f"breaker-{to}" for to in re.findall(r"change_breaker\([^()]*'([a-z-]+)'\)", source)}
        if "event(outcome" in source:
            written |= {"failed", "expired"}
    assert written - {"breaker-"} | {GAP} | {"breaker-open"} == set(KINDS)
    assert len(set(KINDS)) == len(KINDS)
    assert set(KINDS) >= ALERTS


def test_an_event_says_what_happened(queue: Queue) -> None:
    """Every field of it, in Python and in JSON."""
    before = queue.stats().now
    add(queue, "x")
    claim = take(queue)
    queue.fail(claim, "the build\nfails", retry=False)
    events = list(queue.events())
    assert told(events) == [("enqueued", "x"), ("claimed", "x"), ("failed", "x"), ("dead", "x")]
    dead = events[-1]
    assert dead == Event(dead.cursor, dead.at, "dead", "x", "a", AGENT, claim.token, "the build fails")
    assert before <= events[0].at <= dead.at <= queue.stats().now
    assert dead.to_json() == {
        "cursor": dead.cursor,
        "at": dead.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "kind": "dead",
        "id": "x",
        "type": "a",
        "agent": AGENT,
        "token": claim.token,
        "text": "the build fails",
    }
    queue.pause()
    [paused] = queue.events(since=dead.cursor)
    assert (paused.kind, paused.id, paused.type, paused.agent, paused.token, paused.text) == (
        "paused", None, None, None, None, "",
    )  # fmt: skip
    queue.resume()


def test_alerts(backend: Backend, queue_name: str) -> None:
    """A dead letter, an open breaker, an escalation, a lost agent; nothing else of what a day brings."""
    queue = ClockedQueue(backend.redis, queue_name, Clock())
    for number in range(5):
        bury(queue, f"x{number}")
    queue.escalate_dead("x0", "look - at it")
    add(queue, "y", "b")
    take(queue, "b", lease=5)
    let_pass(queue, 61)
    take(queue, "b")
    alerts = [event for event in queue.events() if event.is_alert]
    assert sorted(told(alerts), key=str) == sorted(
        [*(("dead", f"x{n}") for n in range(5)), ("breaker-open", None), ("escalated", "x0"), ("expired", "y")],
        key=str,
    )
    [escalated] = [event for event in alerts if event.kind == "escalated"]
    assert escalated.text == "look - at it"
    [opened] = [event for event in alerts if event.kind == "breaker-open"]
    assert (opened.type, opened.text) == ("a", "5 failures")


def test_reading_goes_on_from_any_place(queue: Queue) -> None:
    """A call of 500 tasks is 500 events in a few entries: from each of their cursors comes exactly the rest."""
    add(queue, "first")
    add_many(queue, 500)
    add(queue, "last")
    events = list(queue.events())
    ids = ["first", *(f"x{i}" for i in range(500)), "last"]
    assert [event.id for event in events] == ids
    assert len({event.cursor for event in events}) == 502
    assert len({event.cursor.partition(".")[0] for event in events}) < 20
    for place in [*range(0, 502, 7), 1, 100, 101, 200, 500, 501]:
        assert [event.id for event in queue.events(since=events[place].cursor)] == ids[place + 1 :]
    assert [event.id for event in queue.events(since=str(BEGIN))] == ids


def test_reading_many_entries(queue: Queue) -> None:
    """More than one read brings, and each once."""
    for number in range(300):
        add(queue, f"x{number}")
    events = list(queue.events())
    assert [event.id for event in events] == [f"x{number}" for number in range(300)]
    assert [event.id for event in queue.events(since=events[63].cursor)] == [f"x{number}" for number in range(64, 300)]


def test_without_follow_it_ends_with_what_was_there(queue: Queue) -> None:
    """A fleet that writes faster than somebody reads must not keep the reader for ever."""
    for number in range(70):  # more than one read brings
        add(queue, f"x{number}")
    found = []
    for event in queue.events():
        found.append(event.id)
        for later in range(3):
            add(queue, f"later-{len(found)}-{later}")
        assert len(found) <= 70
    assert found == [f"x{number}" for number in range(70)]
    assert list(queue.events(since=list(queue.events())[-1].cursor)) == []


def test_an_empty_queue_has_no_events(queue: Queue) -> None:
    """And following it begins with its first one."""
    assert list(queue.events()) == []
    assert list(queue.events(since=LONG_AGO)) == []
    assert list(queue.events(follow=True, timeout=0.05)) == []


def test_following_begins_with_what_is_new(queue: Queue) -> None:
    """What was there before is not told; everything later is, in order and once."""
    add_many(queue, 20, prefix="old")
    with following(queue, since=None) as found:
        number = count()

        def has_begun() -> bool:
            # Nothing shows from outside when it began: so new tasks until it sees one.
            add(queue, f"new{next(number)}")
            return bool(found)

        wait_until(has_begun)
        add_many(queue, 500)
        done(queue, take(queue))
        add(queue, "last")
    kept = list(queue.events())
    assert kept.index(found[0]) >= 20
    assert found == kept[kept.index(found[0]) :]


def test_following_is_woken_by_each_new_event(queue: Queue) -> None:
    """By the server, long before it would ask again by itself."""
    with following(queue) as found:
        for number in range(20):
            add(queue, f"x{number}")
            wait_until(lambda: len(found) == number + 1, timeout=5)  # noqa: B023
        add(queue, "last")
    assert [event.id for event in found] == [*(f"x{number}" for number in range(20)), "last"]


def test_a_time(queue: Queue, backend: Backend) -> None:
    """An aware datetime: what happened then and later."""
    add(queue, "old")
    # Ids in a millisecond of their own.
    moment = wait_until(lambda: (now := queue.stats().now) > list(queue.events())[-1].at and now)
    assert isinstance(moment, datetime)
    add(queue, "new")
    assert [event.id for event in queue.events(since=LONG_AGO)] == ["old", "new"]
    assert [event.id for event in queue.events(since=moment)] == ["new"]
    assert [event.id for event in queue.events(since=next(iter(queue.events())).at)] == ["old", "new"]
    assert list(queue.events(since=moment + timedelta(days=1))) == []
    followed = queue.events(since=moment, follow=True, timeout=30)
    assert next(followed).id == "new"
    add(queue, "newer")
    assert next(followed).id == "newer"


def test_what_was_trimmed_away_is_told(queue: Queue, backend: Backend) -> None:
    """A gap, which says from where to where, before the first event that is left; and only then."""
    for number in range(10):
        add(queue, f"x{number}")
    events = list(queue.events())
    backend.redis.xtrim(queue.keys.events, maxlen=4, approximate=False)
    gap, *rest = queue.events(since=events[2].cursor)
    began = from_epoch(Cursor.parse(events[2].cursor).ms)
    assert (gap.kind, gap.id, gap.at, gap.is_alert) == (GAP, None, began, True)
    assert events[2].cursor in gap.text
    assert rest == events[6:]
    assert list(queue.events(since=gap.cursor)) == events[6:]
    assert list(queue.events(since=events[6].cursor)) == events[7:]
    assert list(queue.events(since=events[9].cursor)) == []
    assert list(queue.events()) == events[6:]
    # One that was deleted by hand leaves no doubt about the others.
    backend.redis.xdel(queue.keys.events, events[8].cursor.partition(".")[0])
    assert list(queue.events(since=events[8].cursor)) == events[9:]


def test_what_was_trimmed_away_under_a_follower_is_told(queue: Queue, backend: Backend) -> None:
    """It read slowly: the entries between its last one and the oldest are gone."""
    for number in range(200):
        add(queue, f"x{number}")
    events = list(queue.events())
    followed = queue.events(since=str(BEGIN), follow=True, timeout=30)
    assert next(followed) == events[0]
    backend.redis.xtrim(queue.keys.events, maxlen=3, approximate=False)
    rest = [next(followed) for _ in range(63 + 1 + 3)]
    assert rest[:63] == events[1:64]
    assert rest[63].kind == GAP
    assert rest[64:] == events[197:]


def test_a_stream_that_ends_before_the_cursor_is_told(queue: Queue, backend: Backend) -> None:
    """Redis lost its last writes, or the cursor is of another queue: the follower must not wait for ever."""
    add(queue, "x")
    [event] = queue.events()
    ahead = Cursor.parse(event.cursor)._replace(ms=2**46)
    [gap] = queue.events(since=str(ahead))
    assert (gap.kind, gap.cursor) == (GAP, event.cursor)
    followed = queue.events(since=str(ahead), follow=True, timeout=30)
    assert next(followed).kind == GAP
    add(queue, "y")
    assert next(followed).id == "y"
    backend.redis.delete(queue.keys.events)
    [gap] = queue.events(since=event.cursor)
    assert (gap.kind, gap.cursor) == (GAP, str(BEGIN))
    add(queue, "z")
    assert [event.id for event in queue.events(since=gap.cursor)] == ["z"]


def test_entries_that_are_not_the_queues_do_no_harm(queue: Queue, backend: Backend) -> None:
    """Somebody else wrote into the stream."""
    for fields in ({"x": "y"}, {"at": "now", "events": "strange"}, {"at": "-1", "events": "a b c d five \n\n"}):
        backend.redis.xadd(queue.keys.events, fields)  # type: ignore[arg-type]
    add(queue, "x")
    events = list(queue.events())
    assert events[-1].id == "x"
    assert told(events[:2]) == [("strange", None), ("a", "b")]
    backend.redis.delete(queue.keys.events)


@pytest.mark.parametrize(
    ("since", "timeout", "follow", "field"),
    [
        ("", None, False, "since"),
        ("yesterday", None, False, "since"),
        ("1-1", None, False, "since"),
        ("1-1.1\n", None, False, "since"),
        ("99999999999999999-0.1", None, False, "since"),
        ("1-99999999999999999999.1", None, False, "since"),
        (5, None, False, "since"),
        (datetime(2026, 1, 1), None, False, "since"),
        (None, 5, False, "timeout"),
        (None, float("nan"), True, "timeout"),
        (None, "5", True, "timeout"),
        (None, None, "yes", "follow"),
    ],
)
def test_what_cannot_be_read_from_is_refused(since: object, timeout: object, follow: object, field: str) -> None:
    """At the call, not at the first event."""
    queue, asynchronous = Queue.from_url("memory://refused"), AsyncQueue.from_url("memory://refused")
    for one in (queue, asynchronous):
        with pytest.raises(InvalidTask) as caught:
            one.events(since=since, follow=follow, timeout=timeout)  # type: ignore[arg-type]
        assert caught.value.field == field


async def test_the_same_awaited(backend: Backend, queue_name: str) -> None:
    """All that there is, from a cursor in the middle of an entry, and new ones as they come."""
    client = backend.async_client()
    async with AsyncQueue(client, queue_name) as queue:
        await queue.enqueue_many([NewTask(id=f"x{n}", type="a", idempotency_key="") for n in range(500)])
        events = [event async for event in queue.events()]
        assert [event.id for event in events] == [f"x{n}" for n in range(500)]
        assert [event async for event in queue.events(since=events[250].cursor)] == events[251:]
        assert [event async for event in queue.events(follow=True, timeout=0.05)] == []

        async def follow(since: str | None) -> list[str | None]:
            found: list[str | None] = []
            async for event in queue.events(since=since, follow=True, timeout=60):
                found.append(event.id)
                if event.id == "last":
                    break
            return found

        task = asyncio.create_task(follow(events[-1].cursor))
        for id in ("y", "last"):
            await asyncio.sleep(0)
            await queue.enqueue(type="a", id=id, idempotency_key="")
        assert await asyncio.wait_for(task, 30) == ["y", "last"]
        # Cancelled while it waits on the server: the queue goes on.
        waiting = asyncio.create_task(follow(None))
        assert not (await asyncio.wait({waiting}, timeout=0.1))[0]
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await queue.get("last")).id == "last"
    await client.aclose()


def test_the_waiting_connection_is_given_back(queue: Queue, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end, and when the caller leaves the loop; not only when Python happens to collect it."""
    if backend.server is None:
        return
    twins = []

    def kept(*words: Any) -> Any:
        twins.append(blocking_twin(*words))
        return twins[-1]

    monkeypatch.setattr("lokiredis.event_stream.blocking_twin", kept)
    while not twins:  # on a busy machine the time may be over before it waits
        assert list(queue.events(follow=True, timeout=0.05)) == []
    followed = queue.events(follow=True, since=LONG_AGO, timeout=30)
    with following(queue):
        wait_until(lambda: blocked(backend))
        add(queue, "last")
    assert next(followed).id == "last"
    followed.close()  # type: ignore[attr-defined]
    assert len(twins) >= 2
    wait_until(lambda: "xread" not in {client["cmd"] for client in backend.redis.client_list()})


def test_following_survives_an_unblocking(queue: Queue, backend: Backend) -> None:
    """The server does that to every waiting client when it becomes a replica."""
    if backend.server is None:
        return
    with following(queue) as found:
        for number in range(3):
            wait_until(lambda: blocked(backend))
            waiting = [one["id"] for one in backend.redis.client_list() if "b" in one["flags"]]
            for id in waiting:
                backend.redis.client_unblock(int(id), error=True)
            add(queue, f"x{number}")
            wait_until(lambda: len(found) == number + 1)  # noqa: B023
        add(queue, "last")
    assert [event.id for event in found] == ["x0", "x1", "x2", "last"]


@pytest.mark.parametrize("name", ["redis6", "redis7"])
def test_following_over_a_restart(name: str, request: pytest.FixtureRequest) -> None:
    """The server is killed and comes back: each event once, none missed, by one and the same call."""
    shared: RedisServer = request.getfixturevalue(f"{name}_server")
    with RedisServer(shared.program, appendonly=True, appendfsync="always") as server:
        with Queue.from_url(server.url, "q") as queue, following(queue) as found:
            add_many(queue, 500)
            wait_until(lambda: len(found) == 500, timeout=30)
            for number in range(2):
                wait_until(lambda: blocked(server))
                server.kill()
                server.start()
                add(queue, f"y{number}")
            wait_until(lambda: len(found) == 502, timeout=30)
            add(queue, "last")
        assert [event.id for event in found] == [*(f"x{n}" for n in range(500)), "y0", "y1", "last"]
        with server.client() as client:
            importlib.import_module("tests.invariants").check(client, "q")


async def test_following_over_a_restart_awaited(redis7_server: RedisServer) -> None:
    """The same for asyncio."""
    with RedisServer(redis7_server.program, appendonly=True, appendfsync="always") as server:
        async with AsyncQueue.from_url(server.url, "q") as queue:
            followed = queue.events(since=str(BEGIN), follow=True, timeout=60)
            await queue.enqueue(type="a", id="x")
            assert (await anext(followed)).id == "x"
            task = asyncio.ensure_future(anext(followed))
            while not await asyncio.to_thread(blocked, server):
                pass
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await queue.enqueue(type="a", id="y", idempotency_key="")
            assert (await asyncio.wait_for(task, 30)).id == "y"


def test_an_outage_at_the_begin_is_an_error() -> None:
    """A wrong address would be followed for ever in silence."""
    with Queue.from_url("redis://127.0.0.1:1", retry_for=0.3) as queue:
        with pytest.raises(QueueUnavailable):
            list(queue.events())
        with pytest.raises(QueueUnavailable):
            list(queue.events(follow=True))
        assert list(queue.events(follow=True, timeout=0.05)) == []


def test_a_refusal_is_an_error(queue: Queue, backend: Backend) -> None:
    """A key that isn't a stream, say: waiting would not help."""
    backend.redis.delete(queue.keys.events)
    backend.redis.set(queue.keys.events, "x")
    with pytest.raises(LokiRedisError, match="refused"):
        list(queue.events(follow=True))
    backend.redis.delete(queue.keys.events)
