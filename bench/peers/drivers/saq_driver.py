"""SAQ, from its README and the docstrings of ``Worker``, ``RedisQueue`` and ``Job``:

- ``saq[hiredis]``: the README's install line for the C parser
- ``concurrency=100``: "number of jobs to process concurrently"
- ``max_concurrent_ops=100``: "maximum concurrent operations", by default 20, which is fewer than the worker's jobs
- ``ttl=-1``: "the maximum time in seconds to store information about a job … -1 means disabled"

It has no priorities on Redis and no bulk call: ``queue.batch()`` only groups calls of ``enqueue`` for cancellation.
"""

import logging

from harness import CONCURRENCY, TYPES, AsyncDriver, Meter, Task, main
from saq import Job, Queue, Worker

logging.getLogger("saq").setLevel(logging.WARNING)


class Saq(AsyncDriver):
    async def connect(self) -> None:
        self.queue = Queue.from_url(self.url, max_concurrent_ops=CONCURRENCY)
        await self.queue.connect()

    async def put(self, task: Task) -> None:
        await self.queue.enqueue(Job(function=task.type, kwargs={"run": task.number}, ttl=-1))

    async def work(self, meter: Meter, *, each: bool) -> None:
        await self.connect()

        async def handle(_: dict, *, run: int) -> None:
            meter.handled()

        async def startup(_: dict) -> None:
            meter.wait(each=each)

        functions = [(type, handle) for type in TYPES]
        await Worker(self.queue, functions, concurrency=CONCURRENCY, startup=startup).start()


main(Saq)
