"""Ending what runs in the background of an event loop."""

from __future__ import annotations

import asyncio
from typing import Any


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel until they have heard: redis-py sends by asyncio.wait_for, which before Python 3.12 may swallow one."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.1)
