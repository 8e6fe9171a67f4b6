"""A queue for a worker, a queue for the test beside it, and a worker that ends with its test."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lokiredis import AsyncQueue, Queue, State
from lokiredis.worker import Worker

from ..invariants import check
from ..servers import RedisServer

LEASE = 2.0
ROOT = Path(__file__).parents[2]
AGENT = Path(__file__).with_name("agent.py")
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def queue(redis7_server: RedisServer, queue_name: str) -> Iterator[Queue]:
    """The queue as the test sees it; its data is checked afterwards."""
    with redis7_server.client() as client:
        yield Queue(client, queue_name)
        try:
            check(client, queue_name)
        finally:
            # Others of this session begin on a server that is empty.
            client.flushall()


@pytest.fixture
async def make_worker(redis7_server: RedisServer, queue_name: str) -> AsyncIterator[Callable[..., Worker]]:
    """Makes workers on that queue, which run from ``started`` on and are ended after the test."""
    queues: list[AsyncQueue] = []
    workers: list[Worker] = []

    def make(**options: Any) -> Worker:
        queues.append(AsyncQueue.from_url(redis7_server.url, queue_name))
        defaults: dict[str, Any] = {"lease": LEASE, "grace": 5, "agent": "me"}
        workers.append(Worker(queues[-1], **defaults | options))
        return workers[-1]

    yield make
    for worker in workers:
        worker.stop()
        worker.stop()
    here = asyncio.get_running_loop()
    await asyncio.gather(*(run for run in _RUNS if run.get_loop() is here), return_exceptions=True)
    _RUNS.clear()
    for queue in queues:
        await queue.close()


_RUNS: list[asyncio.Future[None]] = []


def started(worker: Worker) -> asyncio.Future[None]:
    """The worker at work; awaited, it raises what ended it."""
    run = asyncio.ensure_future(worker.run())
    _RUNS.append(run)
    return run


async def until(condition: Callable[[], Any], what: str = "", timeout: float = 15) -> Any:
    """The first true value of ``condition``, asked every few ms while the worker goes on."""
    ends = asyncio.get_running_loop().time() + timeout
    while True:
        value = condition()
        if value:
            return value
        if asyncio.get_running_loop().time() > ends:
            pytest.fail(f"waited {timeout:g} s in vain for {what or condition}")
        await asyncio.sleep(0.01)


@pytest.fixture
def start(redis7_server: RedisServer, queue_name: str, tmp_path: Path) -> Iterator[Start]:
    """Starts workers in a folder of the test; they are killed after it."""
    started: list[subprocess.Popen[str]] = []

    def run(
        *words: str,
        command: tuple[str, ...] = (sys.executable, str(AGENT)),
        url: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {
            **os.environ,
            **(environment or {}),
            "LOKIREDIS_URL": url or redis7_server.url,
            "LOKIREDIS_QUEUE": queue_name,
            "PYTHONPATH": path,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "lokiredis", "worker", "--type", "a", "--lease", "2s", *words, "--", *command],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        # What it said is for whoever reads of a failure.
        sys.stderr.write(process.communicate()[1] or "")


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second when it goes between opening and reading
        return False


def state_of(queue: Queue, id: str) -> State:
    """The documented state of a task that is there."""
    task = queue.get(id)
    assert task is not None
    return task.state


def completed(queue: Queue, count: int) -> Callable[[], bool]:
    """Whether so many are completed, for :func:`until`."""
    return lambda: queue.counts()["completed"] == count
