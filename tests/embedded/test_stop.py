"""How a server is ended, and what is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lokiredis.embedded import EmbeddedServer

from .processes import (
    Clients,
    is_running,
    pid_of,
    read,
    server_pids,
    wait_until,
    wrapper,
)


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
