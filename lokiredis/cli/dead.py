"""``lokiredis dead``: the review of the dead-letter queue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .endings import answer_ending
from .letters import decide_many, letters, takes_letters
from .limits import task_type
from .params import delay_time, plain_text
from .report import result_from, takes_result
from .session import Session, pass_session, print_table
from .show import answer_task
from .tasks import Wanted, list_and_answer
from .text import clock, iso, plural, safe
from .verb import Family, Verb

if TYPE_CHECKING:
    from ..review import DeadGroup, Decision

#: How many ids of a group, and of what a dead letter blocks, are told.
_SOME = 100


@click.group(
    cls=Family,
    examples="""
        lokiredis dead list --group
        lokiredis dead show deploy-001
        lokiredis dead retry deploy-001 --reason 'the registry is up again'
    """,
)
def dead() -> None:
    """Review the dead-letter queue.

    Tasks that used up their attempts wait here until a person decides. An invalid task: discard. A bug in the agent,
    now fixed, or something external that is up again: retry, at first with --canary. Done by hand: resolve. Somebody
    else decides: escalate. Each is about one task, or with --type, --group or --all about many; each is recorded with
    who decided, and why.
    """


@dead.command(
    "list",
    cls=Verb,
    examples="""
        lokiredis dead list
        lokiredis dead list --group
        lokiredis dead list --type ops-devops --json
    """,
)
@click.option("--group", is_flag=True, help="By what their failures have in common, the largest group first.")
@click.option("--type", type=task_type, metavar="TYPE", help="Only tasks of this type.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="At most so many."
)
@click.option("--cursor", metavar="CURSOR", help="Where the page before ended.")
@click.option("--all", is_flag=True, help="All of them, whatever --limit says.")
@pass_session
def list_dead(session: Session, /, group: bool, type: str | None, limit: int, cursor: str | None, all: bool) -> None:
    """List the dead letters, with their last errors.

    With --group: errors that differ in numbers, ids and paths only are one group, which the other verbs take.

    JSON: {"state": "dead-letter", "tasks", "cursor"}; with --group {"groups": [{"group", "pattern", "count", "types",
    "ids", "oldest", "newest"}]}, of the ids the first 100.
    """
    if group:
        if cursor is not None:
            raise click.UsageError("--group shows all groups: it takes no --cursor")
        found = session.queue().dead_groups(type)
        shown = found if all else found[:limit]
        session.answer({"groups": [_shown_group(one) for one in shown]}, lambda: _tell_groups(shown, len(found)))
        return
    list_and_answer(session, Wanted("dead-letter", type, None if all else limit, cursor))


def _types(group: DeadGroup) -> dict[str, int]:
    found: dict[str, int] = {}
    for letter in group.letters:
        found[letter.type] = found.get(letter.type, 0) + 1
    return found


def _shown_group(group: DeadGroup) -> dict[str, Any]:
    died = [letter.died_at for letter in group.letters]
    return {
        "group": group.group,
        "pattern": group.pattern,
        "count": len(group.letters),
        "types": _types(group),
        "ids": [letter.id for letter in group.letters[:_SOME]],
        "oldest": iso(min(died)),
        "newest": iso(max(died)),
    }


def _tell_groups(groups: list[DeadGroup], count: int) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("group", "count", "types", "last", "pattern", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    lines = []
    for group in groups:
        types = ", ".join(sorted(_types(group)))
        last = clock(max(letter.died_at for letter in group.letters))
        row = (group.group, f"{len(group.letters):,}", types, last, group.pattern)
        table.add_row(*(Text(safe(cell)) for cell in row))
        lines.append(safe(f"{row[0]}: {row[1]} of {types}, last {last}: {group.pattern}"))
    if groups:
        print_table(table, lines)
    click.echo(f"{plural(count, 'group')} of dead letters.", err=bool(groups))


@dead.command(cls=Verb, examples="lokiredis dead show deploy-001")
@click.argument("id")
@pass_session
def show(session: Session, /, id: str) -> None:
    """Show one dead letter with all its attempts, and what it blocks.

    JSON: {"state", "place", "task", "blocks", "blocked"}: "blocks" are the first 100 of "blocked" tasks that wait for
    it, directly or through others.
    """
    from ..errors import InvalidState

    queue = session.queue()
    task = queue.get(id)
    if str(task.state) != "dead-letter":
        raise InvalidState("this task is not in the dead-letter queue", id=id, state=str(task.state))
    behind = queue.graph(id, way="down")
    ids = [node.id for node in behind.nodes.values() if node.id != id]
    more = {"blocks": ids[:_SOME], "blocked": len(ids)}

    def tell() -> None:
        least = "" if behind.whole else "at least "
        rest = f" and {len(ids) - 10:,} more" if len(ids) > 10 else ""
        names = f": {', '.join(ids[:10])}{rest}" if ids else ""
        click.echo()
        click.echo(safe(f"It blocks {least}{plural(len(ids), 'task')}{names}."))

    answer_task(session, task, more, tell)


@dead.command(
    cls=Verb,
    examples="""
        lokiredis dead retry deploy-001
        lokiredis dead retry --type ops-devops --delay 30m --reason 'the registry is down until noon'
        lokiredis dead retry --group 3f1c2a9b --canary --reason 'the agent is fixed'
    """,
)
@takes_letters
@click.option("--delay", type=delay_time, default=0, metavar="DURATION", help="Not before this time has passed.")
@click.option("--canary", is_flag=True, help="One goes first; the others follow when it has completed.")
@click.option("--force", is_flag=True, help="Also when an equal task is waiting, running or done.")
@click.option("--reason", type=plain_text, default="", metavar="TEXT", help="Why, for the record.")
@pass_session
def retry(
    session: Session,
    /,
    id: str | None,
    type: str | None,
    group: str | None,
    all: bool,
    delay: float,
    canary: bool,
    force: bool,
    reason: str,
    by: str | None,
    request: str | None,
) -> None:
    """Put dead letters back, with all their attempts unused.

    With --canary the oldest of them goes first. The others stay dead letters until it has completed, and follow without
    any further command; when it fails again, they stay.

    JSON: {"id", "state", "retries", "availableAt"}; of many {"count", "ids", "refused": [{"id", "code", "message"}]};
    with --canary {"canary", "waiting"}, the number of the others.
    """
    chosen = letters(id, type, group, all)
    if canary and (delay or chosen.id is not None):
        raise click.UsageError("--canary is for many, with --type, --group or --all, and takes no --delay")
    queue = session.queue()
    if canary:
        ids = chosen.ids(queue)
        if not ids:
            session.answer({"canary": None, "waiting": 0}, lambda: click.echo("There are no dead letters."))
            return
        waiting = queue.canary_dead(ids[0], ids, force=force, by=by, reason=reason, request=request)
        line = f"{ids[0]} goes first; {plural(waiting, 'dead letter')} will follow when it has completed."
        session.answer({"canary": ids[0], "waiting": waiting}, lambda: click.echo(safe(line)))
        return
    named: dict[str, Any] = {"delay": delay, "force": force, "by": by, "reason": reason, "request": request}
    if chosen.id is not None:
        answer_ending(session, chosen.one, queue.retry_dead(chosen.one, **named))
        return
    decide_many(session, queue, chosen.ids(queue), "pending again", lambda one: queue.retry_dead(one, **named))


@dead.command(
    cls=Verb,
    examples="""
        lokiredis dead resolve deploy-001 --why 'the registry is down' --what 'deployed by hand'
        lokiredis dead resolve deploy-001 --report @report.json
    """,
)
@takes_letters
@takes_result
@pass_session
def resolve(
    session: Session,
    /,
    id: str | None,
    type: str | None,
    group: str | None,
    all: bool,
    by: str | None,
    request: str | None,
    **options: str | None,
) -> None:
    """Complete dead letters that a person did by hand; what waits for them goes on.

    A decision report is required, as for complete.

    JSON: {"id", "state", "retries", "availableAt"}; of many {"count", "ids", "refused"}, as of retry.
    """
    chosen = letters(id, type, group, all)
    given = result_from(options)
    result = given["result"] if "result" in given else _result(**given)
    queue = session.queue()
    if chosen.id is not None:
        answer_ending(session, chosen.one, queue.resolve_dead(chosen.one, result, by=by, request=request))
        return

    def decide(one: str) -> object:
        return queue.resolve_dead(one, result, by=by, request=request)

    decide_many(session, queue, chosen.ids(queue), "completed", decide)


@dead.command(
    cls=Verb,
    examples="""
        lokiredis dead discard deploy-001 --reason 'there is no such service any more'
        lokiredis dead discard --group 3f1c2a9b --reason 'made by a broken planner'
    """,
)
@takes_letters
@click.option("--reason", type=plain_text, required=True, metavar="TEXT", help="Why.")
@pass_session
def discard(
    session: Session,
    /,
    id: str | None,
    type: str | None,
    group: str | None,
    all: bool,
    reason: str,
    by: str | None,
    request: str | None,
) -> None:
    """Remove dead letters for good, and cancel everything that depends on them.

    JSON: {"id", "count", "ids", "done"}, as of cancel: the dependents that were cancelled; of many {"count", "ids",
    "refused"}, as of retry.
    """
    chosen = letters(id, type, group, all)
    queue = session.queue()
    if chosen.id is None:

        def decide(one: str) -> object:
            return queue.discard_dead(one, reason, by=by, request=request)

        decide_many(session, queue, chosen.ids(queue), "removed", decide)
        return
    cascade = queue.discard_dead(chosen.one, reason, by=by, request=request)
    data = {"id": chosen.one, "count": cascade.count, "ids": cascade.ids, "done": cascade.done}
    line = f"{chosen.one} is removed; {plural(cascade.count, 'dependent')} cancelled."
    session.answer(data, lambda: click.echo(safe(line)))


@dead.command(
    cls=Verb,
    examples="""
        lokiredis dead escalate deploy-001 --note 'needs the key of the registry'
        lokiredis dead escalate --type ops-security --note 'who may see the audit log?'
    """,
)
@takes_letters
@click.option("--note", type=plain_text, required=True, metavar="TEXT", help="What has to be decided, and by whom.")
@pass_session
def escalate(
    session: Session,
    /,
    id: str | None,
    type: str | None,
    group: str | None,
    all: bool,
    note: str,
    by: str | None,
    request: str | None,
) -> None:
    """Mark dead letters for somebody else's decision. They stay where they are.

    JSON: {"id", "state"}; of many {"count", "ids", "refused"}, as of retry.
    """
    chosen = letters(id, type, group, all)
    queue = session.queue()

    def decide(one: str) -> None:
        queue.escalate_dead(one, note, by=by, request=request)

    if chosen.id is None:
        decide_many(session, queue, chosen.ids(queue), "escalated", decide)
        return
    decide(chosen.one)
    line = f"{chosen.one} is escalated."
    session.answer({"id": chosen.one, "state": "dead-letter"}, lambda: click.echo(safe(line)))


@dead.command(
    cls=Verb,
    examples="""
        lokiredis dead decisions
        lokiredis dead decisions --write .loki
    """,
)
@click.option("--limit", type=click.IntRange(1, 1000), metavar="N", help="At most so many.  [default: 100]")
@click.option("--since", metavar="CURSOR", help="Those after the decision with this cursor.")
@click.option(
    "--write",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Append all that is not there yet to DIR/logs/decisions/dlq-review-DATE.md.",
)
@pass_session
def decisions(session: Session, /, limit: int | None, since: str | None, write: Path | None) -> None:
    """Tell what was decided about dead letters, by whom and why, oldest first.

    About 20,000 decisions are kept. Written down they stay: each is in its file once, however often and on however many
    machines that is done.

    JSON: {"decisions": [{"cursor", "at", "action", "id", "type", "by", "why", "pattern", "detail"}]}; with --write
    {"written"}, how many were new.
    """
    if write is not None and (limit is not None or since is not None):
        raise click.UsageError("--write appends all that is not there yet: it takes no --limit and no --since")
    queue = session.queue()
    if write is not None:
        from ..files.folder import Folder
        from ..files.reviews import Reviews

        with Folder.open(write) as root:
            count = Reviews(queue).append(root)
        session.answer({"written": count}, lambda: click.echo(f"{plural(count, 'decision')} written."))
        return
    found = queue.decisions(since, limit=100 if limit is None else limit)
    session.answer({"decisions": [one.to_json() for one in found]}, lambda: _tell_decisions(found))


def _tell_decisions(found: list[Decision]) -> None:
    if not found:
        click.echo("Nothing was decided.")
    for one in found:
        detail = f" ({one.detail})" if one.detail else ""
        why = f": {one.why}" if one.why else ""
        click.echo(safe(f"{clock(one.at)}  {one.action}  {one.id}  by {one.by}{why}{detail}  [{one.pattern}]"))


def _result(output: str | None, decision_report: dict[str, object] | None) -> dict[str, object]:
    result: dict[str, object] = {"status": "success", "decisionReport": decision_report}
    return result if output is None else result | {"output": output}
