"""What a pending task takes of Redis' memory beyond its document."""

from __future__ import annotations

import json
from itertools import islice

from figures import Figure, Report, number
from peers import PeerFailed
from players import BULLMQ, Field
from private_server import PrivateServer
from workload import AGENT, REPORT, TYPES, copy_of, independent_tasks, plan

from lokiredis import Finished, Queue

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


STATES = ("pending", "active", "completed")


def measure_memory_states(server: PrivateServer, field: Field, *, tasks: int) -> Report:
    """All of Redis' memory per task in each state, with the same document, ours and BullMQ's."""
    document = next(independent_tasks(plan()))
    length = len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())
    ours = dict(zip(STATES, _ours(server, document, tasks), strict=True))
    by_name = {"lokiredis": ours}
    for peer in field.players:
        if peer.name == BULLMQ:
            by_name[BULLMQ] = {}
            for state in STATES:
                server.client.flushall()
                before = _used(server)
                try:
                    peer.memory(server.url, tasks, json.dumps(document), state)
                except PeerFailed:
                    continue
                by_name[BULLMQ][state] = (_used(server) - before) / tasks
    figures = tuple(
        Figure(f"memory, {state}", name, "bytes", (found[state],)) for name, found in by_name.items() for state in found
    )
    rows = tuple(
        (name, *(number(found[state]) if state in found else "" for state in STATES)) for name, found in by_name.items()
    )
    title = (
        f"Memory per task, document of {length} bytes and all ({tasks:,} tasks; a result with a report where completed)"
    )
    return Report(title, ("bytes", "pending", "in progress", "completed"), rows, figures)


def _ours(server: PrivateServer, document: dict[str, object], tasks: int) -> list[float]:
    server.client.flushall()
    queue = Queue(server.client, "memory")
    queue.load_scripts()
    before = _used(server)
    for first in range(0, tasks, 1000):
        part = range(first, min(first + 1000, tasks))
        queue.enqueue_many([{**document, "run": run, "type": TYPES[run % 3]} for run in part])
    found = [(_used(server) - before) / tasks]
    claims = []
    while some := queue.claim_many(AGENT, TYPES, 1000):
        claims += some
    found.append((_used(server) - before) / tasks)
    for first in range(0, len(claims), 1000):
        finished = [Finished(claim, decision_report=REPORT) for claim in claims[first : first + 1000]]
        queue.exchange(AGENT, TYPES, finished=finished, limit=0)
    found.append((_used(server) - before) / tasks)
    return found
