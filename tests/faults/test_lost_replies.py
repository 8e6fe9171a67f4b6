"""Replies that get lost after the server acted: the same answers and stored queue as without (design rule 9)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from lokiredis.connect import connect, connect_async
from lokiredis.scripts import NAMES, READING

from ..clock import Clock, ClockedAsyncQueue, ClockedQueue
from ..invariants import check
from ..proxy import Exchange, LossyProxy
from ..servers import RedisServer
from .operations import OPERATIONS, SESSION, Operation
from .session import Played, Step, play, play_async
from .stored import Stored, stored

pytestmark = pytest.mark.faults

_CLIENTS = ("sync", "async")


@pytest.fixture(autouse=True)
def _no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client draws by chance is the same in each run; the ids of its requests: see _play."""
    monkeypatch.setattr("lokiredis.commands.ending.random.random", lambda: 0.5)


def _play(client: str, url: str, name: str, clock: Clock, steps: Sequence[Step], played: Played | None) -> Played:
    if client == "sync":
        with connect(url) as redis:
            return play(ClockedQueue(redis, name, clock), clock, steps, played)

    async def run() -> Played:
        async with connect_async(url) as redis:
            return await play_async(ClockedAsyncQueue(redis, name, clock), clock, steps, played)

    return asyncio.run(run())


class _Table:
    """A queue of its own behind a proxy, on which steps are played."""

    def __init__(self, server: RedisServer, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.client = client
        self.clock = Clock()
        self.name = f"q-{uuid4().hex[:12]}"
        self.played = Played()
        numbers = itertools.count(1)
        for module in ("lokiredis.commands", "lokiredis.commands.command"):
            monkeypatch.setattr(f"{module}.new_request", lambda: f"request-{next(numbers)}")

    def play(self, steps: Sequence[Step], proxy: LossyProxy | None = None) -> None:
        url = proxy.url if proxy else self.server.url
        self.played = _play(self.client, url, self.name, self.clock, steps, self.played)

    def stored(self) -> Stored:
        with self.server.client() as redis:
            check(redis, self.name)
            return stored(redis, self.name)


class _LosesFirst:
    """Drops the reply to the first call of a script that ran, after doing what others did meanwhile."""

    def __init__(self, table: _Table, meanwhile: Sequence[Step] = ()) -> None:
        self.table = table
        self.meanwhile = meanwhile
        self.calls = 0

    def __call__(self, exchange: Exchange) -> bool:
        missing = exchange.reply.startswith((b"-NOSCRIPT", b"-ERR Function not found"))
        if exchange.command not in ("EVALSHA", "FCALL") or missing:
            return False
        self.calls += 1
        if self.calls > 1:
            return False
        # Before the client can know: the reply is still in the proxy's hands.
        with connect(self.table.server.url) as redis:
            queue = ClockedQueue(redis, self.table.name, self.table.clock)
            play(queue, self.table.clock, self.meanwhile, Played(answers=dict(self.table.played.answers)))
        return True


def test_every_writing_script_is_among_the_operations() -> None:
    """No operation that writes escapes the tests of this file."""
    assert {operation.script for operation in OPERATIONS.values()} == set(NAMES) - READING


@pytest.mark.parametrize("client", _CLIENTS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_lost_reply_changes_neither_answer_nor_state(
    name: str, client: str, server7: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When exactly the first reply of an operation is lost, the caller and the stored queue see no difference."""
    operation = OPERATIONS[name]
    plain, lossy = _undisturbed(operation, (), client, server7, monkeypatch), _Table(server7, client, monkeypatch)
    lossy.play(operation.before)
    drop = _LosesFirst(lossy)
    with LossyProxy(server7.address, drop) as proxy:
        lossy.play([Step(operation.call)], proxy)
    assert drop.calls == 2, "the call was not repeated, or too often"
    assert lossy.played.shown == plain.played.shown
    assert lossy.stored() == plain.stored()


@pytest.mark.parametrize("client", _CLIENTS)
@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if operation.meanwhile])
def test_a_repeated_call_leaves_alone_what_others_did_meanwhile(
    name: str, client: str, server7: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a lost reply and the repeat others went on: it still gets its first answer and undoes nothing."""
    operation = OPERATIONS[name]
    plain = _undisturbed(operation, operation.meanwhile, client, server7, monkeypatch)
    lossy = _Table(server7, client, monkeypatch)
    lossy.play(operation.before)
    drop = _LosesFirst(lossy, operation.meanwhile)
    with LossyProxy(server7.address, drop) as proxy:
        lossy.play([Step(operation.call)], proxy)
    assert drop.calls == 2, "the call was not repeated, or too often"
    answer = len(operation.before)
    assert lossy.played.shown[answer] == plain.played.shown[answer]
    assert lossy.stored() == plain.stored()


def _undisturbed(
    operation: Operation,
    meanwhile: Sequence[Step],
    client: str,
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> _Table:
    plain = _Table(server, client, monkeypatch)
    plain.play([*operation.before, Step(operation.call), *meanwhile])
    return plain


@pytest.mark.parametrize("client", _CLIENTS)
def test_a_session_with_a_fifth_of_the_replies_lost_is_the_same(
    client: str, server7: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long mixed session answers and stores the same, whichever fifth of the replies was lost."""
    plain = _Table(server7, client, monkeypatch)
    plain.play(SESSION)
    wanted, lost = plain.stored(), 0
    for seed in range(1, 6):
        lossy = _Table(server7, client, monkeypatch)
        with LossyProxy(server7.address, 0.2, seed) as proxy:
            lossy.play(SESSION, proxy)
            lost += proxy.replies_dropped
        assert lossy.played.shown == plain.played.shown, f"seed {seed}"
        assert lossy.stored() == wanted, f"seed {seed}"
    assert lost > 40


def test_the_session_of_these_tests_takes_every_turn(server7: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mixed session reaches every state, a probe, a hold and a refusal: else its comparison would say little."""
    table = _Table(server7, "sync", monkeypatch)
    table.play(SESSION)
    text: Any = str(table.played.shown)
    for word in ("StaleClaim", "DecisionReportMissing", "TaskNotFound", "InvalidState", "held", "slowdown", "paused"):
        assert word in text, word
    for kind in ("completed", "cancelled", "dead-letter", "pending", "breaker-half-open", "expires"):
        assert kind in text + str(table.stored()), kind
