"""Who plays how often: bench/players.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest


def _rounds(count: int, said: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often each one played: ours and a slow peer take longer than a round may, a broken one fails."""
    import players
    from peers import PeerFailed

    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(players, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def play(player: Any) -> None:
        if player.name == "broken":
            raise PeerFailed("it broke")
        clock.now += 31.0 if player.name in ("slow", players.OURS.name) else 30.0

    server: Any = SimpleNamespace(client=SimpleNamespace(flushall=lambda: None))
    field: list[Any] = [players.OURS, *(SimpleNamespace(name=name) for name in ("quick", "slow", "broken"))]
    found = players.Turns(server, field, said.append).rounds(count, play)
    return {name: len(played) for name, played in found.items()}


def test_a_slow_peer_plays_two_rounds(bench: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick one plays all of them, and so does ours. Who breaks is left out, and said."""
    said: list[str] = []
    assert _rounds(3, said, monkeypatch) == {"lokiredis": 3, "quick": 3, "slow": 2}
    assert sorted(said) == ["broken: it broke", "slow plays no further round: this one took 31 s"]


def test_nobody_is_left_out_after_the_last_round(bench: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So nothing is said of it, either."""
    said: list[str] = []
    assert _rounds(2, said, monkeypatch) == {"lokiredis": 2, "quick": 2, "slow": 2}
    assert said == ["broken: it broke"]


def test_rounds_are_compared_as_far_as_both_played(bench: None) -> None:
    """The first of ours with the first of theirs, and no more."""
    from players import ratios

    assert ratios([4.0, 9.0], [2.0]) == (2.0,)
