"""lokiredis itself, as its README shows it: every rule on, default settings; a worker with async handlers.

``concurrency=100``, as for the peers. Three types, and three priorities within each. A producer that makes one call
after the other takes the blocking client; where 32 are under way, and for graphs, the asyncio one.
"""

import itertools
import time
from collections.abc import Iterable, Sequence
from typing import Any

from harness import CONCURRENCY, TYPES, AsyncDriver, Driver, Meter, Task, before, main

from lokiredis import AsyncQueue, Queue
from lokiredis.worker import Context, Worker

_PRIORITIES = (8, 5, 2)
_RESULT = {"decisionReport": {"what": "nothing", "why": "a benchmark"}}
#: Without it the queue would see that tasks of two runs are equal, and store one.
_run = itertools.count(time.time_ns())


def _given(task: Task) -> dict[str, Any]:
    return {"type": task.type, "payload": {"run": next(_run)}, "priority": _PRIORITIES[task.level]}


class Blocking(Driver):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.queue = Queue.from_url(url, "bench")

    def put(self, task: Task) -> None:
        self.queue.enqueue(**_given(task))

    def put_batch(self, batch: Sequence[Task]) -> None:
        self.queue.enqueue_many([_given(task) for task in batch])


class LokiRedis(AsyncDriver):
    async def connect(self) -> None:
        self.queue = AsyncQueue.from_url(self.url, "bench")

    async def put(self, task: Task) -> None:
        await self.queue.enqueue(**_given(task))

    async def put_batch(self, batch: Sequence[Task]) -> None:
        await self.queue.enqueue_many([_given(task) for task in batch])

    async def enqueue(self, count: int, mode: str) -> dict[str, Any]:
        if mode in ("single", "batch1000"):
            return Blocking(self.url).enqueue(count, mode)
        return await super().enqueue(count, mode)

    async def layers(self, width: int, depth: int) -> None:
        run = next(_run)
        await self._graph(
            (f"{run}-{layer}-{place}", [f"{run}-{layer - 1}-{one}" for one in before(place, width)] if layer else [])
            for layer in range(depth)
            for place in range(width)
        )

    async def fan(self, width: int) -> None:
        run = next(_run)
        # A task names a thousand others at most: the last one waits for tasks that wait for a hundred each.
        middle = [f"{run}-middle-{place}" for place in range(width - -(-width // 101))]
        gather = {f"{run}-gather-{first}": middle[first : first + 100] for first in range(0, len(middle), 100)}
        first, last = (f"{run}-first", []), (f"{run}-last", [*gather])
        await self._graph([first, *((id, [first[0]]) for id in middle), *gather.items(), last])

    async def _graph(self, tasks: Iterable[tuple[str, list[str]]]) -> None:
        rest = iter(tasks)
        while part := list(itertools.islice(rest, 1000)):
            await self.queue.enqueue_many(
                [{"id": id, "type": TYPES[0], "payload": {"id": id}, "dependencies": names} for id, names in part]
            )

    async def work(self, meter: Meter, *, each: bool) -> None:
        await self.connect()
        worker = Worker(self.queue, concurrency=CONCURRENCY)

        @worker.handler(*TYPES)
        async def handle(context: Context) -> Any:
            meter.handled()
            return _RESULT

        await self.queue.load_scripts()
        meter.wait(each=each)
        await worker.run()


main(LokiRedis)
