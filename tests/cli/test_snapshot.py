"""``lokiredis snapshot``: once, and as a service."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lokiredis import Queue

from ..conftest import lacking
from ..lua.moves import add, done, take
from ..servers import RedisServer, programs
from ..waiting import wait_until
from .conftest import Cli, Program


@pytest.fixture
def queue(server7: RedisServer, queue_name: str) -> Iterator[Queue]:
    """The queue of the command line."""
    with server7.client() as client:
        yield Queue(client, queue_name)


def _ids(folder: Path) -> list[str]:
    return [task["id"] for task in json.loads((folder / "queue" / "pending.json").read_bytes())["tasks"]]


def test_once(cli: Cli, queue: Queue, tmp_path: Path) -> None:
    """Writes the files and says what it did, for people and as JSON; a second time nothing is left to do."""
    add(queue, "x")
    add(queue, "y", "b")
    done(queue, take(queue, "b"))
    found = cli.json("snapshot", tmp_path / ".loki")
    assert found.keys() == {"at", "exact", "cursor", "counts", "written", "reports", "decisions"}
    assert (found["exact"], found["counts"]["pending"], found["counts"]["completed"], found["reports"]) == (
        True,
        1,
        1,
        1,
    )
    assert "queue/pending.json" in found["written"]
    assert _ids(tmp_path / ".loki") == ["x"]
    ran = cli("snapshot", tmp_path / ".loki")
    assert "1 pending, 0 in-progress, 1 completed" in ran.out
    assert ran.out.endswith("0 files written, 0 decision reports archived, 0 reviews written down\n")


def test_without_extras(cli: Cli, tmp_path: Path) -> None:
    """Only the documented files."""
    found = cli.json("snapshot", tmp_path / "d", "--no-extras")
    assert len(found["written"]) == 6
    assert not (tmp_path / "d" / "STATUS.txt").exists()


def test_escape_html(cli: Cli, queue: Queue, tmp_path: Path) -> None:
    """Values that are put into a page are no markup."""
    add(queue, "x", title="<b>")
    cli("snapshot", tmp_path, "--escape-html")
    [task] = json.loads((tmp_path / "queue" / "pending.json").read_bytes())["tasks"]
    assert task["title"] == "&lt;b&gt;"


def test_a_broken_file_is_told_of(cli: Cli, tmp_path: Path) -> None:
    """As a warning: the files are written all the same."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "orchestrator.json").write_text("{")
    ran = cli("snapshot", tmp_path)
    assert ran.err.startswith("Warning: state/orchestrator.json was no JSON object")
    assert (tmp_path / "state" / "orchestrator.json.bak").read_text() == "{"


def test_all_reports_are_archived(cli: Cli, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are; a single snapshot does not leave some for a next one."""
    monkeypatch.setattr("lokiredis.files.snapshot._MOST_REPORTS", 2)
    for number in range(5):
        add(queue, f"x{number}")
        done(queue, take(queue))
    assert cli.json("snapshot", tmp_path)["reports"] == 5


@pytest.mark.parametrize("every", ["0", "99ms", "2d", "x", "-1"])
def test_bad_pauses(bare: Cli, tmp_path: Path, every: str) -> None:
    """Are usage errors."""
    assert "--every" in bare("snapshot", tmp_path, "--every", every, code=2).err


def test_what_can_not_be_written(cli: Cli, bare: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in place of the folder, a link in it, Redis away: one line, and the exit code that it has everywhere."""
    (tmp_path / "file").touch()
    cli("snapshot", tmp_path / "file", code=2)
    (tmp_path / "queue").symlink_to("/tmp")
    error = json.loads(cli("snapshot", tmp_path, "--json", code=1).err)["error"]
    assert error["code"] == "FileRefused"
    assert "symbolic link" in error["message"]
    monkeypatch.setattr("lokiredis.executor.RETRY_FOR", 0.3)  # a single snapshot would sit 20 s out
    bare("snapshot", tmp_path / "d", code=6)


def _lines(process: subprocess.Popen[bytes]) -> list[str]:
    process.wait(30)
    assert process.stderr is not None
    return [line.split("Z ", 1)[1] for line in process.stderr.read().decode().splitlines()]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_service(program: Program, queue: Queue, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Follows the queue until a signal ends it."""
    folder = tmp_path / ".loki"
    process = program.start("snapshot", folder, "--every", "100ms")
    pending = folder / "queue" / "pending.json"
    for ids in (["x"], ["x", "y"]):
        add(queue, ids[-1])
        wait_until(lambda ids=ids: pending.exists() and _ids(folder) == ids, 30, f"{ids}")  # type: ignore[misc]
    process.send_signal(number)
    assert process.wait(30) == code
    assert not list(folder.rglob(".lokiredis-*"))


#: The service repeats a call for 2 s before it tells of an outage.
_IMPATIENT = "import importlib; importlib.import_module('lokiredis.cli.snapshot')._RETRY_FOR = 0.2"


def test_redis_away(start_program: Callable[..., Program], queue_name: str, tmp_path: Path) -> None:
    """Is said, and when it is over; the service goes on, and can be ended while Redis is away."""
    path = programs().get("redis7") or lacking("redis7: no such server program")
    folder = tmp_path / ".loki"
    with RedisServer(path) as server:
        with server.client() as client:
            add(Queue(client, queue_name), "x")
        program = start_program(LOKIREDIS_URL=server.url, LOKIREDIS_QUEUE=queue_name)
        process = program.start("snapshot", folder, "--every", "100ms", first=_IMPATIENT)
        wait_until(lambda: (folder / "STATUS.txt").exists(), 30, "the first snapshot")
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        said = b""

        def heard(what: bytes) -> bool:
            nonlocal said
            said += process.stderr.read() or b"" if process.stderr else b""
            return what in said

        server.kill()
        wait_until(lambda: heard(b"Redis cannot be reached"), 30, "the outage")
        assert _ids(folder) == ["x"]
        server.start()
        with server.client() as client:
            wait_until(lambda: heard(b"all is well again"), 30, "the end of the outage")
            add(Queue(client, queue_name), "y")
            wait_until(lambda: _ids(folder) == ["y"], 30, "what is new")
        server.kill()
        wait_until(lambda: said.count(b"Redis cannot be reached") == 2 or heard(b"\xff"), 30, "the second outage")
        process.terminate()
        assert process.wait(30) == 0
        heard(b"")
        assert said.count(b"Redis cannot be reached") == 2


def test_trouble_with_the_folder(program: Program, queue: Queue, tmp_path: Path) -> None:
    """Is said once; the service goes on as soon as it is over."""
    folder = tmp_path / ".loki"
    add(queue, "x")
    process = program.start("snapshot", folder, "--every", "100ms")
    wait_until(lambda: (folder / "STATUS.txt").exists(), 30, "the first snapshot")
    with (folder / "state" / "locks" / "snapshot.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # not in the middle of a snapshot
        (folder / "queue").rename(folder / "old")
        (folder / "queue").symlink_to(folder / "old")
    old = (folder / "old" / "pending.json").read_bytes()
    add(queue, "y")
    assert process.stderr is not None
    assert b"writes" in process.stderr.readline()
    assert b"symbolic link" in process.stderr.readline()
    assert (folder / "old" / "pending.json").read_bytes() == old
    (folder / "queue").unlink()
    wait_until(lambda: (folder / "queue" / "pending.json").exists() and _ids(folder) == ["x", "y"], 30, "the files")
    # Told once all files of this snapshot are there.
    assert b"all is well again" in process.stderr.readline()
    process.terminate()
    assert _lines(process) == ["stopped"]
    assert process.returncode == 0
