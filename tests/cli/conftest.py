"""How the tests of the command line run it: in this process, quickly, or as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from click.testing import CliRunner

from lokiredis.cli import main

from ..servers import RedisServer

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The ``data`` of the one JSON document on standard output."""
        document = json.loads(self.out)
        assert document["schemaVersion"] == 1
        assert document.keys() == {"schemaVersion", "data"}
        assert self.out.count("\n") == 1
        return document["data"]

    @property
    def error(self) -> Any:
        """The ``error`` of the one JSON document on standard error; there is nothing on standard output."""
        assert self.out == ""
        document = json.loads(self.err)
        assert document.keys() == {"error"}
        return document["error"]


@dataclass(frozen=True)
class Cli:
    """Runs command lines in this process, on one queue."""

    environment: dict[str, str]

    def __call__(
        self, *words: object, code: int = 0, stdin: bytes | str = "", environment: dict[str, str] | None = None
    ) -> Ran:
        """Run a command line that must end with *code*. *environment* is added to its own."""
        ran = CliRunner().invoke(main, [str(word) for word in words], stdin, env=self.environment | (environment or {}))
        found = Ran(ran.exit_code, ran.stdout, ran.stderr)
        assert found.code == code, f"{words} ended with {found.code}\n{found.out}\n{found.err}"
        assert "Traceback" not in found.out + found.err
        return found

    def json(self, *words: object, stdin: bytes | str = "", code: int = 0) -> Any:
        """The data that the command answers with ``--json``."""
        return self(*words, "--json", stdin=stdin, code=code).data


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A developer's own LOKIREDIS_URL, or .loki folder, must not be worked on."""
    for name in list(os.environ):
        if name.startswith("LOKIREDIS_") and name != "LOKIREDIS_SERVER":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(server7: RedisServer, queue_name: str) -> Cli:
    """The command line on a fresh queue."""
    return Cli({"LOKIREDIS_URL": server7.url, "LOKIREDIS_QUEUE": queue_name})


@pytest.fixture
def bare() -> Cli:
    """The command line without any server, for what ends before a queue is reached."""
    return Cli({"LOKIREDIS_URL": "redis://127.0.0.1:1/0"})


@dataclass(frozen=True)
class Program:
    """Runs command lines as processes of their own."""

    environment: dict[str, str]
    started: list[subprocess.Popen[bytes]]

    def start(
        self,
        *words: object,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        first: str = "",
    ) -> subprocess.Popen[bytes]:
        """Start one; it is ended with the test. *first* is a statement that its Python runs before the command."""
        module = ["-c", f"{first}\nfrom lokiredis.cli import main\nmain()"] if first else ["-m", "lokiredis"]
        process = subprocess.Popen(
            [sys.executable, *module, *map(str, words)],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | self.environment,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def __call__(self, *words: object, stdin: bytes = b"", timeout: float = 60) -> Ran:
        """Run one to its end."""
        process = self.start(*words, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout)
        found = Ran(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in found.out + found.err
        return found


@pytest.fixture
def start_program() -> Iterator[Callable[..., Program]]:
    """Makes a Program with an environment; its processes end with the test."""
    started: list[subprocess.Popen[bytes]] = []
    yield lambda **environment: Program(environment, started)
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def program(start_program: Callable[..., Program], server7: RedisServer, queue_name: str) -> Program:
    """The command line as processes, on a fresh queue."""
    return start_program(LOKIREDIS_URL=server7.url, LOKIREDIS_QUEUE=queue_name)
