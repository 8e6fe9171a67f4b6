"""From the worker's queue to a blocking one for its heartbeat thread, on the same server."""

from __future__ import annotations

from ..connect import blocking_twin, sync_twin
from ..queue import AsyncQueue, Queue

#: A heartbeat that finds nobody is sent again a third of a lease later anyway.
_RETRY_FOR = 1.0


def heartbeat_queue(queue: AsyncQueue | Queue) -> Queue:
    """A queue with connections of its own."""
    if queue.url is not None:
        return Queue.from_url(queue.url, queue.name, retry_for=_RETRY_FOR)
    client = (
        sync_twin(queue.redis) if isinstance(queue, AsyncQueue) else blocking_twin(queue.redis, 0, queue.keys.events)
    )
    twin = Queue(client, queue.name, retry_for=_RETRY_FOR)
    twin._owned = True
    return twin
