"""A Python worker as a process, whose handlers write down how they learn that their claim was lost.

``python -m tests.worker.handlers URL QUEUE AGENT FOLDER LEASE``: ``async`` and ``plain`` are its task types.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Any

from lokiredis import AsyncQueue, StaleClaim
from lokiredis.worker import Context, ThreadContext, Worker

_REPORT: dict[str, Any] = {"decisionReport": {"why": "asked for"}}


async def main(url: str, queue_name: str, agent: str, folder: str, lease: str) -> None:
    """Work until SIGTERM. A task whose payload says so waits for its end."""
    async with AsyncQueue.from_url(url, queue_name) as queue:
        worker = Worker(queue, agent=agent, concurrency=2, lease=float(lease), grace=5)

        def note(context: Context | ThreadContext, said: str) -> None:
            Path(folder, f"{context.id} {said}").touch()

        @worker.handler("async")
        async def work(context: Context) -> dict[str, Any]:
            note(context, "begun")
            try:
                await asyncio.sleep(600 if context.task.payload["waits"] else 0)
            except asyncio.CancelledError:
                note(context, f"cancelled {context.cancelled}")
                raise
            return _REPORT

        @worker.handler("plain")
        def work_in_thread(context: ThreadContext) -> dict[str, Any]:
            note(context, "begun")
            while context.task.payload["waits"] and not context.cancelled:
                time.sleep(0.01)
            try:
                context.checkpoint({"at": 3})
            except StaleClaim:
                note(context, f"cancelled {context.cancelled}")
            return _REPORT

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        await worker.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
