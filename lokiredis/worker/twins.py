"""From the worker's queue to a blocking one for its heartbeat thread, on the same server."""

from __future__ import annotations

from ..connect import sync_twin
from ..queue import AsyncQueue, Queue

#: A heartbeat that finds nobody is sent again a third of a lease later anyway.
_RETRY_FOR = 1.0


def heartbeat_queue(queue: AsyncQueue) -> Queue:
    """A queue with connections of its own."""
    twin = Queue(sync_twin(queue.redis), queue.name, retry_for=_RETRY_FOR)
    twin._owned = True
    return twin
