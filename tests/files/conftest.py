"""A queue, a folder for its files, and a load of four processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from lokiredis import Queue

from ..invariants import check
from ..servers import RedisServer
from ..waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def queue(redis7_server: RedisServer, queue_name: str) -> Iterator[Queue]:
    """An empty queue; its data is checked afterwards."""
    with redis7_server.client() as client:
        yield Queue(client, queue_name)
        check(client, queue_name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where its files go."""
    return tmp_path / ".loki"


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder where an fsync doesn't wait for a disk: these tests do some thousands of them."""
    place = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    yield Path(place)
    shutil.rmtree(place)


@pytest.fixture
def under_load(redis7_server: RedisServer, queue: Queue) -> Callable[[], AbstractContextManager[None]]:
    """``with under_load():`` four processes claim, complete, fail, cancel and retry, without a pause."""

    @contextmanager
    def run() -> Iterator[None]:
        queue.configure(breaker_defaults={"failure_threshold": 1_000_000})  # else it would soon be quiet
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.files.load", redis7_server.url, queue.name, str(number)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
            )
            for number in range(4)
        ]
        try:
            wait_until(lambda: queue.counts()["completed"] > 20, 60, "a load")
            yield
            assert all(process.poll() is None for process in processes), "the load ended by itself"
        finally:
            for process in processes:
                assert process.stdin is not None
                process.stdin.close()
            for process in processes:
                process.wait(30)

    return run
