"""Every beginning of the append-only file is the queue as it was after some call: never half of one."""

from __future__ import annotations

import bisect
import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from lokiredis.connect import connect

from ..clock import Clock, ClockedQueue
from ..invariants import check
from ..servers import RedisServer
from .calling import NAME
from .operations import REPORT, RESULT, SESSION
from .session import Played, play

pytestmark = pytest.mark.faults

_APPENDS = {"auto-aof-rewrite-percentage": 0}


@dataclass(frozen=True)
class _Moment:
    """The file and the data after a call."""

    size: int
    digest: bytes
    now: int


@pytest.mark.parametrize(("name", "cuts"), [("redis7", 100), ("redis6", 25)])
def test_every_prefix_of_the_file_is_a_consistent_queue(
    name: str, cuts: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The file of a session with every operation, cut anywhere, loads as the queue after a whole number of calls."""
    program = request.getfixturevalue(f"program{name[-1]}")
    moments, whole = _record(program, tmp_path)
    sizes = [moment.size for moment in moments]
    assert len(set(sizes)) > 40
    seen = set()
    with RedisServer(program, appendonly=True, appendfsync="no", config=_APPENDS) as slot:
        for offset in _offsets(sizes, cuts):
            slot.kill()
            _put(tmp_path / "data", slot.folder, whole, offset)
            slot.start()
            # What was there before the first call counts as a moment too: the file may begin with a SELECT.
            expected = moments[max(bisect.bisect_right(sizes, offset) - 1, 0)]
            with connect(slot.url) as redis:
                assert _digest(redis) == expected.digest, f"cut at {offset}: not the state after any call"
                seen.add(expected.digest)
                check(redis, NAME)
                _drain(ClockedQueue(redis, NAME, Clock(expected.now)))
                check(redis, NAME)
    assert len(seen) > min(40, cuts // 2), "too few different states: the cuts went wrong"


@pytest.mark.parametrize("name", ["redis7", "redis6"])
def test_what_is_written_after_such_a_restart_is_there_after_the_next(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A kill in the middle of a call, new calls, and again: Redis alone would lose them, or do the half call."""
    program = request.getfixturevalue(f"program{name[-1]}")
    moments, whole = _record(program, tmp_path)
    opened = _opened(tmp_path / "data" / whole)
    chance = random.Random(5)
    with RedisServer(program, appendonly=True, appendfsync="always", config=_APPENDS) as slot:
        for start, end in chance.sample(opened, 12):
            slot.kill()
            _put(tmp_path / "data", slot.folder, whole, chance.randrange(start, end))
            slot.start()
            with connect(slot.url) as redis:
                queue = ClockedQueue(redis, NAME, Clock(moments[-1].now))
                # One command of Redis each, and then a call of several.
                redis.set("single", "1")
                redis.hset("another", "field", "1")
                queue.enqueue(type="build", id=f"new-{start}", payload={"start": start})
                redis.set("single", "2")
                before = _digest(redis)
                check(redis, NAME)
            slot.kill()
            slot.start()
            with connect(slot.url) as redis:
                assert _digest(redis) == before, f"cut within the call at {start}"
                check(redis, NAME)
                redis.delete("single", "another")


def _opened(file: Path) -> list[tuple[int, int]]:
    """Between which places of the file a cut leaves a call of several writes open."""
    data = file.read_bytes()
    starts = [found.start() for found in re.finditer(re.escape(b"*1\r\n$5\r\nMULTI\r\n"), data)]
    return [(start + 15, data.index(b"*1\r\n$4\r\nEXEC\r\n", start) + 13) for start in starts]


def _record(program: Path, folder: Path) -> tuple[list[_Moment], Path]:
    """Play the session; the data folder is kept under *folder*, and the path of the growing file in it is returned."""
    with RedisServer(program, appendonly=True, appendfsync="always", config=_APPENDS) as server:
        grows = _growing_file(server.folder)
        clock, played = Clock(), Played()
        with connect(server.url) as redis:
            queue = ClockedQueue(redis, NAME, clock)
            # Libraries stand in the file, too, and are longer than the whole session.
            queue.load_scripts()
            moments = [_Moment(grows.stat().st_size, _digest(redis), clock.now)]
            for step in SESSION:
                play(queue, clock, [step], played)
                moments.append(_Moment(grows.stat().st_size, _digest(redis), clock.now))
        server.kill()
        shutil.copytree(server.folder, folder / "data", ignore=shutil.ignore_patterns("redis.*"))
        return moments, grows.relative_to(server.folder)


def _growing_file(folder: Path) -> Path:
    """Redis 7 has several, one of which grows; 6.2 has one."""
    found = [*folder.glob("appendonlydir/*.incr.aof"), *folder.glob("appendonly.aof")]
    assert len(found) == 1
    return found[0]


def _offsets(sizes: list[int], count: int) -> list[int]:
    """Places all over the session, some of them just around the end of a call, and one in what comes before it."""
    chance = random.Random(11)
    ends = sorted(set(sizes))
    around = [chance.choice(ends[1:-1]) + by for by in (-1, 0, 1) for _ in range(count // 10)]
    evenly = count - len(around) - 1
    step = (ends[-1] - ends[0]) / evenly
    return [ends[0] // 2, *(ends[0] + round(step * n) for n in range(1, evenly + 1)), *around]


def _put(data: Path, folder: Path, grows: Path, size: int) -> None:
    for name in ("appendonlydir", "appendonly.aof"):
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink(missing_ok=True)
    shutil.copytree(data, folder, dirs_exist_ok=True)
    with (folder / grows).open("r+b") as file:
        file.truncate(size)


def _digest(redis: object) -> bytes:
    digest: bytes = redis.execute_command("DEBUG", "DIGEST")  # type: ignore[attr-defined]
    return digest


def _drain(queue: ClockedQueue) -> None:
    """Whatever is held, delayed, paused or dead: an operator and a fleet get every task to its end."""
    before = {task.id for task in queue.list(None, limit=1000).tasks}
    types = sorted(queue.stats().types) or ["build"]
    queue.clock.advance(7 * 3600)
    queue.resume()
    for type in types:
        queue.resume(type)
        queue.reset_breaker(type)
    for _ in range(30):
        for task in queue.list("dead-letter", limit=1000).tasks:
            queue.resolve_dead(task.id, RESULT)
        for claim in queue.claim_many("drainer", types, 1000):
            queue.complete(claim, decision_report=REPORT)
        counts = queue.counts()
        if not (counts["pending"] or counts["in-progress"] or counts["dead-letter"]):
            break
        # Not longer than the reaper's patience: it must believe that the fleet is alive.
        queue.clock.advance(30)
    after = {task.id: task.place for task in queue.list(None, limit=1000).tasks}
    assert after.keys() == before
    assert set(after.values()) <= {"completed", "cancelled"}
