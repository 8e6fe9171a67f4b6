"""100,000 tasks: the job stays small, no call of Redis is long, and what is right is not written again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lokiredis import Queue

from ..conftest import lacking
from ..lua.moves import add_many, done, take
from ..servers import RedisServer, programs
from .conftest import ROOT

MANY = 100_000
MOST_SECONDS, MOST_MEMORY, LONGEST_CALL = 15, 200 * 1024 * 1024, 50_000

#: Takes three snapshots; a line of JSON for each: processor time, peak memory, files written. The peak is VmHWM, this
#: program's alone: ru_maxrss begins at what the process that started it has, here a test process of some 500 MB.
_JOB = """
import json, re, resource, sys
from pathlib import Path
from lokiredis import Queue
from lokiredis.files.snapshot import Snapshot

with Queue.from_url(sys.argv[1], sys.argv[2]) as queue, Snapshot(queue, sys.argv[3]) as job:
    for _ in range(3):
        taken = job.take()
        used = resource.getrusage(resource.RUSAGE_SELF)
        peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
        print(json.dumps([used.ru_utime + used.ru_stime, peak, taken.written]), flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of its own, whose SLOWLOG notes everything above a millisecond."""
    program = programs().get("redis7") or lacking("redis7: no such server program on this machine")
    with RedisServer(program, config={"slowlog-log-slower-than": 1000, "slowlog-max-len": 20_000}) as started:
        yield started.go_first()


@pytest.mark.alone
def test_a_hundred_thousand_tasks(server: RedisServer, queue_name: str, folder: Path) -> None:
    """15 seconds of processor time and 200 MB at most, no call over 50 ms; a change costs what it changes.

    Processor time, since the machine may be busy elsewhere; of many calls the two longest in a hundred are those that
    another process interrupted.
    """
    payload = {"action": "implement", "target": "api.py", "goal": "It works " * 20, "params": {"a": [1, 2, {}]}}
    with server.client() as client:
        queue = Queue(client, queue_name)
        add_many(queue, MANY, payload=payload)
        client.slowlog_reset()
        with subprocess.Popen(
            [sys.executable, "-c", _JOB, server.url, queue_name, str(folder)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as job:
            assert job.stdin is not None
            assert job.stdout is not None
            seconds, memory, written = json.loads(job.stdout.readline())
            print(f"{seconds:.1f} s, {memory / 2**20:.0f} MB")
            assert len(written) == 10
            assert seconds <= MOST_SECONDS
            calls = sorted(c.microseconds for c in server.slowlog(20_000) if c.command.upper().startswith(b"FCALL"))
            assert len(calls) < MANY / 1000 or calls[-1 - len(calls) // 50] <= LONGEST_CALL
            print(f"longest call: {calls[-1] / 1000:.1f} ms of {len(calls)} above 1 ms" if calls else "")
            job.stdin.write("\n")
            job.stdin.flush()
            assert json.loads(job.stdout.readline())[2] == []
            done(queue, take(queue))
            job.stdin.write("\n")
            job.stdin.flush()
            again, memory, written = json.loads(job.stdout.readline())
            assert written == ["queue/pending.json", "queue/completed.json", "STATUS.txt", "dashboard-state.json"]
            assert memory <= MOST_MEMORY
            assert again - seconds < seconds / 2
            job.stdin.close()
    with (folder / "queue" / "pending.json").open("rb") as file:
        assert sum(1 for _ in file) == MANY - 1 + 2
