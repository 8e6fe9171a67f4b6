"""A command as a process group of its own: it is started whole or not at all, and nothing of it stays open."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from .keeper import Keeper
from .orphans import dies_with_us
from .strays import Strays

#: How often it is looked whether a command has ended whose pipes are held, in seconds.
_PIPES_HELD = 0.25


async def started(argv: Sequence[str], environment: Mapping[str, str], keeper: Keeper, strays: Strays) -> Process:
    """A command that runs, and of which *keeper* and *strays* know. What it raises means that its group is killed.

    Not to be cancelled: asyncio would kill the command alone, and then wait until all that it has started are done
    with its pipes.
    """
    birth = keeper.expects()
    strays.expected += 1
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
            # A worker that is killed with -9 ends nothing any more, and its command would work on beside whoever has
            # the task next.
            preexec_fn=dies_with_us(partial(keeper.announce, birth)),
            env=environment,
        )
        strays.own.add(process.pid)
    except BaseException:
        # It may run all the same, unwatched, beside whoever has the task next: at the process limit there was room for
        # it, and then none for the thread by which Python before 3.12 waits for it.
        if birth.number:
            kill(birth.number, signal.SIGKILL)
        keeper.misses(birth)
        raise
    finally:
        strays.expected -= 1
    keeper.holds(process.pid)
    return process


async def exited(process: Process) -> int:
    """The exit code. asyncio's own wait also waits for the pipes, which something left behind may hold for ever."""
    waiting = asyncio.ensure_future(process.wait())
    try:
        while process.returncode is None and not waiting.done():
            await asyncio.wait([waiting], timeout=_PIPES_HELD)
        return waiting.result() if process.returncode is None else process.returncode
    finally:
        waiting.cancel()


def kill(group: int, number: int) -> None:
    """Send a signal to all of it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def close(process: Process) -> None:
    """Let go of the pipes of a command that has ended: a daemon that it left may hold the other ends for years."""
    assert process.stdin is not None
    to_it = process.stdin.transport
    if to_it.get_write_buffer_size():  # what nobody reads any more would keep it open
        to_it.abort()
    if process.returncode is not None:  # else asyncio would bury it here, and its exit code would be lost
        process._transport.close()  # type: ignore[attr-defined]


def signal_name(number: int) -> str:
    """As people write it."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)
