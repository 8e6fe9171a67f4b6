"""No single call runs long, whatever hangs on it, and nothing is lost when the client dies half way (rule 16)."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from lokiredis import Claim, Failed, Finished, NewTask, Outcome, Queue

from .clock import Clock, ClockedQueue
from .conftest import lacking
from .lua.moves import AGENT, REPORT, add, add_many, done, drive_on, take
from .servers import RedisServer, programs

pytestmark = pytest.mark.alone

LONGEST = 50_000  # microseconds
MANY = 100_000
TRIES = 12


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server of its own, whose SLOWLOG notes everything above a millisecond."""
    program = programs().get("redis7")
    if program is None:
        lacking("redis7: no such server program on this machine")
    with RedisServer(program, config={"slowlog-log-slower-than": 1000, "slowlog-max-len": 20_000}) as started:
        yield started.go_first()


@pytest.fixture
def client(server: RedisServer) -> Iterator[Redis]:
    """A client of the server, which is empty again afterwards."""
    with server.client() as made:
        yield made
        made.flushall()


def _longest(server: RedisServer, calls: int) -> int:
    """The microseconds of the longest script call since the log was emptied.

    SLOWLOG tells wall time: of many calls the two longest in a hundred are those that another process interrupted.
    """
    times = sorted(c.microseconds for c in server.slowlog(20_000) if c.command.upper().startswith((b"EVAL", b"FCALL")))
    outliers = calls // 50
    return times[-1 - outliers] if len(times) > outliers else 0


def _measure(server: RedisServer, client: Redis, what: Callable[[ClockedQueue], None]) -> None:
    """Run it on a new queue and look at its calls. A machine that is busy elsewhere makes outliers: then once more."""
    seen = []
    for _ in range(TRIES):
        queue = ClockedQueue(client, f"q-{uuid4().hex[:12]}", Clock())
        _begin(client)
        what(queue)
        seen.append(_longest(server, _script_calls(client)))
        if seen[-1] <= LONGEST:
            print(f"longest call: {seen[-1] / 1000:.1f} ms")
            return
        client.flushall()
    pytest.fail(f"the longest call took {seen} microseconds in {TRIES} tries")


def _begin(client: Redis) -> None:
    """Count and log from here."""
    client.config_resetstat()
    client.slowlog_reset()


def _script_calls(client: Redis) -> int:
    stats = client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("eval", "evalsha", "fcall"))


def _other(queue: ClockedQueue) -> ClockedQueue:
    """Another client of the same queue."""
    return ClockedQueue(queue.redis, queue.name, queue.clock)


def test_a_hundred_thousand_dependents(server: RedisServer, client: Redis) -> None:
    """The task that all wait for completes; its client dies; another one's calls make them all ready."""

    def scenario(queue: ClockedQueue) -> None:
        add(queue, "parent")
        add_many(queue, MANY, type="b", dependencies=("parent",))
        _begin(client)
        done(queue, take(queue))
        assert queue.stats().types["b"].blocked > MANY - 1000
        drive_on(_other(queue))
        assert queue.stats().types["b"].ready == MANY

    _measure(server, client, scenario)


def test_a_cancel_through_a_hundred_thousand(server: RedisServer, client: Redis) -> None:
    """The cancel answers at once; its client dies; others carry the cascade on, of whatever type they ask for."""

    def scenario(queue: ClockedQueue) -> None:
        add(queue, "parent")
        add_many(queue, MANY, type="b", dependencies=("parent",))
        _begin(client)
        result = queue.cancel("parent", "no")
        assert (result.done, result.count < 1001) == (False, True)
        other = _other(queue)
        # What is cancelled, but not yet reached, is never given out.
        assert other.claim_many("me", "b", 1000) == []
        drive_on(other)
        assert queue.counts()["cancelled"] == MANY + 1

    _measure(server, client, scenario)


def test_a_chain_of_ten_thousand(server: RedisServer, client: Redis) -> None:
    """Each waits for the one before: the first is cancelled, and so are all, each naming its parent."""

    def scenario(queue: ClockedQueue) -> None:
        tasks = [
            NewTask(type="a", id=f"x{i}", idempotency_key="", dependencies=(f"x{i - 1}",) if i else ())
            for i in range(10_000)
        ]
        queue.enqueue_many(tasks)
        assert not queue.cancel("x0", "no").done
        drive_on(_other(queue))
        assert queue.counts()["cancelled"] == 10_000
        assert queue.get("x9999").cancel_reason == "Parent x9998 cancelled"
        importlib.import_module("tests.invariants").check(client, queue.name)

    _measure(server, client, scenario)


def test_a_thousand_claims(server: RedisServer, client: Redis) -> None:
    """1,000 tasks with documents of a kilobyte in one claim, and their heartbeats in one call."""

    def scenario(queue: ClockedQueue) -> None:
        add_many(queue, 3000, payload={"x": "x" * 1000})
        claims = queue.claim_many("me", "a", 1000, lease=60)
        assert len(claims) == 1000
        assert len(queue.heartbeat_many(claims)) == 1000

    _measure(server, client, scenario)


def test_large_documents(server: RedisServer, client: Redis) -> None:
    """Tasks of a megabyte each: a reply stops at 8 MiB, of a claim and of a page."""

    def scenario(queue: ClockedQueue) -> None:
        for i in range(20):
            add(queue, f"x{i}", payload={"x": "x" * 1_000_000})
        assert len(queue.list("pending", limit=100).tasks) == 8
        assert len(queue.claim_many("me", "a", 100)) == 8

    _measure(server, client, scenario)


def _batch_with_dependencies(queue: ClockedQueue, each: int) -> None:
    """1,000 tasks that name so many stored tasks each, all of them different ones."""
    add_many(queue, 1000 * each, "p")
    names = [tuple(f"p{j}" for j in range(each * i, each * (i + 1))) for i in range(1000)]
    batch = [NewTask(type="b", id=f"x{i}", idempotency_key=f"k{i}", dependencies=names[i]) for i in range(1000)]
    assert len(queue.enqueue_many(batch)) == 1000
    assert queue.stats().types["b"].blocked == 1000


def test_a_large_batch(server: RedisServer, client: Redis) -> None:
    """1,000 tasks with 2,000 dependencies in one call."""
    _measure(server, client, lambda queue: _batch_with_dependencies(queue, 2))


def test_the_largest_batch(server: RedisServer, client: Redis) -> None:
    """1,000 tasks with 10,000 dependencies: the client sends them in parts."""
    _measure(server, client, lambda queue: _batch_with_dependencies(queue, 10))


def test_many_types(server: RedisServer, client: Redis) -> None:
    """A claim of 1,000 over 100 types, refused and given."""

    def scenario(queue: ClockedQueue) -> None:
        names = [f"t{i}" for i in range(100)]
        for name in names:
            add_many(queue, 50, f"{name}-", name)
        queue.slowdown(5)
        assert queue.claim_many("me", names, 1000) == []
        queue.slowdown(0)
        assert len(queue.claim_many("me", names, 1000)) == 1000

    _measure(server, client, scenario)


@pytest.mark.parametrize("ending", ["finished", "failed"])
def test_a_thousand_endings(server: RedisServer, client: Redis, ending: str) -> None:
    """1,000 endings and new claims by one exchange, each ended task with a dependent; the next one takes the rest."""

    def scenario(queue: ClockedQueue) -> None:
        queue.configure(breaker_defaults={"failure_threshold": 10**6})
        add_many(queue, 2000)
        plan = [NewTask(type="a", id=f"y{i}", idempotency_key="", dependencies=(f"x{i}",)) for i in range(1000)]
        queue.enqueue_many(plan)
        claims = queue.claim_many("me", "a", 1000)
        ends: list[Finished | Failed] = [
            Finished(c, decision_report=REPORT) if ending == "finished" else Failed(c, "e" * 500, retry=False)
            for c in claims
        ]
        reply = queue.exchange("me", "a", finished=ends, limit=1000)
        assert all(isinstance(outcome, Outcome) for outcome in reply.outcomes)
        assert len(reply.claims) == 900
        rest = queue.exchange("me", "a", finished=[], limit=1000)
        assert len(rest.claims) == (1000 if ending == "finished" else 100)
        drive_on(_other(queue))

    _measure(server, client, scenario)


def test_a_purge(server: RedisServer, client: Redis) -> None:
    """1,000 endings when 4,000 old completed and cancelled tasks are due for removal."""

    def scenario(queue: ClockedQueue) -> None:
        for part in range(2):
            add_many(queue, 1000, f"old{part}-")
            claims = queue.claim_many("me", "a", 1000)
            queue.exchange("me", "a", finished=[Finished(c, decision_report=REPORT) for c in claims], limit=0)
        add(queue, "parent")
        add_many(queue, 1999, "gone", dependencies=("parent",))
        queue.cancel("parent", "no")
        drive_on(queue)
        queue.clock.advance(8 * 86400)
        add_many(queue, 1000, "new")
        claims = queue.claim_many("me", "a", 1000)
        queue.exchange("me", "a", finished=[Finished(c, decision_report=REPORT) for c in claims], limit=0)
        found = queue.counts()
        assert found["completed"] + found["cancelled"] < 5000
        importlib.import_module("tests.invariants").check(client, queue.name)

    _measure(server, client, scenario)


def test_an_expired_fleet(server: RedisServer, client: Redis) -> None:
    """2,000 lost leases: each claim reaps some, and in the end all are charged once."""

    def scenario(queue: ClockedQueue) -> None:
        queue.configure(breaker_defaults={"failure_threshold": 10**6})
        add_many(queue, 2000, max_retries=1, timeout=10)
        queue.claim_many("me", "a", 1000)
        queue.claim_many("me", "a", 1000)
        queue.clock.advance(11)
        calls = 0
        while queue.counts()["dead-letter"] < 2000:
            queue.claim("other", "a")
            calls += 1
            assert calls < 100
        assert queue.stats().totals["dead"] == 2000

    _measure(server, client, scenario)


def _with_full_ledgers(queue: ClockedQueue, count: int) -> list[Claim]:
    """So many running tasks that failed twenty times, with errors of a kilobyte."""
    add_many(queue, count, max_retries=100, backoff_seconds=0)
    for _ in range(20):
        claims = queue.claim_many("me", "a", count)
        for first in range(0, count, 50):
            some = claims[first : first + 50]
            queue.exchange("me", [], finished=[Failed(claim, "e" * 1024) for claim in some], limit=0)
    claims = queue.claim_many("me", "a", count, lease=30)
    assert len(claims) == count
    return claims


def test_an_expired_fleet_with_full_ledgers(server: RedisServer, client: Redis) -> None:
    """200 lost leases of tasks whose ledgers are full: they are reaped by bytes, too."""

    def scenario(queue: ClockedQueue) -> None:
        _with_full_ledgers(queue, 200)
        queue.pause("a")
        queue.clock.advance(31)
        _begin(client)
        calls = 0
        while queue.counts()["in-progress"]:
            queue.claim("bystander", "a")
            calls += 1
            assert calls < 20

    _measure(server, client, scenario)


@pytest.mark.parametrize("ending", ["finished", "failed"])
def test_endings_with_full_ledgers(server: RedisServer, client: Redis, ending: str) -> None:
    """350 by one exchange, of tasks whose ledgers are full: each is read, cut and written anew."""

    def scenario(queue: ClockedQueue) -> None:
        claims = _with_full_ledgers(queue, 350)
        _begin(client)
        ends: list[Finished | Failed] = [
            Finished(c, decision_report=REPORT) if ending == "finished" else Failed(c, "e" * 1024) for c in claims
        ]
        outcomes = queue.exchange("me", [], finished=ends, limit=0).outcomes
        assert all(isinstance(outcome, Outcome) for outcome in outcomes)

    _measure(server, client, scenario)


def test_dependents_with_many_dependencies(server: RedisServer, client: Redis) -> None:
    """Releasing 200 tasks that each wait for 500 others, with the longest ids: the slices are bounded by bytes too."""

    def scenario(queue: ClockedQueue) -> None:
        names = tuple(add_many(queue, 500, "p" * 120))
        add(queue, "parent", "first")
        for _ in range(10):
            batch = [
                NewTask(type="b", id=f"x{uuid4()}", idempotency_key="", dependencies=("parent", *names))
                for _ in range(19)
            ]
            queue.enqueue_many(batch)
        _begin(client)
        done(queue, take(queue, "first"))
        drive_on(queue)
        assert queue.list("pending", type="b", limit=1).tasks[0].waiting_on == set(names)

    _measure(server, client, scenario)


def test_parents_of_many_with_many_dependencies(server: RedisServer, client: Redis) -> None:
    """Five that end together, each with a hundred dependents that wait for 999 others, with the longest ids: 64 MB."""

    def scenario(queue: ClockedQueue) -> None:
        names = tuple(add_many(queue, 999, "p" * 125))
        parents = add_many(queue, 5, "parent", "first")
        for i in range(50):
            batch = [
                NewTask(type="b", id=f"x{uuid4()}", idempotency_key="", dependencies=(parents[i % 5], *names))
                for _ in range(10)
            ]
            queue.enqueue_many(batch)
        claims = queue.claim_many(AGENT, "first", 5)
        _begin(client)
        queue.exchange(AGENT, "first", finished=[Finished(c, decision_report=REPORT) for c in claims], limit=0)
        drive_on(queue)
        assert queue.list("pending", type="b", limit=1).tasks[0].waiting_on == set(names)

    _measure(server, client, scenario)


def test_admin_reads(server: RedisServer, client: Redis) -> None:
    """Statistics and pages over 2,000 types, the most that there are, with 10,000 tasks in several states."""

    def scenario(queue: ClockedQueue) -> None:
        queue.enqueue_many(
            [
                NewTask(type=f"t{i % 2000}", id=f"x{i}", idempotency_key="", delay=60 if i % 2 else None)
                for i in range(10_000)
            ]
        )
        queue.stats()
        shown, cursor = 0, None
        while True:
            page = queue.list("pending", limit=1000, cursor=cursor)
            shown, cursor = shown + len(page.tasks), page.cursor
            if cursor is None or shown > 2000:
                break
        queue.list("in-progress")
        queue.list("completed")
        queue.list(None, limit=1000)

    _measure(server, client, scenario)


def test_explanations(server: RedisServer, client: Redis) -> None:
    """At the end of a long chain, and while a claim would have a fleet's lost leases and a long release to do."""

    def scenario(queue: ClockedQueue) -> None:
        plan = [
            NewTask(type="c", id=f"c{i}", idempotency_key="", dependencies=(f"c{i - 1}",) if i else ())
            for i in range(5000)
        ]
        queue.enqueue_many(plan)
        add_many(queue, 3000, "lost", timeout=30)
        add(queue, "parent", "p")
        add_many(queue, 20_000, "free", dependencies=("parent",))
        for number in range(3):
            queue.claim_many(f"agent-{number}", "a", 1000)
        done(queue, take(queue, "p"))
        for _ in range(4):
            queue.clock.advance(30)
            queue.claim("bystander", "no-such-work")
        _begin(client)
        assert not queue.explain("c4999").walked_all
        assert queue.explain("lost2999").task.place == "leased"
        assert queue.explain("free19999").expected == "blocked"
        assert queue.explain_agent("me", "a").task == "lost0"

    _measure(server, client, scenario)


def test_an_explanation_of_large_tasks(server: RedisServer, client: Redis) -> None:
    """A task that waits for 100 with a megabyte each: they are told, and none of their documents is read for it."""

    def scenario(queue: ClockedQueue) -> None:
        names = [add(queue, f"x{i}", payload={"x": "x" * 1_000_000}) for i in range(100)]
        add(queue, "top", "b", dependencies=names)
        _begin(client)
        found = queue.explain("top")
        assert (found.roots, [root.id for root in found.waits_for]) == (100, names)

    _measure(server, client, scenario)


@pytest.mark.parametrize("length", [36, 120])
def test_what_hangs_together_widely(server: RedisServer, client: Redis, length: int) -> None:
    """One waits for 500 that each wait for the same 1,000: half a million names, of 18 or 60 MB, twice."""

    def scenario(queue: ClockedQueue) -> None:
        first = tuple(add_many(queue, 1000, "x" * (length - 3)))
        second = [f"y{i}" for i in range(500)]
        for at in range(0, 500, 5):
            queue.enqueue_many(
                [NewTask(type="b", id=id, idempotency_key="", dependencies=first) for id in second[at : at + 5]]
            )
        add(queue, "top", dependencies=second)
        _begin(client)
        found = queue.explain("top")
        assert (found.roots, len(found.waits_for)) == (1000, 100)
        for graph in (queue.graph("top"), queue.graph()):
            assert (graph.whole, set(graph.nodes)) == (True, {*first, *second, "top"})
            assert all(graph.nodes[id].waiting_on == first for id in second)
        assert set(queue.graph(first[0], way="down").nodes) == {first[0], *second, "top"}

    _measure(server, client, scenario)


def test_a_canary_and_its_group(server: RedisServer, client: Redis) -> None:
    """3,000 dead letters with long errors: their groups, a canary before them, and all of them after it."""

    def scenario(queue: ClockedQueue) -> None:
        queue.configure(breaker_defaults={"failure_threshold": 100_000})
        ids = add_many(queue, 3000)
        for _ in range(30):
            claims = queue.claim_many("me", "a", 100)
            queue.exchange(
                "me", [], finished=[Failed(c, "error 7 at /a/b " * 900, retry=False) for c in claims], limit=0
            )
        _begin(client)
        [group] = queue.dead_groups()
        assert len(group.letters) == 3000
        assert queue.canary_dead(ids[0], ids) == 2999
        done(queue, take(queue))
        drive_on(queue)
        assert queue.stats().types["a"].ready == 2999

    _measure(server, client, scenario)


def test_a_waiting_agent_carries_on(server: RedisServer, client: Redis) -> None:
    """When the only other client died after a completion, an agent that waits is woken and gets the freed work."""
    queue = Queue(client, f"q-{uuid4().hex[:12]}")
    add(queue, "parent")
    add_many(queue, 2000, type="b", dependencies=("parent",))
    done(queue, take(queue))
    got = [queue.claim("me", "b", wait=20) for _ in range(2000)]
    assert all(isinstance(claim, Claim) for claim in got)
    queue.close()


def test_an_import_and_an_export(server: RedisServer, client: Redis, tmp_path: Path) -> None:
    """Of tasks with all that may belong to them, with dependencies, and of long ones."""
    past = {"token": 1, "agent": "a", "claimedAt": 1, "endedAt": 2, "outcome": "failed", "error": "e" * 200}
    with (tmp_path / "in.jsonl").open("w") as file:
        for n in range(3000):
            task = {"id": f"x{n}", "type": f"t{n % 10}", "lastError": "e" * 200, "attempts": [past] * 10}
            task |= {"dependencies": [f"x{i}" for i in range(max(0, n - 20), n)]}
            file.write(json.dumps(task | {"payload": {"t": "y" * (100_000 if n % 10 == 0 else 100)}}) + "\n")

    def there_and_back(queue: ClockedQueue) -> None:
        assert queue.import_(tmp_path / "in.jsonl").created == {"pending": 3000}
        queue.export(tmp_path / "out.jsonl", replace=True)

    _measure(server, client, there_and_back)
