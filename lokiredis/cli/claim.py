"""``lokiredis claim``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .params import FOREVER, duration, duration_or_forever
from .session import Session, pass_session
from .text import clock, iso, pretty, safe, span
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
    required=True,
    envvar="LOKIREDIS_AGENT",
    show_envvar=True,
    metavar="AGENT",
    help="Who claims: one name for each agent.",
)
@click.option(
    "--type",
    multiple=True,
    required=True,
    metavar="TYPE",
    help="A task type that the agent can do; may be repeated.",
)
@click.option("--limit", type=click.IntRange(1, 1000), metavar="N", help="Take up to N tasks, and answer with a list.")
@click.option(
    "--lease",
    type=duration,
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
    "--request", metavar="ID", help="Repeating a claim with the same id gives the same answer for 10 minutes."
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
    queue = session.queue(patient=wait > _PATIENT_FROM)
    wish = Wish(agent, type, lease, None if wait == FOREVER else wait, request)
    claims, refusal = _claim_one(queue, wish, request) if limit is None else _claim_some(queue, wish, limit)
    try:
        _answer(session, claims, refusal, listed=limit is not None)
    except OSError:
        # Nobody has seen the tokens: without this the tasks would sit there until their leases end.
        for lost in claims:
            queue.release(lost, reason="the claim could not be printed")
        raise
    if refusal is not None:
        raise click.exceptions.Exit(HELD_BACK if refusal.reason in _HELD_BACK else NOTHING)


def _claim_one(queue: Queue, wish: Wish, request: str | None) -> tuple[list[Claim], NoClaim | None]:
    from ..models import NoClaim

    got = queue.claim(wish.agent, list(wish.types), lease=wish.lease, wait=wish.wait, request=request)
    return ([], got) if isinstance(got, NoClaim) else ([got], None)


def _claim_some(queue: Queue, wish: Wish, limit: int) -> tuple[list[Claim], NoClaim | None]:
    """Up to *limit* claims. Only a claim of one says why nothing is there, and can wait for it."""

    def some(count: int, request: str | None) -> list[Claim]:
        return queue.claim_many(wish.agent, list(wish.types), count, lease=wish.lease, request=request)

    # One request id is one call, so each further call gets one that follows from it.
    second, third = (f"{wish.request}.2", f"{wish.request}.3") if wish.request else (None, None)
    claims = some(limit, wish.request)
    if claims:
        return claims, None
    one, refusal = _claim_one(queue, wish, second)
    return one + (some(limit - 1, third) if one and limit > 1 else []), refusal


def _answer(session: Session, claims: list[Claim], refusal: NoClaim | None, *, listed: bool) -> None:
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
