"""What ends or renews a claim (rules 5, 8, 9, 10, 14 and 15)."""

from __future__ import annotations

from typing import Any

from . import breaker
from .world import ModelTask, Refused, World

Answer = tuple[str, int, "int | None"]

FIRST_WAIT, LONGEST_WAIT = 60_000, 3_600_000
LONGEST_BACKOFF = 3_600_000


def _current(world: World, id: str, token: int) -> ModelTask:
    """The task whose claim this is (rule 8)."""
    task = world.task(id)
    if task.place != "leased" or task.token != token:
        raise Refused("StaleClaim")
    return task


def _ending(world: World, id: str, token: int, operation: str) -> tuple[ModelTask, Answer | None]:
    """The task, or the answer that this ending got before: known by token and operation (rule 9)."""
    try:
        return _current(world, id, token), None
    except Refused as e:
        for line in world.tasks[id].attempts if e.code == "StaleClaim" else ():
            if (line.token, line.operation) == (token, operation):
                return world.tasks[id], line.answer
        raise


def charge(
    world: World, task: ModelTask, outcome: str, operation: str, error: str | None, *, retry: bool, spread: float
) -> None:
    """An attempt that failed or was lost (rules 6 and 10)."""
    agent, token = task.agent, task.token
    assert agent is not None
    # The wording of a lost attempt is free, but it says which agent was lost.
    task.error = f"*{agent}*" if error is None else error
    task.retries += 1
    task.handbacks = 0
    died = not retry or task.retries >= task.max_retries
    world.totals["failed"] += 1
    if died:
        task.place, task.ended, task.available = "dead", world.now, None
        world.totals["dead"] += 1
    elif outcome == "failed":
        delay = min(task.base * 2 ** (task.retries - 1), LONGEST_BACKOFF)
        task.backoff = int(delay * (1 + world.config.jitter * spread))
        world.pending(task, world.now + task.backoff)
    else:
        # Silent: backoffSeconds stays what it was, since an expiry brings no delay.
        world.pending(task, None)
    breaker.failure(world, task.type, task.id, token, died=died)
    world.close(task, outcome, operation, task.error)


def complete(
    world: World, id: str, token: int, output: Any, report: dict[str, Any] | None
) -> tuple[Answer, str | None]:
    """The answer, and the agent whose claim really ended now."""
    task, before = _ending(world, id, token, "complete")
    if before is not None:
        return before, None
    task.result = {"status": "success", "output": output, "decisionReport": report}
    if gap(world, report):
        task.result["status"] = "incomplete"
        raise Refused("DecisionReportMissing")
    agent = task.agent
    task.place, task.ended, task.handbacks = "completed", world.now, 0
    world.totals["completed"] += 1
    breaker.success(world, task.type, id, token)
    world.close(task, "completed", "complete", None)
    assert agent is not None
    # What is completed is due no more.
    return (task.state, task.retries, None), agent


def gap(world: World, report: dict[str, Any] | None) -> bool:
    """Whether the decision report lacks something (rule 14)."""
    if not world.config.report:
        return False
    return not report or any(key not in report for key in world.config.report_keys)


def clear_up(world: World, completed: list[tuple[str, str]]) -> None:
    """After (task, agent) completed: dependents go on, limits in a row start anew, old tasks go."""
    for _, agent in completed:
        if agent in world.holds:
            world.holds[agent].in_a_row = 0
            if world.holds[agent].until <= world.now:
                # Silent: a hold that had ended by then is over for good, also when the clock goes back.
                del world.holds[agent]
    world.retention(len(completed))
    for id, _ in completed:
        world.release_dependents(id)


def fail(world: World, id: str, token: int, error: str, *, retry: bool, spread: float) -> Answer:
    task, before = _ending(world, id, token, "fail")
    if before is not None:
        return before
    charge(world, task, "failed", "fail", error, retry=retry, spread=spread)
    return task.state, task.retries, task.available


def release(world: World, id: str, token: int, delay: int, reason: str) -> Answer:
    task, before = _ending(world, id, token, "release")
    if before is not None:
        return before
    _hand_back(world, task, "release", delay, reason)
    return task.state, task.retries, task.available


def _hand_back(world: World, task: ModelTask, operation: str, delay: int, reason: str) -> None:
    task.handbacks += 1
    if task.handbacks >= 3:
        # Silent: a longer delay that was asked for stays.
        delay = max(delay, min(2**task.handbacks, 60) * 1000)
    world.pending(task, world.now + delay)
    breaker.give_back(world, task.type, task.id, task.token)
    world.close(task, "released", operation, reason)


def rate_limited(
    world: World,
    id: str,
    token: int,
    error: str,
    *,
    wait: int | None,
    spread: float,
    checkpoint: Any,
    give: bool,
) -> tuple[int, int, bool]:
    """Until when, how long, whether the task was handed back (rule 15)."""
    task = _current(world, id, token)
    assert task.agent is not None
    assert task.limit is not None
    assert task.lease is not None
    assert task.deadline is not None
    hold = world.holds.setdefault(task.agent, world.hold(task.agent))
    hold.in_a_row += 1
    if wait is None:
        wait = int(min(FIRST_WAIT * 2 ** (hold.in_a_row - 1), LONGEST_WAIT) * (1 + 0.1 * spread))
    ends = max(hold.until, world.now + min(wait, world.config.longest_hold))
    hold.until = ends
    if checkpoint is not None:
        task.checkpoint = checkpoint
    released = give or wait > world.config.longest_hold
    if released:
        _hand_back(world, task, "rate_limited", 0, error)
    else:
        breaker.give_back(world, task.type, task.id, task.token)
        # The hold moves the absolute deadline of the attempt on (rule 5), and the claim outlives it by its lease.
        # Silent: however often the same hold is told, never further than a whole timeout behind it.
        moved = max(task.limit, min(task.limit + ends - world.now, ends + task.timeout))
        task.limit = moved if task.limit > world.now else ends + task.lease
        task.deadline = max(task.deadline, min(ends + task.lease, task.limit))
    slow_down(world, wait // 2)
    return ends, ends - world.now, released


def slow_down(world: World, wait: int) -> int:
    """Overlapping ones: the later end wins."""
    length = min(wait, world.config.longest_slowdown)
    if length > 0:
        world.slowdown = max(world.slowdown, world.now + length)
    return world.slowdown


def heartbeat(world: World, id: str, token: int, checkpoint: Any, progress: Any) -> tuple[int | None, bool]:
    """The deadline, and whether the task was cancelled under the agent (rule 8)."""
    stored = world.task(id)
    if stored.place == "cancelled" and stored.token == token and stored.agent is not None:
        return None, True
    task = _current(world, id, token)
    assert task.limit is not None
    assert task.lease is not None
    assert task.deadline is not None
    if checkpoint is not None:
        task.checkpoint = checkpoint
    if progress is not None:
        task.progress = progress
    if world.now < task.limit:
        task.deadline = max(task.deadline, min(world.now + task.lease, task.limit))
    return task.deadline, False
