"""What has left the process group of its command is found by whose child it is, and by its environment."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lokiredis.worker import strays
from lokiredis.worker.strays import VARIABLE, Strays

from .conftest import alive

TASK = "/tmp/no-such-task"
ENVIRONMENT = {**os.environ, VARIABLE: TASK}
#: Takes long to die: its memory, in small pages, is given back before its child gets another parent.
_LARGE = """
import contextlib, mmap, subprocess, time
memory = mmap.mmap(-1, 128 * 2**20)
with contextlib.suppress(OSError):  # a kernel that has no large pages
    memory.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(0, len(memory), 4096):
    memory[at] = 1
print(subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL).pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def adopting() -> Iterator[Strays]:
    """This process adopts orphans for the time of a test."""
    found = Strays()
    found.adopt(True)
    yield found
    found.adopt(False)


def _orphan() -> int:
    """A process of the task whose parent has ended."""
    words = ["sh", "-c", "setsid sleep 600 >&2 & echo $!"]
    return int(subprocess.run(words, env=ENVIRONMENT, stdout=subprocess.PIPE, check=True).stdout)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def large() -> Iterator[subprocess.Popen[bytes]]:
    """A large process of the task, a child of ours."""
    with subprocess.Popen([sys.executable, "-c", _LARGE], env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


async def test_the_child_of_one_that_is_dying(
    adopting: Strays, large: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parent has no environment any more by which to know it, and it is no child of ours yet."""
    monkeypatch.setattr(strays, "_AGAIN", 0.001)
    assert large.stdout is not None
    child = int(large.stdout.readline())
    large.kill()
    try:
        await adopting.end(TASK)
        assert not alive(child)
    finally:
        _kill(child)


async def test_the_orphan_of_another_thread(adopting: Strays) -> None:
    """The kernel lists it among the children of the main thread, whichever thread had started its parent."""
    orphans: list[int] = []
    there, over = threading.Event(), threading.Event()

    def starts() -> None:
        orphans.append(_orphan())
        there.set()
        over.wait()

    thread = threading.Thread(target=starts)
    thread.start()
    await asyncio.to_thread(there.wait)
    try:
        await adopting.end(TASK)
        assert not alive(orphans[0])
    finally:
        over.set()
        thread.join()
        _kill(orphans[0])


def test_a_look_costs_the_same_however_many_threads_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python 3.12 one waits for each command: a thousand commands would each look at a thousand threads."""
    read: list[Path] = []
    read_text = Path.read_text

    def noting(path: Path) -> str:
        read.append(path)
        return read_text(path)

    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    monkeypatch.setattr(Path, "read_text", noting)
    try:
        Strays().bury()
        assert [path.parent.name for path in read] == [str(os.getpid())]
    finally:
        over.set()
        for thread in threads:
            thread.join()


async def test_a_shortage_of_descriptors_that_passes(adopting: Strays) -> None:
    """A look that failed is repeated: it is no sign that there was nobody."""
    orphan = _orphan()
    most, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit))
        try:
            ending = asyncio.ensure_future(adopting.end(TASK))
            await asyncio.sleep(0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, limit))
        await ending
        assert not alive(orphan)
    finally:
        _kill(orphan)
