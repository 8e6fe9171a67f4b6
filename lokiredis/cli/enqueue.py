"""``lokiredis enqueue``: one task from options, or a plan from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .limits import request_id
from .params import Fields, duration, json_object
from .session import Session, console, pass_session
from .text import plural, safe
from .verb import Verb

if TYPE_CHECKING:
    from ..errors import LokiRedisError
    from ..models import Enqueued


@click.command(
    cls=Verb,
    examples="""
        lokiredis enqueue --type eng-backend --payload '{"action": "implement", "target": "api/todos.py"}'
        lokiredis enqueue --type eng-qa --priority 8 --depends api-001 --depends db-001 --field title='Test the API'
        lokiredis enqueue --type ops-devops --payload @deploy.json --delay 30m --max-retries 1
        lokiredis enqueue --file .loki/queue/pending.json
        generate-plan | lokiredis enqueue --file - --json
    """,
)
@click.option("--type", help="The agent type that the task is for.", metavar="TYPE")
@click.option("--payload", help="A JSON object, @FILE, or - for standard input.", metavar="JSON")
@click.option(
    "--file",
    # For the shell's completion alone: what is wrong with a file is said when it is read.
    type=click.Path(readable=False, allow_dash=True),
    help='A plan: {"tasks": [...]}, a bare list, or JSON lines; - is standard input.',
    metavar="PLAN",
)
@click.option("--priority", type=int, help="1 (background) to 10 (critical).  [default: 5]", metavar="N")
@click.option("--depends", multiple=True, help="A task that must be completed first; may be repeated.", metavar="ID")
@click.option("--id", help="The task's id.  [default: a new UUID]", metavar="ID")
@click.option("--key", help="Idempotency key; '' takes duplicates.  [default: from the content]", metavar="KEY")
@click.option(
    "--field",
    type=Fields(),
    multiple=True,
    metavar="NAME=TEXT",
    help="A field of your own, NAME=TEXT or NAME:=JSON; may be repeated.",
)
@click.option("--delay", type=duration, help="Not before this time has passed.", metavar="DURATION")
@click.option("--at", help="Not before this time, ISO 8601; UTC when it names no zone.", metavar="TIME")
@click.option(
    "--timeout", type=duration, help="The longest that one attempt may run.  [default: 1h]", metavar="DURATION"
)
@click.option("--max-retries", type=int, help="Attempts before the dead-letter queue.  [default: 3]", metavar="N")
@click.option(
    "--backoff", type=duration, help="Delay after the first failure; it doubles.  [default: 60s]", metavar="DURATION"
)
@click.option(
    "--request", type=request_id, metavar="ID", help="Repeating with the same id gives the same answer for 10 minutes."
)
@pass_session
def enqueue(session: Session, /, file: str | None, request: str | None, **options: Any) -> None:
    """Put one task, or a whole plan, into the queue.

    A task equal to one that waits, runs or is done is not made again: the answer is then that task's id with
    "created": false. A plan may be in any order. One bad task, and nothing is stored; a plan of more
    than 1,000 tasks goes in parts, and a part that the queue refuses leaves those before it. Repeating it is safe.

    JSON: {"id", "created", "state"}; with --file {"tasks": [the same for each], "created": N, "existing": N}.
    """
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if file is not None:
        if given:
            raise click.UsageError(f"--file takes no other options of a task ({', '.join(map(_flag, sorted(given)))})")
        return _enqueue_plan(session, file, request)
    if "type" not in given:
        raise click.UsageError("--type says which agents the task is for, or --file names a plan")
    _enqueue_one(session, _task(given), request)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


#: option -> the documented name in the task
_NAMES = {
    "type": "type",
    "priority": "priority",
    "id": "id",
    "key": "idempotencyKey",
    "delay": "delay",
    "at": "availableAt",
    "timeout": "timeout",
    "max_retries": "maxRetries",
    "backoff": "backoffSeconds",
}


def _task(given: dict[str, Any]) -> dict[str, Any]:
    task = {_NAMES[name]: value for name, value in given.items() if name in _NAMES}
    if "payload" in given:
        task["payload"] = json_object(given["payload"], "--payload")
    if "depends" in given:
        task["dependencies"] = list(given["depends"])
    fields: set[str] = set()
    for name, value in given.get("field", ()):
        if name in fields:
            raise click.UsageError(f"--field {name}: given twice")
        if name in task or name in _NAMES.values() or name in ("payload", "dependencies"):
            raise click.UsageError(f"--field {name}: this field has an option of its own")
        task[name] = value
        fields.add(name)
    return task


def _check(task: dict[str, Any]) -> None:
    """What the queue would refuse is a usage error, which names the option."""
    from ..commands import document
    from ..errors import InvalidTask
    from ..models import NewTask

    try:
        document(NewTask.from_json(task))
    except InvalidTask as e:
        names = {field: option for option, field in _NAMES.items()} | {"dependencies": "depends", "payload": "payload"}
        option = names.get(str(e.field))
        hint = "--field" if option is None else _flag(option)
        told = e.message if option or e.field is None else f"{e.field}: {e.message}"
        raise click.BadParameter(told, param_hint=hint) from None


def _enqueue_one(session: Session, task: dict[str, Any], request: str | None) -> None:
    from ..errors import LokiRedisError

    _check(task)
    try:
        [made] = session.queue().enqueue_many([task], request=request)
    except LokiRedisError as e:
        e.index = None  # it is the only one
        _own_id_only(e, task)
        raise
    session.answer(_shown(made), lambda: click.echo(_line(made)))


def _own_id_only(error: LokiRedisError, task: dict[str, Any]) -> None:
    """An id that was made for the task, which is not stored, says nothing to anybody."""
    if task.get("id") is None:
        error.id = None


def _enqueue_plan(session: Session, path: str, request: str | None) -> None:
    from ..errors import LokiRedisError
    from .plan import read_plan

    plan = read_plan(path)
    try:
        made = session.queue().enqueue_many(plan.tasks, request=request) if plan.tasks else []
    except LokiRedisError as e:
        if e.index is not None:
            e.data |= plan.at(e)
            _own_id_only(e, plan.tasks[e.index])
        raise
    created = sum(one.created for one in made)
    counts = {"created": created, "existing": len(made) - created}
    session.answer({"tasks": [_shown(one) for one in made]} | counts, lambda: _table(plan.tasks, made, created))


def _shown(made: Enqueued) -> dict[str, Any]:
    return {"id": made.id, "created": made.created, "state": str(made.state)}


def _line(made: Enqueued) -> str:
    if made.created:
        return f"Enqueued {made.id}."
    return f"Not enqueued again: {made.id} is equal to it ({made.state})."


def _table(tasks: list[dict[str, Any]], made: list[Enqueued], created: int) -> None:
    if made:
        from rich.table import Table
        from rich.text import Text

        table = Table("id", "type", "", "state", box=None, pad_edge=False)
        table.columns[0].overflow = "fold"
        for task, one in zip(tasks, made, strict=True):
            note = "created" if one.created else "there already"
            asked = task.get("id")
            if asked is not None and asked != one.id:
                note = f"there already, equal to {asked}"
            table.add_row(Text(one.id), Text(safe(task.get("type", ""))), safe(note), str(one.state))
        console().print(table)
    click.echo(f"{plural(created, 'task')} enqueued, {len(made) - created:,} there already.")
