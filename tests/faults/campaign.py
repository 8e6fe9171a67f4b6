"""A campaign: producers and workers of both kinds at work, while something strikes them again and again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from lokiredis import Queue

from ..servers import RedisServer
from ..waiting import wait_until
from .counts import Counts, all_tasks, count
from .ledger import Ledger
from .working import TYPES

NAME = "q"
_ROOT = Path(__file__).parents[2]
_COMMAND = (sys.executable, "-S", "-E", str(Path(__file__).with_name("ledger.py")))
#: The chance that a throw of the dice kills a worker, and the server.
_WORKER_DIES, _SERVER_DIES = 0.08, 0.02
#: One worker of so many is ``lokiredis worker`` with a command, the others run functions of Python.
_ONE_COMMAND_OF = 5
#: Seconds without a task that ends, after which the campaign has come to a halt.
_HALT = 60.0


@dataclass(frozen=True)
class Size:
    """How large a campaign is; ``lease`` and ``every``, the time between two strikes, are seconds."""

    tasks: int
    workers: int = 10
    producers: int = 5
    lease: float = 3.0
    every: float = 0.25


class Campaign:
    """``run`` it once. As a context manager it ends all processes that it started."""

    def __init__(self, server: RedisServer, folder: Path, size: Size) -> None:
        self.server, self.folder, self.size = server, folder, size
        self._path = str(folder / "ledger.sqlite")
        self._all = ExitStack()
        self.ledger = Ledger(self._path, new=True)
        self._all.callback(self.ledger.close)
        self.queue = self._all.enter_context(Queue.from_url(server.url, NAME, retry_for=60))
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self._agents: dict[int, str] = {}
        self._producers: list[subprocess.Popen[bytes]] = []
        self._started = 0
        self.killed_workers = 0
        self.killed_servers = 0
        self._told: list[str] = []

    def __enter__(self) -> Campaign:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self._producers, *self._workers.values()):
            process.kill()
            process.wait(timeout=30)
        self._all.close()

    def run(self, strike: Callable[[Campaign, int], None]) -> Counts:
        """To the end of the last task, and of every worker. ``strike`` is told how many tasks are completed."""
        for slot in range(self.size.workers):
            self._start_worker(slot)
        for number in range(self.size.producers):
            self._start_producer(number)
        self._strike_until_done(strike)
        # One that was started a moment ago would be ended by SIGTERM before it can stop by it.
        wait_until(self._all_at_work, 60, "workers that are there")
        for slot, process in self._workers.items():
            process.send_signal(signal.SIGTERM)
            self._expect_0(f"worker {slot}", process.wait(timeout=60))
        return count(self.ledger, all_tasks(self.queue), self._told)

    def kill_worker(self) -> None:
        """kill -9 of one of them; another one takes its place."""
        slot, process = random.choice(list(self._workers.items()))
        process.kill()
        process.wait(timeout=30)
        self.killed_workers += 1
        self._start_worker(slot)

    def kill_server(self) -> None:
        """kill -9, and a new start on the same files."""
        self.server.kill()
        self.server.start()
        self.killed_servers += 1

    def said(self) -> str:
        """What producers and workers wrote to standard error."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def _strike_until_done(self, strike: Callable[[Campaign, int], None]) -> None:
        completed, moved = 0, time.monotonic()
        while completed < self.size.tasks or any(producer.poll() is None for producer in self._producers):
            time.sleep(self.size.every)
            counts = self.queue.counts()
            if counts["completed"] > completed:
                completed, moved = counts["completed"], time.monotonic()
            elif time.monotonic() - moved > _HALT:
                self._told.append(f"nothing was completed for {_HALT:g} s: {counts}")
                return
            self._restart_what_ended()
            if completed:  # before there is work, it would hit nothing
                strike(self, completed)
        for number, producer in enumerate(self._producers):
            self._expect_0(f"producer {number}", producer.wait())

    def _all_at_work(self) -> bool:
        there = {agent.name for agent in self.queue.agents()}
        return all(name in there for name in self._agents.values())

    def _restart_what_ended(self) -> None:
        for slot, process in list(self._workers.items()):
            if process.poll() is not None:
                self._told.append(f"worker {slot} ended by itself with {process.returncode}")
                self._start_worker(slot)

    def _expect_0(self, name: str, code: int) -> None:
        if code != 0:
            self._told.append(f"{name} ended with {code}")

    # Processes

    def _start_worker(self, slot: int) -> None:
        self._started += 1
        agent = self._agents[slot] = f"worker-{slot}/{self._started}"
        if slot % _ONE_COMMAND_OF:
            words = ["tests.faults.working", self.server.url, NAME, agent, self._path, str(self.size.lease)]
        else:
            types = [word for type in TYPES for word in ("--type", type)]
            words = ["lokiredis", "--url", self.server.url, "--queue", NAME, "worker", "--agent", agent, *types]
            words += ["--lease", f"{self.size.lease:g}s", "--concurrency", "2", "--logs", str(self.folder / "logs")]
            words += ["--", *_COMMAND, self._path]
        self._workers[slot] = self._start(f"worker-{slot}", words)

    def _start_producer(self, number: int) -> None:
        share = self.size.tasks // self.size.producers
        # No more than a tenth of all tasks lies in the queue, or the producers would be done before anybody is killed.
        backlog = self.size.tasks // 10
        words = ["tests.faults.producing", self.server.url, NAME, self._path, f"p{number}", str(share), str(backlog)]
        self._producers.append(self._start(f"producer-{number}", words))

    def _start(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            # What a worker that is killed leaves of its tasks' files shall go with the folder.
            environment = {**os.environ, "TMPDIR": str(self.folder)}
            return subprocess.Popen([sys.executable, "-m", *words], cwd=_ROOT, env=environment, stderr=log)


def kill_by_chance(campaign: Campaign, completed: int) -> None:
    """Throw the dice: for a worker, and for the server."""
    # A campaign so short that they may spare everybody tests something all the same.
    late = completed > campaign.size.tasks // 2
    if random.random() < _WORKER_DIES or (late and not campaign.killed_workers):
        campaign.kill_worker()
    if random.random() < _SERVER_DIES or (late and not campaign.killed_servers):
        campaign.kill_server()


def forget_scripts(campaign: Campaign, completed: int) -> None:
    """SCRIPT FLUSH, and on Redis 7 FUNCTION FLUSH: scripts are function libraries there."""
    with campaign.server.client() as redis:
        redis.script_flush()
        if campaign.server.version >= (7, 0, 0):
            redis.function_flush()
