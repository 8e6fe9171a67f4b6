"""streaq, from the docstrings of ``Worker`` and ``Worker.enqueue_many`` and its ``benchmarks/README.md``:

- ``concurrency=100``: "number of tasks the worker can run simultaneously"
- ``prefetch``: left at its default, which is ``concurrency`` (its benchmark does the same)
- ``priorities``: three, from the lowest to the highest
- ``ttl=0``: no result is stored; ``silent=True``: no log line per task
- ``worker.enqueue_many``: "uses a Redis pipeline, so it's more efficient"

Tasks with dependencies "should be enqueued individually": 32 at a time here, a layer after the other.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from harness import CONCURRENCY, TYPES, AsyncDriver, Meter, Task, before, main
from streaq import Worker

logging.getLogger("streaq").setLevel(logging.WARNING)
_LEVELS = ("high", "normal", "low")


class Streaq(AsyncDriver):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._make(None, each=False)

    def _make(self, meter: Meter | None, *, each: bool) -> None:
        @asynccontextmanager
        async def lifespan() -> AsyncIterator[None]:
            if meter is not None:
                meter.wait(each=each)
            yield

        async def handle(run: int) -> None:
            meter.handled()

        self.worker = Worker(
            redis_url=self.url,
            concurrency=CONCURRENCY,
            priorities=list(reversed(_LEVELS)),
            lifespan=lifespan,
            handle_signals=False,
        )
        self.types = {type: self.worker.task(name=type, ttl=0, silent=True)(handle) for type in TYPES}

    async def connect(self) -> None:
        await self.worker.__aenter__()

    def _task(self, task: Task):
        return self.types[task.type].enqueue(task.number).start(priority=_LEVELS[task.level])

    async def put(self, task: Task) -> None:
        await self._task(task)

    async def put_batch(self, batch: Sequence[Task]) -> None:
        await self.worker.enqueue_many([self._task(task) for task in batch])

    async def _put_after(self, todo: list[tuple[int, list[str]]]) -> list[str]:
        """Tasks by number and the ids that each waits for; their own ids in the same order."""
        found: dict[int, str] = {}
        shared = iter(todo)

        async def lane() -> None:
            for number, after in shared:
                task = self.types[TYPES[number % len(TYPES)]].enqueue(number).start(after=after, priority="normal")
                await task
                found[number] = task.id

        await asyncio.gather(*(lane() for _ in range(32)))
        return [found[number] for number, _ in todo]

    async def layers(self, width: int, depth: int) -> None:
        ids = await self._put_after([(place, []) for place in range(width)])
        for layer in range(1, depth):
            ids = await self._put_after(
                [(layer * width + place, [ids[one] for one in before(place, width)]) for place in range(width)]
            )

    async def fan(self, width: int) -> None:
        [first] = await self._put_after([(0, [])])
        middle = await self._put_after([(1 + place, [first]) for place in range(width)])
        await self._put_after([(width + 1, middle)])

    async def work(self, meter: Meter, *, each: bool) -> None:
        self._make(meter, each=each)
        await self.worker.run_async()


main(Streaq)
