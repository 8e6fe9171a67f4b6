"""``lokiredis config``: settings that count for every machine at once."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lokiredis import Queue

from ..servers import RedisServer
from ..waiting import wait_until
from .conftest import Cli, Program

#: As the reference has it.
DOCUMENTED = """\
# .loki/config/circuit-breakers.yaml
defaults:
  failureThreshold: 5
  cooldownSeconds: 300
  halfOpenAfter: 60

overrides:
  ops-security:
    failureThreshold: 3 # More sensitive for security
  biz-marketing:
    failureThreshold: 10 # More tolerant for non-critical
"""
DEFAULTS = {"failureThreshold": 5, "cooldownSeconds": 300, "halfOpenAfter": 60, "countOn": "dead-letter"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The documented file."""
    path = tmp_path / "circuit-breakers.yaml"
    path.write_text(DOCUMENTED)
    return path


def test_the_documented_file(cli: Cli, file: Path) -> None:
    """It is taken whole; once more it changes nothing, and the version stays."""
    expected = {
        "version": 1,
        "defaults": DEFAULTS,
        "overrides": {"biz-marketing": {"failureThreshold": 10}, "ops-security": {"failureThreshold": 3}},
    }
    assert cli.json("config", "apply", file) == expected | {"changed": True}
    assert cli.json("config", "apply", file) == expected | {"changed": False}
    assert "already" in cli("config", "apply", file).out
    shown = cli.json("config", "show")
    assert {name: shown[name] for name in expected} == expected


def test_the_queue_becomes_what_the_file_says(cli: Cli, file: Path) -> None:
    """An override that isn't in it goes, what defaults leave out has its default; other settings stay."""
    cli("config", "apply", file)
    cli("config", "set", "overrides.web.countOn", "attempt")
    cli("config", "set", "keepCount", "7")
    text = "defaults: {cooldownSeconds: 1.5}\noverrides:\n  web: {halfOpenAfter: 0}\n"
    data = cli.json("config", "apply", "-", stdin=text)
    assert (data["defaults"], data["overrides"]) == (DEFAULTS | {"cooldownSeconds": 1.5}, {"web": {"halfOpenAfter": 0}})
    assert cli.json("config", "show")["settings"]["keepCount"] == 7
    assert cli.json("config", "apply", "-", stdin="overrides:\n")["overrides"] == {}
    assert cli.json("config", "show")["defaults"] == DEFAULTS


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("defaults:\n  failureTreshold: 5\n", 2, "defaults.failureTreshold"),
        ("defaults:\n  failureThreshold: five\n", 2, "defaults.failureThreshold"),
        ("defaults:\n  failureThreshold: 1.5\n", 2, "defaults.failureThreshold"),
        (f"defaults:\n  failureThreshold: {'9' * 5000}\n", 2, "defaults.failureThreshold"),
        ("defaults:\n  failureThreshold: true\n", 2, "defaults.failureThreshold"),
        ("defaults:\n  failureThreshold: 0\n", 2, "defaults.failureThreshold"),
        ("defaults:\n  halfOpenAfter: .inf\n", 2, "defaults.halfOpenAfter"),
        ("defaults:\n  halfOpenAfter: 2026-11-22\n", 2, "defaults.halfOpenAfter"),
        ("defaults:\n  cooldownSeconds:\n", 2, "defaults.cooldownSeconds"),
        ("defaults:\n  cooldownSeconds: [1]\n", 2, "defaults.cooldownSeconds"),
        ("defaults:\n  countOn: tasks\n", 2, "defaults.countOn"),
        ("defaults: 5\n", 1, "defaults"),
        ("overrides:\n  web:\n    failureThreshold: 1\n  web:\n    failureThreshold: 2\n", 4, "overrides.web"),
        ("overrides:\n  a b: {failureThreshold: 1}\n", 2, "overrides.a b"),
        ("overrides:\n  - web\n", 2, "overrides"),
        ("defaults: {}\ndefault: {}\n", 2, "default"),
        ("- x\n", 1, None),
        ("defaults: [\n", 2, None),
        ("defaults: {}\n---\ndefaults: {}\n", 2, None),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "a"),
        ("", None, None),
    ],
)
def test_a_mistake_is_named(text: str, line: int | None, field: str | None, cli: Cli, tmp_path: Path) -> None:
    """With its line and its key; nothing changes."""
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    error = cli("config", "apply", path, "--json", code=1).error
    assert (error["code"], error["file"], error.get("line"), error.get("field")) == (
        "InvalidTask", str(path), line, field,
    )  # fmt: skip
    if line is not None:
        assert f"{path} line {line}: " in cli("config", "apply", path, code=1).err
    assert cli.json("config", "show")["version"] == 0


def test_what_is_no_file_of_settings(cli: Cli, tmp_path: Path) -> None:
    """Bytes, something huge, deep nesting, a pipe that nobody writes to, no file at all."""
    path = tmp_path / "x.yaml"
    for data in (b"\xff\xfe\x00", b"#" * 1024 * 1024 + b"#", b"[" * 5000, b"a: &a [*a]\n"):
        path.write_bytes(data)
        assert cli("config", "apply", path, "--json", code=1).error["code"] == "InvalidTask"
    os.mkfifo(tmp_path / "pipe.yaml")
    for odd in (tmp_path / "pipe.yaml", Path("/dev/zero")):
        assert f"{odd}: not a regular file" in cli("config", "apply", odd, code=1).err
    assert cli("config", "apply", tmp_path / "nobody.yaml", "--json", code=2).error["code"] == "Usage"


def test_one_setting(cli: Cli) -> None:
    """Of each kind, and back to its default."""
    for key, value, expected in (
        ("keepSeconds", "2d", 172800),
        ("keepCount", "500", 500),
        ("decisionReport", "false", False),
        ("decisionReportKeys", "why, what", ["why", "what"]),
        ("backoffJitter", "0.1", 0.1),
        ("defaults.cooldownSeconds", "5m", 300),
        ("defaults.failureThreshold", "2", 2),
        ("overrides.a.b.halfOpenAfter", "7", 7),
        ("overrides.a.b.countOn", "attempt", "attempt"),
    ):
        data = cli.json("config", "set", key, value)
        assert (data["key"], data["value"]) == (key, expected)
    found = cli.json("config", "show")
    assert found["overrides"] == {"a.b": {"halfOpenAfter": 7, "countOn": "attempt"}}
    assert (found["defaults"], found["version"]) == (DEFAULTS | {"failureThreshold": 2}, 8)
    assert "keepSeconds" in cli("config", "show").out
    assert "2d" in cli("config", "show").out
    assert cli.json("config", "set", "overrides.a.b.halfOpenAfter", "default")["value"] is None
    assert cli.json("config", "set", "overrides.a.b.countOn", "default")["changed"] is True
    assert cli.json("config", "show")["overrides"] == {}
    assert cli("config", "set", "keepSeconds", "default").out == "keepSeconds is 604800 (version 11).\n"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("keepcount", "5"), ("keepCount", "many"), ("keepCount", "0.5"), ("defaults.x", "1"), ("version", "5"),
        ("defaults.web.countOn", "attempt"), ("overrides.countOn", "attempt"), ("overrides.a b.countOn", "attempt"),
        ("decisionReport", "maybe"),
    ],
)  # fmt: skip
def test_a_wrong_setting(key: str, value: str, cli: Cli) -> None:
    """Refused, naming it."""
    error = cli("config", "set", key, value, "--json", code=1).error
    assert error["code"] == "InvalidTask"
    assert error["field"]
    assert cli("config", "set", "keepSeconds", "soon", "--json", code=2).error["code"] == "Usage"


def test_nobody_is_overwritten(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sets another key of the same breaker between the look and the change: both are there in the end."""
    real = Queue.configure
    others = iter(["3", "4"])

    def slow(self: Queue, **settings: Any) -> int:
        for value in others:
            with Queue.from_url(cli.environment["LOKIREDIS_URL"], cli.environment["LOKIREDIS_QUEUE"]) as other:
                real(other, breaker_defaults={"failureThreshold": int(value)})
            break
        return real(self, **settings)

    monkeypatch.setattr(Queue, "configure", slow)
    cli("config", "set", "defaults.cooldownSeconds", "9")
    assert cli.json("config", "show")["defaults"] == DEFAULTS | {"failureThreshold": 4, "cooldownSeconds": 9}


def test_a_running_worker_follows(
    cli: Cli, program: Program, tmp_path: Path, server7: RedisServer, queue_name: str
) -> None:
    """A worker that is in front of an open breaker gets the task when a file makes it due, without a restart."""
    cli("enqueue", "--type", "t", "--id", "x")
    cli("breaker", "trip", "t")
    worker = program.start("worker", "--type", "t", "--", "true", stdout=subprocess.DEVNULL)
    with server7.client() as client:
        # It was refused, and waits for half a minute from here on unless it is woken.
        wait_until(lambda: client.hget(f"loki:{{{queue_name}}}:queue", "waited"), what="the worker waits", timeout=30)
    assert cli.json("show", "x")["place"] == "ready"
    path = tmp_path / "circuit-breakers.yaml"
    path.write_text("defaults:\n  halfOpenAfter: 0\n")
    cli("config", "apply", path)
    wait_until(
        lambda: cli.json("show", "x")["task"]["attempts"] or cli.json("show", "x")["place"] != "ready", timeout=20
    )
    assert worker.poll() is None


def test_a_value_of_two_thousand_brackets(cli: Cli) -> None:
    """Refused as any other value that no setting has."""
    assert (
        cli("config", "set", "payloadBytes", "[" * 2000 + "]" * 2000, "--json", code=1).error["code"] == "InvalidTask"
    )
