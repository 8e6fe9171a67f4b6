"""Ctrl-C and SIGTERM at bad moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import ROOT, Cli, Program

CLAIM = ("claim", "--agent", "a-1", "--type", "t")


@pytest.mark.parametrize("words", [[], ["--json"], ["--limit", "2"], ["--wait", "5s"]])
def test_an_interruption_before_the_token_is_printed_hands_back(
    words: list[str], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever interrupts: nobody knows the token yet."""
    cli("enqueue", "--type", "t", "--id", "x")
    for error, code in ((KeyboardInterrupt(), 130), (SystemExit(7), 7), (MemoryError(), 1)):

        def stop(*_: object, error: BaseException = error, **__: object) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr("lokiredis.cli.session.Session.answer", stop)
            cli(*CLAIM, *words, code=code)
        assert cli.json("show", "x")["state"] == "pending"


@pytest.mark.parametrize(
    "words", [[], ["--json"], ["--limit", "2"], ["--wait", "5s"], ["--limit", "2", "--wait", "5s"]]
)
def test_what_was_claimed_with_an_id_of_ones_own_is_kept(
    words: list[str], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever interrupts: the same id gives the same claim again, and it still holds."""
    cli("enqueue", "--type", "t", "--id", "x")
    request = (*CLAIM, *words, "--request", "job7")
    for error, code in ((KeyboardInterrupt(), 130), (SystemExit(7), 7), (MemoryError(), 1)):

        def stop(*_: object, error: BaseException = error, **__: object) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr("lokiredis.cli.session.Session.answer", stop)
            cli(*request, code=code)
        assert cli.json("show", "x")["state"] == "in-progress"
    again = cli(*request, *(() if "--json" in words else ("--json",))).data
    [claim] = again["claims"] if "--limit" in words else [again["claim"]]
    cli("heartbeat", "x", claim["token"])


def test_an_interruption_keeps_its_exit_code_when_the_task_cannot_be_handed_back(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says which task stays claimed."""
    from lokiredis import Queue, QueueUnavailable

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def away(*_: object, **__: object) -> None:
        raise QueueUnavailable

    cli("enqueue", "--type", "t", "--id", "x")
    monkeypatch.setattr("lokiredis.cli.session.Session.answer", stop)
    monkeypatch.setattr(Queue, "exchange", away)
    assert "x could not be handed back" in cli(*CLAIM, code=130).err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGHUP, -1)])
@pytest.mark.parametrize("words", [["--json"], ["--limit", "2"]])
def test_a_signal_while_a_claim_is_printed_hands_back(
    number: signal.Signals, code: int, words: list[str], program: Program
) -> None:
    """Here nobody reads the pipe, so the output can't end."""
    program("enqueue", "--type", "t", "--id", "x", "--payload", "-", stdin=b'{"text": "' + b"x" * 500_000 + b'"}')
    claiming = program.start(*CLAIM, *words)
    deadline = time.monotonic() + 30
    while program("status", "--json").data["counts"]["in-progress"] == 0:
        assert time.monotonic() < deadline
    claiming.send_signal(number)
    _, err = claiming.communicate(timeout=30)
    assert claiming.returncode == code
    assert b"Traceback" not in err
    assert program("show", "x", "--json").data["state"] == "pending"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
@pytest.mark.parametrize("words", [["--limit", "2"], ["--wait", "5s"]])
def test_a_signal_while_a_claim_with_an_id_is_printed_keeps_it(
    number: signal.Signals, code: int, words: list[str], program: Program
) -> None:
    """The repeated command gets that claim, which still holds."""
    program("enqueue", "--type", "t", "--id", "x", "--payload", "-", stdin=b'{"text": "' + b"x" * 500_000 + b'"}')
    request = (*CLAIM, *words, "--request", "job7", "--json")
    claiming = program.start(*request)
    deadline = time.monotonic() + 30
    while program("status", "--json").data["counts"]["in-progress"] == 0:
        assert time.monotonic() < deadline
    claiming.send_signal(number)
    claiming.communicate(timeout=30)
    assert claiming.returncode == code
    again = program(*request).data
    [claim] = again["claims"] if "--limit" in words else [again["claim"]]
    assert program("heartbeat", "x", claim["token"]).code == 0


@pytest.mark.parametrize("module", ["click", "redis"])
@pytest.mark.parametrize("words", [["status"], ["status", "--json"]])
def test_ctrl_c_while_modules_are_imported_is_130(
    module: str, words: list[str], start_program: Callable[..., Program], tmp_path: Path
) -> None:
    """Imports take most of a short command's time."""
    (tmp_path / f"{module}.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "lokiredis", *words],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "LOKIREDIS_URL": "redis://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 130
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count("\n") <= 1
