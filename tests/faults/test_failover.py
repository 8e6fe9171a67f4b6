"""Workers over a failover, of sentinels and in a cluster: they carry on, and what runs ends well."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lokiredis import AsyncQueue, Queue, StaleClaim, TaskNotFound
from lokiredis.worker import ThreadContext, Worker

from ..fleets import Cluster, SentinelFleet
from ..invariants import check
from ..waiting import wait_until

pytestmark = pytest.mark.faults

_ROOT = Path(__file__).parents[2]
_REPORT: dict[str, Any] = {"decisionReport": {"why": "a test"}}
#: Longer than any failover here: a claim ends by its work, not by its lease.
_LEASE = 60.0
#: What both kinds of worker do for a task: say that they are at it, and go on when they may.
_COMMAND = """
import os, pathlib, sys, time
at, id = pathlib.Path(sys.argv[1]), os.environ["LOKIREDIS_TASK_ID"]
(at / id).touch()
while not (at / f"{id[:-2]} may end").exists():
    time.sleep(0.01)
print('{"decisionReport": {"why": "a test"}}')
"""


@dataclass(frozen=True)
class _Pair:
    """A worker of each kind on one queue: Python's has the type a, the command's b."""

    command: subprocess.Popen[str]
    folder: Path

    def works_on(self, *ids: str) -> bool:
        return all((self.folder / id).exists() for id in ids)

    def may_end(self, word: str) -> None:
        _gate(self.folder, word).touch()

    def stop(self) -> str:
        """Both carry on until here; returns what the command's worker has said."""
        assert self.command.poll() is None
        self.command.send_signal(signal.SIGTERM)
        _, said = self.command.communicate(timeout=60)
        assert self.command.returncode == 0
        return said


@contextmanager
def _command(url: str, name: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "lokiredis", "worker", "--agent", "command", "--type", "b", "--concurrency", "3"]
    words += ["--lease", f"{_LEASE:g}s", "--logs", str(folder / "logs"), "--", sys.executable, "-c", _COMMAND]
    environment = {**os.environ, "LOKIREDIS_URL": url, "LOKIREDIS_QUEUE": name}
    process = subprocess.Popen([*words, str(folder)], cwd=_ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _python(url: str, name: str, folder: Path) -> Iterator[None]:
    """A worker in a thread of its own; that it ended with an error is raised at the end."""
    stop: list[Callable[[], object]] = []

    async def run() -> None:
        # Shorter than a failover: the worker meets the outage, not only its calls.
        async with AsyncQueue.from_url(url, name, retry_for=0.3) as queue:
            worker = Worker(queue, agent="python", concurrency=3, lease=_LEASE, grace=0)

            @worker.handler("a")
            def work(context: ThreadContext) -> dict[str, Any]:
                (folder / context.id).touch()
                wait_until(lambda: _gate(folder, context.id[:-2]).exists() or context.cancelled, 120)
                return _REPORT

            loop = asyncio.get_running_loop()
            stop.append(lambda: loop.call_soon_threadsafe(worker.stop))
            await worker.run()

    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(asyncio.run, run())
        try:
            yield
            assert not ran.done(), "the worker ended by itself"
        finally:
            if stop and not ran.done():
                stop[0]()
            ran.result(timeout=60)


@contextmanager
def _pair(url: str, name: str, folder: Path) -> Iterator[_Pair]:
    folder.mkdir()
    with _python(url, name, folder), _command(url, name, folder) as command:
        yield _Pair(command, folder)


def _gate(folder: Path, word: str) -> Path:
    return folder / f"{word} may end"


def _add(planner: Queue, word: str) -> tuple[str, str]:
    """A task for each of the two."""
    ids = f"{word}-a", f"{word}-b"
    planner.enqueue_many([{"id": id, "type": id[-1], "payload": {"id": id}} for id in ids])
    return ids


def _outcomes(planner: Queue, ids: tuple[str, ...]) -> list[list[str]]:
    return [[attempt.outcome for attempt in planner.get(id).attempts] for id in ids]


def _end_well(planner: Queue, pair: _Pair, ids: tuple[str, ...]) -> str:
    """What runs may end now: each of these tasks has had one claim, and is completed. Returns what the worker said."""
    for word in ("long", "after"):
        pair.may_end(word)
    wait_until(lambda: planner.counts()["completed"] == len(ids), 60, "completed tasks")
    said = pair.stop()
    assert _outcomes(planner, ids) == [["completed"]] * len(ids)
    return said


def test_workers_over_a_failover_of_sentinels(program7: Path, tmp_path: Path) -> None:
    """The master is killed while they work and wait: work that ends then or later is told, and more is claimed."""
    with (
        SentinelFleet(program7) as fleet,
        Queue.from_url(fleet.url, "q", retry_for=60) as planner,
        _pair(fleet.url, "q", tmp_path / "q") as pair,
    ):
        running = _add(planner, "long") + _add(planner, "short")
        wait_until(lambda: pair.works_on(*running), 30, "work")
        fleet.replicate()
        fleet.servers[0].kill()
        pair.may_end("short")
        after = _add(planner, "after")
        wait_until(lambda: pair.works_on(*after), 60, "work on what came after the failover")
        said = _end_well(planner, pair, running + after)
        assert said.count("going on as soon as it is back") <= 1
        with fleet.client(1) as promoted:
            check(promoted, "q")


def test_workers_over_a_failover_in_a_cluster(program7: Path, tmp_path: Path) -> None:
    """Two queues on two of three nodes, one of which is killed: all workers carry on, and what ran ends well."""
    with Cluster(program7, replica=True) as cluster, ExitStack() as all_of:
        names = cluster.name_on(0), cluster.name_on(1)
        planners = [all_of.enter_context(Queue.from_url(cluster.url, name, retry_for=60)) for name in names]
        pairs = [all_of.enter_context(_pair(cluster.url, name, tmp_path / name)) for name in names]
        for planner in planners:
            running = _add(planner, "long") + _add(planner, "short")
        wait_until(lambda: all(pair.works_on(*running) for pair in pairs), 30, "work")
        with cluster.nodes[0].client() as plain:
            # Only behind a write of one's own does WAIT tell anything.
            plain.set(f"marker:{{{names[0]}}}", 1)
            assert plain.wait(1, 10_000) == 1
        cluster.nodes[0].kill()
        for planner, pair in zip(planners, pairs, strict=True):
            pair.may_end("short")
            after = _add(planner, "after")
        wait_until(lambda: all(pair.works_on(*after) for pair in pairs), 60, "work on what came after the failover")
        for planner, pair in zip(planners, pairs, strict=True):
            _end_well(planner, pair, running + after)
        with cluster.nodes[3].client() as promoted:
            check(promoted, names[0])


def test_what_a_failover_loses(program7: Path) -> None:
    """As docs/fleet.md says: what the replica had not got is gone, and done again, and nothing is spoilt by it."""
    with SentinelFleet(program7) as fleet, Queue.from_url(fleet.url, "q", retry_for=60) as queue:
        queue.enqueue_many([{"id": id, "type": id, "payload": {"id": id}} for id in ("done", "held")])
        done = queue.claim("me", "done", lease=1)
        fleet.replicate()
        _cut_replication(fleet)
        held = queue.claim("me", "held", lease=60)
        assert done
        assert held
        queue.complete(done, decision_report=_REPORT["decisionReport"])
        queue.enqueue(id="new", type="new")
        never = queue.claim("me", "new", lease=60)
        assert never

        fleet.servers[0].kill()
        with pytest.raises(TaskNotFound):
            queue.heartbeat(never)
        assert queue.enqueue(id="new", type="new").created
        again = queue.claim("other", "held", lease=60)
        assert again
        assert again.token > held.token
        with pytest.raises(StaleClaim):
            queue.complete(held, decision_report=_REPORT["decisionReport"])
        once_more = queue.claim("other", "done", lease=60, wait=60)
        assert once_more
        assert [attempt.outcome for attempt in once_more.task.attempts] == ["expired"]
        with fleet.client(1) as promoted:
            check(promoted, "q")


def _cut_replication(fleet: SentinelFleet) -> None:
    """The replica goes on with what it has, and the sentinels take it as the best there is."""
    with fleet.client(1) as replica:
        replica.config_set("masterauth", "not the password")
        replica.execute_command("CLIENT", "KILL", "TYPE", "master")
        wait_until(lambda: replica.info("replication")["master_link_status"] == "down", 20, "a replica that is cut off")
