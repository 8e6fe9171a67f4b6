"""Runs a command once per task, as a process group of its own: an argv list, never a shell, so data stays data."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import tempfile
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path
from typing import Any

from ..errors import LokiRedisError, QueueUnavailable
from ..models import Task
from . import group
from .background import end
from .context import Context
from .files import TaskFiles
from .job import Stop
from .keeper import Keeper
from .log import AttemptLog
from .outcomes import AttemptFailed, HandBack
from .scratch import Scratch
from .starting import Starting
from .strays import Strays
from .unbroken import unbroken

log = logging.getLogger("lokiredis.worker")

#: The exit code by which a command hands its task back: EX_TEMPFAIL of sysexits.h.
HAND_BACK = 75
#: How lastError begins when it could not be started; and how often in a row a task is handed back for that: an attempt
#: is charged then, lest a task that is itself the reason goes round for ever.
_CANNOT_START = "the command can't be started: "
_MOST_STARTS = 10
#: Of what a command writes this much of the end is kept: for lastError, and for the result in the last line.
_ERROR_BYTES, _RESULT_BYTES = 16_384, 2 * 1024 * 1024
#: How long output may still come when the command has ended and something that it left behind holds its pipes.
_DRAIN = 1.0
#: How often the checkpoint file is looked at, in seconds.
_LOOK = 5.0
#: How often dead strays are buried, and it is looked whether there is a keeper, in seconds.
_TEND = 5.0


class CommandHandler:
    """The handler of ``lokiredis worker``. ``grace``: how many seconds a stopped process group has, by the reason."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        logs: Path,
        grace: Callable[[Stop | None], float],
        environment: dict[str, str],
        starting: Starting | None = None,
    ) -> None:
        self.scratch = Scratch()
        self.keeper = Keeper()
        self.strays = Strays()
        self.argv = list(argv)
        self.logs = logs
        self.grace = grace
        self.environment = environment
        self.starting = starting or Starting()
        self._tending: asyncio.TimerHandle

    def start(self) -> None:
        """Be ready for the first task. Raises OSError when there is no room for its files."""
        self.scratch.start()
        self.keeper.start(self.scratch.path)
        self.strays.adopt(True)
        self._tend()

    def _tend(self) -> None:
        """Once for all tasks, and while there is none: strays end whenever they like, and a keeper may be killed."""
        self._tending = asyncio.get_running_loop().call_later(_TEND, self._tend)
        self.keeper.tend()
        self.strays.bury()

    def stop(self) -> None:
        """The last task has ended."""
        self._tending.cancel()
        self.strays.adopt(False)
        self.keeper.stop()
        self.scratch.stop()

    async def __call__(self, context: Context) -> Any:
        """Run the command for one task; its result, or what it said, as an exception."""
        with ExitStack() as all_of:
            try:
                files = TaskFiles(self._folder(all_of), context)
            except OSError as e:
                raise self.cannot_start(context.task, e) from e
            run = _Run(self, context, files)
            all_of.callback(run.log.close)
            return await run.to_end()

    def _folder(self, all_of: ExitStack) -> Path:
        """For the files of one task."""
        self.scratch.ensure()
        made = tempfile.TemporaryDirectory(dir=self.scratch.path, ignore_cleanup_errors=True)
        return Path(all_of.enter_context(made))

    def cannot_start(self, task: Task, error: Exception) -> Exception:
        """What ends the claim: this machine's fault is not the task's, save where it has been so again and again."""
        what, how = getattr(error, "filename", None), getattr(error, "strerror", None)
        why = f"{_CANNOT_START}{what or self.argv[0]}: {how or error}"
        self.starting.failed(why)
        before = takewhile(lambda attempt: attempt.outcome == "released", reversed(task.attempts))
        times = sum(str(attempt.error).startswith(_CANNOT_START) for attempt in before)
        return AttemptFailed(why) if times + 1 >= _MOST_STARTS else HandBack(why)


class _Run:
    def __init__(self, handler: CommandHandler, context: Context, files: TaskFiles) -> None:
        self.handler = handler
        self.context = context
        self.files = files
        self.log = AttemptLog(handler.logs, context.task.id, context.attempt)
        self.out = bytearray()
        self.err = bytearray()

    async def to_end(self) -> Any:
        with self.handler.starting.trying():
            process, cancelled = await unbroken(self._start())
        try:
            code = await self._work_of(process, cancelled)
        except asyncio.CancelledError:
            # Now that nothing of it works any more: while Redis is away this waits, for half a minute and more.
            await self._store_checkpoint()
            raise
        return await self._outcome(code)

    async def _start(self) -> Process:
        handler = self.handler
        environment = {**os.environ, **handler.environment, **self.files.environment}
        try:
            process = await group.started(handler.argv, environment, handler.keeper, handler.strays)
        except (OSError, RuntimeError, subprocess.SubprocessError) as e:
            ends = handler.cannot_start(self.context.task, e)
            await handler.strays.end(self.files.path)
            raise ends from e
        handler.starting.worked()
        return process

    async def _work_of(self, process: Process, cancelled: bool) -> int:
        """The exit code, when the command and all that it left behind have ended."""
        pipes = [
            asyncio.ensure_future(self._feed(process)),
            asyncio.ensure_future(self._keep(process.stdout, self.out, _RESULT_BYTES)),
            asyncio.ensure_future(self._keep(process.stderr, self.err, _ERROR_BYTES)),
        ]
        looking = asyncio.ensure_future(self._look_at_checkpoint())
        try:
            if cancelled:
                raise asyncio.CancelledError
            code = await group.exited(process)
            await asyncio.wait(pipes, timeout=_DRAIN)
            return code
        except asyncio.CancelledError:
            await self._end(process)
            raise
        finally:
            # A command that came to its end before a stop came has a result: whether it counts, worker/runs.py decides.
            await unbroken(self._clean_up(process, *pipes, looking))

    async def _clean_up(self, process: Process, *background: asyncio.Future[None]) -> None:
        """What the command left behind must not go on working on a task that is over."""
        group.kill(process.pid, signal.SIGKILL)
        self.handler.keeper.lets_go(process.pid)
        if process.returncode is not None:  # else the event loop has yet to bury it
            self.handler.strays.own.discard(process.pid)
        await self.handler.strays.end(self.files.path)
        await end(*background)
        await asyncio.gather(*background, return_exceptions=True)
        group.close(process)

    async def _outcome(self, code: int) -> Any:
        if code == 0:
            return self.files.result(bytes(self.out))
        await self._store_checkpoint()
        said = self.err.decode("utf-8", "replace").strip()
        if code == HAND_BACK:
            raise HandBack(said or "the command handed it back")
        how = f"signal {group.signal_name(-code)}" if code < 0 else f"exit code {code}"
        raise AttemptFailed(said or f"the command ended with {how} and said nothing")

    async def _feed(self, process: Process) -> None:
        assert process.stdin is not None
        # A command need not read its task there: it is in a file, too.
        with contextlib.suppress(ConnectionError):
            process.stdin.write(self.files.text)
            await process.stdin.drain()
        process.stdin.close()

    async def _keep(self, stream: asyncio.StreamReader | None, kept: bytearray, most: int) -> None:
        assert stream is not None
        while data := await stream.read(65_536):
            self.log.write(data)
            kept += data
            if len(kept) > 2 * most:
                del kept[:-most]

    async def _end(self, process: Process) -> None:
        """SIGTERM to the whole group, and SIGKILL when it takes too long."""
        group.kill(process.pid, signal.SIGTERM)
        seconds = self.handler.grace(self.context._job.stopped)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(group.exited(process), seconds)
            return
        log.warning("%s: the command did not end by SIGTERM within %g s, and is killed", self.context.task.id, seconds)
        group.kill(process.pid, signal.SIGKILL)
        await group.exited(process)

    async def _look_at_checkpoint(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            await self._store_checkpoint()

    async def _store_checkpoint(self) -> None:
        """What the command wrote there last, when it is new. A claim that has ended takes none, and needs none."""
        if self.context._job.stopped in (Stop.CANCELLED, Stop.LOST):
            return
        try:
            value = self.files.new_checkpoint()
            if value is not None:
                await self.context.checkpoint(value)
                self.files.stored()
        except (ValueError, RecursionError, OSError) as e:
            log.warning("%s: the checkpoint file is not stored: %s", self.context.task.id, e)
        except LokiRedisError as e:
            log.warning("%s: the checkpoint was not stored: %s", self.context.task.id, e)
            if not isinstance(e, QueueUnavailable):
                self.files.stored()  # refused for good: said once
