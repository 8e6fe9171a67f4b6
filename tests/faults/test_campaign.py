"""A fleet at work, and what it bears: kill -9 of agents and server, and a server that forgets the scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..invariants import check
from ..servers import RedisServer
from .campaign import NAME, Campaign, Size, forget_scripts, kill_by_chance

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
        counts = campaign.run(kill_by_chance)
        print(f"\n{counts}; {campaign.killed_workers} kills of a worker, {campaign.killed_servers} of the server")
        with server.client() as redis:
            check(redis, NAME)
    assert counts.told == []
    assert (counts.lost, counts.duplicated) == (0, 0)
    assert counts.attempted == counts.acknowledged == counts.ok == size.tasks


def test_scripts_that_are_forgotten_again_and_again(program: Path, tmp_path: Path) -> None:
    """SCRIPT FLUSH and FUNCTION FLUSH twenty times a second under load: nobody notices."""
    size = Size(tasks=1_000, workers=4, producers=2, lease=60, every=0.05)
    with RedisServer(program) as server, Campaign(server, tmp_path, size) as campaign:
        counts = campaign.run(forget_scripts)
        with server.client() as redis:
            check(redis, NAME)
        said = campaign.said().splitlines()
    assert counts.told == []
    assert (counts.ok, counts.lost, counts.duplicated, counts.recovered) == (size.tasks, 0, 0, 0)
    assert [line for line in said if "works on" not in line and "stop" not in line] == []
