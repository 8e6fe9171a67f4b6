"""How a server is started, by one process or by several at once."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
import time
from pathlib import Path

import pytest

from lokiredis import embedded
from lokiredis.embedded import EmbeddedServer, ensure
from lokiredis.errors import QueueUnavailable

from .processes import (
    ROOT,
    Clients,
    connect,
    kill,
    pid_of,
    server_pids,
    wrapper,
)


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
