"""taskiq-redis, from its README, taskiq's guide (``docs/guide/cli.md``) and the docstring of ``run_receiver_task``:

- ``RedisStreamBroker``: it "**supports** acknowledgements"; ``xread_count=100`` messages by one read (the default)
- ``max_async_tasks=100``, ``--max-async-tasks`` of the command line
- ``max_prefetch=100``, ``--max-prefetch``: "useful for systems with high message rates"
- ``taskiq[uv]``: the command line takes uvloop when it is installed; so does this driver
- no result backend: nothing reads the results
- ``consumer_id="0"``: the group begins with the first message, so that a worker that comes after the tasks gets them

It has no priorities and no bulk call. A worker never deletes from the stream (``maxlen`` alone cuts it).
"""

import asyncio
import logging

import uvloop
from harness import CONCURRENCY, TYPES, AsyncDriver, Meter, Task, main
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

logging.getLogger("taskiq").setLevel(logging.WARNING)


class Taskiq(AsyncDriver):
    async def connect(self, meter: Meter | None = None) -> None:
        self.broker = RedisStreamBroker(self.url, consumer_id="0")

        async def handle(run: int) -> None:
            meter.handled()

        self.types = {type: self.broker.register_task(handle, task_name=type) for type in TYPES}
        await self.broker.startup()

    async def put(self, task: Task) -> None:
        await self.types[task.type].kiq(task.number)

    async def work(self, meter: Meter, *, each: bool) -> None:
        await self.connect(meter)
        meter.wait(each=each)
        await run_receiver_task(self.broker, max_async_tasks=CONCURRENCY, max_prefetch=CONCURRENCY)


def run(coroutine):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


main(Taskiq, run)
