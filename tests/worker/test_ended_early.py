"""Commands that are ended before their time, as process groups: cancelled, too long at it, or their claim is lost."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lokiredis import Queue, State, Task

from ..conftest import lacking
from ..invariants import check
from ..proxy import LossyProxy
from ..servers import RedisServer, programs
from ..waiting import wait_until
from .conftest import LEASE, Start, alive

pytestmark = pytest.mark.faults

EFFECT = Path(__file__).with_name("effect.py")
#: What SIGTERM ends, with a grace that no test waits for; and what ignores it, for SIGKILL.
either = pytest.mark.parametrize(("does", "grace"), [("waits", "10m"), ("ignores", "500ms")])


def _task(queue: Queue, id: str = "x") -> Task:
    task = queue.get(id)
    assert task is not None
    return task


def _begun(queue: Queue, pids: Path, does: str, **fields: Any) -> list[int]:
    """The process group that works on a new task x, once it has begun: a command, and what it started."""
    queue.enqueue(type="a", id="x", payload={"does": does, "pids": str(pids)}, **fields)
    return [int(word) for word in str(wait_until(lambda: _text(pids), 30, "the command")).split()]


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _ends(group: list[int], pids: Path) -> None:
    """All of it, and it was asked to by SIGTERM first."""
    wait_until(lambda: not any(map(alive, group)), 30, "the end of the group")
    assert pids.with_name("pids.told").exists()


def _next_is_done(queue: Queue) -> None:
    """The worker lives on, with a free slot."""
    queue.enqueue(type="a", id="next")
    wait_until(lambda: _task(queue, "next").state is State.COMPLETED, 30, "the next task")


@either
def test_a_cancel_is_heard_at_once(queue: Queue, start: Start, tmp_path: Path, does: str, grace: str) -> None:
    """By its message: no heartbeat could tell it for minutes."""
    start("--lease", "30m", "--grace", grace)
    group = _begun(queue, tmp_path / "pids", does, timeout=3600)
    wait_until(lambda: queue.redis.pubsub_numsub(queue.keys.signals)[0][1], 30, "a worker that listens")
    queue.cancel("x", "no more")
    _ends(group, tmp_path / "pids")
    _next_is_done(queue)
    assert _task(queue).state is State.CANCELLED


@either
def test_a_cancel_whose_message_got_lost(
    queue: Queue, start: Start, redis7_server: RedisServer, tmp_path: Path, does: str, grace: str
) -> None:
    """The next heartbeat is told of it."""
    with LossyProxy(redis7_server.address, drop=0) as proxy:
        proxy.deaf = True
        start("--grace", grace, url=proxy.url)
        group = _begun(queue, tmp_path / "pids", does)
        wait_until(lambda: queue.redis.pubsub_numsub(queue.keys.signals)[0][1], 30, "a worker that listens")
        queue.cancel("x", "no more")
        _ends(group, tmp_path / "pids")
        assert proxy.messages_dropped == 1
        _next_is_done(queue)
        assert _task(queue).state is State.CANCELLED


@either
def test_the_timeout_ends_the_group(queue: Queue, start: Start, tmp_path: Path, does: str, grace: str) -> None:
    """An attempt that takes longer than the task's timeout fails, though its worker sends heartbeats."""
    start("--grace", grace)
    group = _begun(queue, tmp_path / "pids", does, timeout=2, max_retries=1)
    wait_until(lambda: _task(queue).state is State.DEAD_LETTER, 30, "the end of the attempt")
    _ends(group, tmp_path / "pids")
    [attempt] = _task(queue).attempts
    assert (attempt.outcome, str(attempt.error)[:9]) == ("failed", "timeout: ")
    _next_is_done(queue)


@either
def test_a_claim_that_another_agent_has(queue: Queue, start: Start, tmp_path: Path, does: str, grace: str) -> None:
    """The next heartbeat is refused, and the work on what is no longer its own ends."""
    start("--grace", grace, "--on-lost-lease", "continue")
    group = _begun(queue, tmp_path / "pids", does)
    queue.release(SimpleNamespace(id="x", token=_task(queue).token), delay=600)
    _ends(group, tmp_path / "pids")
    _next_is_done(queue)
    assert _task(queue).state is State.PENDING


@pytest.fixture
def mortal() -> Iterator[RedisServer]:
    """A server that keeps its data when it is killed.

    Not with everysec: while the disk is busy with an fsync Redis puts the next writes off, answered though they are.
    """
    with RedisServer(
        programs().get("redis7") or lacking("redis7: no such server"), appendonly=True, appendfsync="always"
    ) as server:
        yield server


@pytest.fixture
def mortal_queue(mortal: RedisServer, queue_name: str) -> Iterator[Queue]:
    """The queue on it; its data is checked afterwards."""
    with Queue.from_url(mortal.url, queue_name) as queue:
        yield queue
        if mortal.running:
            check(queue.redis, queue_name)


@either
def test_a_lease_that_may_have_run_out(
    mortal: RedisServer, mortal_queue: Queue, start: Start, tmp_path: Path, does: str, grace: str
) -> None:
    """While Redis is away nobody knows who has the task: the work on it ends, and is done again without a charge."""
    pids = tmp_path / "pids"
    worker = start("--grace", grace, url=mortal.url)
    group = _begun(mortal_queue, pids, does)
    mortal.kill()
    _ends(group, pids)
    assert worker.poll() is None
    pids.unlink()
    mortal.restart()
    wait_until(lambda: len(_text(pids).split()) == 2, 60, "the second attempt")
    task = _task(mortal_queue)
    assert ([attempt.outcome for attempt in task.attempts], task.retries) == (["released"], 0)
    # Killed with its worker, the command would leave behind what it started.
    again = [int(word) for word in _text(pids).split()]
    mortal_queue.cancel("x", "seen enough")
    wait_until(lambda: not any(map(alive, again)), 30, "the end of the second attempt")


def test_work_that_may_go_on_without_its_lease(
    mortal: RedisServer, mortal_queue: Queue, start: Start, tmp_path: Path
) -> None:
    """Where two at the same task do no harm it is not ended; its result counts when nobody else had the task."""
    command = (sys.executable, str(EFFECT), str(tmp_path / "ledger"), str(tmp_path))
    start("--on-lost-lease", "continue", url=mortal.url, command=command)
    mortal_queue.enqueue(type="a", id="shared")
    began = tmp_path / "began"
    pid = int(wait_until(lambda: _text(began), 30, "the command"))
    mortal.kill()
    # No heartbeat came through later than this, so then the lease has run out, and the worker has looked at it.
    over = time.monotonic() + 1.5 * LEASE
    wait_until(lambda: time.monotonic() > over)
    assert alive(pid)
    mortal.restart()
    (tmp_path / "go-on").touch()
    wait_until(lambda: _task(mortal_queue, "shared").state is State.COMPLETED, 60, "the result")
    assert _task(mortal_queue, "shared").attempts[0].outcome == "completed"
