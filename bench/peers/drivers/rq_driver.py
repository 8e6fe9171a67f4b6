"""RQ, from its ``docs/docs/workers.md``, ``docs/benchmark.md`` and the docstring of ``Queue.enqueue_many``:

- ``SimpleWorker``: "roughly a 6x speedup" against the worker that forks for each job; for "extremely short-lived" jobs
  only, and otherwise "not recommended for production"
- concurrency 1: "each worker will process a single job at a time"; "simply start more workers"
- three queues: "the order is important", the first of them is emptied first
- ``enqueue_many`` of prepared data, in one pipeline for all queues
- ``result_ttl=0``: nothing reads the results; ``log_job_description=False``: ``--disable-job-desc-logging``
- ``depends_on``: a list of ids
"""

import logging
from collections.abc import Sequence

from harness import METER, TYPES, Driver, Meter, Task, before, main
from redis import Redis
from rq import Queue, SimpleWorker

_LEVELS = ("high", "normal", "low")
_HANDLER = "rq_driver.handle"


def handle(run: int, type: str) -> None:
    METER.handled()


class RQ(Driver):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.client = Redis.from_url(url)
        self.queues = [Queue(level, connection=self.client) for level in _LEVELS]

    def put(self, task: Task) -> None:
        self.queues[task.level].enqueue(_HANDLER, task.number, task.type, result_ttl=0)

    def put_batch(self, batch: Sequence[Task]) -> None:
        with self.client.pipeline() as pipe:
            for level, queue in enumerate(self.queues):
                data = [
                    Queue.prepare_data(_HANDLER, (task.number, task.type), result_ttl=0)
                    for task in batch
                    if task.level == level
                ]
                if data:
                    queue.enqueue_many(data, pipeline=pipe)
            pipe.execute()

    def _put_after(self, todo: list[tuple[int, list[str]]]) -> list[str]:
        data = [
            Queue.prepare_data(
                _HANDLER,
                (number, TYPES[number % len(TYPES)]),
                result_ttl=0,
                job_id=f"bench-{number}",
                depends_on=after or None,
            )
            for number, after in todo
        ]
        for start in range(0, len(data), 1000):
            self.queues[1].enqueue_many(data[start : start + 1000])
        return [one.job_id for one in data]

    def layers(self, width: int, depth: int) -> None:
        ids = self._put_after([(place, []) for place in range(width)])
        for layer in range(1, depth):
            ids = self._put_after(
                [(layer * width + place, [ids[one] for one in before(place, width)]) for place in range(width)]
            )

    def fan(self, width: int) -> None:
        [first] = self._put_after([(0, [])])
        middle = self._put_after([(1 + place, [first]) for place in range(width)])
        self._put_after([(width + 1, middle)])

    def work(self, meter: Meter, *, each: bool) -> None:
        worker = SimpleWorker(self.queues, connection=self.client, log_job_description=False)
        worker.log.setLevel(logging.WARNING)
        self.client.ping()
        meter.wait(each=each)
        worker.work(logging_level="WARNING")


if __name__ == "__main__":  # the worker imports this module by its name too
    main(RQ)
