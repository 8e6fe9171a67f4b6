"""Three hosts, Redis on one and a worker on each of the others: what happens while one of them is cut off."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lokiredis import Queue, Task

from ..conftest import lacking
from ..hosts import Hosts
from ..invariants import check
from ..servers import RedisServer, programs
from ..waiting import wait_until
from .conftest import ROOT, alive

pytestmark = pytest.mark.faults

EFFECT = Path(__file__).with_name("effect.py")
REDIS, CUT_OFF, OTHER = range(3)
Start = Callable[..., Path]


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Three hosts that reach each other."""
    with Hosts(3) as made:
        yield made


@pytest.fixture
def server(hosts: Hosts, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis on the first of them; this process reaches it by its socket."""
    program = hosts.program_on(REDIS, programs().get("redis7") or lacking("redis7: no such server"), tmp_path)
    config: dict[str, str | int] = {"bind": hosts.address(REDIS), "protected-mode": "no"}
    with RedisServer(program, tcp=True, config=config) as made:
        yield made


@pytest.fixture
def queue(server: RedisServer, queue_name: str) -> Iterator[Queue]:
    """The queue as the test sees it; its data is checked afterwards."""
    with Queue.from_url(server.socket_url, queue_name) as queue:
        yield queue
        check(queue.redis, queue_name)


@pytest.fixture
def start(hosts: Hosts, server: RedisServer, queue: Queue, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker on a host, which has a task type of its own, too; the folder of its files."""
    started: list[subprocess.Popen[bytes]] = []

    def run(number: int, agent: str, *words: str) -> Path:
        folder = tmp_path / agent
        folder.mkdir()
        environment = {
            **os.environ,
            "LOKIREDIS_URL": f"redis://{hosts.address(REDIS)}:{server.port}",
            "LOKIREDIS_QUEUE": queue.name,
            "PYTHONPATH": str(ROOT),
        }
        worker = [sys.executable, "-m", "lokiredis", "worker", "--agent", agent, "--type", "a", "--type", agent]
        worker += ["--lease", "3s", "--grace", "1s", "--health-file", str(folder / "health"), *words]
        worker += ["--", sys.executable, str(EFFECT), str(tmp_path / "ledger"), str(folder)]
        with (folder / "said").open("wb") as said:
            started.append(
                subprocess.Popen(hosts.on(number, *worker), cwd=folder, env=environment, stdout=said, stderr=said)
            )
        return folder

    yield run
    for process in started:
        process.kill()
        process.wait(timeout=20)


def _task(queue: Queue, id: str) -> Task:
    task = queue.get(id)
    assert task is not None
    return task


def _running(folder: Path) -> Any:
    """What the worker works on as its health file says, None without one."""
    file = folder / "health"
    return json.loads(file.read_text())["running"] if file.exists() else None


@pytest.mark.parametrize("on_lost_lease", ["stop", "continue"])
def test_a_host_is_cut_off_for_longer_than_its_lease(
    hosts: Hosts, queue: Queue, start: Start, tmp_path: Path, on_lost_lease: str
) -> None:
    """The other host finishes its task, its own late result counts nowhere, and when the cut heals it works again."""
    queue.enqueue(type="a", id="shared")
    cut_off = start(CUT_OFF, "cut-off", "--on-lost-lease", on_lost_lease)
    command = int(
        wait_until(lambda: (file := cut_off / "began").exists() and file.read_text(), 30, "the first attempt")
    )
    token = _task(queue, "shared").token
    hosts.cut_off(CUT_OFF)
    start(OTHER, "other")
    wait_until(lambda: queue.counts()["completed"] == 1, 60, "the other host's result")
    # Without being told to stop it ends its work only now, long after the other one: that is the late result.
    if on_lost_lease == "continue":
        assert alive(command)
        (cut_off / "go-on").touch()
    wait_until(lambda: not alive(command), 30, "the end of the first attempt")
    wait_until(lambda: _running(cut_off) == [], 30, "a worker that knows of it")
    assert (cut_off / "refused").exists() == (on_lost_lease == "continue")
    hosts.heal(CUT_OFF)
    refusal = f"the claim {token} of shared has ended"
    wait_until(lambda: refusal in (cut_off / "said").read_text(), 60, "the refusal of the late result")
    queue.enqueue(type="cut-off", id="next")
    wait_until(lambda: queue.counts()["completed"] == 2, 60, "a host that works again")
    shared, next = _task(queue, "shared"), _task(queue, "next")
    assert (shared.result or {})["output"] == {"by": "other", "taken": True}
    assert [(a.agent, a.outcome) for a in shared.attempts] == [("cut-off", "expired"), ("other", "completed")]
    assert next.claimed_by == "cut-off"
    effects = sqlite3.connect(tmp_path / "ledger").execute("SELECT * FROM effects ORDER BY token").fetchall()
    assert effects == [("shared", shared.token, "other"), ("next", next.token, "cut-off")]
