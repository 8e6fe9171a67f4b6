"""What the tests of the embedded server find, start and end: by pid, and by nothing that it says itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import redis

from lokiredis.embedded import EmbeddedServer

ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def server_pids(folder: Path) -> set[int]:
    """The living processes that work in *folder* or below, found without anything that the embedded server says."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                place = Path(os.readlink(f"/proc/{entry}/cwd"))
            except OSError:
                continue
            if place.is_relative_to(os.path.realpath(folder)) and is_running(int(entry)):
                found.add(int(entry))
    return found


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


class Clients:
    """Python processes that use lokiredis, in sessions of their own."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys\nfrom pathlib import Path\n" + code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        for process in self._started:
            with process:
                process.kill()


def connect(url: str) -> redis.Redis:
    return redis.from_url(url, decode_responses=True)


def put(url: str, key: str, value: str) -> None:
    with connect(url) as client:
        client.set(key, value)


def read(url: str) -> dict[str, str]:
    with connect(url) as client:
        return {key: str(client.get(key)) for key in client.scan_iter()}


def pid_of(server: EmbeddedServer) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def fake_program(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "Redis server v={version} sha=00000000:0 malloc=libc bits=64 build=0"\n')
    path.chmod(0o755)
    return path


def wrapper(path: Path, program: str, command: str) -> Path:
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {program} --version\n{command}\n')
    path.chmod(0o755)
    return path
