"""Work that a cancel must not break off halfway."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unbroken(work: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """Its result, and whether we were cancelled meanwhile: that reaches neither the work nor our waiting for it."""
    going = asyncio.ensure_future(work)
    cancelled = False
    while not going.done():
        try:
            await asyncio.wait([going])
        except asyncio.CancelledError:
            cancelled = True
    return going.result(), cancelled
