"""A Python worker as a process: ``python -m tests.faults.working URL QUEUE AGENT LEDGER LEASE`` until SIGTERM.

Its handlers, an async and a plain one, write the effect of each task into the ledger, with the claim's token. It may be
killed at any moment.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time

from lokiredis import AsyncQueue
from lokiredis.worker import Context, ThreadContext, Worker

from .ledger import Ledger

TYPES = ("build", "review")
_CONCURRENCY = 4
#: On both sides of the effect: a kill hits workers that have written theirs, and workers that have not.
_LONGEST_WORK = 0.05
_REPORT: dict[str, object] = {"decisionReport": {"why": "a test"}}


async def main(url: str, queue_name: str, agent: str, path: str, lease: str) -> None:
    """Work until told to stop."""
    ledger = Ledger(path)
    async with AsyncQueue.from_url(url, queue_name) as queue:
        worker = Worker(queue, agent=agent, concurrency=_CONCURRENCY, lease=float(lease), grace=20)

        def effect(context: Context | ThreadContext) -> None:
            if not ledger.write(context.id, context.token):
                raise RuntimeError("the effect of a later token is there")

        @worker.handler(TYPES[0])
        async def build(context: Context) -> dict[str, object]:
            await asyncio.sleep(random.uniform(0, _LONGEST_WORK))
            effect(context)
            await asyncio.sleep(random.uniform(0, _LONGEST_WORK))
            return _REPORT

        @worker.handler(TYPES[1])
        def review(context: ThreadContext) -> dict[str, object]:
            time.sleep(random.uniform(0, _LONGEST_WORK))
            effect(context)
            time.sleep(random.uniform(0, _LONGEST_WORK))
            return _REPORT

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        await worker.run()
    ledger.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
