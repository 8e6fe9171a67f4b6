"""The peers' drivers are started, listened to and ended as bench/run.py relies on it; no peer needs to be installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..waiting import wait_until
from .conftest import Fake


@pytest.mark.parametrize(("mode", "warmed"), [("single", 1), ("parallel32", 32), ("batch1000", 1)])
def test_enqueue_times_the_tasks_and_names_those_that_came_before(fake: Fake, mode: str, warmed: int) -> None:
    """Each mode puts exactly the tasks in that it reports, the warming ones apart."""
    found = fake.peer.enqueue(str(fake.queue), 100, mode)
    assert (found.tasks, found.warmed) == (100, warmed)
    assert found.seconds > 0
    assert fake.waiting() == 100 + warmed


@pytest.mark.parametrize("processes", [1, 3])
def test_drain_counts_each_task_once_over_all_processes(fake: Fake, processes: int) -> None:
    """What the workers report together is what was put in, and each of them reports."""
    fake.peer.fill(str(fake.queue), 1500)
    found = fake.peer.drain(str(fake.queue), 1500, processes)
    assert found.tasks == 1500
    assert len(found.cpu) == processes
    assert 0 < found.seconds <= found.wall
    assert fake.waiting() == 0


def test_pickup_gives_one_latency_per_task(fake: Fake) -> None:
    """The first tasks are not measured; each of the others took time from the call on, and less from the return on."""
    found = fake.peer.pickup(str(fake.queue), 3)
    assert len(found.from_call) == len(found.from_return) == 3
    assert all(0 < call > back for call, back in zip(found.from_call, found.from_return, strict=True))


@pytest.mark.parametrize("shape", ["layers", "fan"])
def test_dag_is_put_in_and_worked_through(fake: Fake, shape: str) -> None:
    """The worker is waited for until it has done all of the graph, and the task that came before it."""
    fake.slow()
    found = fake.peer.dag(str(fake.queue), shape, 60)
    assert found.enqueued.tasks == 60
    assert found.drained.tasks == 61


def test_a_load_that_the_peer_cannot_do_is_refused_by_name(fake: Fake) -> None:
    """No process is started for it."""
    from peers import PeerFailed

    fake.driver("raise SystemExit('was started')")
    with pytest.raises(PeerFailed, match=r"^Fake can't do memory$"):
        fake.peer.memory(str(fake.queue), 1, "{}")


def test_a_peer_without_its_environment_says_so(fake: Fake) -> None:
    """An environment that was not finished is none."""
    from peers import PeerFailed

    (fake.peer.environment / "peer.json").unlink()
    with pytest.raises(PeerFailed, match=r"^Fake is not installed$"):
        fake.peer.fill(str(fake.queue), 1)


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        ("import nothing_of_this_name", "ended with 1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("import sys; sys.exit('no such option')", "ended with 1: no such option"),
        ("import os; os.kill(os.getpid(), 9)", "ended with -9"),
        ("print('hello')", "said 'hello' in place of its figures"),
        ("print('[1]')", "said '[1]' in place of its figures"),
        ("print('{}')", "said {} in place of its figures"),
    ],
)
def test_a_driver_that_fails_is_reported_in_one_line(fake: Fake, driver: str, reason: str) -> None:
    """The line tells what the driver itself told."""
    from peers import PeerFailed

    fake.driver(driver)
    with pytest.raises(PeerFailed) as caught:
        fake.peer.enqueue(str(fake.queue), 1, "single")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("said", "at_last", "reason"),
    [
        ("go", "", "said 'go' in place of 'ready'"),
        ("ready\\nworking", "", "said 'working' in place of its count"),
        ("ready\\ndone many", "", "said 'done many' in place of its count"),
        ("ready\\ndone 1", "bye", "said 'bye' in place of its figures"),
    ],
)
def test_a_worker_that_speaks_otherwise_is_not_believed(fake: Fake, said: str, at_last: str, reason: str) -> None:
    """A count that nobody can read is no count."""
    from peers import PeerFailed

    fake.driver(f"import sys; print('{said}', flush=True); sys.stdin.read(); print('{at_last}')")
    with pytest.raises(PeerFailed) as caught:
        fake.peer.drain(str(fake.queue), 1)
    assert caught.value.reason == reason


def test_a_driver_that_hangs_is_ended_with_all_its_children(fake: Fake, tmp_path: Path) -> None:
    """After the limit there is no process left of it, also none that it started."""
    from peers import PeerFailed

    fake.driver(
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(tmp_path / 'pids.part')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.rename({str(tmp_path / 'pids.part')!r}, {str(tmp_path / 'pids')!r})\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(PeerFailed, match=r"^no answer within 3 s$"):
        fake.peer.fill(str(fake.queue), 1, limit=3)
    for pid in (tmp_path / "pids").read_text().split():
        wait_until(lambda pid=pid: not _runs(int(pid)), what=f"the end of {pid}")  # type: ignore[misc]


def test_a_worker_that_dies_ends_the_load_and_the_other_workers(fake: Fake, tmp_path: Path) -> None:
    """One dead worker of two: the load fails at once, and the living one is ended."""
    from peers import PeerFailed

    fake.driver(
        "import os, sys\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "try:\n"
        f"    os.close(os.open({str(tmp_path / 'first')!r}, os.O_CREAT | os.O_EXCL))\n"
        "except FileExistsError:\n"
        "    sys.exit('no connection')\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "sys.stdin.read()\n"
    )
    with pytest.raises(PeerFailed, match=r"^ended with 1: no connection$"):
        fake.peer.drain(str(fake.queue), 1, 2)
    found = (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else ""
    assert not found or not _runs(int(found))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that nobody has waited for yet is dead too.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
