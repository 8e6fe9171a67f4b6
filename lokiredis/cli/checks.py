"""What ``lokiredis doctor`` looks at. Each check answers in one line; only a lost connection ends the examination."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from ..errors import LokiRedisError

if TYPE_CHECKING:
    from ..queue import Queue

Level = Literal["ok", "warn", "FAIL"]
Info = dict[str, Any]

OLDEST = (6, 2)
_PINGS = 5
_SLOW_MS = 20.0
_CLOCK_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """The answer of one check."""

    name: str
    level: Level
    message: str


def examine(queue: Queue, *, clean: bool = False) -> list[Finding]:
    """All checks in turn; *clean* removes what other versions left. Raises QueueUnavailable when there is no server."""
    from redis.exceptions import ConnectionError, RedisError, TimeoutError

    from ..outages import FAILURES, translate

    try:
        latency = _latency(queue)
        info = _info(queue)
    except FAILURES as e:
        raise translate(e) from None
    checks: dict[str, Callable[[], tuple[Level, str] | None]] = {
        "version": lambda: version(info),
        "role": lambda: role(info),
        "eviction": lambda: eviction(info),
        "persistence": lambda: persistence(info, _appendfsync(queue)),
        "latency": lambda: latency,
        "clock": lambda: _clock(queue),
        "scripts": lambda: _scripts(queue),
        "libraries": lambda: _libraries(queue, clean=clean),
        "schema": lambda: _schema(queue),
    }
    findings: list[Finding] = []
    for name, check in checks.items():
        try:
            found = check()
        except LokiRedisError as e:
            # A replica, or a server whose disk is full, refuses every write: why is among the findings already.
            if e.code == "QueueUnavailable" and not any(known.level == "FAIL" for known in findings):
                raise
            found = "FAIL", str(e)
        except (ConnectionError, TimeoutError):
            raise
        except RedisError as e:
            found = "warn", f"the server does not say: {e}"
        if found is not None:
            findings.append(Finding(name, *found))
    return findings


def version(info: Info) -> tuple[Level, str]:
    """Redis 6.2 or newer, or Valkey (which reports the Redis version that it is compatible with, too)."""
    text = str(info.get("redis_version", ""))
    product = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {text}"
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    if len(numbers) < 2:
        return "warn", "the server does not say its version"
    if numbers < OLDEST:
        return "FAIL", f"{product} is too old: 6.2 is needed"
    return "ok", product


def role(info: Info) -> tuple[Level, str]:
    """A replica takes no writes."""
    found = str(info.get("role", ""))
    if found == "slave":
        return "FAIL", f"this is a replica; connect to {info.get('master_host')}:{info.get('master_port')}"
    return "ok", found or "unknown"


def eviction(info: Info) -> tuple[Level, str]:
    """Any policy but noeviction throws pieces of the queue away when memory is full."""
    policy = info.get("maxmemory_policy")
    if policy is None:
        return "warn", "the server does not say; it must be noeviction"
    if policy == "noeviction":
        return "ok", "noeviction"
    fix = "CONFIG SET maxmemory-policy noeviction"
    if info.get("maxmemory"):
        return "FAIL", f"maxmemory-policy is {policy}: tasks WILL VANISH when memory is full; {fix}"
    return "warn", f"maxmemory-policy is {policy}: with a maxmemory tasks would vanish; {fix}"


def persistence(info: Info, appendfsync: str | None) -> tuple[Level, str]:
    """What a crash of the server loses."""
    if info.get("aof_last_write_status", "ok") != "ok":
        return "FAIL", "the last write to the append-only file failed: is the disk full?"
    if "aof_enabled" not in info:
        return "warn", "the server does not say"
    if not int(info["aof_enabled"]):
        return "warn", "appendonly is off: a restart loses what the last snapshot lacks; CONFIG SET appendonly yes"
    if appendfsync == "always":
        return "ok", "appendonly, appendfsync always"
    how = appendfsync or "unknown (the server does not say)"
    return "warn", f"appendonly, appendfsync {how}: a crash may lose the last acknowledged writes; always is safe"


def _info(queue: Queue) -> Info:
    from redis.exceptions import ResponseError

    try:
        return dict(queue.redis.info())
    except ResponseError:  # NOPERM, or an unknown command
        return {}


def _latency(queue: Queue) -> tuple[Level, str]:
    times = []
    for _ in range(_PINGS):
        begin = time.perf_counter()
        queue.redis.ping()
        times.append((time.perf_counter() - begin) * 1000)
    middle = median(times)
    text = f"{middle:.2f} ms for a PING"
    return ("warn", f"{text}: every claim takes longer than that") if middle > _SLOW_MS else ("ok", text)


def _clock(queue: Queue) -> tuple[Level, str]:
    seconds, micros = queue.redis.time()
    ahead = seconds + micros / 1e6 - time.time()
    if abs(ahead) < _CLOCK_SECONDS:
        return "ok", f"within {abs(ahead) + 0.05:.1f} s of this machine's"
    side = "ahead of" if ahead > 0 else "behind"
    return "ok", f"{abs(ahead):,.0f} s {side} this machine's; only the server's counts, so times shown may look odd"


def _appendfsync(queue: Queue) -> str | None:
    from redis.exceptions import ResponseError

    try:
        found = queue.redis.config_get("appendfsync")
    except ResponseError:  # managed servers refuse CONFIG
        return None
    return next((value if isinstance(value, str) else value.decode() for value in found.values()), None)


def _scripts(queue: Queue) -> tuple[Level, str]:
    from .. import scripts

    queue.load_scripts()
    return "ok", f"all {len(scripts.NAMES)} compile"


def _libraries(queue: Queue, *, clean: bool) -> tuple[Level, str] | None:
    """Old ones cost memory and nothing else, so this is a note. None where the server has no function libraries."""
    from redis.exceptions import ResponseError

    from . import libraries

    others = libraries.of_other_versions(queue.redis)
    if others is None:
        return None
    if not others:
        return "ok", "none of other versions"
    count = f"{len(others)} of other versions"
    if not clean:
        return "ok", f"{count} lie here too; lokiredis doctor --clean removes them"
    try:
        libraries.remove(queue.redis, others)
    except ResponseError as e:
        return "FAIL", f"{count} could not all be removed: {e}"
    return "ok", f"{count} removed"


def _schema(queue: Queue) -> tuple[Level, str]:
    queue.stats()
    return "ok", "the stored queue is of this version"
