"""The verbs on a claim: ``heartbeat``, ``complete``, ``fail``, ``release``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .guard import STALE
from .held import Held, held, takes_claim
from .params import delay_time, duration, json_or_text, json_value, one_reader, plain_text, text_value
from .report import result_from, takes_result
from .session import Session, pass_session
from .text import clock, iso, safe, span
from .verb import Verb

if TYPE_CHECKING:
    from ..models import Outcome


@click.command(
    cls=Verb,
    examples="""
        lokiredis heartbeat api-001 1795341600123
        lokiredis heartbeat api-001 1795341600123 --progress '3 of 7 files' --checkpoint @state.json
        LOKIREDIS_TASK_ID=api-001 LOKIREDIS_TOKEN=1795341600123 lokiredis heartbeat --json
    """,
)
@takes_claim
@click.option("--checkpoint", metavar="JSON", help="What the next agent needs to carry on: JSON, @FILE, or -.")
@click.option("--progress", metavar="TEXT", help="How far the work is: text, or JSON in {} or [], @FILE, or -.")
@pass_session
def heartbeat(
    session: Session,
    /,
    id: str | None,
    token: int | None,
    task_option: str | None,
    token_option: str | None,
    checkpoint: str | None,
    progress: str | None,
) -> None:
    """Renew a claim, and store how far the work is.

    The claim holds from now for its lease, but not beyond the task's timeout. When the task was cancelled meanwhile
    the exit code is 5, as for any claim that has ended: stop working on it.

    JSON: {"id", "deadline", "cancelled"}; the deadline is null when the task was cancelled.
    """
    claim = held(id, token, task_option, token_option)
    one_reader(checkpoint=checkpoint, progress=progress)
    beat = session.queue().heartbeat(
        claim,
        checkpoint=None if checkpoint is None else json_value(checkpoint, "--checkpoint"),
        progress=None if progress is None else json_or_text(progress, "--progress"),
    )
    line = (
        f"{claim.id} was cancelled: stop." if beat.cancelled else f"{claim.id} is yours until {clock(beat.deadline)}."
    )
    data = {"id": claim.id, "deadline": iso(beat.deadline), "cancelled": beat.cancelled}
    session.answer(data, lambda: click.echo(safe(line)))
    if beat.cancelled:
        raise click.exceptions.Exit(STALE)


@click.command(
    cls=Verb,
    examples="""
        lokiredis complete api-001 1795341600123 --why 'REST, as ADR-001 says' --what 'CRUD for todos'
        lokiredis complete api-001 1795341600123 --output @summary.md --report @report.json
        echo '{"why": "…", "what": "…"}' | lokiredis complete api-001 1795341600123 --report -
    """,
)
@takes_claim
@takes_result
@pass_session
def complete(
    session: Session,
    /,
    id: str | None,
    token: int | None,
    task_option: str | None,
    token_option: str | None,
    **options: str | None,
) -> None:
    """Finish a claimed task with a decision report.

    The report is required. Its usual keys have options of their own, which add to --report; other keys are allowed in
    it. Without a report the task is marked incomplete and stays claimed: call complete again with one. TEXT may be
    @FILE, - for standard input, or start with @@ for a text that starts with @.

    JSON: {"id", "state", "retries", "availableAt"}.
    """
    claim = held(id, token, task_option, token_option)
    answer_ending(session, claim.id, session.queue().complete(claim, **result_from(options)))


@click.command(
    cls=Verb,
    examples="""
        lokiredis fail api-001 1795341600123 --error 'the tests do not pass'
        make test 2>&1 | tail -50 | lokiredis fail api-001 1795341600123 --error -
        lokiredis fail api-001 1795341600123 --error '429: try again in 1m30s' --rate-limited --checkpoint @state.json
    """,
)
@takes_claim
@click.option("--error", required=True, metavar="TEXT", help="What went wrong: text, @FILE, or -.")
@click.option("--no-retry", is_flag=True, help="Straight to the dead-letter queue: another attempt can't help.")
@click.option("--rate-limited", is_flag=True, help="It was a rate limit: no attempt is charged, and the agent is held.")
@click.option(
    "--retry-after",
    type=duration,
    metavar="DURATION",
    help="With --rate-limited: how long to hold.  [default: from the error's text, else growing]",
)
@click.option(
    "--checkpoint", metavar="JSON", help="With --rate-limited: what is needed to carry on; JSON, @FILE, or -."
)
@click.option("--hand-back", is_flag=True, help="With --rate-limited: let another agent have the task now.")
@click.option("--request", metavar="ID", help="With --rate-limited: repeating with the same id changes nothing.")
@pass_session
def fail(
    session: Session,
    /,
    id: str | None,
    token: int | None,
    task_option: str | None,
    token_option: str | None,
    error: str,
    no_retry: bool,
    rate_limited: bool,
    **limit: Any,
) -> None:
    """Say that an attempt failed, or hit a rate limit.

    A failed task is tried again later, each time after twice the delay, and goes to the dead-letter queue when its
    attempts are used up. With --rate-limited the agent keeps the task but gets no other work until the hold ends, and
    the fleet slows down.

    JSON: {"id", "state", "retries", "availableAt"}; with --rate-limited {"id", "until", "wait", "released"}.
    """
    claim = held(id, token, task_option, token_option)
    one_reader(error=error, checkpoint=limit["checkpoint"])
    alien = [name for name, value in limit.items() if value not in (None, False)]
    if alien and not rate_limited:
        raise click.UsageError(f"--{alien[0].replace('_', '-')} needs --rate-limited")
    if rate_limited and no_retry:
        raise click.UsageError("--rate-limited costs no attempt, so --no-retry makes no sense with it")
    text = text_value(error, "--error")
    if rate_limited:
        limit["release"] = limit.pop("hand_back")
        return _rate_limited(session, claim, text, **limit)
    answer_ending(session, claim.id, session.queue().fail(claim, text, retry=not no_retry))


@click.command(
    cls=Verb,
    examples="""
        lokiredis release api-001 1795341600123
        lokiredis release api-001 1795341600123 --delay 10m --reason 'the build machine is down'
    """,
)
@takes_claim
@click.option("--delay", type=delay_time, default=0, metavar="DURATION", help="Give it to nobody for so long.")
@click.option("--reason", type=plain_text, default="", metavar="TEXT", help="Why, for the task's ledger.")
@pass_session
def release(
    session: Session,
    /,
    id: str | None,
    token: int | None,
    task_option: str | None,
    token_option: str | None,
    delay: float,
    reason: str,
) -> None:
    """Hand a claimed task back, without a charge.

    For an agent that shuts down or cannot do the task. A task handed back three times in a row is delayed a little.

    JSON: {"id", "state", "retries", "availableAt"}.
    """
    claim = held(id, token, task_option, token_option)
    answer_ending(session, claim.id, session.queue().release(claim, delay=delay, reason=reason))


def _rate_limited(session: Session, claim: Held, error: str, *, checkpoint: str | None, **limit: Any) -> None:
    stored = None if checkpoint is None else json_value(checkpoint, "--checkpoint")
    hold = session.queue().rate_limited(claim, error, checkpoint=stored, **limit)
    kept = "the task was handed back" if hold.released else "the task stays with it"
    line = f"The agent is held for {span(hold.wait)}, until {clock(hold.until)}; {kept}."
    data = {"id": claim.id, "until": iso(hold.until), "wait": hold.wait, "released": hold.released}
    session.answer(data, lambda: click.echo(line))


def answer_ending(session: Session, id: str, outcome: Outcome) -> None:
    """Print where a task went."""
    state = str(outcome.state)
    line = f"{id} is now {state}"
    if outcome.available_at is not None:
        line += f", not before {clock(outcome.available_at)}"
    data = {"id": id, "state": state, "retries": outcome.retries, "availableAt": iso(outcome.available_at)}
    session.answer(data, lambda: click.echo(safe(line + ".")))
