"""A command as a process group: its start, and that nothing of it is left, whenever a cancel or a shortage comes."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lokiredis.worker.command import CommandHandler
from lokiredis.worker.outcomes import HandBack

from ..waiting import wait_until
from .conftest import alive, until

Handle = Callable[..., CommandHandler]

RESULT = '{"decisionReport": {"why": "asked for"}}'


@pytest.fixture
def handle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handle]:
    """Handlers, each for a shell script in the folder of the test. What wrote its number to "pids" there is killed."""
    monkeypatch.chdir(tmp_path)
    made: list[CommandHandler] = []

    def make(script: str) -> CommandHandler:
        grace = 5.0
        made.append(CommandHandler(["sh", "-c", script], logs=tmp_path, grace=lambda _: grace, environment={}))
        made[-1].start()
        return made[-1]

    yield make
    for pid in _pids():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for handler in made:
        handler.stop()


def _pids() -> list[int]:
    found = Path("pids")
    return [int(word) for word in found.read_text().split()] if found.exists() else []


def _some_run() -> bool:
    return any(map(alive, _pids()))


def _context(text: str = "") -> Any:
    """Of a task x, as far as a command needs it; ``stored``: what was alive of "pids" at each checkpoint."""
    stored: list[list[int]] = []

    async def checkpoint(value: Any) -> None:
        stored.append([pid for pid in _pids() if alive(pid)])

    return SimpleNamespace(
        task=SimpleNamespace(id="x", type="a", attempts=[], to_json=lambda: {"payload": {"text": text}}),
        attempt=1,
        saved=None,
        claim=SimpleNamespace(token=1),
        checkpoint=checkpoint,
        stored=stored,
        _job=SimpleNamespace(stopped=None),
    )


async def _ended(run: asyncio.Future[Any]) -> None:
    await asyncio.wait([run], timeout=30)
    assert run.done()


async def test_a_cancel_while_it_is_started(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends like any other, with what it has started, and the keeper forgets its number."""
    handler = handle("sleep 600 & echo $$ $! > new; mv new pids; wait")
    told: list[str] = []
    monkeypatch.setattr(handler.keeper, "_tell", told.append)
    run = asyncio.ensure_future(handler(_context()))
    while not handler.strays.expected:  # noqa: ASYNC110 (until() would sleep for longer than a start takes)
        await asyncio.sleep(0)
    wait_until(lambda: _pids())  # the event loop waits, too, so the start does not come to its end
    assert handler.strays.expected
    run.cancel()
    await _ended(run)
    assert run.cancelled()
    assert not _some_run()
    assert told == [f"+{_pids()[0]}\n", f"-{_pids()[0]}\n"]


@pytest.mark.filterwarnings("ignore:'get_child_watcher' is deprecated")
@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), OSError(errno.EMFILE, "no room for it")])
async def test_one_that_runs_though_its_start_failed(
    handle: Handle, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """At the process limit, and of descriptors: its group is killed, and its daemon, before it is handed back."""
    member, daemon = "env -u LOKIREDIS_TASK_FILE sleep 600", "setsid sleep 600"
    handler = handle(f"{member} & member=$!; {daemon} & echo $$ $member $! > new; mv new pids; wait")

    def fails(*_: Any) -> None:
        wait_until(lambda: _pids())
        raise error

    monkeypatch.setattr(asyncio.get_event_loop_policy().get_child_watcher(), "add_child_handler", fails)
    with pytest.raises(HandBack, match="the command can't be started: "):
        await handler(_context())
    assert handler.starting.paused
    await until(lambda: not _some_run())


async def test_a_keeper_that_was_killed_costs_no_attempt(handle: Handle) -> None:
    """The command that is started next can't tell it of itself, which must not end it."""
    handler = handle(f"echo '{RESULT}'")
    keeper = handler.keeper._process
    assert keeper is not None
    keeper.kill()
    keeper.wait()
    assert await handler(_context()) == {"decisionReport": {"why": "asked for"}}
    assert handler.keeper._process is not keeper
