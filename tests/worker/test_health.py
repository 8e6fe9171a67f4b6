"""The health file and port of a worker, and what it makes of its own standstill."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lokiredis import Queue
from lokiredis.worker import Context, Worker
from lokiredis.worker.health import Health

from ..servers import RedisServer
from .conftest import ROOT, started, until

REPORT = {"decisionReport": {"why": "asked for"}}
Make = Callable[..., Worker]


async def test_a_handler_that_blocks_the_loop_for_good(queue: Queue, redis7_server: RedisServer) -> None:
    """Its worker says what it was at and ends with an error, so that a supervisor starts another one."""
    queue.enqueue(type="a", id="x")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _BLOCKS, redis7_server.url, queue.name),
        env=os.environ | {"PYTHONPATH": path},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 70
    assert said.decode().splitlines()[-1] == "no progress for 1 s, so this worker ends; it worked on x"


_BLOCKS = """
import asyncio, sys, time
from lokiredis import AsyncQueue
from lokiredis.worker import Worker
from lokiredis.worker.health import Health

async def work(context):
    time.sleep(600)

async def main():
    async with AsyncQueue.from_url(sys.argv[1], sys.argv[2]) as queue:
        worker = Worker(queue, lease=600)
        worker.handler("a")(work)
        await Health(worker, file=None, port=None, stuck_after=1, exit_code=70).start()
        await worker.run()

asyncio.run(main())
"""


async def test_a_worker_that_was_stopped_goes_on(queue: Queue, redis7_server: RedisServer) -> None:
    """By Ctrl-Z, or a machine that slept: it stood still with all that it is, and takes no offence at it."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _BLOCKS.replace("time.sleep(600)", "return {'decisionReport': {'why': 'a test'}}")),
        *(redis7_server.url, queue.name),
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        await until(queue.agents)
        process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        await until(lambda: time.monotonic() > stopped + 3)
        process.send_signal(signal.SIGCONT)
        again = time.monotonic()
        await until(lambda: time.monotonic() > again + 1)
        queue.enqueue(type="a", id="x")
        await until(lambda: queue.counts()["completed"] == 1)
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()


async def test_health_is_written_again_and_again(queue: Queue, make_worker: Make, tmp_path: Path) -> None:
    """A probe takes a file that has grown old for a worker that is stuck."""
    worker = make_worker()
    worker.handler("a")(lambda context: REPORT)
    file = tmp_path / "health.json"
    health = Health(worker, file=file, port=None, stuck_after=0.4, exit_code=70)
    started(worker)
    await health.start()
    try:
        await until(file.exists)
        first = json.loads(file.read_text())["at"]
        await until(lambda: json.loads(file.read_text())["at"] > first)
    finally:
        await health.stop()


async def test_health_replaces_no_pipe(queue: Queue, make_worker: Make, tmp_path: Path, caplog: Any) -> None:
    """Nor /dev/null, which everybody needs."""
    worker = make_worker()
    worker.handler("a")(lambda context: REPORT)
    os.mkfifo(tmp_path / "health")
    health = Health(worker, file=tmp_path / "health", port=None, stuck_after=0.4, exit_code=70)
    started(worker)
    await health.start()
    try:
        await until(lambda: "not a regular file" in caplog.text)
    finally:
        await health.stop()
    assert (tmp_path / "health").is_fifo()


async def test_health_is_told(queue: Queue, make_worker: Make, tmp_path: Path) -> None:
    """A file with the worker's state while it is well, gone when it has stopped."""
    worker = make_worker()

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        return REPORT

    file = tmp_path / "health.json"
    health = Health(worker, file=file, port=None, stuck_after=600, exit_code=70)
    started(worker)
    await health.start()
    try:
        state = await until(lambda: file.exists() and json.loads(file.read_text()))
        assert (state["ok"], state["agent"], state["types"], state["redis"]) == (True, "me", ["a"], True)
    finally:
        await health.stop()
    assert not file.exists()
