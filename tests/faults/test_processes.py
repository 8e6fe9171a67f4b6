"""A fleet of real processes on a real server, while both are killed with -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lokiredis import Queue, State
from lokiredis.models import Task

from ..invariants import check
from ..servers import RedisServer
from ..waiting import wait_until
from .calling import NAME
from .claimer import TYPES

pytestmark = pytest.mark.faults

_ROOT = Path(__file__).parents[2]
_TASKS, _CLAIMERS = 2000, 8
_KILLED_CLAIMERS, _KILLED_SERVERS, _FROZEN_CLAIMERS = 16, 5, 3


@dataclass
class _Fleet:
    """The claimer processes: some are killed, and others take their place."""

    url: str
    folder: Path
    chance: random.Random
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: int = 0

    def start(self) -> None:
        self.started += 1
        words = ["tests.faults.claimer", self.url, NAME, f"claimer-{self.started}", str(self.folder), str(self.started)]
        self.running.append(subprocess.Popen([sys.executable, "-m", *words], cwd=_ROOT))

    def kill_one(self) -> None:
        """kill -9 of one that has work in hand, wherever it may be with it; a new one comes."""
        working = {entry["pid"] for entry in _entries(self.folder / "claims")}
        doomed = self.chance.choice([process for process in self.running if process.pid in working])
        doomed.kill()
        doomed.wait(timeout=30)
        self.running.remove(doomed)
        self.start()

    def freeze_some(self, count: int, queue: Queue) -> None:
        """Stop some with work in hand until others have that work, and let them go on: they believe in their claims."""
        frozen: dict[int, dict[str, int]] = {}
        for process in self.running:
            if len(frozen) < count:
                process.send_signal(signal.SIGSTOP)
                lost = self._in_hand(process.pid)
                if lost:
                    frozen[process.pid] = lost
                else:
                    process.send_signal(signal.SIGCONT)
        while frozen:
            wait_until(lambda: any(self._in_other_hands(lost, queue) for lost in frozen.values()), 60, "second claims")
            for pid in [pid for pid, lost in frozen.items() if self._in_other_hands(lost, queue)]:
                os.kill(pid, signal.SIGCONT)
                del frozen[pid]

    def _in_hand(self, pid: int) -> dict[str, int]:
        noted = {entry["id"]: entry["token"] for entry in _entries(self.folder / "claims") if entry["pid"] == pid}
        for name in ("effects", "refusals"):
            for entry in _entries(self.folder / name):
                if entry["pid"] == pid and noted.get(entry["id"]) == entry["token"]:
                    del noted[entry["id"]]
        return noted

    def _in_other_hands(self, lost: dict[str, int], queue: Queue) -> bool:
        again = any(
            entry["token"] > lost.get(entry["id"], entry["token"]) for entry in _entries(self.folder / "claims")
        )
        # Stopped between the acknowledgement and its note, it has nothing to lose.
        return again or all(queue.get(id).state is State.COMPLETED for id in lost)

    def wait(self) -> None:
        """All of them end by themselves, without an error."""
        for process in self.running:
            assert process.wait(timeout=120) == 0

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.wait(timeout=30)


@contextmanager
def _fleet(server: RedisServer, folder: Path) -> Iterator[_Fleet]:
    fleet = _Fleet(server.url, folder, random.Random(7))
    try:
        yield fleet
    finally:
        fleet.close()


def _entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _lines(path)]


def _lines(path: Path) -> list[str]:
    # The last one may be just being written.
    return path.read_text().split("\n")[:-1] if path.exists() else []


def _all_tasks(queue: Queue) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    cursor = None
    while True:
        page = queue.list(None, limit=500, cursor=cursor)
        tasks |= {task.id: task for task in page.tasks}
        cursor = page.cursor
        if cursor is None:
            return tasks


def test_nothing_is_lost_or_done_twice_while_agents_and_server_are_killed(program: Path, tmp_path: Path) -> None:
    """8 claimers, 2,000 tasks, kill -9 of claimers and of the server: all is completed, once, in order."""
    with (
        RedisServer(program, appendonly=True, appendfsync="always") as server,
        Queue.from_url(server.url, NAME, retry_for=60) as queue,
        _fleet(server, tmp_path) as fleet,
    ):
        _enqueue(queue)
        for _ in range(_CLAIMERS):
            fleet.start()
        _kill_along_the_way(server, fleet, queue)
        fleet.wait()
        with server.client() as redis:
            check(redis, NAME)
        tasks = _all_tasks(queue)
    claims, effects = _entries(tmp_path / "claims"), _entries(tmp_path / "effects")
    refusals = _entries(tmp_path / "refusals")
    _nothing_lost(tasks)
    _nothing_done_twice(tasks, effects)
    _every_claim_is_in_the_ledger(tasks, claims)
    _tokens_grow(tasks, claims)
    _in_order(tasks)
    expired = sum(attempt.outcome == "expired" for task in tasks.values() for attempt in task.attempts)
    print(
        f"\n{len(tasks)} tasks completed by {fleet.started} claimers, {_KILLED_CLAIMERS} of them killed; "
        f"{_KILLED_SERVERS} kills of the server; "
        f"{len(claims)} claims and {len(effects)} completions noted, {expired} claims expired, "
        f"{len(refusals)} late completions refused"
    )
    assert refusals, "nobody came back too late: the test tested no fencing"
    assert expired > 0, "nobody was killed with work in hand: the test tested nothing"


def _enqueue(queue: Queue) -> None:
    for first in range(0, _TASKS, 500):
        queue.enqueue_many(
            {
                "id": f"t-{n}",
                "type": TYPES[n % len(TYPES)],
                "payload": {"n": n},
                "priority": 1 + n % 4,
                # Each kill costs the tasks in hand one retry: none shall end as a dead letter.
                "maxRetries": 100,
            }
            for n in range(first, first + 500)
        )


def _kill_along_the_way(server: RedisServer, fleet: _Fleet, queue: Queue) -> None:
    """The kills are spread over the work, not over time: whatever the machine's speed, they hit it in the middle."""
    effects = fleet.folder / "effects"
    _wait_for_lines(effects, _TASKS // 20)
    fleet.freeze_some(_FROZEN_CLAIMERS, queue)
    done = len(_lines(effects))
    assert done < _TASKS * 2 // 3, "too little work is left for the kills"
    kinds = ["claimer"] * _KILLED_CLAIMERS + ["server"] * _KILLED_SERVERS
    fleet.chance.shuffle(kinds)
    for number, kind in enumerate(kinds, 1):
        _wait_for_lines(effects, done + (_TASKS - done) * number // (len(kinds) + 2))
        if kind == "claimer":
            fleet.kill_one()
        else:
            server.kill()
            server.start()


def _wait_for_lines(path: Path, count: int) -> None:
    wait_until(lambda: len(_lines(path)) >= count, 120, f"{count} lines in {path.name}")


def _nothing_lost(tasks: dict[str, Task]) -> None:
    assert sorted(tasks) == sorted(f"t-{n}" for n in range(_TASKS))
    assert Counter(task.state for task in tasks.values()) == {State.COMPLETED: _TASKS}


def _nothing_done_twice(tasks: dict[str, Task], effects: list[dict[str, Any]]) -> None:
    """An acknowledged complete is the one that the task remembers, and each was acknowledged at most once."""
    assert max(Counter(entry["id"] for entry in effects).values()) == 1
    for entry in effects:
        assert tasks[entry["id"]].token == entry["token"]
    for task in tasks.values():
        endings = [attempt for attempt in task.attempts if attempt.outcome == "completed"]
        assert [attempt.token for attempt in endings] == [task.token]
    # A claimer may be killed between the acknowledgement and its note, no more than that.
    assert len(effects) >= _TASKS - 5 * _KILLED_CLAIMERS


def _every_claim_is_in_the_ledger(tasks: dict[str, Task], claims: list[dict[str, Any]]) -> None:
    """No claim that an agent was given is forgotten, not even over a kill of the server."""
    for entry in claims:
        ended = {(attempt.token, attempt.agent) for attempt in tasks[entry["id"]].attempts}
        assert (entry["token"], entry["agent"]) in ended


def _tokens_grow(tasks: dict[str, Task], claims: list[dict[str, Any]]) -> None:
    given = Counter((entry["id"], entry["token"]) for entry in claims)
    assert max(given.values()) == 1, "a token was given twice"
    for task in tasks.values():
        tokens = [attempt.token for attempt in task.attempts]
        assert tokens == sorted(set(tokens))


def _in_order(tasks: dict[str, Task]) -> None:
    """First claims of a type came by priority, then by sequence: a token is the server's time in ms."""
    first: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for task in tasks.values():
        first[task.type].append((task.attempts[0].token, -task.priority, task.sequence))
    for claimed in first.values():
        assert [rest for _, *rest in sorted(claimed)] == sorted(rest for _, *rest in claimed)
