"""Says whether a worker is well: in a file, on a port, and by ending the process when it is stuck."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..line_file import refuse_odd

if TYPE_CHECKING:
    from .worker import Worker

log = logging.getLogger("lokiredis.worker")

#: How often the file is written and the worker looked at, in seconds, at most.
LOOK = 5.0
#: A look that comes so much later than it was to come, in seconds, tells of this thread, not of the worker.
_LATE = 1.0


class Health:
    """Looks at the worker from a thread, which sees a blocked event loop, too."""

    def __init__(
        self, worker: Worker, *, file: Path | None, port: int | None, stuck_after: float, exit_code: int
    ) -> None:
        self._worker = worker
        self._file = file
        self._port = port
        self._stuck_after = stuck_after
        self._exit_code = exit_code
        self._server: asyncio.Server | None = None
        self._ended = threading.Event()
        self._said = False
        #: When the whole process last stood still, as by Ctrl-Z: only what comes after it tells of the worker.
        self._came_back = float("-inf")
        self._thread = threading.Thread(target=self._watch, name="lokiredis-health", daemon=True)

    async def start(self) -> None:
        """Begin to look. Raises OSError when the port can't be had."""
        if self._port is not None:
            self._server = await asyncio.start_server(self._answer, "127.0.0.1", self._port)
        self._thread.start()

    async def stop(self) -> None:
        """Look no more; the file goes away."""
        self._ended.set()
        await asyncio.to_thread(self._thread.join)
        if self._server is not None:
            self._server.close()
        if self._file is not None:
            with contextlib.suppress(OSError):
                refuse_odd(self._file)
                self._file.unlink(missing_ok=True)

    def _state(self) -> dict[str, object]:
        silent = min(self._worker.silent_for, time.monotonic() - self._came_back)
        return {
            "ok": silent < self._stuck_after,
            "agent": self._worker.agent,
            "types": list(self._worker.types),
            "running": [job.claim.id for job in self._worker.running],
            "completed": self._worker.completed,
            "failed": self._worker.failed,
            "redis": not self._worker.away,
            "silentFor": round(silent, 1),
        }

    def _watch(self) -> None:
        pause = min(LOOK, self._stuck_after / 4)
        looked = time.monotonic()
        while True:
            now = time.monotonic()
            if now - looked > pause + _LATE:
                self._came_back = now
            looked = now
            state = self._state()
            if not state["ok"]:
                at = ", ".join(job.claim.id for job in self._worker.running) or "nothing"
                log.critical("no progress for %.0f s, so this worker ends; it worked on %s", self._stuck_after, at)
                os._exit(self._exit_code)
            self._write(state)
            if self._ended.wait(pause):
                return

    def _write(self, state: dict[str, object]) -> None:
        if self._file is None:
            return
        text = json.dumps(state | {"at": time.time()})
        beside = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            refuse_odd(self._file)
            beside.write_text(text)
            beside.replace(self._file)
        except OSError as e:
            if not self._said:
                log.warning("%s can't be written: %s", self._file, e.strerror or e)
            self._said = True

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError, asyncio.LimitOverrunError):
            await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
            state = self._state()
            body = json.dumps(state).encode()
            line = b"200 OK" if state["ok"] else b"503 Service Unavailable"
            head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            writer.write(head % (line, len(body)) + body)
            await writer.drain()
        writer.close()
