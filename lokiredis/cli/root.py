"""The group of all verbs. A verb's module, and all that is slow to import, waits until it is used."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from .guard import INTERRUPTED, guarded
from .session import Session, json_by_environment
from .streams import mend
from .verb import CONTEXT, Family, NoTwin

#: subject -> verb -> (where it lives, its help in one line)
VERBS: dict[str, dict[str, tuple[str, str]]] = {
    "Plan": {
        "enqueue": ("enqueue:enqueue", "Put one task, or a whole plan, into the queue."),
        "cancel": ("cancel:cancel", "Cancel a task and everything that depends on it."),
    },
    "Work as an agent": {
        "claim": ("claim:claim", "Take the best ready task of some types."),
        "heartbeat": ("endings:heartbeat", "Renew a claim, and store how far the work is."),
        "complete": ("endings:complete", "Finish a claimed task with a decision report."),
        "fail": ("endings:fail", "Say that an attempt failed, or hit a rate limit."),
        "release": ("endings:release", "Hand a claimed task back, without a charge."),
        "worker": ("worker:worker", "Claim tasks for as long as it runs, and run a command for each."),
    },
    "Look": {
        "status": ("status:status", "Count the tasks, and tell what waits, stops or failed."),
        "list": ("listing:list_tasks", "List the tasks in one state."),
        "events": ("events:events", "Tell what happened in the queue, or follow it as it happens."),
        "show": ("show:show", "Show one task with everything that is known about it."),
        "explain": ("explain:explain", "Say why a task does not run, or why an agent gets nothing."),
        "graph": ("graph:graph", "Show what depends on what, as a tree."),
        "agents": ("agents:agents", "List who works for the queue, and on what."),
    },
    "Operate": {
        "dead": ("dead:dead", "Review the dead-letter queue."),
        "breaker": ("breaker:breaker", "Look at the circuit breakers, reset or trip one."),
        "pause": ("gates:pause", "Give out no more tasks, of one type or of all."),
        "resume": ("gates:resume", "Lift a pause, or the hold of one agent."),
        "slowdown": ("gates:slowdown", "Let the whole fleet wait for a while."),
    },
    "Files": {
        "import": ("importing:import_", "Take the tasks of a .loki folder, or of one file, as they are."),
        "export": ("exporting:export", "Write all tasks, breakers and settings to files that import takes."),
        "snapshot": ("snapshot:snapshot", "Write the documented files of a .loki folder."),
    },
    "Set up": {
        "config": ("config:config", "Read and change the settings of the queue."),
        "demo": ("demo:demo", "Watch a fleet of agents work through a real plan."),
        "server": ("server:server", "Start, stop and see the embedded Redis of this folder."),
        "doctor": ("doctor:doctor", "Check that the server is fit to hold a queue."),
        "completion": ("completion:completion", "Print the completion script for a shell."),
    },
}


class Root(Family):
    """The group of all verbs; a verb's module is imported when that verb is used, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, by subject."""
        return [name for verbs in VERBS.values() for name in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb."""
        for verbs in VERBS.values():
            if cmd_name in verbs:
                module, attribute = verbs[cmd_name][0].split(":")
                found = getattr(import_module(f"{__package__}.{module}"), attribute)
                assert isinstance(found, click.Command)
                return found
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs under their subjects, from the table alone."""
        widest = max(len(name) for verbs in VERBS.values() for name in verbs)
        for subject, verbs in VERBS.items():
            with formatter.section(subject):
                formatter.write_dl([(name.ljust(widest), text) for name, (_, text) in verbs.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run one command line and exit with its code. Never lets a traceback through, save with LOKIREDIS_DEBUG."""
        prog_name = "lokiredis"
        try:
            # Without arguments this is the program; with them somebody calls it, and the streams are theirs.
            heard = mend() if args is None else True
            words = list(sys.argv[1:] if args is None else args)
            if "_LOKIREDIS_COMPLETE" in os.environ:
                super().main(words, prog_name, "_LOKIREDIS_COMPLETE")
            session = Session(heard=heard)

            def once() -> None:
                with self.make_context(prog_name, list(words), obj=session, **extra) as ctx:
                    self.invoke(ctx)

            sys.exit(guarded(once, session, words))
        except KeyboardInterrupt:
            # Before the guard, or a second one while it tells of the first.
            sys.exit(INTERRUPTED)


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from .. import __version__

        session = ctx.ensure_object(Session)
        if session.json is None:
            session.json = json_by_environment()
        session.answer({"version": __version__}, lambda: click.echo(f"lokiredis {__version__}"))
        ctx.exit()


@click.group(
    cls=Root,
    name="lokiredis",
    context_settings=CONTEXT | {"auto_envvar_prefix": "LOKIREDIS"},
    examples="""
        lokiredis enqueue --type eng-backend --payload '{"action": "implement"}'
        lokiredis claim --agent host-1/claude-1 --type eng-backend --wait 30m --json
        lokiredis status
    """,
)
@click.option(
    "--version",
    cls=NoTwin,
    is_flag=True,
    # Not eager: --json comes first, wherever it stands.
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def main() -> None:
    """A task queue for fleets of AI agents on many machines, on one Redis.

    Without --url and $LOKIREDIS_URL the embedded Redis of the nearest .loki folder is used, or one is made here.

    Exit codes: 0 done, 1 error, 2 usage, 3 nothing to claim, 4 held back, 5 stale claim, 6 Redis unreachable,
    130 interrupted.
    """
