"""arq, from the docstring of ``arq.worker.Worker``, which is its reference page too:

- ``max_jobs=100``: "maximum number of jobs to run at a time"
- ``poll_delay=0.01``: "duration between polling the queue for new jobs"; with the default of 0.5 s a worker starts at
  most ``queue_read_limit`` (5 × ``max_jobs``) jobs in each half second
- ``keep_result=0``: nothing reads the results
- ``log_results=False``

It has no priorities (a queue is a sorted set by time) and no bulk call.
"""

import logging

from arq import Worker, create_pool, func
from arq.connections import RedisSettings
from harness import CONCURRENCY, TYPES, AsyncDriver, Meter, Task, main

logging.getLogger("arq").setLevel(logging.WARNING)


class Arq(AsyncDriver):
    async def connect(self) -> None:
        self.pool = await create_pool(RedisSettings.from_dsn(self.url))

    async def put(self, task: Task) -> None:
        await self.pool.enqueue_job(task.type, task.number)

    async def work(self, meter: Meter, *, each: bool) -> None:
        async def handle(_: dict, run: int) -> None:
            meter.handled()

        async def startup(_: dict) -> None:
            meter.wait(each=each)

        worker = Worker(
            [func(handle, name=type) for type in TYPES],
            redis_settings=RedisSettings.from_dsn(self.url),
            on_startup=startup,
            max_jobs=CONCURRENCY,
            poll_delay=0.01,
            keep_result=0,
            log_results=False,
        )
        await worker.async_run()


main(Arq)
