"""bullmq for Python, from docs.bullmq.io ("Python", "Concurrency", "Adding jobs in bulk", "Auto-removal", "Flows"):

- ``concurrency: 100``
- ``removeOnComplete: True``: jobs "will be removed automatically as soon as they finalize"
- ``addBulk`` of a queue and of the flow producer
- ``priority`` 1 to 3; 1 is the most urgent

A flow is a tree: a job has one parent. In place of layers there are trees of 40 jobs (27, 9, 3, 1), in which each job
waits for three others too; and the fan lacks its first job.
"""

from collections.abc import Sequence

from bullmq import FlowProducer, Queue, Worker
from harness import CONCURRENCY, TYPES, AsyncDriver, Meter, Task, main

_QUEUE = "bench"
_TREE = 40


class BullMQ(AsyncDriver):
    async def connect(self) -> None:
        self.queue = Queue(_QUEUE, {"connection": self.url})

    @staticmethod
    def _options(task: Task) -> dict:
        return {"priority": task.level + 1, "removeOnComplete": True}

    async def put(self, task: Task) -> None:
        await self.queue.add(task.type, {"run": task.number}, self._options(task))

    async def put_batch(self, batch: Sequence[Task]) -> None:
        await self.queue.addBulk(
            [{"name": task.type, "data": {"run": task.number}, "opts": self._options(task)} for task in batch]
        )

    def _tree(self, levels: int) -> dict:
        node = {"name": TYPES[0], "queueName": _QUEUE, "data": {"run": 0}, "opts": {"removeOnComplete": True}}
        return {**node, "children": [self._tree(levels - 1) for _ in range(3)]} if levels > 1 else node

    async def layers(self, width: int, depth: int) -> None:
        flows = FlowProducer({"connection": self.url})
        trees = [self._tree(4) for _ in range(width * depth // _TREE)]
        for start in range(0, len(trees), 25):
            await flows.addBulk(trees[start : start + 25])

    async def fan(self, width: int) -> None:
        flows = FlowProducer({"connection": self.url})
        await flows.add({**self._tree(1), "children": [self._tree(1) for _ in range(width + 1)]})

    async def work(self, meter: Meter, *, each: bool) -> None:
        async def handle(job, token) -> None:
            meter.handled()

        worker = Worker(_QUEUE, handle, {"connection": self.url, "concurrency": CONCURRENCY, "autorun": False})
        await worker.client.ping()
        meter.wait(each=each)
        await worker.run()


main(BullMQ)
