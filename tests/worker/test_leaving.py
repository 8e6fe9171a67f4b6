"""A worker that stops while its Redis is away: with nothing to hand back it doesn't wait for it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator

import pytest

from lokiredis import Queue

from ..conftest import lacking
from ..servers import RedisServer, programs
from ..waiting import wait_until
from .conftest import Start

pytestmark = pytest.mark.faults


@pytest.fixture
def mortal() -> Iterator[RedisServer]:
    """A server of this test."""
    with RedisServer(programs().get("redis7") or lacking("redis7: no such server"), tcp=True) as server:
        yield server
        if server.running:
            os.kill(server.pid, signal.SIGCONT)


def _killed(server: RedisServer) -> None:
    """In its place somebody who hangs up: the worker is at its repeated call when it has been here often."""
    server.kill()
    with socket.create_server(("127.0.0.1", server.port)) as nobody:
        for _ in range(12):
            nobody.accept()[0].close()


def _silent(server: RedisServer) -> None:
    os.kill(server.pid, signal.SIGSTOP)


@pytest.mark.parametrize("away", [_killed, _silent])
def test_an_idle_worker_ends_soon(
    mortal: RedisServer, queue_name: str, start: Start, away: Callable[[RedisServer], None]
) -> None:
    """Whether nobody takes its call, or the server says nothing: a second or two, and what a busy machine needs."""
    process = start("--lease", "60s", url=mortal.url)
    with Queue.from_url(mortal.url, queue_name) as queue:
        wait_until(lambda: queue.agents(), 30, "a worker that is there")
        wait_until(lambda: "bzpopmin" in str(queue.redis.client_list()), 30, "a worker that waits")
    away(mortal)
    process.terminate()
    assert process.wait(timeout=4) == 0
