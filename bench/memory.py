"""What a pending task takes of Redis' memory beyond its document."""

from __future__ import annotations

from itertools import islice

from figures import Figure, Report, number
from private_server import PrivateServer
from workload import copy_of, independent_tasks, plan

from lokiredis import Queue

TARGET = 900.0


def _used(server: PrivateServer) -> int:
    """Bytes of data: used memory without the connections' buffers."""
    server.client.memory_purge()
    found = server.client.info("memory")
    return int(found["used_memory"]) - int(found["mem_clients_normal"])


def _document_bytes(queue: Queue) -> int:
    key = queue.keys.fixed("documents")
    return sum(len(value) for _, value in queue.redis.hscan_iter(key, count=1000))


def measure_memory(server: PrivateServer, *, tasks: int) -> Report:
    """One queue at a time, on an empty server, filled in batches of 1,000."""
    demo = plan()
    loads = {
        "ready": (list(islice(independent_tasks(demo), tasks)), TARGET),
        "the plan, with dependencies": ([task for _ in range(tasks // len(demo)) for task in copy_of(demo)], None),
    }
    figures: list[Figure] = []
    rows: list[tuple[str, ...]] = []
    for name, (list_of_tasks, target) in loads.items():
        server.client.flushall()
        queue = Queue(server.client, "memory")
        queue.load_scripts()
        before = _used(server)
        for first in range(0, len(list_of_tasks), 1000):
            queue.enqueue_many(list_of_tasks[first : first + 1000])
        after = _used(server)
        documents = _document_bytes(queue)
        events = int(server.client.memory_usage(queue.keys.events, samples=0) or 0)
        count = len(list_of_tasks)
        beyond = (after - before - documents) / count
        figures.append(Figure(f"{count:,} pending", f"{name}, beyond the document", "bytes", (beyond,), target))
        rows.append(
            (name, f"{count:,}", number(documents / count), number(beyond), number(events / count)),
        )
    server.client.flushall()
    header = ("pending tasks", "number", "document", "beyond it", "of which event stream")
    return Report("Memory per pending task (bytes)", header, tuple(rows), tuple(figures))
