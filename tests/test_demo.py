"""The demo, run for real: what it shows, what it leaves, and that it fails when something did not happen."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lokiredis import Queue, State, Task
from lokiredis.cli import main
from lokiredis.demo import director
from lokiredis.demo.evidence import Evidence, Killed, Snapshot, hold_of
from lokiredis.demo.expectations import EXPECTATIONS, examine
from lokiredis.demo.plan import DOOMED, FLAKY, FLEET, HOPELESS, LIMITED, PLAN_FILE, PROBE, RATE_LIMIT, planned
from lokiredis.embedded import EmbeddedServer

from .waiting import wait_until

ROOT = Path(__file__).parents[1]


def environment() -> dict[str, str]:
    """Ours without the queue that a developer may work on, and with room for a line of the summary."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("LOKIREDIS_")}
    return bare | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def processes(folder: Path, *words: str) -> set[int]:
    """The living processes that work in *folder* or name it, and have all *words* in their command line."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
            place = os.readlink(entry / "cwd")
        except OSError:
            continue
        if (str(folder) in line or place.startswith(str(folder))) and all(word in line for word in words):
            found.add(int(entry.name))
    return found


@dataclass(frozen=True)
class Ran:
    """A whole demo that was run in *home*."""

    home: Path
    code: int
    out: str
    err: str
    left: set[int]

    @property
    def folder(self) -> Path:
        """The files of the run."""
        [found] = (self.home / "demo-out").iterdir()
        return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of its own; its server is stopped in the end."""
    found = tmp_path_factory.mktemp("demo")
    yield found
    EmbeddedServer(found / ".loki").stop()


@pytest.fixture(scope="module")
def ran(home: Path) -> Ran:
    """The demo, run once."""
    command = [sys.executable, "-m", "lokiredis", "demo"]
    ran = subprocess.run(
        command, cwd=home, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90
    )
    return Ran(home, ran.returncode, ran.stdout, ran.stderr, processes(home))


@pytest.fixture(scope="module")
def seen(ran: Ran) -> Evidence:
    """The evidence of that run, read again from what it left."""
    with Queue.from_url(EmbeddedServer(ran.home / ".loki").start(), ran.folder.name) as queue:
        snapshot, hold = Snapshot.of(queue), hold_of(queue, LIMITED)
    assert hold is not None
    killed = min(snapshot.tasks[DOOMED].attempts, key=lambda attempt: attempt.token).agent
    return Evidence(
        snapshot=snapshot,
        began=snapshot.tasks["plan-001"].created_at,
        folder=ran.folder,
        exits={role.name: 0 for role in FLEET} | {killed: -9},
        killed=Killed(killed, DOOMED),
        refusals=frozenset({"slowdown"}),
        hold=hold,
        slowdown_until=hold.until - timedelta(seconds=RATE_LIMIT / 2),
    )


def test_everything_happens_and_is_told(ran: Ran) -> None:
    """Exit code 0, a line of the summary for each expectation, and the time that people are willing to watch."""
    assert ran.code == 0, f"{ran.out}\n{ran.err}"
    assert ran.err == ""
    for expectation in EXPECTATIONS:
        assert expectation.what in ran.out
        assert expectation.what in (ran.folder / "SUMMARY.md").read_text()
    found = re.search(r"As expected after ([0-9.]+) s: 26 completed, 1 dead-letter\.", ran.out)
    assert found is not None
    assert float(found[1]) <= 40


def test_no_process_is_left(ran: Ran) -> None:
    """Neither an agent nor the server."""
    assert ran.left == set()


def test_every_task_has_left_its_file(ran: Ran, seen: Evidence) -> None:
    """Also the reviews, whose target is a folder; nothing half-written by the killed agent. Every attempt has a log."""
    targets = {task["payload"]["target"] for task in [*planned(), PROBE] if task["id"] != HOPELESS}
    reports = {f"reports/{task['id']}.md" for task in planned() if task["payload"]["target"] == "server/"}
    files = {str(file.relative_to(ran.folder)) for file in ran.folder.rglob("*") if file.is_file()}
    logs = {f"logs/{role.name}.log" for role in FLEET}
    for task in seen.snapshot.tasks.values():
        logs |= {f"logs/tasks/{task.id}-{number}.log" for number in range(1, len(task.attempts) + 1)}
    assert files == (targets - {"server/"}) | reports | {"SUMMARY.md"} | logs
    assert not (ran.folder / ".tmp").exists()


def test_the_commands_to_try_next_work(ran: Ran, seen: Evidence) -> None:
    """As they stand there, pasted into a shell, on the data that the demo left. The last ones do the dead letter."""
    lines = re.findall(r"(?m)^  (\S.*?)\s+# ", ran.out.partition("Try next:\n")[2])
    assert len(lines) == 7
    for line in lines:
        shell = subprocess.run(
            line, shell=True, cwd=ran.home, env=environment(), capture_output=True, text=True, timeout=60
        )
        assert shell.returncode == 0, f"{line}\n{shell.stdout}\n{shell.stderr}"
    assert HOPELESS in shell.stdout


def test_the_plan_is_the_whole_plan() -> None:
    """26 tasks of 13 types, and at least two agents for each type: one agent is killed."""
    assert len(json.loads(PLAN_FILE.read_text())["tasks"]) == 26
    types = {task["type"] for task in planned()}
    assert len(types) == 13
    assert {type for type in types if sum(type in role.types for role in FLEET) < 2} == set()
    assert {type for role in FLEET for type in role.types} == types


def changed(seen: Evidence, id: str, **fields: Any) -> Evidence:
    """The evidence with another task *id*."""
    task = seen.snapshot.tasks[id].model_copy(update=fields)
    return replace(seen, snapshot=replace(seen.snapshot, tasks={**seen.snapshot.tasks, id: task}))


def lacking(seen: Evidence, id: str, outcome: str) -> Evidence:
    """The evidence without a task's attempts of one outcome."""
    left = tuple(attempt for attempt in seen.snapshot.tasks[id].attempts if attempt.outcome != outcome)
    return changed(seen, id, attempts=left)


def pending(seen: Evidence, id: str) -> Evidence:
    """The evidence with a task that was never done."""
    made = changed(seen, id, attempts=(), result=None, completed_at=None)
    made.snapshot.tasks[id]._state = State.PENDING
    return made


def with_breaker(seen: Evidence, **fields: Any) -> Evidence:
    """The evidence with another breaker."""
    breaker = replace(seen.snapshot.stats.breakers[PROBE["type"]], **fields)
    stats = replace(seen.snapshot.stats, breakers={PROBE["type"]: breaker})
    return replace(seen, snapshot=replace(seen.snapshot, stats=stats))


def at_once(task: Task) -> dict[str, Any]:
    """The flaky task's attempts, the second without any backoff."""
    first, second = sorted(task.attempts, key=lambda attempt: attempt.token)
    return {"attempts": (first, second.model_copy(update={"claimed_at": first.ended_at}))}


def during_the_slowdown(seen: Evidence) -> dict[str, Any]:
    """Attempts that began while nobody should get a task."""
    assert seen.slowdown_until is not None
    [attempt] = seen.snapshot.tasks["rel-001"].attempts
    return {"attempts": (attempt.model_copy(update={"claimed_at": seen.slowdown_until - timedelta(seconds=1)}),)}


#: what must be found missing -> how the evidence is spoiled
SPOILED: dict[str, Callable[[Evidence], Evidence]] = {
    "the plan is worked through": lambda seen: pending(seen, "mkt-001"),
    "in order, and nothing twice": lambda seen: changed(
        seen, "be-002", attempts=seen.snapshot.tasks["be-002"].attempts * 2
    ),
    "real files, reported truly": lambda seen: replace(seen, folder=seen.folder / "logs"),
    "at least six agents at work": lambda seen: replace(
        seen,
        snapshot=replace(seen.snapshot, tasks={id: seen.snapshot.tasks[id] for id in ("plan-001", "arch-001")}),
    ),
    "a flaky task is tried again": lambda seen: changed(seen, FLAKY, **at_once(seen.snapshot.tasks[FLAKY])),
    "a hopeless task becomes a dead letter": lambda seen: pending(seen, HOPELESS),
    "it opens the breaker of its type": lambda seen: with_breaker(seen, opened_at=None),
    "a probe closes that breaker again": lambda seen: with_breaker(seen, state="half-open"),
    "the task of a killed agent is taken over": lambda seen: lacking(seen, DOOMED, "expired"),
    "its checkpoint isn't lost": lambda seen: changed(seen, DOOMED, result={"output": {"carriedOnAt": 0}}),
    "a rate limit holds its agent": lambda seen: changed(seen, LIMITED, retries=1),
    "and slows the whole fleet down": lambda seen: changed(seen, "rel-001", **during_the_slowdown(seen)),
    "the fleet ends in time": lambda seen: replace(seen, out_of_time=True),
}


def test_the_evidence_can_be_read_again(seen: Evidence) -> None:
    """From the data on disk: every expectation is met, so that each spoiled one below is the fault of its spoiling."""
    assert [finding for finding in examine(seen) if not finding.met] == []
    assert list(SPOILED) == [expectation.what for expectation in EXPECTATIONS]


@pytest.mark.parametrize("what", SPOILED)
def test_what_did_not_happen_is_missed(what: str, seen: Evidence) -> None:
    """Each expectation has evidence without which it is not met."""
    spoiled = SPOILED[what](seen)
    assert what in [finding.what for finding in examine(spoiled) if not finding.met]


def test_an_unexpected_outcome_exits_with_1(seen: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says what was missing, to people and to programs."""

    def perform(run: director.Run, *_: object) -> Evidence:
        return replace(lacking(seen, FLAKY, "failed"), folder=run.folder)

    monkeypatch.setattr(director, "perform", perform)
    try:
        told = CliRunner().invoke(main, ["demo", "--dir", str(tmp_path)])
        data = CliRunner().invoke(main, ["demo", "--dir", str(tmp_path), "--json"])
    finally:
        EmbeddedServer(tmp_path / ".loki").stop()
    assert told.exit_code == data.exit_code == 1
    assert "NOT as expected" in told.stdout
    assert "a flaky task is tried again" in told.stderr
    answer = json.loads(data.stdout)["data"]
    assert answer["ok"] is False
    missing = [finding["what"] for finding in answer["expectations"] if not finding["met"]]
    assert "a flaky task is tried again" in missing
    assert processes(tmp_path) == set()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A demo in *tmp_path* whose agents are at work."""
    command = [sys.executable, "-m", "lokiredis", "demo", "--dir", str(tmp_path)]
    process = subprocess.Popen(
        command,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        # The first news: a task is done, so agents run.
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()
        EmbeddedServer(tmp_path / ".loki").stop()


@pytest.mark.faults
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_interrupted_leaves_no_process(
    number: signal.Signals, code: int, running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """Ctrl-C reaches only the director, who ends the agents and the server."""
    # For a moment more: a command that is being started has the command line of its worker until it runs.
    wait_until(lambda: len(processes(tmp_path, "worker", "--agent")) == len(FLEET), 10, "one worker per agent")
    running.send_signal(number)
    _, err = running.communicate(timeout=30)
    assert running.returncode == code
    assert b"Traceback" not in err
    assert processes(tmp_path) == set()


@pytest.mark.faults
def test_agents_end_with_a_director_that_is_killed(running: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Nobody tells them, neither the workers nor what those run: Linux ends them."""
    running.kill()
    running.wait()
    wait_until(lambda: not processes(tmp_path, "lokiredis.demo.agent"), 5, "the agents are gone")
