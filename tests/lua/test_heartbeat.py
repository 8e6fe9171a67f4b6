"""lua/heartbeat.lua: rules 5 and 8."""

from __future__ import annotations

import pytest

from lokiredis import Heartbeat, InvalidTask, StaleClaim, TaskNotFound

from ..clock import ClockedQueue
from .moves import add, bury, moment, raw, stored, take


def test_a_renewal(clocked: ClockedQueue) -> None:
    """It moves the deadline on by the lease, and never beyond the timeout."""
    add(clocked, "x", timeout=100)
    claim = take(clocked, lease=60)
    started = clocked.clock.now
    clocked.clock.advance(20)
    assert clocked.heartbeat(claim) == Heartbeat(moment(clocked, 60), False)
    assert clocked.get("x").lease_expires_at == moment(clocked, 60)
    clocked.clock.advance(50)
    assert clocked.heartbeat(claim) == Heartbeat(moment(clocked, 30), False)
    assert clocked.clock.now == started + 70_000


def test_a_lease_that_passed_can_be_renewed(clocked: ClockedQueue) -> None:
    """Within the timeout, as long as nobody reaped it; after the timeout no more."""
    add(clocked, "x", timeout=100)
    claim = take(clocked, lease=10)
    clocked.clock.advance(50)
    assert clocked.heartbeat(claim).deadline == moment(clocked, 10)
    clocked.clock.advance(50)
    assert clocked.heartbeat(claim).deadline == moment(clocked, -40)


def test_checkpoint_and_progress(clocked: ClockedQueue) -> None:
    """Both are stored as given, replaced by later ones, and the next claimant gets the checkpoint."""
    add(clocked, "x")
    claim = take(clocked)
    clocked.heartbeat(claim, checkpoint={"step": [1]}, progress="half")
    clocked.heartbeat(claim, checkpoint=0)
    clocked.heartbeat(claim)
    task = clocked.get("x")
    assert (task.checkpoint, task.progress) == (0, "half")
    clocked.fail(claim, "x")
    clocked.clock.advance(60)
    assert take(clocked).task.checkpoint == 0


def test_the_largest_checkpoint(clocked: ClockedQueue) -> None:
    """Over the limit it is refused and nothing is written."""
    clocked.configure(checkpoint_bytes=10)
    add(clocked, "x")
    claim = take(clocked)
    before = stored(clocked)
    for field in ("checkpoint", "progress"):
        with pytest.raises(InvalidTask) as caught:
            clocked.heartbeat(claim, **{field: "x" * 9})
        assert caught.value.field == field
    assert stored(clocked) == before


def test_a_cancelled_claim_is_told(clocked: ClockedQueue) -> None:
    """The token that the cancel killed hears so, again and again; an older token of the task is stale."""
    add(clocked, "x")
    stale = take(clocked)
    clocked.release(stale)
    claim = take(clocked)
    clocked.cancel("x", "no")
    for _ in range(2):
        assert clocked.heartbeat(claim) == Heartbeat(None, True)
    with pytest.raises(StaleClaim):
        clocked.heartbeat(stale)


def test_a_claim_that_ended_before_the_cancel_is_stale(clocked: ClockedQueue) -> None:
    """Only a running task has an agent to be told."""
    add(clocked, "x")
    claim = take(clocked)
    clocked.release(claim)
    clocked.cancel("x", "no")
    with pytest.raises(StaleClaim) as caught:
        clocked.heartbeat(claim)
    assert caught.value.state == "cancelled"


def test_many_at_once(clocked: ClockedQueue) -> None:
    """Each claim gets its own answer, and a bad one doesn't spoil the rest."""
    for i in range(4):
        add(clocked, f"x{i}")
    renewed, cancelled, stale, gone = clocked.claim_many("me", "a", 4, lease=60)
    clocked.cancel(cancelled.id, "no")
    clocked.release(stale)
    clocked.fail(gone, "x", retry=False)
    clocked.discard_dead(gone.id, "gone")
    clocked.clock.advance(30)
    answers = clocked.heartbeat_many([renewed, cancelled, stale, gone])
    assert answers[:2] == [Heartbeat(moment(clocked, 60), False), Heartbeat(None, True)]
    assert [type(a) for a in answers[2:]] == [StaleClaim, TaskNotFound]
    assert clocked.heartbeat_many([]) == []


def test_the_most_at_once(clocked: ClockedQueue) -> None:
    """1,000 claims in one call, not more."""
    words = [word for i in range(1001) for word in (f"x{i}", 1, "", "")]
    assert len(raw(clocked, "heartbeat", *words[:4000])) == 1000
    with pytest.raises(InvalidTask):
        raw(clocked, "heartbeat", *words)


def test_the_most_bytes_at_once(clocked: ClockedQueue) -> None:
    """8 MiB of checkpoints and progress in one call of several; with more of them nothing is stored."""
    for i in range(9):
        add(clocked, f"x{i}")
    claims = clocked.claim_many("me", "a", 9, lease=60)
    before = stored(clocked)
    words = [word for c in claims for word in (c.id, c.token, "1" * 500_000, "2" * 500_000)]
    with pytest.raises(InvalidTask, match="one call takes at most 8 MiB") as caught:
        raw(clocked, "heartbeat", *words)
    assert (caught.value.field, stored(clocked)) == ("claims", before)
    assert [answer[0] for answer in raw(clocked, "heartbeat", *words[:32])] == [b"renewed"] * 8


def test_a_dead_letter_has_no_claim(clocked: ClockedQueue) -> None:
    """The error names the state that the task is in."""
    bury(clocked, "x")
    with pytest.raises(StaleClaim) as caught:
        clocked.heartbeat(_Proof("x", clocked.get("x").token or 0))
    assert caught.value.state == "dead-letter"


class _Proof:
    def __init__(self, id: str, token: int) -> None:
        self.id, self.token = id, token
