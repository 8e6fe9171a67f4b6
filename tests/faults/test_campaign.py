"""Agents and server are killed by chance, for as long as there is work: nothing is lost, nothing done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..invariants import check
from ..servers import RedisServer
from .campaign import NAME, Campaign, Size

pytestmark = pytest.mark.faults


@pytest.mark.longest
@pytest.mark.timeout(1800)
def test_a_fleet_under_kill_9(program7: Path, tmp_path: Path, long_run: bool) -> None:
    """10 workers, 5 producers, 20,000 tasks (2,000 without --long): each is done once in effect."""
    size = Size(tasks=20_000 if long_run else 2_000)
    with (
        RedisServer(program7, appendonly=True, appendfsync="always") as server,
        Campaign(server, tmp_path, size) as campaign,
    ):
        counts = campaign.run()
        print(f"\n{counts}; {campaign.killed_workers} kills of a worker, {campaign.killed_servers} of the server")
        with server.client() as redis:
            check(redis, NAME)
    assert counts.told == []
    assert (counts.lost, counts.duplicated) == (0, 0)
    assert counts.attempted == counts.acknowledged == counts.ok == size.tasks
