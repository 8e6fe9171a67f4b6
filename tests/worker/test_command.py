"""``lokiredis worker``: a command per task, as real processes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest

from lokiredis import Queue, State, Task
from lokiredis.worker.command import CommandHandler
from lokiredis.worker.log import MOST_BYTES, AttemptLog
from lokiredis.worker.outcomes import AttemptFailed, HandBack
from lokiredis.worker.starting import Starting

from ..servers import RedisServer, free_port
from ..waiting import wait_until
from .conftest import AGENT, Start, alive

#: How many tasks may be claimed to see whether commands can be started again: one, and one that was under way.
_PROBES = 2


def _task(queue: Queue, id: str) -> Task:
    task = queue.get(id)
    assert task is not None
    return task


def _ended(queue: Queue, id: str = "x") -> Task:
    """The task, once its attempt is over."""

    def over() -> Task | None:
        task = queue.get(id)
        assert task is not None
        return task if task.attempts or task.state is State.COMPLETED else None

    found = wait_until(over, timeout=20)
    assert found is not None
    return found


def _add(queue: Queue, id: str = "x", **payload: Any) -> None:
    queue.enqueue(type="a", id=id, payload=payload, max_retries=1, timeout=60)


def test_a_command_is_told_of_its_task(queue: Queue, start: Start, redis7_server: RedisServer, tmp_path: Path) -> None:
    """By standard input, a file and its environment; its own arguments stay as they are."""
    _add(queue)
    start("--agent", "host/a-1", command=(sys.executable, str(AGENT), "--fast", "$HOME", "a b"))
    task = _ended(queue)
    assert task.state is State.COMPLETED
    assert task.result is not None
    output = task.result["output"]
    assert output["argv"] == ["--fast", "$HOME", "a b"]
    seen = output["environment"]
    assert (seen["LOKIREDIS_TASK_ID"], seen["LOKIREDIS_TASK_TYPE"]) == ("x", "a")
    assert (seen["LOKIREDIS_TASK_TOKEN"], seen["LOKIREDIS_TASK_ATTEMPT"]) == (str(task.token), "1")
    assert (seen["LOKIREDIS_URL"], seen["LOKIREDIS_AGENT"]) == (redis7_server.url, "host/a-1")
    assert output["checkpoint"] is False
    log = tmp_path / ".loki" / "logs" / "tasks" / "x-1.log"
    assert log.read_text().startswith("the last line counts\n")
    assert not Path(seen["LOKIREDIS_TASK_FILE"]).exists()


@pytest.mark.parametrize(
    ("payload", "state", "error"),
    [
        ({"does": "exit", "code": 3, "says": "cannot build\nsee above"}, State.DEAD_LETTER, "cannot build\nsee above"),
        ({"does": "exit", "code": 4}, State.DEAD_LETTER, "the command ended with exit code 4 and said nothing"),
        ({"does": "prints", "text": '{"output": '}, State.DEAD_LETTER, "the last line of the output is no JSON: "),
        ({"does": "writes", "text": "no JSON"}, State.DEAD_LETTER, "the result file is no JSON: "),
        ({"does": "writes", "text": "[1]"}, State.DEAD_LETTER, "the result file is no JSON object"),
        ({"does": "prints", "text": "done"}, State.DEAD_LETTER, "the result was refused: "),
        ({"does": "prints", "text": '{"output": 1}'}, State.DEAD_LETTER, "the result was refused: "),
    ],
)
def test_how_a_command_fails(queue: Queue, start: Start, payload: dict[str, Any], state: State, error: str) -> None:
    """Each in a clear state, with a clear word; the worker goes on."""
    _add(queue, **payload)
    start()
    task = _ended(queue)
    assert task.state is state
    assert str(task.last_error).startswith(error)
    _add(queue, "y")
    assert _ended(queue, "y").state is State.COMPLETED


def test_75_hands_the_task_back(queue: Queue, start: Start) -> None:
    """Without a charge."""
    _add(queue, does="exit", code=75, says="no GPU here")
    start()
    task = _ended(queue)
    assert (task.retries, task.attempts[0].outcome, task.attempts[0].error) == (0, "released", "no GPU here")


@pytest.mark.parametrize(
    "odd",
    [
        "printf '\\351' > $FILE",
        "head -c 100000 /dev/zero | tr '\\0' '[' > $FILE",
        "head -c 5000 /dev/zero | tr '\\0' '9' > $FILE",
        "mkdir $FILE",
        "mkfifo $FILE",
        "ln -s /dev/zero $FILE",
        "truncate -s 1T $FILE",
    ],
)
def test_an_odd_checkpoint_file_does_not_change_the_ending(queue: Queue, start: Start, odd: str) -> None:
    """It is told of; what the command said counts, and the worker goes on."""
    script = f'FILE="$LOKIREDIS_TASK_CHECKPOINT_FILE"; {odd}; echo "no GPU here" >&2; exit 75'
    _add(queue)
    start(command=("sh", "-c", script))
    task = _ended(queue)
    assert (task.retries, task.attempts[0].outcome, task.attempts[0].error) == (0, "released", "no GPU here")


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("kill -36 $$", "the command ended with signal 36 and said nothing"),
        ("kill -9 $$", "the command ended with signal SIGKILL and said nothing"),
        ('mkdir "$LOKIREDIS_TASK_RESULT_FILE"', "the result file is no file"),
    ],
)
def test_an_odd_end_is_told_plainly(queue: Queue, start: Start, script: str, error: str) -> None:
    """In words of the person who wrote the command, not of this program."""
    _add(queue)
    start(command=("sh", "-c", script))
    assert _ended(queue).last_error == error


def test_a_command_may_use_the_other_verbs(queue: Queue, start: Start) -> None:
    """Its environment names server, queue, task and token."""
    _add(queue, does="tells")
    start()
    task = _ended(queue)
    assert (task.state, task.progress) == (State.COMPLETED, "half done")


def test_an_unknown_command(start: Start) -> None:
    """Said before anything is claimed."""
    process = start(command=("no-such-command",))
    assert process.wait(timeout=20) == 2
    assert process.stderr is not None
    assert "there is no command no-such-command here" in process.stderr.read()


def test_a_command_that_is_not_executable(start: Start, tmp_path: Path) -> None:
    """Named as that: a person looks for another reason when it is called unknown."""
    (tmp_path / "agent").touch(0o644)
    process = start(command=("./agent",))
    assert process.wait(timeout=20) == 2
    assert process.stderr is not None
    assert "./agent is not executable" in process.stderr.read()


def test_a_worker_that_would_be_stuck_at_once(start: Start) -> None:
    """Said as what it is: a wrong option."""
    process = start("--stuck-after", "0")
    assert process.wait(timeout=20) == 2
    assert process.stderr is not None
    assert "--stuck-after" in process.stderr.read()


def test_100_megabytes_of_output(queue: Queue, start: Start, tmp_path: Path) -> None:
    """They reach neither the queue nor the disk in full; the result in the last line counts."""
    _add(queue, does="floods", megabytes=100)
    start()
    assert _ended(queue).state is State.COMPLETED
    log = tmp_path / ".loki" / "logs" / "tasks" / "x-1.log"
    wait_until(lambda: "left out here" in log.read_text())
    assert log.stat().st_size < 11_000_000


def test_fields_of_a_task_are_data(queue: Queue, start: Start, tmp_path: Path) -> None:
    """What looks like an option, a command or the end of a line reaches the command as it is, and only as data."""
    hostile = "--help\n$(touch stolen); `touch stolen` 'x' \"y\" \x1b[31m"
    queue.enqueue(
        type="a", id="x", payload={"text": hostile, "--does": "-x"}, title=hostile, max_retries=1, **{"-v": "-"}
    )
    queue.enqueue(type="a", id="y", payload={"does": "exit", "code": 1, "says": hostile}, max_retries=1)
    process = start("--concurrency", "2")
    task, other = _ended(queue, "x"), _ended(queue, "y")
    assert task.state is State.COMPLETED
    assert task.result is not None
    assert task.result["output"]["argv"] == []
    given = task.result["output"]["task"]
    assert (given["payload"], given["title"], given["-v"]) == ({"text": hostile, "--does": "-x"}, hostile, "-")
    assert not any("touch" in value for value in task.result["output"]["environment"].values())
    assert not list(tmp_path.rglob("stolen"))
    assert other.last_error == hostile
    process.terminate()
    _, said = process.communicate(timeout=20)
    assert "\x1b" not in said
    assert "\\x1b" in said


@pytest.mark.parametrize("does", ["waits", "ignores"])
def test_a_cancelled_task_ends_its_whole_group(queue: Queue, start: Start, tmp_path: Path, does: str) -> None:
    """SIGTERM to the command and to what it started; SIGKILL after the grace to what ignores it."""
    pids = tmp_path / "pids"
    _add(queue, does=does, pids=str(pids))
    process = start("--grace", "1s")
    wait_until(lambda: pids.exists() and pids.read_text(), timeout=20)
    group = [int(word) for word in pids.read_text().split()]
    queue.cancel("x", "no more")
    wait_until(lambda: not any(map(alive, group)), timeout=20)
    _add(queue, "y")
    assert _ended(queue, "y").state is State.COMPLETED
    assert process.poll() is None


def test_what_a_command_leaves_behind_is_ended(queue: Queue, start: Start, tmp_path: Path) -> None:
    """A grandchild that holds the pipes keeps neither the task nor the slot."""
    pids = tmp_path / "pids"
    _add(queue, does="leaves", pids=str(pids))
    start()
    assert _ended(queue).state is State.COMPLETED
    wait_until(lambda: not alive(int(pids.read_text())), timeout=20)


@pytest.mark.parametrize("ends", ["by itself", "by a cancel", "with its worker"])
def test_a_daemon_that_a_command_leaves_behind_is_ended(queue: Queue, start: Start, tmp_path: Path, ends: str) -> None:
    """Though it has left the process group: a session of its own, and another one that it has started."""
    pids = tmp_path / "pids"
    _add(queue, does="daemon", pids=str(pids), stays=ends != "by itself")
    process = start("--grace", "1s")
    wait_until(lambda: pids.exists() and pids.read_text(), timeout=20)
    left = [int(pid) for pid in pids.read_text().split()]
    try:
        if ends == "by a cancel":
            queue.cancel("x", "no more")
        if ends == "with its worker":
            process.kill()
        wait_until(lambda: not any(map(alive, left)), 20, "the end of the daemons")
    finally:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    if process.poll() is None and ends == "by itself":
        assert _ended(queue).state is State.COMPLETED
        assert not [pid for pid in left if Path(f"/proc/{pid}").exists()], "a corpse that nobody has buried"


def test_the_command_of_a_worker_that_is_killed(
    queue: Queue, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends, with what it started: nothing works on beside who has the task next. The next worker cleans up."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    pids = tmp_path / "pids"
    _add(queue, does="ignores", pids=str(pids))
    process = start()
    wait_until(lambda: pids.exists() and pids.read_text(), timeout=20)
    group = [int(pid) for pid in pids.read_text().split()]
    assert all(map(alive, group))
    [left] = tmp_path.glob("lokiredis-tasks-*")
    process.kill()
    try:
        wait_until(lambda: not any(map(alive, group)), timeout=5)
    finally:
        for pid in group:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert left.exists()
    start()
    wait_until(lambda: not left.exists(), timeout=20)


def test_a_rate_limit_in_standard_error(queue: Queue, start: Start) -> None:
    """The agent is held, the checkpoint survives, and the command runs again; no attempt is charged."""
    _add(queue, does="limited")
    start()
    wait_until(lambda: queue.counts()["completed"] == 1, timeout=20)
    task = queue.get("x")
    assert task is not None
    assert task.result is not None
    assert task.result["output"]["checkpoint"] == '{"done": 1}'
    assert (task.retries, len(task.attempts)) == (0, 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_stops_the_worker(
    queue: Queue, start: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """What still runs after the grace is handed back with its checkpoint, without a charge; nothing is left behind."""
    pids = tmp_path / "pids"
    _add(queue, does="waits", pids=str(pids))
    process = start("--grace", "200ms")
    wait_until(lambda: pids.exists() and pids.read_text(), timeout=20)
    process.send_signal(number)
    assert process.wait(timeout=20) == code
    task = _ended(queue)
    assert (task.state, task.retries, task.attempts[0].outcome) == (State.PENDING, 0, "released")
    assert task.checkpoint == {"at": 3}
    assert not any(alive(int(pid)) for pid in pids.read_text().split())


def test_a_second_signal_releases_at_once(queue: Queue, start: Start, tmp_path: Path) -> None:
    """However long the grace is."""
    pids = tmp_path / "pids"
    _add(queue, does="waits", pids=str(pids))
    process = start("--grace", "10m")
    wait_until(lambda: pids.exists() and pids.read_text(), timeout=20)
    process.terminate()
    assert process.stderr is not None
    while "stopping" not in process.stderr.readline():
        pass
    process.terminate()
    assert process.wait(timeout=20) == 0
    assert _ended(queue).attempts[0].outcome == "released"


@pytest.mark.parametrize("where", ["no folder", "full"])
def test_a_full_disk_for_logs(queue: Queue, start: Start, tmp_path: Path, where: str) -> None:
    """The work goes on without its log, and the worker says so, once for each; it does the next task, too."""
    logs = tmp_path / "logs" if where == "full" else Path("/dev/null/logs")
    if where == "full":
        logs.mkdir()
        for id in ("x", "y"):
            (logs / f"{id}-1.log").symlink_to("/dev/full")
    _add(queue, prints="line\n" * 50_000)
    process = start("--logs", str(logs))
    assert _ended(queue).state is State.COMPLETED
    _add(queue, "y")
    assert _ended(queue, "y").state is State.COMPLETED
    process.terminate()
    _, said = process.communicate(timeout=20)
    lines = [line for line in said.splitlines() if "can't be written, the work goes on without" in line]
    assert len(lines) == 2
    assert all(("No space left on device" if where == "full" else "Not a directory") in line for line in lines)


def test_control_characters_take_four_bytes_in_the_log(tmp_path: Path) -> None:
    """It is bounded by what it takes on the disk, and what is left out is counted as it was written."""
    log = AttemptLog(tmp_path, "x", 1)
    for _ in range(170):
        log.write(b"\x1b" * 65_536)
    log.write(b"small")
    log.close()
    size = log.path.stat().st_size
    assert MOST_BYTES <= size < MOST_BYTES + 100
    kept = MOST_BYTES // 4
    assert log.path.read_text().endswith(f"\\x1b\n… and {170 * 65_536 + 5 - kept:,} bytes more, left out here\n")


def test_control_characters_in_the_log(queue: Queue, start: Start, tmp_path: Path) -> None:
    """They stand there escaped: whoever looks at it keeps his terminal."""
    _add(queue, prints="a\x1b[2Jb\x07\tc\r\nd")
    start()
    _ended(queue)
    log = tmp_path / ".loki" / "logs" / "tasks" / "x-1.log"
    assert log.read_bytes().startswith(b"a\\x1b[2Jb\\x07\tc\nd\n")


def test_the_timeout_ends_the_whole_group(queue: Queue, start: Start, tmp_path: Path) -> None:
    """The attempt fails, and says why; the worker goes on."""
    pids = tmp_path / "pids"
    queue.enqueue(type="a", id="x", payload={"does": "waits", "pids": str(pids)}, max_retries=1, timeout=3)
    start("--grace", "1s")
    task = _ended(queue)
    assert (task.state, task.last_error) == (State.DEAD_LETTER, "timeout: it took longer than 3 s")
    wait_until(lambda: not any(map(alive, map(int, pids.read_text().split()))), timeout=20)
    _add(queue, "y")
    assert _ended(queue, "y").state is State.COMPLETED


@pytest.mark.parametrize("how", ["gone", "not executable", "no temp folder"])
def test_a_command_that_can_not_be_started_any_more(queue: Queue, start: Start, tmp_path: Path, how: str) -> None:
    """That is no fault of the tasks: they are handed back, the worker claims next to nothing, and goes on after it."""
    command, temp = tmp_path / "command", tmp_path / "temp"
    command.write_text(f"#!/bin/sh\nexec {sys.executable} {AGENT}\n")
    command.chmod(0o755)
    temp.mkdir()
    process = start("--concurrency", "3", command=(str(command),), environment={"TMPDIR": str(temp)})
    wait_until(queue.agents, 20, "a worker that is there")
    if how == "gone":
        command.rename(tmp_path / "elsewhere")
    elif how == "not executable":
        command.chmod(0o644)
    else:
        shutil.rmtree(temp)
        temp.touch()
    queue.enqueue_many({"id": f"x{n}", "type": "a", "payload": {"n": n}} for n in range(20))
    wait_until(lambda: len(_task(queue, "x0").attempts) == 2, 20, "a second try")
    tasks = queue.list("pending").tasks
    assert len(tasks) == 20
    assert sum(len(task.attempts) for task in tasks) <= 3 + 2 * _PROBES
    assert {(task.retries, attempt.outcome) for task in tasks for attempt in task.attempts} == {(0, "released")}
    assert str(_task(queue, "x0").attempts[-1].error).startswith("the command can't be started: ")
    if how == "gone":
        (tmp_path / "elsewhere").rename(command)
    elif how == "not executable":
        command.chmod(0o755)
    else:
        temp.unlink()
        temp.mkdir()
    wait_until(lambda: queue.counts()["completed"] == 20, 60, "all tasks")
    process.terminate()
    _, said = process.communicate(timeout=20)
    assert said.count("until it can, tasks are handed back") == 1
    assert said.count("the command can be started again") == 1


async def test_a_task_that_is_itself_the_reason(tmp_path: Path) -> None:
    """It is not handed back for ever: from the tenth time in a row on it is charged."""
    handler = CommandHandler(["/no/such/program"], logs=tmp_path, grace=lambda _: 1.0, environment={})
    error = OSError(errno.E2BIG, "Argument list too long")
    ends = [handler.cannot_start(SimpleNamespace(attempts=[]), error)]  # type: ignore[arg-type]
    attempts = [SimpleNamespace(outcome="failed", error="x")]
    for _ in range(9):
        attempts.append(SimpleNamespace(outcome="released", error=str(ends[-1])))
        ends.append(handler.cannot_start(SimpleNamespace(attempts=attempts), error))  # type: ignore[arg-type]
    assert [type(end) for end in ends] == [HandBack] * 9 + [AttemptFailed]


async def test_one_task_at_a_time_is_tried() -> None:
    """After a start that failed: while the next one is under way, too, no other task is claimed to be handed back."""
    starting = Starting()
    starting.failed("the command can't be started")
    starting.paused = False  # as it is after a while
    assert starting.most(3) == 1
    with starting.trying():
        assert starting.most(3) == 0
        starting.worked()
        assert starting.most(3) == 3


def test_health_on_a_port(queue: Queue, start: Start) -> None:
    """200 and the state, while it is well."""
    port = free_port()
    start("--health-port", str(port), "--agent", "well")

    def state() -> Any:
        try:
            with urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return json.loads(answer.read())
        except OSError:
            return None

    assert wait_until(state, timeout=20)["agent"] == "well"
