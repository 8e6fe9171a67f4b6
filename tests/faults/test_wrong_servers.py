"""Servers that are not as they should be: said plainly, and worked with where that is safe."""

from __future__ import annotations

import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lokiredis import QueueFull, QueueUnavailable, UnsupportedServer
from lokiredis.connect import connect

from ..invariants import check
from ..proxy import Frames, words
from ..servers import RedisServer
from .calling import CLIENTS, NAME, caller

pytestmark = pytest.mark.faults

_REPORT = {"why": "a test"}

both = pytest.mark.parametrize("client", CLIENTS)


@contextmanager
def _server_that_says(info: str) -> Iterator[str]:
    """The address of something that speaks just enough RESP2 to be asked INFO."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        frames = Frames()
        with connection:
            while data := connection.recv(65536):
                for frame in frames.feed(data):
                    name = words(frame)[0].upper()
                    body = info.encode()
                    answers = {b"INFO": b"$%d\r\n%s\r\n" % (len(body), body), b"CLIENT": b"+OK\r\n"}
                    if "redis_version:6" in info:
                        answers[b"HELLO"] = b"%1\r\n$5\r\nproto\r\n:3\r\n"
                    connection.sendall(answers.get(name, b"-ERR unknown command `%s`, with args\r\n" % name))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=10)


@both
@pytest.mark.parametrize("version", ["5.0.7", "6.0.16", "2.8.4"])
def test_a_server_that_is_too_old_is_refused(version: str, client: str) -> None:
    """Below Redis 6.2: UnsupportedServer, naming what is needed, at once; redis-py's own HELLO is unknown before 6."""
    with _server_that_says(f"# Server\r\nredis_version:{version}\r\n") as url, caller(client, url) as agent:
        with pytest.raises(UnsupportedServer, match=r"Redis \d.*6\.2"):
            agent.call(lambda q: q.enqueue(type="build"))
        assert agent.attempts == 1


@both
@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_evicts_is_warned_of(policy: str, client: str, program: Path) -> None:
    """An eviction policy would throw tasks away: a loud warning that names it and what to set."""
    with RedisServer(program) as server, server.client() as redis:
        redis.config_set("maxmemory-policy", policy)
        with caller(client, server.url) as agent, pytest.warns(UserWarning, match=f"{policy}.*noeviction"):
            assert agent.call(lambda q: q.enqueue(id="a", type="build")).created


@both
def test_a_proper_server_is_not_warned_of(client: str, program: Path) -> None:
    """noeviction: no warning."""
    with RedisServer(program) as server, caller(client, server.url) as agent, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert agent.call(lambda q: q.enqueue(id="a", type="build")).created


@both
def test_a_user_who_may_not_ask_for_info_can_work(client: str, program: Path) -> None:
    """INFO forbidden by an ACL: the whole life of a task works all the same."""
    with RedisServer(program, tcp=True) as server, server.client() as redis:
        redis.execute_command("ACL", "SETUSER", "agent", "on", ">secret", "~loki:*", "allchannels", "+@all", "-info")
        url = server.url.replace("//", "//agent:secret@")
        with caller(client, url) as agent:
            agent.call(lambda q: q.enqueue(id="a", type="build"))
            claim = agent.call(lambda q: q.claim("agent-1", "build", wait=5))
            agent.call(lambda q: q.heartbeat(claim))
            assert agent.call(lambda q: q.complete(claim, decision_report=_REPORT)).state == "completed"
        check(redis, NAME)


@both
def test_a_full_server_takes_nothing_new_but_is_drained(client: str, program: Path) -> None:
    """Memory full: enqueue is QueueFull at once; claim, heartbeat, complete, fail, release and cancel go on."""
    with RedisServer(program) as server, server.client() as redis:
        with caller(client, server.url) as agent:
            plan = [{"id": f"t-{n}", "type": "build", "payload": {"n": n}} for n in range(20)]
            agent.call(lambda q: q.enqueue_many(plan))
            redis.config_set("maxmemory", 1)
            before = agent.attempts
            with pytest.raises(QueueFull):
                agent.call(lambda q: q.enqueue(id="more", type="build", payload={"n": -1}))
            assert agent.attempts == before + 1, "waiting frees no memory: no retries"
            claims = agent.call(lambda q: q.claim_many("agent-1", "build", 10))
            assert len(claims) == 10
            assert len(agent.call(lambda q: q.heartbeat_many(claims))) == 10
            agent.call(lambda q: q.heartbeat(claims[0], checkpoint={"page": 1}))
            agent.call(lambda q: q.complete(claims[0], decision_report=_REPORT))
            agent.call(lambda q: q.fail(claims[1], "broken"))
            agent.call(lambda q: q.fail(claims[2], "broken", retry=False))
            agent.call(lambda q: q.release(claims[3]))
            agent.call(lambda q: q.rate_limited(claims[4], "429", retry_after=5))
            agent.call(lambda q: q.cancel("t-19", "not needed"))
            agent.call(lambda q: q.discard_dead("t-2", "not needed"))
            agent.call(lambda q: q.pause())
            agent.call(lambda q: q.resume())
            agent.call(lambda q: q.slowdown(0))
            agent.call(lambda q: q.configure(keep_count=5))
            agent.call(lambda q: q.exchange("agent-2", "build", limit=5))
            with pytest.raises(QueueFull):
                agent.call(lambda q: q.enqueue(id="more", type="build", payload={"n": -1}))
            redis.config_set("maxmemory", 0)
            assert agent.call(lambda q: q.enqueue(id="more", type="build", payload={"n": -1})).created
        check(redis, NAME)


@both
def test_data_of_another_schema_is_refused(client: str, server7: RedisServer) -> None:
    """A queue that another version of lokiredis wrote is neither read nor changed."""
    from lokiredis import SchemaMismatch

    with connect(server7.url) as redis, caller(client, server7.url) as agent:
        key = agent.queue.keys.fixed("queue")
        try:
            agent.call(lambda q: q.enqueue(id="a", type="build"))
            redis.hset(key, "schema", "999")
            for call in (
                lambda q: q.enqueue(id="b", type="test"),
                lambda q: q.claim("agent-1", "build"),
                lambda q: q.stats(),
            ):
                with pytest.raises(SchemaMismatch, match="999"):
                    agent.call(call)
        finally:
            redis.flushall()


@contextmanager
def _server_that_sends(said: bytes) -> Iterator[str]:
    """The address of something that isn't Redis: it says this to whatever comes, or waits for more."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_ones: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            open_ones.append(connection)
            connection.recv(65536)
            connection.sendall(said)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        for one in (listener, *open_ones):
            one.close()
        thread.join(timeout=10)


@both
def test_a_web_server_is_no_redis(client: str) -> None:
    """Said at once, in our own words."""
    said = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nno\r\n"
    with _server_that_sends(said) as address, caller(client, f"redis://{address}") as agent:
        with pytest.raises(QueueUnavailable, match="no Redis server"):
            agent.call(lambda q: q.enqueue(type="build"))
        assert agent.attempts == 1


@both
def test_a_server_without_tls_is_no_longer_tried_than_another(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """rediss:// to a plain port, which waits for more: each try ends with the time to connect, and TLS is named."""
    monkeypatch.setattr("lokiredis.connect.CONNECT_TIMEOUT", 0.3)
    with _server_that_sends(b"") as address, caller(client, f"rediss://{address}", retry_for=0.1) as agent:
        began = time.monotonic()
        with pytest.raises(QueueUnavailable, match=r"TLS \(rediss://\)"):
            agent.call(lambda q: q.enqueue(type="build"))
        assert time.monotonic() - began < 5
        assert agent.attempts == 2


@both
def test_an_answer_that_is_no_tls_is_not_tried_again(client: str) -> None:
    """rediss:// to a plain port that answers: no later try can do better."""
    with _server_that_sends(b"-ERR unknown command\r\n") as address, caller(client, f"rediss://{address}") as agent:
        with pytest.raises(QueueUnavailable, match=r"TLS \(rediss://\)"):
            agent.call(lambda q: q.enqueue(type="build"))
        assert agent.attempts == 1


@both
@pytest.mark.parametrize(
    ("password", "said"), [("", "it wants a password"), (":wrong@", "invalid username-password pair")]
)
def test_a_password_that_is_missing_or_wrong(client: str, password: str, said: str, program: Path) -> None:
    """Said in one line, at once: no later try can do better."""
    with RedisServer(program, tcp=True) as server, server.client() as admin:
        admin.config_set("requirepass", "right")
        url = f"redis://{password}127.0.0.1:{server.port}"
        with caller(client, url) as agent:
            with pytest.raises(QueueUnavailable, match=said) as caught:
                agent.call(lambda q: q.enqueue(type="build"))
            assert "\n" not in str(caught.value)
            assert agent.attempts == 1
