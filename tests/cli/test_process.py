"""The command line as real processes: exit codes, pipes, signals, servers that aren't there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from ..servers import RedisServer
from .conftest import ROOT, Program


def test_a_day_in_the_life_of_a_task(program: Program) -> None:
    """Enqueue from a pipe, claim, complete, all with exit code 0."""
    assert program("enqueue", "--file", "-", stdin=b'{"type": "t", "id": "x"}').code == 0
    claim = program("claim", "--agent", "a-1", "--type", "t", "--json").data["claim"]
    done = program("complete", "x", claim["token"], "--report", "-", "--json", stdin='{"why": "ä"}'.encode())
    assert (done.code, done.data["state"]) == (0, "completed")
    assert program("claim", "--agent", "a-1", "--type", "t").code == 3
    assert program("heartbeat", "x", 1).code == 5
    assert program("nonsense").code == 2
    assert program("show", "nobody").code == 1


def wait_until_blocked(server: RedisServer, count: int = 1) -> None:
    """Until so many clients wait on the server."""
    deadline = time.monotonic() + 30
    with server.client() as client:
        while client.info("clients")["blocked_clients"] < count:
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)


def test_a_waiting_claim_is_woken(program: Program, server7: RedisServer) -> None:
    """By the server, when a task comes in."""
    waiting = program.start("claim", "--agent", "a-1", "--type", "t", "--wait", "forever", "--json")
    wait_until_blocked(server7)
    program("enqueue", "--type", "t", "--id", "x")
    out, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0
    assert json.loads(out)["data"]["claim"]["id"] == "x"


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_ctrl_c_ends_a_waiting_claim_with_130(words: list[str], program: Program, server7: RedisServer) -> None:
    """At once and without a traceback."""
    waiting = program.start("claim", "--agent", "a-1", "--type", "t", "--wait", "30m", *words)
    wait_until_blocked(server7)
    begin = time.monotonic()
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert time.monotonic() - begin < 5
    assert out == b""
    assert b"Traceback" not in err
    assert err.count(b"\n") == 1
    if words:
        assert json.loads(err)["error"]["code"] == "Interrupted"


def test_an_unreachable_redis_is_6(start_program: Callable[..., Program]) -> None:
    """After a few seconds, with one line that names the URL, without its password."""
    program = start_program(LOKIREDIS_URL="redis://:hunter22@127.0.0.1:1/0")
    verbs = (["status"], ["claim", "--agent", "a", "--type", "t", "--wait", "1s"], ["doctor"])
    for people, programs in [(program.start(*verb), program.start(*verb, "--json")) for verb in verbs]:
        out, err = people.communicate(timeout=60)
        assert (people.returncode, out) == (6, b"")
        assert err.startswith(b"Error: cannot reach Redis at redis://:***@127.0.0.1:1/0: ")
        assert err.count(b"\n") == 1
        out, said = programs.communicate(timeout=60)
        assert (programs.returncode, out) == (6, b"")
        assert json.loads(said)["error"]["code"] == "QueueUnavailable"
        assert b"hunter" not in err + said


def test_a_wrong_password_is_told_without_it(start_program: Callable[..., Program], server7: RedisServer) -> None:
    """As an error of the server, in one line."""
    with RedisServer(server7.program) as private:
        with private.client() as client:
            client.config_set("requirepass", "correct-horse")
        for query in ("?password=hunter22", ""):
            ran = start_program(LOKIREDIS_URL=f"{private.url}{query}")("status")
            assert ran.code == 6
            assert ran.err.startswith("Error: cannot reach Redis at unix://")
            assert "hunter" not in ran.err
            assert ran.err.count("\n") == 1


def test_a_server_that_goes_away_in_the_middle_is_6(program: Program, server7: RedisServer) -> None:
    """Here it forgets the client while it waits, and takes no new one."""
    private = RedisServer(server7.program)
    with private:
        environment = program.environment | {"LOKIREDIS_URL": private.url}
        waiting = Program(environment, program.started).start("claim", "--agent", "a", "--type", "t", "--wait", "29s")
        wait_until_blocked(private)
        private.kill()
        _, err = waiting.communicate(timeout=120)
    assert waiting.returncode == 6
    assert err.count(b"\n") == 1


def test_a_reader_that_is_gone_is_no_noise(program: Program) -> None:
    """``lokiredis list --all --json | head -c 1``: quiet, and ended as any program would be."""
    lines = "\n".join(json.dumps({"type": "t", "payload": {"n": n, "text": "x" * 2000}}) for n in range(500))
    program("enqueue", "--file", "-", stdin=lines.encode())
    for words in (["list", "--all", "--json"], ["list", "--all"], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        process = program.start(*words, stdout=writer)
        os.close(writer)
        _, err = process.communicate(timeout=60)
        assert err == b""
        assert process.returncode == 141


def test_a_full_disk_is_an_error(program: Program) -> None:
    """Not a success with half an answer."""
    with open("/dev/full", "wb") as full:
        process = program.start("status", "--json", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"No space left" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize(("encoding", "title"), [("latin-1", "\\u65e5\\u672c"), ("utf-8", "日本"), ("ascii", "日本")])
def test_any_encoding_will_do(
    encoding: str, title: str, start_program: Callable[..., Program], program: Program
) -> None:
    """A terminal that isn't UTF-8 gets escapes, not a UnicodeEncodeError; ASCII is a wrong guess, as click knows."""
    program("enqueue", "--type", "t", "--id", "x", "--field", "title=日本")
    other = start_program(**program.environment, PYTHONIOENCODING=encoding)
    assert title in other("show", "x").out
    assert other("show", "x", "--json").data["task"]["title"] == "日本"
    assert other("list").code == 0


def test_debug_shows_where(start_program: Callable[..., Program]) -> None:
    """Only when asked for."""
    debugging = start_program(LOKIREDIS_URL="redis://127.0.0.1:1", LOKIREDIS_DEBUG="1").start("doctor")
    _, err = debugging.communicate(timeout=60)
    assert b"Traceback" in err
    assert debugging.returncode == 6


def test_without_a_url_the_embedded_server_is_used(start_program: Callable[..., Program], tmp_path: Path) -> None:
    """It starts by itself, outlives the command, and server stop ends it."""
    program = start_program()
    assert program("server", "status", "--json").data["running"] is False
    try:
        assert program("enqueue", "--type", "t", "--id", "x").code == 0
        found = program("server", "status", "--json").data
        assert found["running"] is True
        assert str(tmp_path) in found["folder"]
        assert "Running: unix://" in program("server", "status").out
        with Redis.from_url(found["url"]) as client:
            assert client.config_get("appendfsync")["appendfsync"] == "always"
        checks = program("doctor", "--json").data["checks"]
        assert {check["level"] for check in checks} == {"ok"}
        assert program("server", "stop", "--json").data["running"] is False
        assert program("show", "x").code == 0
        assert program("server", "stop").out.startswith("Stopped.")
    finally:
        program("server", "stop")
    assert program("server", "stop").out.startswith("Not running.")
    assert program("server", "status").out.startswith("Not running.")


def test_the_module_is_the_command() -> None:
    """``python -m lokiredis`` calls itself lokiredis."""
    ran = subprocess.run(
        [sys.executable, "-m", "lokiredis", "claim", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("Usage: lokiredis claim [OPTIONS]\n")
