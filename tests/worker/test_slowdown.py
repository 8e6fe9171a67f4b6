"""One agent meets a rate limit, and a fleet over several processes slows down; told by the server's own times."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from lokiredis import Queue, State
from lokiredis.models import Event

from ..proxy import LossyProxy
from ..servers import RedisServer
from ..waiting import wait_until
from .conftest import ROOT

pytestmark = pytest.mark.faults

PROCESSES, WORKERS = 4, 20
AGENTS = [f"host-{number % PROCESSES}/agent-{number}" for number in range(WORKERS)]
#: More than they can do until the limited one is back.
TASKS = 1000
StartAll = Callable[[str], None]


@pytest.fixture
def start_all(queue: Queue) -> Iterator[StartAll]:
    """Starts the fleet; it is there when all its agents wait for work."""
    started: list[subprocess.Popen[bytes]] = []

    def run(url: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        for process in range(PROCESSES):
            agents = [agent for agent in AGENTS if agent.startswith(f"host-{process}/")]
            words = [sys.executable, "-m", "tests.worker.member", url, queue.name, *agents]
            started.append(subprocess.Popen(words, cwd=ROOT, env=environment))
        wait_until(lambda: [agent.state for agent in queue.agents()] == ["idle"] * WORKERS, 60, "20 idle workers")
        wait_until(lambda: queue.redis.pubsub_numsub(queue.keys.signals)[0][1] == WORKERS, 60, "20 that listen")

    yield run
    for process in started:
        process.kill()
        process.wait(timeout=20)


def _claims(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == "claimed"]


@pytest.mark.parametrize("messages", ["heard", "lost"])
def test_a_rate_limit_slows_down_a_fleet_of_20(
    queue: Queue, redis7_server: RedisServer, start_all: StartAll, messages: str
) -> None:
    """Nobody claims for half the limit, its agent for all of it; then all are back, uncharged, with the checkpoint."""
    with LossyProxy(redis7_server.address, drop=0) as proxy:
        proxy.deaf = messages == "lost"
        start_all(proxy.url)
        queue.enqueue_many({"type": "a", "id": f"x{number}", "payload": {"n": number}} for number in range(TASKS))
        wait_until(lambda: queue.counts()["completed"] > WORKERS, 30, "a fleet at work")
        queue.enqueue(type="a", id="limited", priority=10)

        def back() -> tuple[list[Event], Event] | None:
            events = list(queue.events())
            held = next((event for event in events if event.kind == "held"), None)
            if held is None:
                return None
            since = {event.agent for event in _claims(events) if event.at > held.at}
            return (events, held) if since == set(AGENTS) else None

        found = wait_until(back, 60, "all 20 that claim again")
        assert found is not None
        events, held = found
        assert held.id == "limited"
        before, after = ([c for c in _claims(events) if (c.at > held.at) == late] for late in (False, True))
        assert {claim.agent for claim in before} == set(AGENTS), "all were at work"
        assert min(claim.at for claim in after) - held.at >= timedelta(seconds=1.5)
        own = [claim for claim in after if claim.agent == held.agent]
        assert min(claim.at for claim in own) - held.at >= timedelta(seconds=3)
        assert [event.id for event in events if event.kind in ("failed", "expired", "dead")] == []
        limited = queue.get("limited")
        assert limited is not None
        assert (limited.state, limited.retries, limited.claimed_by) == (State.COMPLETED, 0, held.agent)
        assert (limited.result or {})["output"] == {"page": 7}
        assert queue.counts()["pending"] > 0, "there was work for whoever might have asked"
        # SLOWDOWN, for each that listened.
        assert proxy.messages_dropped == (WORKERS if messages == "lost" else 0)
