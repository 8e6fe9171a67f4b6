"""Standard streams that are closed, or full: the exit code stays what it is, and no claim is lost."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .conftest import ROOT, Program, Ran


def redirected(program: Program, redirection: str, *words: str) -> Ran:
    """Run a command line as a shell would with this redirection."""
    ran = subprocess.run(
        ["bash", "-c", f'exec "$@" {redirection}', "bash", sys.executable, "-m", "lokiredis", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | program.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for noise in ("Traceback", "Exception ignored", "Internal", "mistake in lokiredis"):
        assert noise not in ran.stderr
    return Ran(ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize(
    ("redirection", "words", "code"),
    [
        (">&-", ["status"], 0),
        (">&-", ["--version"], 0),
        (">&-", ["--help"], 0),
        ("<&-", ["enqueue", "--type", "t", "--payload", "-"], 2),
        ("<&-", ["enqueue", "--file", "-"], 0),
        (">&- 2>&-", ["show", "nobody"], 1),
        ("<&- >&- 2>&-", ["status"], 0),
        *(
            (redirection, words, code)
            for redirection in ("2>&-", "2>/dev/full")
            for words, code in (
                (["nosuch"], 2),
                (["heartbeat", "x", "5"], 5),
                (["heartbeat", "x", "5", "--json"], 5),
                (["claim", "--agent", "a-1", "--type", "other"], 3),
                (["list"], 0),
                (["status", "--url", "redis://127.0.0.1:1"], 6),
            )
        ),
    ],
)
def test_a_stream_that_cannot_be_used_changes_no_exit_code(
    redirection: str, words: list[str], code: int, program: Program
) -> None:
    """A cron job that closes standard error must not take a stale claim for a bug."""
    program("enqueue", "--type", "t", "--id", "x")
    assert redirected(program, redirection, *words).code == code


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
@pytest.mark.parametrize("words", [[], ["--json"], ["--limit", "2"]])
def test_a_claim_whose_token_nobody_can_read_is_not_kept(redirection: str, words: list[str], program: Program) -> None:
    """The task would sit there until its lease ends."""
    program("enqueue", "--type", "t", "--id", "x")
    ran = redirected(program, redirection, "claim", "--agent", "a-1", "--type", "t", *words)
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert program("show", "x", "--json").data["state"] == "pending"


_INTERRUPTED = """
import sys
from lokiredis.cli.streams import mend

def interrupt(frame, event, called):
    if event == "c_return" and called.__name__ == "write" and frame.f_code.co_name == "write":
        sys.setprofile(None)
        raise KeyboardInterrupt

mend()
sys.setprofile(interrupt)
try:
    sys.stderr.write("all is well\\n")
except KeyboardInterrupt:
    sys.stderr.write("stopped\\n")
"""


def test_a_line_is_said_once() -> None:
    """Even when a signal ends the process right after it was written."""
    ran = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stderr == "all is well\nstopped\n"
