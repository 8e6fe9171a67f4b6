"""Who plays how often: bench/players.py."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any


def _rounds(count: int, said: list[str]) -> dict[str, int]:
    """How often each one played: ours and a slow peer take longer than a round may, a broken one fails."""
    from peers import PeerFailed
    from players import OURS, Turns

    def play(player: Any) -> None:
        if player.name == "broken":
            raise PeerFailed("it broke")
        if player.name in ("slow", OURS.name):
            time.sleep(0.06)

    server: Any = SimpleNamespace(client=SimpleNamespace(flushall=lambda: None))
    players: list[Any] = [OURS, *(SimpleNamespace(name=name) for name in ("quick", "slow", "broken"))]
    found = Turns(server, players, said.append, longest_round=0.05).rounds(count, play)
    return {name: len(played) for name, played in found.items()}


def test_a_slow_peer_plays_two_rounds(bench: None) -> None:
    """So does no quick one, and not ours: it plays all of them. Who breaks is left out, and said."""
    said: list[str] = []
    assert _rounds(3, said) == {"lokiredis": 3, "quick": 3, "slow": 2}
    assert sorted(said) == ["broken: it broke", "slow plays no further round: this one took 0 s"]


def test_nobody_is_left_out_after_the_last_round(bench: None) -> None:
    """So nothing is said of it, either."""
    said: list[str] = []
    assert _rounds(2, said) == {"lokiredis": 2, "quick": 2, "slow": 2}
    assert said == ["broken: it broke"]


def test_rounds_are_compared_as_far_as_both_played(bench: None) -> None:
    """The first of ours with the first of theirs, and no more."""
    from players import ratios

    assert ratios([4.0, 9.0], [2.0]) == (2.0,)
