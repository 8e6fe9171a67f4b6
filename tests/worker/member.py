"""Some workers of a fleet, in one process: ``python -m tests.worker.member URL QUEUE AGENT…`` until it is killed.

The task ``limited`` meets a rate limit once, with a checkpoint; every other one takes a moment.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from lokiredis import AsyncQueue
from lokiredis.worker import Context, Worker

#: Of work, in seconds: so long that no worker can do the tasks of the others.
_MOMENT = 0.1


async def work(context: Context) -> dict[str, Any]:
    """One task."""
    if context.id == "limited" and context.saved is None:
        await context.checkpoint({"page": 7})
        raise RuntimeError("HTTP 429 Too Many Requests, Retry-After: 3")
    await asyncio.sleep(_MOMENT)
    return {"output": context.saved, "decisionReport": {"why": "asked for"}}


async def member(url: str, queue_name: str, agent: str) -> None:
    """One worker."""
    async with AsyncQueue.from_url(url, queue_name) as queue:
        worker = Worker(queue, agent=agent, lease=30)
        worker.handler("a")(work)
        await worker.run()


async def main(url: str, queue_name: str, *agents: str) -> None:
    """All of them."""
    await asyncio.gather(*(member(url, queue_name, agent) for agent in agents))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
