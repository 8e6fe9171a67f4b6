"""Very many retries that fall due in the same second, while claims go on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any

from figures import Figure, Report, number, quantile
from private_server import PrivateServer
from workload import AGENT, TYPES, small_tasks

from lokiredis import Claim, Queue
from lokiredis.models import iso

#: How long before that second and after it claims are measured, in seconds.
_BEFORE, _AFTER = 3.0, 10.0
#: Tasks that are ready all the time, and how much longer than these the delayed ones may take to be put in.
_READY, _SLACK = 20_000, 4.0
#: Tasks of one call: more would be checked all before the first is stored.
_BATCH = 1_000


def measure_storm(server: PrivateServer, *, due: int) -> Report:
    """``due`` delayed tasks fall due at one moment, which is set so that there is time to put them in."""
    queue = Queue(server.client, "storm")
    began = time.monotonic()
    _put_in(queue, small_tasks(_READY))
    each = (time.monotonic() - began) / _READY
    moment = datetime.now(timezone.utc) + timedelta(seconds=_BEFORE + _SLACK * due * each)
    _put_in(queue, small_tasks(due, availableAt=iso(moment)))
    wait = (moment - datetime.now(timezone.utc)).total_seconds()
    if wait < _BEFORE:
        raise SystemExit(f"bench: {due:,} tasks could not be put in before they fell due")
    time.sleep(wait - _BEFORE)
    before = _claims(server, queue, _BEFORE - 0.5)
    time.sleep(max((moment - datetime.now(timezone.utc)).total_seconds(), 0))
    during = _claims(server, queue, _AFTER)
    left = queue.stats()
    moved = due - sum(type.delayed for type in left.types.values())
    figures = tuple(
        Figure(f"storm of {due:,}", f"{name}, {label}", "µs", (quantile(times, part),))
        for name, times in (("before", before), ("during", during))
        for label, part in (("p50", 0.5), ("p99", 0.99))
    )
    rows = [
        (name, f"{len(times):,}", *(number(quantile(times, part)) for part in (0.5, 0.99)), number(max(times)))
        for name, times in (("before", before), (f"during; {moved:,} made ready", during))
    ]
    title = f"Storm: {due:,} retries fall due at once: server time of a claim of one task (µs)"
    return Report(title, ("", "claims", "p50", "p99", "longest"), tuple(rows), figures)


def _put_in(queue: Queue, tasks: Iterable[dict[str, Any]]) -> None:
    rest = iter(tasks)
    while batch := list(islice(rest, _BATCH)):
        queue.enqueue_many(batch)


def _claims(server: PrivateServer, queue: Queue, seconds: float) -> list[float]:
    """The server's microseconds of each claim; what was claimed is completed, and not in it."""
    times: list[float] = []
    ends = time.monotonic() + seconds
    _, before = server.script_time()
    while time.monotonic() < ends:
        claim = queue.claim(AGENT, TYPES)
        _, after = server.script_time()
        assert isinstance(claim, Claim), claim
        times.append(float(after - before))
        queue.complete(claim, decision_report={"what": "claimed"})
        _, before = server.script_time()
    return times
