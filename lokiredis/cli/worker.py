"""``lokiredis worker``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .limits import agent_name, some_types, task_type
from .log_lines import clock_now, print_log
from .params import duration, lease_time
from .run_command import found_command
from .session import Session, pass_session
from .verb import Verb

if TYPE_CHECKING:
    from ..queue import AsyncQueue
    from ..worker import Worker

INTERRUPTED = 130
#: A worker that made no progress. Not 1: a supervisor's log shall show which of the two it was.
STUCK = 70


#: A machine that is busy makes a worker wait for a second or two, and no supervisor shall start it anew for that.
_SHORTEST_STANDSTILL = 5


def _standstill(value: str | float) -> float:
    seconds = duration(value)
    if seconds < _SHORTEST_STANDSTILL:
        raise click.BadParameter(f"at least {_SHORTEST_STANDSTILL}s")
    return seconds


@click.command(
    cls=Verb,
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    examples="""
        lokiredis worker --agent host-17/builder --type eng-backend --concurrency 4 -- ./build-agent --fast
        lokiredis worker --type eng-qa --type review --logs /var/log/agents -- python3 agent.py
    """,
)
@click.option(
    "--agent",
    type=agent_name,
    envvar="LOKIREDIS_AGENT",
    show_envvar=True,
    metavar="AGENT",
    help="Its name as a claimant.  [default: host and process id]",
)
@click.option(
    "--type",
    type=task_type,
    multiple=True,
    callback=some_types,
    required=True,
    metavar="TYPE",
    help="A task type that the command can do; may be repeated.",
)
@click.option(
    "--concurrency", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="N", help="Tasks at once."
)
@click.option(
    "--lease",
    type=lease_time,
    default="60s",
    show_default=True,
    metavar="TIME",
    help="After this time without a sign of life others may take the task.",
)
@click.option(
    "--grace",
    type=duration,
    default="30s",
    show_default=True,
    metavar="TIME",
    help="For work to end by itself when the worker stops; and between SIGTERM and SIGKILL for what is cancelled.",
)
@click.option(
    "--on-lost-lease",
    type=click.Choice(["stop", "continue"]),
    default="stop",
    show_default=True,
    help="For work whose lease may have run out while Redis was away.",
)
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="For <id>-<attempt>.log, what each command wrote.  [default: logs/tasks in the nearest .loki folder]",
)
@click.option(
    "--health-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Written every few seconds while the worker is well: JSON with its state.",
)
@click.option(
    "--health-port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Answers GET on 127.0.0.1: 200 while the worker is well, else 503.",
)
@click.option(
    "--stuck-after",
    type=_standstill,
    default="5m",
    show_default=True,
    metavar="TIME",
    help="Exit with 70 when the worker itself makes no progress for so long, so that a supervisor starts it anew.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARG]…")
@pass_session
def worker(
    session: Session,
    /,
    agent: str | None,
    type: tuple[str, ...],
    concurrency: int,
    lease: float,
    grace: float,
    on_lost_lease: str,
    logs: Path | None,
    health_file: Path | None,
    health_port: int | None,
    stuck_after: float,
    command: tuple[str, ...],
) -> None:
    """Claim tasks for as long as it runs, and run a command for each.

    The command gets the task as JSON on standard input and in $LOKIREDIS_TASK_FILE; $LOKIREDIS_TASK_ID, _TYPE, _TOKEN,
    _ATTEMPT, _CHECKPOINT_FILE and _RESULT_FILE say the rest. It answers with a JSON object that has a decisionReport,
    in the result file or as its last line. Exit code 0 completes the task, 75 hands it back without a charge, any other
    fails the attempt with the end of what it wrote to standard error; a rate limit in there holds the agent instead.

    SIGTERM or Ctrl-C: no more claims, --grace for what runs, then it is handed back. A second one: at once.
    """
    import asyncio

    if health_file is not None and not health_file.name:
        raise click.BadParameter("names no file", param_hint="--health-file")
    found = found_command(command[0], "COMMAND")
    from ..embedded import find_folder

    where = logs or find_folder() / "logs" / "tasks"
    print_log("lokiredis.worker")
    url, name = session.target()

    async def work() -> int:
        from ..queue import AsyncQueue
        from ..worker import Worker
        from ..worker.command import CommandHandler
        from ..worker.job import Stop

        async with AsyncQueue.from_url(url, name) as queue:
            made = Worker(
                queue, agent=agent, concurrency=concurrency, lease=lease, grace=grace, on_lost_lease=on_lost_lease
            )

            def seconds(why: Stop | None) -> float:
                # Whoever stops had the grace before SIGTERM already.
                return min(made.grace, 2.0) if why is Stop.SHUTDOWN else made.grace

            environment = {"LOKIREDIS_URL": url, "LOKIREDIS_QUEUE": name, "LOKIREDIS_AGENT": made.agent}
            handler = CommandHandler(
                [found, *command[1:]], logs=where, grace=seconds, environment=environment, starting=made.starting
            )
            made.handler(*type)(handler)
            handler.start()
            try:
                return await _run(made, queue, health_file, health_port, stuck_after)
            finally:
                handler.stop()

    sys.exit(asyncio.run(work()))


async def _run(
    worker: Worker, queue: AsyncQueue, health_file: Path | None, health_port: int | None, stuck_after: float
) -> int:
    """Until a signal stops it; the exit code."""
    import asyncio
    import signal

    from ..worker.health import Health

    code = 0

    def stop(number: signal.Signals) -> None:
        nonlocal code
        code = INTERRUPTED if number is signal.SIGINT else 0
        left = f"; {len(worker.running)} running" if worker.running else ""
        click.echo(f"{clock_now()} stopping{left}", err=True)
        worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    health = Health(worker, file=health_file, port=health_port, stuck_after=stuck_after, exit_code=STUCK)
    await health.start()
    click.echo(f"{clock_now()} {worker.agent} works on {', '.join(worker.types)}", err=True)
    try:
        await worker.run()
    finally:
        await health.stop()
    click.echo(f"{clock_now()} stopped: {worker.completed} completed, {worker.failed} failed", err=True)
    return code
