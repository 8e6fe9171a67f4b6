"""``lokiredis claim``."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from errno import EBADF
from typing import TYPE_CHECKING, Any

import click

from ..errors import LokiRedisError
from .limits import agent_name, request_id, some_types, task_type
from .params import FOREVER, duration_or_forever, lease_time
from .session import Session, pass_session
from .text import clock, iso, pretty, safe, span
from .unwinding import unwinding
from .verb import Verb

if TYPE_CHECKING:
    from ..models import Claim, NoClaim
    from ..queue import Queue

NOTHING, HELD_BACK = 3, 4
#: Whoever waits so many seconds for work can also wait for a restart of Redis.
_PATIENT_FROM = 30
_HELD_BACK = frozenset({"paused", "slowdown", "held", "breaker"})

_WHY = {
    "paused": "the queue, or the type, is paused",
    "slowdown": "the fleet was told to slow down",
    "held": "this agent is held after a rate limit",
    "breaker": "the circuit breaker of the type is open",
    "delayed": "all tasks wait for their time",
    "blocked": "all tasks wait for others to be completed",
    "empty": "there are no tasks of these types",
}


@dataclass(frozen=True)
class Wish:
    """What an agent asks for."""

    agent: str
    types: tuple[str, ...]
    lease: float | None
    wait: float | None
    request: str | None


@click.command(
    cls=Verb,
    examples="""
        lokiredis claim --agent host-17/claude-3 --type eng-backend
        lokiredis claim --agent host-17/claude-3 --type eng-backend --type eng-qa --wait 30m --json
        lokiredis claim --agent batch-1 --type docs --limit 20 --lease 60 --json
    """,
)
@click.option(
    "--agent",
    type=agent_name,
    required=True,
    envvar="LOKIREDIS_AGENT",
    show_envvar=True,
    metavar="AGENT",
    help="Who claims: one name for each agent.",
)
@click.option(
    "--type",
    type=task_type,
    multiple=True,
    callback=some_types,
    required=True,
    metavar="TYPE",
    help="A task type that the agent can do; may be repeated.",
)
@click.option("--limit", type=click.IntRange(1, 1000), metavar="N", help="Take up to N tasks, and answer with a list.")
@click.option(
    "--lease",
    type=lease_time,
    metavar="DURATION",
    help="How long the claim holds without a heartbeat.  [default: the task's timeout]",
)
@click.option(
    "--wait",
    type=duration_or_forever,
    default=0,
    metavar="DURATION",
    help="Wait so long for work, or 'forever'; the server wakes the agent.",
)
@click.option(
    "--request",
    type=request_id,
    metavar="ID",
    help="Repeating a claim with the same id gives the same answer for 10 minutes.",
)
@pass_session
def claim(
    session: Session,
    /,
    agent: str,
    type: tuple[str, ...],
    limit: int | None,
    lease: float | None,
    wait: float,
    request: str | None,
) -> None:
    """Take the best ready task of some types.

    Finish it with complete, fail or release, which take its id and token. Renew it with heartbeat, every third of the
    lease; a claim that runs out is given to another agent.

    JSON: {"claim": {"id", "token", "deadline", "lease", "task"}, "reason": null, "retryAfter": null}; with --limit
    "claims", a list, in place of "claim". When nothing is given the claim is null (the list empty) and "reason" says
    why. The exit code is then 3 (empty, blocked, delayed) or 4 (paused, slowdown, held, breaker); "retryAfter" is
    the seconds after which time alone can change that, null when it can't.
    """
    if not session.heard:
        raise OSError(EBADF, "standard output is closed, so nobody would learn the token")
    queue = session.queue(patient=wait > _PATIENT_FROM)
    wish = Wish(agent, type, lease, None if wait == FOREVER else wait, request)
    found: list[Claim | NoClaim] = []
    with unwinding():
        try:
            _take(queue, wish, limit, found)
            _answer(session, found, listed=limit is not None)
        except BaseException:
            # Nobody has seen the tokens: without this the tasks would sit there until their leases end. What has an id
            # of the caller's own is asked for again by it, and must still be his then.
            if request is None:
                _hand_back(session, queue, agent, [one for one in found if one])
            raise
    for refusal in found:
        if not refusal:
            raise click.exceptions.Exit(HELD_BACK if refusal.reason in _HELD_BACK else NOTHING)


def _take(queue: Queue, wish: Wish, limit: int | None, found: list[Claim | NoClaim]) -> None:
    """Claim into *found*, in one step with each answer: whatever interrupts in between, the claims are there.

    Every try has the same request, for only one that gives a claim is remembered: repeated, the whole gives the same.
    """
    agent, types, lease = wish.agent, list(wish.types), wish.lease
    if limit is not None:
        found += queue.claim_many(agent, types, limit, lease=lease, request=wish.request)
        if found:
            return
    # Only a claim of one can wait, and says why there is nothing.
    found.append(queue.claim(agent, types, lease=lease, wait=wish.wait, request=wish.request))
    if limit is not None and limit > 1 and found[0] and wish.request is None:
        # What is in hand already is worth more than an error.
        with suppress(LokiRedisError):
            found += queue.claim_many(agent, types, limit - 1, lease=lease)


def _hand_back(session: Session, queue: Queue, agent: str, claims: list[Claim]) -> None:
    """Release claims whose tokens nobody knows. It must not hide what went wrong before."""
    from ..models import Released

    if not claims:
        return
    try:
        released = [Released(one, reason="the claim could not be printed") for one in claims]
        queue.exchange(agent, [], finished=released, limit=0)
    except LokiRedisError as e:
        names = ", ".join(one.id for one in claims[:5]) + (" …" if len(claims) > 5 else "")
        session.warnings.append(f"{names} could not be handed back, and stays claimed until its lease ends: {e}")


def _answer(session: Session, found: list[Claim | NoClaim], *, listed: bool) -> None:
    claims = [one for one in found if one]
    refusal = next((one for one in found if not one), None)
    shown = [_shown(one) for one in claims]
    data: dict[str, Any] = {"claims": shown} if listed else {"claim": shown[0] if shown else None}
    # NoClaim is falsy, so "refusal and …" would not do.
    reason, again = (None, None) if refusal is None else (refusal.reason, refusal.retry_after)
    data |= {"reason": reason, "retryAfter": again}
    session.answer(data, lambda: _tell(claims, refusal))
    sys.stdout.flush()


def _shown(claim: Claim) -> dict[str, Any]:
    return {
        "id": claim.id,
        "token": claim.token,
        "deadline": iso(claim.deadline),
        "lease": claim.lease,
        "task": claim.task.to_json(),
    }


def _tell(claims: list[Claim], refusal: NoClaim | None) -> None:
    if refusal is not None:
        again = "" if refusal.retry_after is None else f"; ask again in {span(refusal.retry_after)}"
        click.echo(f"Nothing to claim: {_WHY.get(refusal.reason, refusal.reason)}{again}.", err=True)
    for one in claims:
        task = one.task
        click.echo(f"Claimed {one.id} ({safe(task.type)}, priority {task.priority}) until {clock(one.deadline)}.")
        if task.attempts:
            last = task.last_error or task.attempts[0].outcome
            click.echo(f"Claimed {len(task.attempts)} times before; last: {safe(last)}")
        for name in ("payload", "checkpoint"):
            if getattr(task, name) not in (None, {}):
                click.echo(f"{name}: {pretty(getattr(task, name))}")
        click.echo(f"Finish with: lokiredis complete {one.id} {one.token} --why '…' --what '…'")
