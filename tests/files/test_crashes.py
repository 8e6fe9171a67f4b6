"""Whatever ends the job, and whatever the disk does: each file is the old or the new one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lokiredis import Queue
from lokiredis.files.folder import FileRefused
from lokiredis.files.snapshot import Snapshot

from ..conftest import lacking
from ..lua.moves import REPORT, add, bury, done, take
from ..servers import RedisServer
from .killed import killed_at
from .reading import STATES, everything

Files = dict[str, bytes]


def _files(folder: Path) -> Files:
    """All that is there but locks."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "locks")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _without_time(files: Files) -> Files:
    return {name: data[39:] if name == "dashboard-state.json" else data for name, data in files.items()}


def _fill(queue: Queue, begin: str) -> None:
    """A task for each file, and work for the next change."""
    bury(queue, f"{begin}-dead")
    add(queue, f"{begin}-gone")
    queue.cancel(f"{begin}-gone", "no")
    add(queue, f"{begin}-done")
    done(queue, take(queue))
    add(queue, f"{begin}-runs")
    take(queue)
    add(queue, f"{begin}-waits", priority=3)


def _snapshot(queue: Queue, folder: Path) -> None:
    with Snapshot(queue, folder) as job:
        job.take()


def test_killed_at_every_step(queue: Queue, redis7_server: RedisServer, in_memory: Path) -> None:
    """Before each fsync and rename, and in the middle of each write. The next run makes all right and cleans up."""
    _fill(queue, "a")
    _snapshot(queue, in_memory / "old")
    old = _without_time(_files(in_memory / "old"))
    _fill(queue, "b")
    shutil.copytree(in_memory / "old", in_memory / "new")
    _snapshot(queue, in_memory / "new")
    new = _without_time(_files(in_memory / "new"))
    changed = {name for name in new if old.get(name) != new[name]}
    assert len(changed) == 11
    number, mixed = 0, 0
    while True:
        number += 1
        folder = in_memory / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(in_memory / "old", folder)
        calls = killed_at(number, redis7_server.url, queue.name, folder)
        if calls:
            break
        left = _without_time(_files(folder))
        for name in old.keys() | new.keys():
            assert left.get(name) in (old.get(name), new[name]), f"{name} is torn, killed at {number}"
        mixed += any(left.get(name) != old.get(name) for name in changed)
        _snapshot(queue, folder)
        assert _without_time(_files(folder)) == new, f"not right after the kill at {number}"
    assert calls == number - 1
    assert number > 2 * len(changed)
    assert mixed > 5


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True, text=True)
    if made.returncode:
        lacking(f"a tmpfs can't be mounted: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_disk(queue: Queue, small_disk: Path, folder: Path) -> None:
    """The old files stay, nothing is left beside them; with room again the same job writes all."""
    folder = small_disk / ".loki"
    _fill(queue, "a")
    with Snapshot(queue, folder) as job:
        job.take()
        old = _files(folder)
        _fill(queue, "b")
        add(queue, "large", payload={"x": "y" * 200_000})
        (small_disk / "filler").write_bytes(b"x" * 400_000)
        for _ in range(2):
            with pytest.raises(OSError, match="No space left") as caught:
                job.take()
            assert caught.value.errno == errno.ENOSPC
            assert _files(folder) == old
        (small_disk / "filler").unlink()
        job.take()
        assert everything(folder).keys() > {"a-waits", "b-waits", "large"}


def test_a_failing_call_leaves_no_trace(queue: Queue, in_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write, fsync and rename fails once: what was there stays, file by file, and the next try succeeds."""
    folder = in_memory / ".loki"
    _fill(queue, "a")
    _snapshot(queue, folder)
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    _fill(queue, "b")
    number, failed = 0, True
    while failed:
        number += 1
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        failed = _fails(queue, folder, number, monkeypatch)
        monkeypatch.undo()
        assert not [name for name in _files(folder) if "lokiredis-" in name]
        _snapshot(queue, folder)
        assert "b-waits" in everything(folder)
    assert number > 20


def _fails(queue: Queue, folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    count = 0

    def failing(call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count == number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return call(*args, **options)

        return counted

    with Snapshot(queue, folder) as job:
        for name in ("write", "fsync", "rename"):
            monkeypatch.setattr(os, name, failing(getattr(os, name)))
        try:
            job.take()
        except OSError as e:
            failure = e.errno, str(e.filename or folder)
        else:
            return False
    assert failure[0] == errno.EIO
    assert failure[1].startswith(str(folder))
    return True


def test_a_folder_that_may_not_be_written_to(queue: Queue, folder: Path) -> None:
    """Is an error that names it; nothing has changed."""
    add(queue, "x")
    _snapshot(queue, folder)
    old = _files(folder)
    add(queue, "y")
    if os.geteuid() == 0:
        # Root may write anywhere, but for what is mounted read-only.
        made = subprocess.run(["mount", "--bind", "-o", "ro", folder, folder], capture_output=True, text=True)
        if made.returncode:
            lacking(f"a read-only mount can't be made: {made.stderr.strip()}")
        undo = ["umount", str(folder)]
    else:
        (folder / "queue").chmod(0o500)
        undo = ["chmod", "700", str(folder / "queue")]
    try:
        with pytest.raises(OSError, match=r"Read-only|denied") as caught:
            _snapshot(queue, folder)
        assert str(folder) in str(caught.value.filename)
    finally:
        subprocess.run(undo, check=True)
    assert _files(folder) == old


def test_a_folder_that_is_a_link(queue: Queue, folder: Path, tmp_path: Path) -> None:
    """Somebody named it: the files go where it leads."""
    (tmp_path / "real").mkdir()
    folder.symlink_to(tmp_path / "real")
    add(queue, "x")
    _snapshot(queue, folder)
    assert "x" in everything(tmp_path / "real")


@pytest.mark.parametrize(
    "link",
    ["queue", "state", "logs", "logs/decisions", "state/locks", "state/locks/queue.lock", "state/orchestrator.json"],
)
def test_links_that_lead_out(queue: Queue, folder: Path, tmp_path: Path, link: str) -> None:
    """Are an error, and nothing outside is written to or read."""
    outside = tmp_path / "outside"
    outside.mkdir()
    target = outside / "file"
    target.write_text('{"secret": 1}')
    place = folder / link
    place.parent.mkdir(parents=True)
    place.symlink_to(target if "." in place.name else outside)
    with pytest.raises((FileRefused, OSError), match="symbolic link"):
        _snapshot(queue, folder)
    assert list(outside.iterdir()) == [target]
    assert target.read_text() == '{"secret": 1}'


def test_a_link_in_place_of_a_file(queue: Queue, folder: Path, tmp_path: Path) -> None:
    """Is replaced by the file, also when it leads to the same content; what it led to stays."""
    _snapshot(queue, folder)
    same = (folder / "queue" / "pending.json").read_bytes()
    outside = tmp_path / "outside.json"
    outside.write_bytes(same)
    (folder / "queue" / "pending.json").unlink()
    (folder / "queue" / "pending.json").symlink_to(outside)
    _snapshot(queue, folder)
    assert not (folder / "queue" / "pending.json").is_symlink()
    assert (folder / "queue" / "pending.json").read_bytes() == same
    (folder / "queue" / "pending.json").unlink()
    (folder / "queue" / "pending.json").symlink_to(outside)
    add(queue, "x")
    _snapshot(queue, folder)
    assert not (folder / "queue" / "pending.json").is_symlink()
    assert outside.read_bytes() == same
    assert "x" in everything(folder)


def test_the_documented_lock(queue: Queue, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is replaced while somebody holds it; then all is."""
    _fill(queue, "a")
    _snapshot(queue, folder)
    old = _files(folder)
    _fill(queue, "b")
    with (folder / "state" / "locks" / "queue.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting, sleep = threading.Event(), time.sleep
        monkeypatch.setattr("lokiredis.files.folder.time.sleep", lambda seconds: waiting.set() or sleep(seconds))  # type: ignore[func-returns-value]
        job = threading.Thread(target=_snapshot, args=(queue, folder))
        job.start()
        assert waiting.wait(30)
        left = _files(folder)
        assert len([name for name in left if "lokiredis-" in name]) == 9
        assert {name: data for name, data in left.items() if "lokiredis-" not in name} == old
    job.join(30)
    assert "b-waits" in everything(folder)


def test_who_holds_the_lock_for_long(queue: Queue, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told of, and nothing is left beside the files."""
    _snapshot(queue, folder)
    old = _files(folder)
    add(queue, "x")
    locked = Snapshot.take.__globals__["Folder"].locked
    monkeypatch.setattr(
        Snapshot.take.__globals__["Folder"], "locked", lambda self, name, wait=0.05: locked(self, name, wait=0.05)
    )
    with (folder / "state" / "locks" / "queue.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FileRefused, match=r"queue\.lock is locked"):
            _snapshot(queue, folder)
    assert _files(folder) == old


def _touched(folder: Path) -> dict[Path, tuple[int, int]]:
    """Which file each is, and when it was written to or renamed. To read it changes neither."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "locks"]
    return {path: ((about := path.stat()).st_ino, about.st_ctime_ns) for path in files}


def test_what_is_right_is_left_alone(queue: Queue, folder: Path) -> None:
    """Neither a lasting job nor a new one touches a file whose content would be the same."""
    _fill(queue, "a")
    with Snapshot(queue, folder) as job:
        assert len(job.take().written) == 10
        before = _touched(folder)
        assert job.take().written == []
        with Snapshot(queue, folder) as other:
            assert other.take().written == []
        assert _touched(folder) == before
        claim = take(queue)
        queue.release(claim)
        queue.redis.hset(queue.keys.prefix + "queue", "paused", "1")
        assert "dashboard-state.json" in job.take().written


def test_what_somebody_changed_is_made_right(queue: Queue, folder: Path) -> None:
    """A file that is not as the job left it is written again, also by a lasting job; Redis is the truth."""
    _fill(queue, "a")
    with Snapshot(queue, folder) as job:
        job.take()
        right = _files(folder)
        for state in STATES:
            (folder / "queue" / f"{state}.json").write_text("[]")
        (folder / "STATUS.txt").unlink()
        assert len(job.take().written) == 6
    assert _without_time(_files(folder)) == _without_time(right)
    assert json.loads(right["queue/completed.json"])["tasks"][0]["result"]["decisionReport"] == REPORT
