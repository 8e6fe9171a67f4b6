"""A mixed load for minutes: what the server and the workers take must not grow."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median
from typing import Any

from figures import Figure, Report, number
from private_server import PrivateServer
from workload import REPORT, TYPES, small_tasks

from lokiredis import Queue
from lokiredis.queue import AsyncQueue
from lokiredis.worker import Context, Worker

#: The last third against the first, after a warm-up: at most so many times as much.
TARGET = 1.1
#: A queue remembers each request, and keeps what has ended, for ten minutes at least, and the id of a completed one ten
#: more: until then it can only grow. In seconds; a soak of less than twice that says nothing of the server.
_FULL_AFTER = 21 * 60.0
_WORKERS = 2
#: A look at everything, in seconds.
_LOOK = 1.0
_QUEUE = "soak"
#: Finished tasks that are kept, so that the queue is full of them soon.
_KEPT = 2000
#: As short as the setting may be; usually an id counts as completed for 30 days, at about 150 bytes.
_TOMBSTONE = 600
#: The part of a soak that is warm-up at least.
_WARM = 0.25


@dataclass(frozen=True)
class _Look:
    at: float
    memory: float
    keys: float
    workers: float
    files: float


_NAMES = ("server: memory", "server: keys", "workers: memory", "workers: open files")
_OF_SERVER = 2
_UNITS = ("bytes", "keys", "bytes", "files")


def measure_soak(server: PrivateServer, *, minutes: float) -> Report:
    """Tasks with and without dependencies, of which a part fails, is released, cancelled, or dead and revived."""
    queue = Queue(server.client, _QUEUE)
    queue.configure(keep_count=_KEPT, tombstone_seconds=_TOMBSTONE)
    spawning = multiprocessing.get_context("spawn")
    workers = [spawning.Process(target=_work, args=(server.url, n), daemon=True) for n in range(_WORKERS)]
    for worker in workers:
        worker.start()
    looks: list[_Look] = []
    put_in = 0
    try:
        began = look_at = time.monotonic()
        ends = began + minutes * 60
        while (now := time.monotonic()) < ends:
            if queue.stats().counts["pending"] < 500:
                put_in += _put_in(queue)
            if now >= look_at:
                looks.append(_look(server, workers, now - began))
                look_at = now + _LOOK
            if any(not worker.is_alive() for worker in workers):
                raise SystemExit("bench: a worker ended in the middle of the soak")
            time.sleep(0.02)
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
    return _report(looks, minutes, put_in, queue.stats().totals)


def _put_in(queue: Queue) -> int:
    parents = queue.enqueue_many(small_tasks(200, maxRetries=1, backoffSeconds=0.1))
    names = [parent.id for parent in random.sample(parents, 3)]
    queue.enqueue_many(small_tasks(50, dependencies=names))
    delayed = queue.enqueue_many(small_tasks(20, delay=30))
    queue.enqueue_many(small_tasks(20, delay=0.5))
    queue.cancel(delayed[0].id, "a soak")
    for task in queue.list("dead-letter", limit=50).tasks:
        (queue.discard_dead if random.random() < 0.5 else queue.retry_dead)(task.id, reason="a soak")
    return 290


def _look(server: PrivateServer, workers: Sequence[BaseProcess], at: float) -> _Look:
    memory = sum(int(Path(f"/proc/{w.pid}/statm").read_text().split()[1]) for w in workers) * os.sysconf("SC_PAGE_SIZE")
    files = sum(len(list(Path(f"/proc/{worker.pid}/fd").iterdir())) for worker in workers)
    return _Look(at, server.client.info("memory")["used_memory"], server.client.dbsize(), memory, files)


def _report(looks: list[_Look], minutes: float, put_in: int, totals: dict[str, int]) -> Report:
    full = minutes * 60 >= 2 * _FULL_AFTER
    warm = [look for look in looks if look.at >= max(minutes * 60 * _WARM, _FULL_AFTER if full else 0)]
    warm = warm or looks[-1:]
    third = max(len(warm) // 3, 1)
    first, last = ([*zip(*map(astuple, part), strict=True)][1:] for part in (warm[:third], warm[-third:]))
    figures, rows = [], []
    for place, (name, unit, early, late) in enumerate(zip(_NAMES, _UNITS, first, last, strict=True)):
        before, after = median(early), median(late)
        target = TARGET if full or place >= _OF_SERVER else None
        growth = Figure(f"soak of {minutes:g} minutes", f"{name}, last third / first", "×", (after / before,), target)
        figures.append(growth)
        rows.append((f"{name} ({unit})", number(before), number(after), f"{growth.value:.3f}"))
    done = ", ".join(f"{count:,} {name}" for name, count in totals.items())
    title = f"Soak: a mixed load for {minutes:g} minutes with {_WORKERS} workers ({put_in:,} tasks put in; {done})"
    if not full:
        title += f"; of the server it says nothing: it is full after {_FULL_AFTER / 60:g} minutes"
    return Report(title, ("", "first third", "last third", "growth"), tuple(rows), tuple(figures))


def _work(url: str, number: int) -> None:
    async def work() -> None:
        async with AsyncQueue.from_url(url, _QUEUE) as queue:
            worker = Worker(queue, agent=f"bench-host/soak-{number}", concurrency=20)

            @worker.handler(*TYPES)
            async def handle(context: Context) -> Any:
                if random.random() < 0.1:
                    await context.checkpoint({"page": 1})
                if random.random() < 0.05:
                    raise RuntimeError("the soak's own failure")
                await asyncio.sleep(random.random() * 0.01)
                return {"decisionReport": REPORT}

            await worker.run()

    asyncio.run(work())
