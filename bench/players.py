"""Who is measured: lokiredis as it is in this folder, and the peers that can be had here, all driven in one way."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from peers import PEERS, Installed, Peer, PeerFailed, install
from private_server import PrivateServer

T = TypeVar("T")


@dataclass(frozen=True)
class Ours(Peer):
    """This project, in the environment that runs the benchmark."""

    @property
    def environment(self) -> Path:
        """The running one."""
        return Path(sys.prefix)

    @property
    def is_here(self) -> bool:
        """It is."""
        return True


OURS = Ours(
    "lokiredis",
    "lokiredis",
    "Python",
    frozenset(("single", "parallel32", "batch1000", "drain", "priorities", "pickup", "layers", "fan")),
    "every rule on: dependencies, breakers, leases, events",
)
#: What the targets name.
BULLMQ = "BullMQ"


@dataclass(frozen=True)
class Field:
    """All who take part. ``absent``: why the others don't, by name."""

    players: tuple[Peer, ...]
    versions: dict[str, str]
    absent: dict[str, str]

    def of_python(self) -> list[str]:
        """The names of the Python peers."""
        return [peer.name for peer in self.players if peer.language == "Python" and peer is not OURS]


def gather(names: Collection[str] | None) -> Field:
    """Ours, and the peers with these names (all: None), installed where they are not yet."""
    wanted = [peer for peer in PEERS if names is None or peer.name in names]
    found = install(peer.key for peer in wanted)
    versions, absent = {}, {}
    for peer in wanted:
        installed = found[peer.key]
        if isinstance(installed, Installed):
            versions[peer.name] = f"{installed.version} ({installed.runtime})"
        else:
            absent[peer.name] = installed
    return Field((OURS, *(peer for peer in wanted if peer.name in versions)), versions, absent)


#: A peer that took longer for one round, in seconds, plays two and no more: with 50,000 tasks RQ takes four minutes,
#: and five rounds of all would take half a day. What it has played counts.
LONGEST_ROUND, LEAST_ROUNDS = 30.0, 2


class Turns:
    """One load, played by all who can: by turns, in another order each round, each on an emptied server."""

    def __init__(self, server: PrivateServer, players: Sequence[Peer], say: Callable[[str], None]) -> None:
        self.server = server
        self.players = list(players)
        self._say = say
        #: Who failed, and why: it is left out from then on.
        self.failed: dict[str, str] = {}

    def rounds(self, count: int, play: Callable[[Peer], T]) -> dict[str, list[T]]:
        """What each player gave in each round, by its name; a slow one plays two."""
        found: dict[str, list[T]] = {}
        slow: set[str] = set()
        for turn in range(count):
            for player in random.sample(self.players, len(self.players)):
                if player.name in self.failed or player.name in slow:
                    continue
                self.server.client.flushall()
                begun = time.monotonic()
                try:
                    found.setdefault(player.name, []).append(play(player))
                except PeerFailed as failure:
                    self.failed[player.name] = failure.reason
                    found.pop(player.name, None)
                    self._say(f"{player.name}: {failure.reason}")
                    continue
                took = time.monotonic() - begun
                if took > LONGEST_ROUND and player is not OURS and LEAST_ROUNDS <= turn + 1 < count:
                    slow.add(player.name)
                    self._say(f"{player.name} plays no further round: this one took {took:.0f} s")
        return found


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Ours against theirs, round by round, as far as both played."""
    return tuple(one / other for one, other in zip(ours, theirs, strict=False))


def best(rates: dict[str, list[float]], names: Collection[str]) -> str | None:
    """The one of these whose median rate is the highest; None when none of them has any."""
    there = {name: median(rates[name]) for name in names if rates.get(name)}
    return max(there, key=lambda name: there[name]) if there else None
