"""Celery on Redis, from its user guide ("Optimizing", "Routing Tasks", "Concurrency") and kombu's Redis transport:

- ``--pool=threads --concurrency=100``; gevent, the other pool of the guide for that many, took a quarter longer here
- ``worker_prefetch_multiplier=64``: "if you have many short-running tasks … this number should be large … 64, or 128"
- ``task_ignore_result``: nothing reads the results; ``task_acks_late=False`` (the default)
- ``broker_pool_limit=100``: "based on the number of active threads/greenthreads using broker connections"
- ``queue_order_strategy: priority`` with ``priority_steps`` 0 to 2: one list per priority, 0 is the most urgent
- ``--without-gossip --without-mingle --without-heartbeat``: no talk between workers

It has no bulk call: a ``group`` is a loop of ``apply_async``. A fan is a chain of a task, a group and a task (a chord,
with the result backend that this needs). Layers in which a task waits for three others it can't say: a chain of groups
waits for the whole layer.
"""

from celery import Celery, chain, group
from celery.signals import worker_ready
from harness import CONCURRENCY, LEVELS, METER, TYPES, Driver, Meter, Task, main


def handle(run: int) -> None:
    METER.handled()


class CeleryDriver(Driver):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.app = Celery("bench", broker=url, backend=url, set_as_current=True)
        self.app.conf.update(
            task_ignore_result=True,
            worker_prefetch_multiplier=64,
            broker_pool_limit=CONCURRENCY,
            broker_connection_retry_on_startup=True,
            broker_transport_options={"queue_order_strategy": "priority", "priority_steps": list(range(LEVELS))},
        )
        self.types = {type: self.app.task(handle, name=type) for type in TYPES}
        # The parts of a chord must leave a result, else it can't count them.
        self.counted = self.app.task(handle, name="counted", ignore_result=False)

    def put(self, task: Task) -> None:
        self.types[task.type].apply_async((task.number,), priority=task.level)

    def fan(self, width: int) -> None:
        middle = group(self.counted.si(1 + place) for place in range(width))
        chain(self.counted.si(0), middle, self.counted.si(width + 1)).apply_async()

    def work(self, meter: Meter, *, each: bool) -> None:
        @worker_ready.connect(weak=False)  # sent when all is connected and before the loop that fetches
        def ready(**_: object) -> None:
            meter.wait(each=each)

        options = "--pool=threads --without-gossip --without-mingle --without-heartbeat --loglevel=WARNING"
        self.app.worker_main(["--quiet", "worker", f"--concurrency={CONCURRENCY}", *options.split()])


main(CeleryDriver)
