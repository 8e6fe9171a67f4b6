"""Ctrl-C at any moment of a claim: no task is left with an agent that does not know of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisCluster

from lokiredis import Claim, Finished, Queue, State, commands
from lokiredis.commands import Command

from ..invariants import check
from ..servers import RedisServer
from ..waiting import wait_until
from .calling import NAME
from .interrupted import TYPE

pytestmark = pytest.mark.faults

_ROOT = Path(__file__).parents[2]
_ROUNDS = 60


@contextmanager
def _agent(server: RedisServer, way: str) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "tests.faults.interrupted", server.url, NAME, way]
    with subprocess.Popen(words, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("way", ["claim", "claim_many", "exchange"])
def test_ctrl_c_during_a_claim_loses_no_task(way: str, server7: RedisServer) -> None:
    """SIGINT within 2 ms of an enqueue, 60 times: what the agent was not told of is ready again, uncharged."""
    chance = random.Random(7)
    with server7.client() as redis, Queue(redis, NAME) as queue, _agent(server7, way) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for number in range(_ROUNDS):
                process.stdin.write("go\n")
                process.stdin.flush()
                assert process.stdout.readline() == "claiming\n"
                if way == "claim":
                    wait_until(lambda: redis.info("clients")["blocked_clients"] == 1, what="the agent to wait")
                queue.enqueue(id=f"t-{number}", type=TYPE, payload={"n": number})
                time.sleep(chance.uniform(0, 0.002))
                os.kill(process.pid, signal.SIGINT)
                told = process.stdout.readline().split()
                assert queue.counts()["in-progress"] == 0, f"round {number}: {told}"
                if told == ["nothing"]:
                    left = queue.claim("next", TYPE)
                    assert isinstance(left, Claim)
                    assert left.task.retries == 0
                    queue.complete(left, decision_report={"why": "a test"})
            assert queue.counts()["completed"] == _ROUNDS
            check(redis, NAME)
        finally:
            process.kill()
            redis.flushall()


class _Interrupted(Queue):
    """A client that is interrupted as soon as an answer is there, as often as it is told to."""

    interruptions = 0
    #: Answers that come through before.
    skipped = 0

    def _send(self, command: Command[Any]) -> Any:
        answer = super()._send(command)
        if command.script.name in ("claim", "exchange") and self.interruptions:
            self.skipped -= 1
            if self.skipped < 0:
                self.interruptions -= 1
                raise KeyboardInterrupt
        return answer


def test_the_tasks_of_an_interrupted_call_are_handed_back(queue: Queue) -> None:
    """The answer is lost on its way to the caller: the same request tells what was claimed, and it is released."""
    agent = _Interrupted(queue.redis, queue.name)
    queue.enqueue_many({"id": f"t-{n}", "type": TYPE, "payload": {"n": n}} for n in range(5))
    calls = (
        lambda: agent.claim("me", TYPE),
        lambda: agent.claim_many("me", TYPE, 3),
        lambda: agent.exchange("me", TYPE, limit=5),
    )
    for call in calls:
        agent.interruptions = 1
        with pytest.raises(KeyboardInterrupt):
            call()
        counts = queue.counts()
        assert (counts["pending"], counts["in-progress"]) == (5, 0)
    assert queue.get("t-0").attempts[-1].outcome == "released"
    agent.close()


def test_an_interrupted_exchange_of_several_calls_tells_all(queue: Queue) -> None:
    """Each of its endings counts, wherever it was interrupted, and what it claimed is handed back, in calls of 100."""
    agent = _Interrupted(queue.redis, queue.name)
    for skipped in range(3):
        queue.enqueue_many({"type": TYPE, "payload": {"round": skipped, "n": n}} for n in range(500))
        claims = queue.claim_many("me", TYPE, 250)
        finished = [Finished(claim, decision_report={"why": "a test"}) for claim in claims]
        agent.skipped, agent.interruptions = skipped, 1
        with pytest.raises(KeyboardInterrupt):
            agent.exchange("me", TYPE, finished=finished, limit=250)
        assert {queue.get(claim.id).state for claim in claims} == {State.COMPLETED}
        counts = queue.counts()
        assert (counts["in-progress"], counts["pending"]) == (0, 250 * (skipped + 1))
    agent.close()


def test_a_second_interruption_ends_at_once(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the task is being handed back: no further try, and no wait."""
    agent = _Interrupted(queue.redis, queue.name)
    tries = 0

    def interrupt(*_: object) -> None:
        nonlocal tries
        tries += 1
        raise KeyboardInterrupt

    monkeypatch.setattr("lokiredis.executor.short_twin", interrupt)
    queue.enqueue(id="a", type=TYPE)
    agent.interruptions = 1
    with pytest.raises(KeyboardInterrupt):
        agent.claim("me", TYPE)
    assert tries == 1


def test_an_outage_while_handing_back_is_not_raised(program7: Path) -> None:
    """The server goes with the interruption: the interruption is what the caller gets, soon."""
    with RedisServer(program7, tcp=True) as server, _Interrupted.from_url(server.url, NAME) as agent:
        agent.enqueue(id="a", type=TYPE)

        def killed_meanwhile(command: Command[Any]) -> Any:
            server.kill()
            raise KeyboardInterrupt

        agent._send = killed_meanwhile  # type: ignore[method-assign]
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            agent.claim("me", TYPE)
        assert time.monotonic() - began < 5


def test_the_next_call_does_not_get_an_interrupted_ones_reply(server7: RedisServer) -> None:
    """An interruption between sending and reading: the late reply is not taken for that of the next call."""

    class Slow(Queue):
        def _send(self, command: Command[Any]) -> Any:
            if command.script.name != "pause":
                return super()._send(command)
            connection = self.redis.connection_pool.get_connection()
            connection.send_command("BLPOP", "nothing-comes", "0.3")
            self.redis.connection_pool.release(connection)
            raise KeyboardInterrupt

    with server7.client() as redis:
        agent = Slow(redis, NAME)
        with pytest.raises(KeyboardInterrupt):
            agent.pause()
        assert agent.counts()["pending"] == 0
        agent.close()
        redis.flushall()


def test_no_numbers_are_given_to_hiredis(server7: RedisServer) -> None:
    """hiredis 3.5 writes numbers with repr(), which fails when a signal is pending, and does not look: it crashes."""
    sent: list[Any] = []

    class Watched(Redis):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            sent.extend(args)
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    with Watched.from_url(server7.url) as redis:
        agent = Queue(redis, NAME)
        agent.enqueue(id="a", type=TYPE)
        assert agent.claim("me", TYPE)
        agent._blocking = Watched.from_url(server7.url)
        assert not agent.claim("me", TYPE, wait=0.05)
        agent.close()
        redis.flushall()
    assert {type(word) for word in sent} <= {str, bytes}


def test_the_task_is_handed_back_in_a_cluster(program7: Path) -> None:
    """A cluster client: the twin goes to the node that has the queue, and what is idle on every node is closed."""
    with (
        RedisServer(program7, cluster=True) as server,
        RedisCluster(host="127.0.0.1", port=server.port) as redis,
    ):
        agent = _Interrupted(redis, NAME)
        agent.enqueue(id="a", type=TYPE)
        agent.interruptions = 1
        with pytest.raises(KeyboardInterrupt):
            agent.claim("me", TYPE)
        assert agent.get("a").attempts[-1].outcome == "released"
        agent.close()


def test_what_has_an_id_of_the_callers_own_is_kept(queue: Queue) -> None:
    """Its caller asks for it again by that id, and must not get a claim that was handed back meanwhile."""
    assert commands.claim_once(queue.keys, "agent", "build").undo is not None
    assert commands.claim_once(queue.keys, "agent", "build", request="job7").undo is None
    assert commands.exchange(queue.keys, "agent", "build", limit=1, request="job7").undo is None
