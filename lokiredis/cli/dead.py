"""``lokiredis dead``: the review of the dead-letter queue."""

from __future__ import annotations

import click

from .endings import answer_ending
from .limits import request_id, task_type
from .params import delay_time, plain_text
from .report import result_from, takes_result
from .session import Session, pass_session
from .show import answer_task
from .tasks import Wanted, list_and_answer
from .text import plural, safe
from .verb import Family, Verb

_REQUEST = click.option(
    "--request", type=request_id, metavar="ID", help="Repeating with the same id gives the same answer for 10 minutes."
)


@click.group(
    cls=Family,
    examples="""
        lokiredis dead list
        lokiredis dead show deploy-001
        lokiredis dead retry deploy-001
    """,
)
def dead() -> None:
    """Review the dead-letter queue.

    Tasks that used up their attempts wait here until a person decides. An invalid task: discard. A bug in the agent,
    now fixed, or something external that is up again: retry. Done by hand: resolve. Somebody else decides: escalate.
    """


@dead.command(
    "list",
    cls=Verb,
    examples="""
        lokiredis dead list
        lokiredis dead list --type ops-devops --json
    """,
)
@click.option("--type", type=task_type, metavar="TYPE", help="Only tasks of this type.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="At most so many."
)
@click.option("--cursor", metavar="CURSOR", help="Where the page before ended.")
@click.option("--all", is_flag=True, help="All of them, whatever --limit says.")
@pass_session
def list_dead(session: Session, /, type: str | None, limit: int, cursor: str | None, all: bool) -> None:
    """List the dead letters, with their last errors.

    JSON: {"state": "dead-letter", "tasks", "cursor"}.
    """
    list_and_answer(session, Wanted("dead-letter", type, None if all else limit, cursor))


@dead.command(cls=Verb, examples="lokiredis dead show deploy-001")
@click.argument("id")
@pass_session
def show(session: Session, /, id: str) -> None:
    """Show one dead letter with all its attempts.

    JSON: {"state", "place", "task"}.
    """
    from ..errors import InvalidState

    task = session.queue().get(id)
    if str(task.state) != "dead-letter":
        raise InvalidState("this task is not in the dead-letter queue", id=id, state=str(task.state))
    answer_task(session, task)


@dead.command(
    cls=Verb,
    examples="""
        lokiredis dead retry deploy-001
        lokiredis dead retry deploy-001 --delay 1h
    """,
)
@click.argument("id")
@click.option("--delay", type=delay_time, default=0, metavar="DURATION", help="Not before this time has passed.")
@click.option("--force", is_flag=True, help="Also when an equal task is waiting, running or done.")
@_REQUEST
@pass_session
def retry(session: Session, /, id: str, delay: float, force: bool, request: str | None) -> None:
    """Put a dead letter back, with all its attempts unused.

    JSON: {"id", "state", "retries", "availableAt"}.
    """
    answer_ending(session, id, session.queue().retry_dead(id, delay=delay, force=force, request=request))


@dead.command(
    cls=Verb,
    examples="""
        lokiredis dead resolve deploy-001 --why 'the registry is down' --what 'deployed by hand'
        lokiredis dead resolve deploy-001 --report @report.json
    """,
)
@click.argument("id")
@takes_result
@_REQUEST
@pass_session
def resolve(session: Session, /, id: str, request: str | None, **options: str | None) -> None:
    """Complete a dead letter that a person did by hand; what waits for it goes on.

    A decision report is required, as for complete.

    JSON: {"id", "state", "retries", "availableAt"}.
    """
    given = result_from(options)
    result = given["result"] if "result" in given else _result(**given)
    answer_ending(session, id, session.queue().resolve_dead(id, result, request=request))


@dead.command(cls=Verb, examples="lokiredis dead discard deploy-001 --reason 'there is no such service any more'")
@click.argument("id")
@click.option("--reason", type=plain_text, required=True, metavar="TEXT", help="Why.")
@_REQUEST
@pass_session
def discard(session: Session, /, id: str, reason: str, request: str | None) -> None:
    """Remove a dead letter for good, and cancel everything that depends on it.

    JSON: {"id", "count", "ids", "done"}, as of cancel: the dependents that were cancelled.
    """
    cascade = session.queue().discard_dead(id, reason, request=request)
    data = {"id": id, "count": cascade.count, "ids": cascade.ids, "done": cascade.done}
    line = f"{id} is removed; {plural(cascade.count, 'dependent')} cancelled."
    session.answer(data, lambda: click.echo(safe(line)))


@dead.command(cls=Verb, examples="lokiredis dead escalate deploy-001 --note 'needs the key of the registry'")
@click.argument("id")
@click.option("--note", type=plain_text, required=True, metavar="TEXT", help="What has to be decided, and by whom.")
@pass_session
def escalate(session: Session, /, id: str, note: str) -> None:
    """Mark a dead letter for somebody else's decision. It stays where it is.

    JSON: {"id", "state"}.
    """
    session.queue().escalate_dead(id, note)
    session.answer({"id": id, "state": "dead-letter"}, lambda: click.echo(safe(f"{id} is escalated.")))


def _result(output: str | None, decision_report: dict[str, object] | None) -> dict[str, object]:
    result: dict[str, object] = {"status": "success", "decisionReport": decision_report}
    return result if output is None else result | {"output": output}
