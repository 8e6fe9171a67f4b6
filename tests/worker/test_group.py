"""A command as a process group: its start, and that nothing of it is left, whenever a cancel or a shortage comes."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lokiredis.worker import command, strays
from lokiredis.worker.command import CommandHandler
from lokiredis.worker.outcomes import HandBack

from ..waiting import wait_until
from .conftest import alive, until

Handle = Callable[..., CommandHandler]

RESULT = '{"decisionReport": {"why": "asked for"}}'
#: A daemon that a command leaves behind on purpose.
_DAEMON = "env -u LOKIREDIS_TASK_FILE setsid sh -c 'echo $$ > pids; exec sleep 600'"


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


async def test_what_ignores_the_cancel_works_on_during_no_checkpoint(handle: Handle) -> None:
    """To store it takes as long as an outage: until then it would work beside whoever has the task next."""
    ignores = "trap '' TERM; echo $$ > pids; while :; do sleep 0.1; done"
    handler = handle(
        f'echo 1 > "$LOKIREDIS_TASK_CHECKPOINT_FILE"; sh -c "{ignores.replace("$", chr(92) + "$")}" & wait'
    )
    context = _context()
    run = asyncio.ensure_future(handler(context))
    await until(_pids)
    run.cancel()
    await _ended(run)
    assert context.stored == [[]]


async def test_a_cancel_while_what_it_left_is_ended(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is done all the same, to its end; and the command had come to its own, so its result is there."""
    handler = handle(f"setsid sh -c 'echo $$ > pids; exec sleep 600' & until [ -s pids ]; do :; done; echo '{RESULT}'")
    end, reached = handler.strays.end, asyncio.Event()

    async def seen(task_file: str) -> None:
        reached.set()
        await asyncio.sleep(0)
        await end(task_file)

    monkeypatch.setattr(handler.strays, "end", seen)
    run = asyncio.ensure_future(handler(_context()))
    await reached.wait()
    run.cancel()
    await _ended(run)
    assert not _some_run()
    assert run.result() == {"decisionReport": {"why": "asked for"}}


async def test_a_result_counts_though_nobody_can_look_for_strays(
    handle: Handle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When no descriptor is free, nor comes free: the command has done its work."""
    monkeypatch.setattr(strays, "_MOST_LOOKS", 3)
    handler = handle(f"echo '{RESULT}'")
    end, (most, limit) = handler.strays.end, resource.getrlimit(resource.RLIMIT_NOFILE)

    async def blind(task_file: str) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit))
        try:
            await end(task_file)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, limit))

    monkeypatch.setattr(handler.strays, "end", blind)
    assert await handler(_context()) == {"decisionReport": {"why": "asked for"}}
    assert "nobody can see whether the command has left processes behind: " in caplog.text


async def test_a_daemon_that_is_left_on_purpose_costs_nothing(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it holds the command's pipes, and reads none of its task; and when it ends, an idle worker buries it."""
    monkeypatch.setattr(command, "_TEND", 0.01)
    handler = handle(f"exec 3<&0; {_DAEMON} <&3 & until [ -s pids ]; do :; done; echo '{RESULT}'")

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    gc.collect()  # what tests before this one left open
    before = descriptors()
    await handler(_context("x" * 1_000_000))
    await until(lambda: descriptors() <= before, "pipes that are closed")
    [daemon] = _pids()
    assert alive(daemon)
    os.kill(daemon, signal.SIGKILL)
    await until(lambda: not Path(f"/proc/{daemon}").exists(), "its burial")


async def test_a_keeper_that_was_killed_costs_no_attempt(handle: Handle) -> None:
    """The command that is started next can't tell it of itself, which must not end it."""
    handler = handle(f"echo '{RESULT}'")
    keeper = handler.keeper._process
    assert keeper is not None
    keeper.kill()
    keeper.wait()
    assert await handler(_context()) == {"decisionReport": {"why": "asked for"}}
    assert handler.keeper._process is not keeper


async def test_each_task_looks_for_its_checkpoint_only(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead strays are buried once for all of them: else that costs the square of how many run."""
    monkeypatch.setattr(command, "_LOOK", 0.01)
    handler = handle('echo 1 > "$LOKIREDIS_TASK_CHECKPOINT_FILE"; sleep 600')
    buried: list[None] = []
    monkeypatch.setattr(handler.strays, "bury", lambda: buried.append(None))
    context = _context()
    run = asyncio.ensure_future(handler(context))
    await until(lambda: context.stored)
    assert not buried
    run.cancel()
    await _ended(run)
