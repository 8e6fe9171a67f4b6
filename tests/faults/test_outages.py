"""A server that is away, busy, loading, read-only, frozen, emptied of its scripts, or another one than before."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.exceptions import ResponseError

from lokiredis import Finished, Heartbeat, NoClaim, Outcome, Queue, QueueUnavailable, State
from lokiredis.connect import connect

from ..clock import Clock, ClockedQueue
from ..invariants import check
from ..proxy import Exchange, LossyProxy
from ..servers import RedisServer, version_of
from ..waiting import wait_until
from .calling import CLIENTS, NAME, Caller, caller

pytestmark = pytest.mark.faults

_REPORT = {"why": "a test"}
_PASSWORD = "hunter2-in-the-clear"

both = pytest.mark.parametrize("client", CLIENTS)


class _Watch:
    """Lets every reply pass, and acts at the first one that begins so."""

    def __init__(self, begins: bytes, act: Callable[[], Any] = lambda: None) -> None:
        self.begins = begins
        self.seen = 0
        self._act = act

    def __call__(self, exchange: Exchange) -> bool:
        if exchange.reply.startswith(self.begins):
            self.seen += 1
            if self.seen == 1:
                self._act()
        return False


def _wait_for_attempts(agent: Caller, count: int) -> None:
    wait_until(lambda: agent.attempts >= count, 30, f"attempt {count} of a call")


def _enqueue(id: str) -> Callable[[Any], Any]:
    return lambda q: q.enqueue(id=id, type="build", payload={"id": id})


@both
def test_a_server_that_stays_away_is_an_error_after_a_bounded_time(client: str, program: Path) -> None:
    """Gone in the middle, for good: the call is repeated for about retry_for, then QueueUnavailable."""
    with RedisServer(program) as server, caller(client, server.url, retry_for=0.6) as agent:
        agent.call(lambda q: q.enqueue(type="build"))
        server.kill()
        before, began = agent.attempts, time.monotonic()
        with pytest.raises(QueueUnavailable):
            agent.call(lambda q: q.claim("agent-1", "build"))
        assert 0.5 < time.monotonic() - began < 10
        assert agent.attempts - before > 2


@both
@pytest.mark.parametrize("when", ["from the start", "in the middle"])
def test_an_outage_names_no_password(client: str, when: str, program7: Path) -> None:
    """Neither the message of QueueUnavailable nor its traceback holds the password of the URL."""
    with RedisServer(program7, tcp=True) as server:
        _protect(server)
        url = server.url.replace("//", f"//default:{_PASSWORD}@")
        with caller(client, url, retry_for=0.2) as agent:
            if when == "in the middle":
                agent.call(lambda q: q.counts())
            server.kill()
            with pytest.raises(QueueUnavailable) as caught:
                agent.call(lambda q: q.counts())
    told = [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
    assert _PASSWORD not in "".join(told)
    assert "\n" not in str(caught.value)


def _protect(server: RedisServer) -> None:
    with server.client() as redis:
        redis.config_set("requirepass", _PASSWORD)


@both
def test_a_wrong_password_is_said_at_once(client: str, program: Path) -> None:
    """A refused login won't pass by waiting: no retries."""
    with RedisServer(program, tcp=True) as server:
        _protect(server)
        url = server.url.replace("//", "//default:wrong@")
        with caller(client, url) as agent, pytest.raises(QueueUnavailable, match=r"(?i)password|auth"):
            agent.call(lambda q: q.counts())
        assert agent.attempts == 1


@both
def test_a_server_that_comes_back_gets_the_call(client: str, program: Path) -> None:
    """Killed and started again while a call is being repeated: the call goes through, on the data from before."""
    with RedisServer(program, appendonly=True, appendfsync="always") as server:
        with caller(client, server.url) as agent:
            agent.call(lambda q: q.enqueue(id="a", type="build"))
            server.kill()
            before = agent.attempts
            claim = agent.start(lambda q: q.claim("agent-1", "build"))
            _wait_for_attempts(agent, before + 2)
            server.start()
            assert claim.result(timeout=60).id == "a"
        with server.client() as redis:
            check(redis, NAME)


@both
def test_a_server_that_was_never_there_may_still_come(client: str, program7: Path) -> None:
    """A client made before its server starts works once it does."""
    with RedisServer(program7) as server:
        server.kill()
        with caller(client, server.url) as agent:
            counts = agent.start(lambda q: q.counts())
            _wait_for_attempts(agent, 2)
            server.start()
            assert counts.result(timeout=60)["pending"] == 0


@both
def test_a_frozen_server_acts_once_on_what_was_sent_several_times(client: str, program: Path) -> None:
    """A server that stops answering for a while finds each repeat in its buffers, and carries out one."""
    with RedisServer(program, tcp=True) as server:
        with caller(client, server.url + "?socket_timeout=0.2") as agent:
            agent.call(lambda q: q.enqueue_many([{"id": id, "type": "build", "payload": {"id": id}} for id in "ab"]))
            for call in (
                lambda q: q.claim("agent-1", "build"),
                lambda q: q.enqueue(id="c", type="build"),
                lambda q: q.pause("test"),
            ):
                before = agent.attempts
                os.kill(server.pid, signal.SIGSTOP)
                try:
                    answer = agent.start(call)
                    _wait_for_attempts(agent, before + 3)
                finally:
                    os.kill(server.pid, signal.SIGCONT)
                assert answer.result(timeout=60)
            counts = agent.call(lambda q: q.counts())
        assert counts == {"pending": 2, "in-progress": 1, "completed": 0, "dead-letter": 0, "cancelled": 0}
        with server.client() as redis:
            check(redis, NAME)


@both
def test_scripts_that_the_server_forgot_are_sent_again(client: str, program: Path) -> None:
    """After SCRIPT FLUSH, before every single call, nobody notices anything."""
    with RedisServer(program) as server, server.client() as redis, caller(client, server.url) as agent:
        calls: list[Callable[[Any], Any]] = [
            lambda q: q.enqueue(id="a", type="build"),
            lambda q: q.claim("agent-1", "build"),
            lambda q: q.get("a"),
            lambda q: q.stats(),
        ]
        for call in calls:
            redis.script_flush()
            before = agent.attempts
            assert agent.call(call)
            assert agent.attempts == before + 1


@both
def test_a_busy_server_is_waited_for(client: str, program: Path) -> None:
    """While somebody's endless script runs the server answers BUSY: the call is repeated until that has ended."""
    with RedisServer(program, config={"lua-time-limit": 20}) as server, server.client() as control:
        watch = _Watch(b"-BUSY", lambda: _kill_script(server))
        with LossyProxy(server.address, watch) as proxy, caller(client, proxy.url) as agent:
            agent.call(lambda q: q.enqueue(id="a", type="build"))
            endless = threading.Thread(target=_run_endless_script, args=(server,))
            endless.start()
            wait_until(lambda: _is_busy(server), what="BUSY")
            assert agent.call(lambda q: q.claim("agent-1", "build")).id == "a"
            endless.join(timeout=20)
        assert watch.seen > 0
        check(control, NAME)


def _run_endless_script(server: RedisServer) -> None:
    with connect(server.url + "?socket_timeout=60") as redis, pytest.raises(ResponseError, match=r"(?i)kill"):
        redis.eval("while true do end", 0)


def _is_busy(server: RedisServer) -> bool:
    with connect(server.url) as redis:
        try:
            return not redis.ping()
        except ResponseError as e:
            return str(e).startswith("BUSY")


def _kill_script(server: RedisServer) -> None:
    with connect(server.url) as redis:
        redis.script_kill()


@both
def test_a_loading_server_is_waited_for(client: str, program: Path) -> None:
    """While the server reads its data it answers LOADING: the calls are repeated until it has."""
    with RedisServer(program, config={"key-load-delay": 500}) as server, server.client() as redis:
        # Random, or it would be compressed: 6.2 looks at its clients every 2 MiB only.
        redis.mset({f"ballast-{n}": os.urandom(8192) for n in range(1500)})
        watch = _Watch(b"-LOADING")
        with LossyProxy(server.address, watch) as proxy, caller(client, proxy.url) as agent:
            agent.call(lambda q: q.enqueue(id="a", type="build"))
            reload = threading.Thread(target=_reload, args=(server,))
            reload.start()
            count = 0
            while reload.is_alive() and not watch.seen:
                count += 1
                agent.call(_enqueue(f"t-{count}"))
            reload.join(timeout=60)
            assert watch.seen > 0
            assert agent.call(lambda q: q.counts())["pending"] == 1 + count
        check(redis, NAME)


def _reload(server: RedisServer) -> None:
    with connect(server.url + "?socket_timeout=60") as redis:
        redis.execute_command("DEBUG", "RELOAD")


@both
def test_a_read_only_server_is_waited_for(client: str, program: Path) -> None:
    """A server that became a replica answers READONLY: the call is repeated until it is promoted again."""
    refusal = b"-READONLY" if version_of(program) >= (7, 0, 0) else b"-ERR Error running script"
    options: dict[str, Any] = {"tcp": True, "config": {"repl-diskless-sync-delay": 0}}
    with RedisServer(program, **options) as server, RedisServer(program, **options) as other:
        calls: list[Callable[[Any], Any]] = [
            lambda q: q.enqueue(id="a", type="build"),
            lambda q: q.claim("agent-1", "build"),
            lambda q: q.counts(),
        ]
        for call in calls:
            _replicate(server, other)
            _promote(other)
            _replicate(other, server)
            watch = _Watch(refusal, lambda: _promote(server))
            with LossyProxy(server.address, watch) as proxy, caller(client, proxy.url) as agent:
                assert agent.call(call)
            assert watch.seen > 0
        with server.client() as redis:
            assert Queue(redis, NAME).counts()["in-progress"] == 1
            check(redis, NAME)


def _replicate(source: RedisServer, copy: RedisServer) -> None:
    with copy.client() as redis, source.client() as master:

        def has_all() -> bool:
            # Where it goes on from an older state, the link is up before the last writes have come.
            ours, theirs = redis.info("replication"), master.info("replication")
            of_one_history: bool = ours["master_replid"] == theirs["master_replid"]
            up = ours.get("master_link_status") == "up"
            return up and of_one_history and bool(ours["slave_repl_offset"] == theirs["master_repl_offset"])

        redis.replicaof("127.0.0.1", str(source.port))
        wait_until(has_all, 30, "the replica's data")


def _promote(server: RedisServer) -> None:
    with connect(server.url) as redis:
        redis.replicaof("NO", "ONE")


@both
def test_another_version_at_the_same_address_gets_its_own_scripts(client: str, program6: Path, program7: Path) -> None:
    """A failover between Redis 6.2 and 7, either way: only 7 takes the line `#!lua`, and the client finds that out."""
    with RedisServer(program7) as seven, RedisServer(program6) as six:
        six.stop()
        six.socket = seven.socket
        with caller(client, seven.url) as agent:
            for number, server in enumerate((seven, six, seven)):
                if not server.running:
                    server.start()
                assert agent.call(_enqueue(f"a-{number}")).created
                assert agent.call(lambda q: q.claim("agent-1", "build")).id == f"a-{number}"
                assert agent.call(lambda q: q.counts())["in-progress"] == 1
                server.stop()


def test_claims_that_heartbeat_after_a_long_outage_are_not_lost(program: Path) -> None:
    """After three minutes without a server nobody who heartbeats again loses a claim; the silent ones are reaped."""
    with RedisServer(program, appendonly=True, appendfsync="always") as server, connect(server.url) as redis:
        clock = Clock()
        q = ClockedQueue(redis, NAME, clock)
        q.enqueue_many([{"id": f"t-{n}", "type": "build", "payload": {"n": n}} for n in range(100)])
        held = q.claim_many("agent-1", "build", 100, lease=60)
        assert len(held) == 100
        living, silent = held[:60], held[60:]
        server.kill()
        clock.advance(180)
        server.start()

        assert q.claim("other", "build", lease=60) == NoClaim("empty", 60)
        assert not q.claim_many("other", "build", 100, lease=60)
        assert all(isinstance(beat, Heartbeat) and not beat.cancelled for beat in q.heartbeat_many(living))
        taken = []
        for _ in range(12):
            clock.advance(10)
            taken += q.claim_many("other", "build", 100, lease=600)
            assert all(isinstance(beat, Heartbeat) for beat in q.heartbeat_many(living))
        assert {claim.id for claim in taken} == {claim.id for claim in silent}
        assert all("lost" in (claim.task.last_error or "") for claim in taken)
        for claim in living:
            assert q.complete(claim, decision_report=_REPORT).state is State.COMPLETED
        assert q.counts()["completed"] == 60
        check(redis, NAME)


def test_claims_may_be_finished_after_a_long_outage(server7: RedisServer) -> None:
    """Without any heartbeat: an agent that comes back from the outage with its work done may still hand it in."""
    name = f"q-{uuid4().hex[:12]}"
    with connect(server7.url) as redis:
        clock = Clock()
        q = ClockedQueue(redis, name, clock)
        q.enqueue(id="a", type="build")
        claim = q.claim("agent-1", "build", lease=60)
        assert claim
        clock.advance(180)
        assert not q.claim("other", "build")
        clock.advance(59)
        assert not q.claim("other", "build")
        assert q.complete(claim, decision_report=_REPORT).state is State.COMPLETED
        check(redis, name)


@both
@pytest.mark.parametrize("cut", ["lost replies", "kill -9"])
def test_an_exchange_of_several_calls_is_cut_in_two(client: str, cut: str, program: Path) -> None:
    """After the second of three calls: repeated, by the client or by the caller, each ending counts once."""
    calls = 0

    def lose(exchange: Exchange) -> bool:
        nonlocal calls
        if exchange.command not in ("FCALL", "EVALSHA"):
            return False
        calls += 1
        if cut == "kill -9" and calls == 2:
            server.kill()
        return calls == 2 if cut == "kill -9" else calls % 2 == 0

    with RedisServer(program, tcp=True, appendonly=True, appendfsync="always") as server:
        near = Queue.from_url(server.url, NAME)
        near.enqueue_many([{"id": f"t-{n}", "type": "build", "payload": {"n": n}} for n in range(253)])
        held = near.claim_many("agent-1", "build", 250)
        ended = [Finished(claim, decision_report=_REPORT) for claim in held]
        near.load_scripts()
        with LossyProxy(server.address, drop=lose) as proxy, caller(client, proxy.url, retry_for=1) as agent:

            def exchange() -> Any:
                return agent.call(lambda q: q.exchange("agent-1", "build", finished=ended, limit=5, request="job7"))

            if cut == "kill -9":
                with pytest.raises(QueueUnavailable):
                    exchange()
                server.restart()
                assert near.counts()["completed"] == 200
            reply = exchange()
            assert [type(outcome) for outcome in reply.outcomes] == [Outcome] * 250
            assert [claim.id for claim in reply.claims] == ["t-250", "t-251", "t-252"]
            assert [claim.id for claim in exchange().claims] == ["t-250", "t-251", "t-252"]
        stats = near.stats()
        assert (stats.totals["completed"], stats.counts["in-progress"]) == (250, 3)
        assert calls > 6
        check(near.redis, NAME)
        near.close()
