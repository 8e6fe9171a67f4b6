"""dramatiq, from the docstrings and comments of ``dramatiq.Worker`` (``--threads`` of its command line):

- ``worker_threads=100``: "the number of worker threads to spawn"
- ``dramatiq_queue_prefetch``: left at its default, twice the number of threads: "the factor must be small so we don't
  starve other workers out". With 1,000 one drain of two here stood still for 3 s
- actors with ``priority`` 0 to 2, 0 is the most urgent: it orders what one worker has fetched, not the queue
- ``worker_timeout``: left at its default of 1000 ms; it is the wake-up period of all 100 threads, and how long the
  back-off of an idle consumer may get

It has no bulk call: a ``group`` is a loop of ``enqueue``.
"""

import dramatiq
from dramatiq import Worker
from dramatiq.brokers.redis import RedisBroker
from harness import CONCURRENCY, LEVELS, METER, TYPES, Driver, Meter, Task, main


def handle(run: int) -> None:
    METER.handled()


class Dramatiq(Driver):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.broker = RedisBroker(url=url)
        dramatiq.set_broker(self.broker)
        self.actors = {
            (type, level): dramatiq.actor(handle, actor_name=f"{type}-{level}", priority=level)
            for type in TYPES
            for level in range(LEVELS)
        }

    def put(self, task: Task) -> None:
        self.actors[task.type, task.level].send(task.number)

    def work(self, meter: Meter, *, each: bool) -> None:
        worker = Worker(self.broker, worker_threads=CONCURRENCY)
        self.broker.client.ping()
        meter.wait(each=each)
        worker.start()
        for thread in worker.workers:
            thread.join()


main(Dramatiq)
