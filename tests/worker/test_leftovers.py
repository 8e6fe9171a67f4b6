"""What a worker that was killed leaves behind: its folder, and what its commands started."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lokiredis.worker.command import CommandHandler, _Run
from lokiredis.worker.keeper import Keeper
from lokiredis.worker.outcomes import HandBack
from lokiredis.worker.scratch import Scratch

from ..waiting import wait_until
from .conftest import ROOT, alive

_LIVES = """
import sys
from lokiredis.worker.scratch import Scratch
scratch = Scratch()
scratch.start()
print(scratch.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temp folder of this process and of those that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def other(temp: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process with a folder."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-c", _LIVES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    yield process
    process.kill()
    process.communicate()


def test_the_folder_of_a_dead_worker_is_removed_and_no_other(temp: Path, other: subprocess.Popen[str]) -> None:
    """Not that of a living one, nothing that a link of such a name leads to, and no folder that has just been made."""
    assert other.stdout is not None
    theirs = Path(other.stdout.readline().strip())
    (theirs / "task.json").write_text("{}")
    precious = temp / "precious"
    precious.mkdir()
    (precious / "alive.lock").touch()
    (temp / "lokiredis-tasks-link").symlink_to(precious)
    (temp / "lokiredis-tasks-new").mkdir()
    another_user_s = temp / "lokiredis-tasks-theirs"
    another_user_s.mkdir()
    (another_user_s / "alive.lock").touch()
    if os.getuid() == 0:
        os.chown(another_user_s, 65534, 65534)
    mine = Scratch()
    mine.start()
    mine.stop()
    assert not mine.path.exists()
    assert (theirs / "task.json").exists()
    other.kill()
    other.wait()
    mine.start()
    try:
        assert not theirs.exists()
        assert (precious / "alive.lock").exists()
        assert (temp / "lokiredis-tasks-new").exists()
        assert another_user_s.exists() or os.getuid() != 0
        assert [path.name for path in mine.path.iterdir()] == ["alive.lock"]
    finally:
        mine.stop()


def test_a_folder_that_a_cleaner_took_is_made_again(temp: Path) -> None:
    """And is held as before: a worker may live for longer than what lies in a temp folder."""
    mine, another = Scratch(), Scratch()
    mine.start()
    shutil.rmtree(mine.path)
    mine.ensure()
    os.utime(mine.path, (0, 0))
    another.start()
    assert mine.path.is_dir()
    for scratch in (another, mine):
        scratch.stop()
    assert not mine.path.exists()


@pytest.fixture
def groups() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three process groups that run until they are killed."""
    groups = [subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(3)]
    yield groups
    for group in groups:
        group.kill()
        group.wait()


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    """One that runs."""
    keeper = Keeper()
    keeper.start(tmp_path)
    yield keeper
    keeper.stop()


def _killed(keeper: Keeper) -> None:
    assert keeper._process is not None
    keeper._process.kill()
    keeper._process.wait()


def test_a_keeper_that_was_killed_is_replaced(keeper: Keeper, groups: list[subprocess.Popen[bytes]]) -> None:
    """By one that knows of all groups; it kills only those which were not let go."""
    keeper.holds(groups[0].pid)
    _killed(keeper)
    for group in groups[1:]:
        keeper.holds(group.pid)
    keeper.lets_go(groups[2].pid)
    keeper.stop()
    wait_until(lambda: not alive(groups[0].pid) and not alive(groups[1].pid))
    assert alive(groups[2].pid)


def test_a_keeper_that_can_not_be_replaced_at_once(
    keeper: Keeper, groups: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That ends no command, nor lets one loose; it is tried again when something is told, and every few seconds."""
    keeper.holds(groups[0].pid)
    _killed(keeper)
    with monkeypatch.context() as patched:

        def no_memory(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

        patched.setattr(subprocess, "Popen", no_memory)
        for group in groups[1:]:
            keeper.holds(group.pid)
        keeper.lets_go(groups[2].pid)
        keeper.tend()
    keeper.tend()
    keeper.stop()
    wait_until(lambda: not alive(groups[0].pid) and not alive(groups[1].pid))
    assert alive(groups[2].pid)


def test_a_keeper_that_was_killed_while_nothing_begins_or_ends(
    keeper: Keeper, groups: list[subprocess.Popen[bytes]]
) -> None:
    """A command may run for days, and its worker be killed in the end."""
    keeper.holds(groups[0].pid)
    _killed(keeper)
    keeper.tend()
    keeper.stop()
    wait_until(lambda: not alive(groups[0].pid))


async def test_the_number_of_a_command_that_could_not_start_is_let_go(tmp_path: Path) -> None:
    """It may be another process's when the worker ends, and that would be killed."""
    handler = CommandHandler(["/no/such/program"], logs=tmp_path, grace=lambda _: 1.0, environment={})
    keeper = handler.keeper
    read, write = os.pipe()
    keeper._process = SimpleNamespace(stdin=os.fdopen(write, "wb", 0))  # type: ignore[assignment]
    context: Any = SimpleNamespace(task=SimpleNamespace(id="x", attempts=[]), attempt=1)
    files: Any = SimpleNamespace(environment={}, path="/no/such/task")
    run = _Run(handler, context, files)
    with pytest.raises(HandBack):
        await run.to_end()
    run.log.close()
    keeper._process.stdin.close()  # type: ignore[union-attr]
    with os.fdopen(read) as lines:
        told = lines.read().split()
    assert told
    assert told[1:] == [told[0].replace("+", "-")]
