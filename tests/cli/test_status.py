"""``lokiredis status``: the whole queue at a glance, and as it goes on."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest

from .conftest import ROOT, Cli
from .test_operate import dead_letter, enqueue


def test_everything_at_a_glance(cli: Cli) -> None:
    """The oldest waits, agents, holds, and dead letters by group, of which none moves the cursor."""
    enqueue(cli, "low", priority="1")
    enqueue(cli, "high", priority="9")
    enqueue(cli, "later", priority="9")
    dead_letter(cli, "dead")
    token = cli.json("claim", "--agent", "a-2", "--type", "t")["claim"]["token"]
    cli("fail", "high", token, "--error", "429 too many requests", "--rate-limited", "--retry-after", "60")
    data = cli.json("status")
    assert [(wait["priority"], wait["id"]) for wait in data["waits"]] == [(9, "later"), (1, "low")]
    assert data["agents"] == {"held": 1}
    assert [hold["agent"] for hold in data["holds"]] == ["a-2"]
    assert [(group["pattern"], group["count"]) for group in data["deadLetters"]] == [("hope less", 1)]
    out = cli("status", environment={"COLUMNS": "150"}).out
    assert " of priority 9 (later), " in out
    assert "Agents: 1 held\n" in out
    assert "lokiredis resume --agent a-2\n" in out
    assert "1 dead letter in group " in out
    assert "\x1b" not in out


def test_a_queue_at_rest_is_short(cli: Cli) -> None:
    """What isn't there takes no line."""
    assert len(cli("status").out.splitlines()) == 1
    enqueue(cli, "x", delay="1h")
    assert len(cli("status", environment={"COLUMNS": "150"}).out.splitlines()) == 3
    data = cli.json("status")
    assert (data["waits"], data["agents"], data["holds"], data["deadLetters"]) == ([], {}, [], [])


def test_many_groups_are_cut(cli: Cli) -> None:
    """The largest are told, and how many more there are."""
    cli("config", "set", "defaults.failureThreshold", "1000")
    for word in ("one", "two", "three", "four", "five", "six", "seven"):
        enqueue(cli, f"task-{word}")
        token = cli.json("claim", "--agent", "a", "--type", "t")["claim"]["token"]
        cli("fail", f"task-{word}", token, "--error", word, "--no-retry")
    out = cli("status", environment={"COLUMNS": "150"}).out
    assert out.count("1 dead letter in group ") == 5
    assert "and 2 more groups: lokiredis dead list --group\n" in out


@pytest.mark.parametrize("words", [["--watch"], ["--watch", "--json"], ["--watch", "--every", "0"], ["--every", "3s"]])
def test_what_can_not_be_watched(words: list[str], cli: Cli) -> None:
    """JSON is one document, a pipe has no place to refresh."""
    assert "Error: " in cli("status", *words, code=2).err or "--json" in words


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        ioctl(slave, TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lokiredis", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm"} | environment,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""

    def wait_for(self, text: str, timeout: float = 30) -> None:
        """Until the text is printed after what was seen before."""
        ends = time.monotonic() + timeout
        while text not in self.shown:
            assert time.monotonic() < ends, f"no {text!r} in {self.shown!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 65536).decode(errors="replace")
        self.shown = self.shown.partition(text)[2]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def watching(cli: Cli, tmp_path: Path) -> Iterator[Terminal]:
    """``status --watch`` on a terminal."""
    terminal = Terminal(["status", "--watch", "--every", "200ms"], cli.environment)
    yield terminal
    terminal.close()


def test_it_is_refreshed_in_place(cli: Cli, watching: Terminal) -> None:
    """On a screen of its own, which it leaves at Ctrl-C with exit code 130."""
    watching.wait_for("0 pending")
    enqueue(cli, "x")
    watching.wait_for("1 pending")
    dead_letter(cli, "y")
    watching.wait_for("1 dead-letter")
    watching.wait_for("in group ")
    watching.process.send_signal(signal.SIGINT)
    watching.wait_for("\x1b[?1049l")
    assert watching.process.wait(timeout=20) == 130
