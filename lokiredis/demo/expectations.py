"""What must have happened. Each expectation is checked in the queue's own records; one unmet, and the demo failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..models import Attempt, Breaker, State, Task
from .artefact import digest
from .evidence import Evidence
from .plan import BACKOFF, DOOMED, FLAKY, HALF_OPEN_AFTER, HOPELESS, LIMITED, PROBE, RATE_LIMIT, TIME_LIMIT, planned

_REPORT = {"why", "what", "tradeOffs", "risks", "testResults", "nextSteps"}
_FEWEST_AGENTS = 6


class Unmet(Exception):
    """What was expected did not happen; the text says what is there instead."""


@dataclass(frozen=True)
class Finding:
    """Whether one expectation was met. ``task`` is the task to look at, "" for the whole queue."""

    what: str
    task: str
    met: bool
    evidence: str


@dataclass(frozen=True)
class Expectation:
    """``check`` returns the evidence, or raises Unmet."""

    what: str
    task: str
    check: Callable[[Evidence], str]


def examine(evidence: Evidence) -> list[Finding]:
    """Every expectation, met or not."""
    return [_examine(expectation, evidence) for expectation in EXPECTATIONS]


def _examine(expectation: Expectation, evidence: Evidence) -> Finding:
    try:
        return Finding(expectation.what, expectation.task, True, expectation.check(evidence))
    except Unmet as e:
        return Finding(expectation.what, expectation.task, False, str(e))


def _plan_done(seen: Evidence) -> str:
    wanted = {task["id"] for task in planned()} - {HOPELESS} | {PROBE["id"]}
    missing = [id for id in sorted(wanted) if _state(seen, id) != State.COMPLETED]
    if missing:
        raise Unmet(f"not completed: {', '.join(f'{id} ({_state(seen, id)})' for id in missing)}")
    types = {seen.snapshot.tasks[id].type for id in wanted}
    return f"{len(wanted)} tasks of {len(types)} types completed; the rest is the dead letter"


def _in_order(seen: Evidence) -> str:
    """Also: nothing twice."""
    for task in seen.snapshot.tasks.values():
        completed = [attempt for attempt in task.attempts if attempt.outcome == "completed"]
        if len(completed) != (task.state == State.COMPLETED):
            raise Unmet(f"{task.id} is {task.state} and was completed {len(completed)} times")
        for name in task.dependencies:
            ended = _task(seen, name).completed_at
            if task.attempts and (ended is None or min(a.claimed_at for a in task.attempts) < ended):
                raise Unmet(f"{task.id} began before {name} was completed")
        tokens = [attempt.token for attempt in sorted(task.attempts, key=lambda attempt: attempt.claimed_at)]
        if tokens != sorted(set(tokens)):
            raise Unmet(f"the tokens of {task.id} did not grow: {tokens}")
    return f"none of {len(seen.attempts())} claims began before the task's dependencies were done"


def _files(seen: Evidence) -> str:
    count = size = 0
    for task in seen.snapshot.tasks.values():
        if task.state != State.COMPLETED:
            continue
        result = task.result or {}
        output = result.get("output") or {}
        file = seen.folder / output.get("path", "?")
        if not file.is_file() or digest(file) != output["sha256"]:
            raise Unmet(f"{task.id} did not leave the file that it reports, {file}")
        if result["decisionReport"].keys() < _REPORT:
            raise Unmet(
                f"the decision report of {task.id} lacks {', '.join(_REPORT - result['decisionReport'].keys())}"
            )
        count, size = count + 1, size + output["bytes"]
    return f"{count} files, {size:,} bytes, each with the digest that its decision report names"


def _fleet(seen: Evidence) -> str:
    agents = {attempt.agent for _, attempt in seen.attempts()}
    if len(agents) < _FEWEST_AGENTS:
        raise Unmet(f"only {len(agents)} agents had a task: {', '.join(sorted(agents))}")
    return f"{len(agents)} agents had a task, each a worker process of its own"


def _retried(seen: Evidence) -> str:
    task = _task(seen, FLAKY)
    first, second = _attempts(task, "failed", "completed")
    waited = second.claimed_at - first.ended_at
    if waited < timedelta(seconds=BACKOFF):
        raise Unmet(f"the second attempt came after {_seconds(waited)}, before its backoff of {BACKOFF:g} s")
    return f"failed at {seen.at(first.ended_at)}, tried again {_seconds(waited)} later by {second.agent}"


def _dead(seen: Evidence) -> str:
    task = _task(seen, HOPELESS)
    if task.state != State.DEAD_LETTER or len(task.attempts) != task.max_retries:
        raise Unmet(f"{task.state} after {len(task.attempts)} attempts")
    return f"{len(task.attempts)} attempts, then the dead-letter queue: {task.last_error}"


def _opened(seen: Evidence) -> str:
    died = _attempts(_task(seen, HOPELESS))[-1].ended_at
    opened = _breaker(seen).opened_at
    if opened != died:
        raise Unmet(f"opened at {opened}, while the task died at {died}")
    [first, *_] = _attempts(_task(seen, PROBE["id"]))
    made = _task(seen, PROBE["id"]).created_at
    if not opened <= made < first.claimed_at:
        raise Unmet(f"{PROBE['id']} did not wait for it")
    waited = _seconds(first.claimed_at - made)
    return f"{PROBE['type']} opened at {seen.at(opened)}; {PROBE['id']}, ready, got no agent for {waited}"


def _closed(seen: Evidence) -> str:
    breaker = _breaker(seen)
    [probe, *_] = _attempts(_task(seen, PROBE["id"]))
    if breaker.state != "closed" or breaker.failures or breaker.half_open_at != probe.claimed_at:
        raise Unmet(f"it is {breaker.state} with {breaker.failures} failures, half-open last at {breaker.half_open_at}")
    assert breaker.opened_at is not None
    if (waited := probe.claimed_at - breaker.opened_at) < timedelta(seconds=HALF_OPEN_AFTER):
        raise Unmet(f"the probe was let through after {_seconds(waited)}")
    return (
        f"half-open at {seen.at(probe.claimed_at)} with {PROBE['id']} as its probe, closed at {seen.at(probe.ended_at)}"
    )


def _killed(seen: Evidence) -> str:
    if seen.killed is None or seen.exits.get(seen.killed.agent) != -9:
        raise Unmet("no agent was killed with -9")
    task, agent = _task(seen, DOOMED), seen.killed.agent
    first, *_, last = _attempts(task, "expired", "completed")
    if first.agent != agent or last.agent == agent or agent not in (first.error or ""):
        raise Unmet(f"{first.agent} lost it ({first.error}), {last.agent} finished it, and {agent} was killed")
    gone = _seconds(last.claimed_at - first.claimed_at)
    return f"“{first.error}”; {last.agent} took it over {gone} after {agent} had begun"


def _carried_on(seen: Evidence) -> str:
    output = _output(seen, DOOMED)
    if not output.get("carriedOnAt"):
        raise Unmet("the next agent began anew")
    return f"the next agent carried on behind step {output['carriedOnAt']}, which the killed one had stored"


def _held(seen: Evidence) -> str:
    task = _task(seen, LIMITED)
    [attempt] = _attempts(task, "completed")
    begin, end = _hold(seen)
    early = [id for id, claimed in _claims_in(seen, begin, end) if claimed.agent == attempt.agent]
    if early or attempt.ended_at < end:
        raise Unmet(f"{attempt.agent} did not wait: {', '.join(early) or LIMITED}")
    if task.retries:
        raise Unmet(f"it was charged {task.retries} attempts")
    return (
        f"{attempt.agent} held for {_seconds(end - begin)} from {seen.at(begin)} on; the task stayed its own, uncharged"
    )


def _slowed(seen: Evidence) -> str:
    begin, until = _hold(seen)[0], seen.slowdown_until
    if until is None or abs(until - begin - timedelta(seconds=RATE_LIMIT / 2)) > timedelta(milliseconds=2):
        raise Unmet(f"SLOWDOWN until {until}, and the rate limit was met at {begin}")
    early = [f"{id} by {attempt.agent}" for id, attempt in _claims_in(seen, begin, until)]
    if early:
        raise Unmet(f"claimed all the same: {', '.join(early)}")
    if "slowdown" not in seen.refusals:
        raise Unmet(f"a claim meanwhile was refused for another reason: {', '.join(seen.refusals) or 'none was tried'}")
    later = sum(attempt.claimed_at >= until for _, attempt in seen.attempts())
    if not later:
        raise Unmet("nothing was left to be slowed down")
    return f"no claim by anybody for {_seconds(until - begin)} (one that tried was told “slowdown”), {later} after it"


def _ended(seen: Evidence) -> str:
    killed = seen.killed and seen.killed.agent
    broken = [agent for agent, code in sorted(seen.exits.items()) if agent != killed and code != 0]
    if broken:
        raise Unmet(
            "; ".join(f"{agent} ended with {seen.exits[agent]}: {_last_words(seen, agent)}" for agent in broken)
        )
    if seen.out_of_time:
        raise Unmet(f"the plan was not done after {TIME_LIMIT:g} s, and all agents were stopped")
    return f"{len(seen.exits) - (killed is not None)} agents ended with exit code 0"


EXPECTATIONS = (
    Expectation("the plan is worked through", "", _plan_done),
    Expectation("in order, and nothing twice", "", _in_order),
    Expectation("real files, reported truly", "", _files),
    Expectation("at least six agents at work", "", _fleet),
    Expectation("a flaky task is tried again", FLAKY, _retried),
    Expectation("a hopeless task becomes a dead letter", HOPELESS, _dead),
    Expectation("it opens the breaker of its type", PROBE["id"], _opened),
    Expectation("a probe closes that breaker again", PROBE["id"], _closed),
    Expectation("the task of a killed agent is taken over", DOOMED, _killed),
    Expectation("its checkpoint isn't lost", DOOMED, _carried_on),
    Expectation("a rate limit holds its agent", LIMITED, _held),
    Expectation("and slows the whole fleet down", LIMITED, _slowed),
    Expectation("the fleet ends in time", "", _ended),
)


def _last_words(seen: Evidence, agent: str) -> str:
    log = seen.folder / "logs" / f"{agent}.log"
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")


def _task(seen: Evidence, id: str) -> Task:
    task = seen.snapshot.tasks.get(id)
    if task is None:
        raise Unmet(f"there is no task {id}")
    return task


def _state(seen: Evidence, id: str) -> str:
    task = seen.snapshot.tasks.get(id)
    return str(task.state) if task else "missing"


def _attempts(task: Task, *outcomes: str) -> tuple[Attempt, ...]:
    """The ledger of a task, which must have exactly these outcomes, or any when none is given."""
    found = tuple(sorted(task.attempts, key=lambda attempt: attempt.token))
    names = [attempt.outcome for attempt in found]
    if not found or (outcomes and names != list(outcomes)):
        raise Unmet(f"the attempts of {task.id} are: {', '.join(names) or 'none'}; it is {task.state}")
    return found


def _output(seen: Evidence, id: str) -> dict[str, Any]:
    output = (_task(seen, id).result or {}).get("output")
    if not isinstance(output, dict):
        raise Unmet(f"{id} has no result")
    return output


def _breaker(seen: Evidence) -> Breaker:
    breaker = seen.snapshot.stats.breakers.get(PROBE["type"])
    if breaker is None or breaker.opened_at is None:
        raise Unmet(f"the breaker of {PROBE['type']} never opened")
    return breaker


def _hold(seen: Evidence) -> tuple[datetime, datetime]:
    """From when until when the agent was held, as the queue recorded it."""
    if seen.hold is None:
        raise Unmet(f"{LIMITED} met no rate limit")
    if seen.hold.until - seen.hold.begin != timedelta(seconds=RATE_LIMIT):
        raise Unmet(f"held from {seen.hold.begin} until {seen.hold.until}, and the rate limit said {RATE_LIMIT:g} s")
    return seen.hold.begin, seen.hold.until


def _claims_in(seen: Evidence, begin: datetime, end: datetime) -> list[tuple[str, Attempt]]:
    # A claim of the same millisecond was before: the server does one thing at a time.
    return [(task.id, attempt) for task, attempt in seen.attempts() if begin < attempt.claimed_at < end]


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.1f} s"
