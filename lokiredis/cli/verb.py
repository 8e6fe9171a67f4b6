"""One shape for every command: examples, global options before or after the verb, environment twins."""

from __future__ import annotations

import textwrap
from typing import Any

import click
from click.core import ParameterSource

from .session import Session

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
GLOBAL = frozenset({"--url", "--queue", "--json", "--help", "--version"})


class Verb(click.Command):
    """A command with examples in its help. ``apart``: it takes no --url and no --queue, and this says why."""

    def __init__(self, *args: Any, examples: str, apart: str | None = None, **rest: Any) -> None:
        super().__init__(*args, **{"context_settings": CONTEXT} | rest)
        self.examples = examples
        self.apart = apart
        self.params += _global_options(apart is None)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, unless it was given a queue that it would ignore."""
        if self.apart is not None:
            for name in ("url", "queue"):
                if ctx.find_root().get_parameter_source(name) is ParameterSource.COMMANDLINE:
                    raise click.UsageError(f"--{name}: {self.apart}", ctx)
        return super().invoke(ctx)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """--help, from the command line alone."""
        return _without_twin(super().get_help_option(ctx))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options, then the global ones."""
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, one to a line, and the rule for the environment twins."""
        _write_examples(self.examples, formatter)
        own = [p for p in self.params if isinstance(p, click.Option) and GLOBAL.isdisjoint(p.opts) and not p.envvar]
        if own and ctx.auto_envvar_prefix:
            flag = next(o for o in own[0].opts if o.startswith("--"))
            twin = f"{ctx.auto_envvar_prefix}_{str(own[0].name).upper()}"
            with formatter.section("Environment"):
                formatter.write_text(f"Every option can be set there too: {twin} for {flag}, and so on.")


class Family(click.Group):
    """A command with subcommands."""

    def __init__(self, *args: Any, examples: str, apart: bool = False, **rest: Any) -> None:
        super().__init__(*args, **{"context_settings": CONTEXT} | rest)
        self.examples = examples
        self.params += _global_options(not apart)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """--help, from the command line alone."""
        return _without_twin(super().get_help_option(ctx))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, then the options."""
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, one to a line."""
        _write_examples(self.examples, formatter)


class NoTwin(click.Option):
    """An option that no variable may set: LOKIREDIS_VERSION is a likely name for something else."""

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest | {"allow_from_autoenv": False})


def _without_twin(option: click.Option | None) -> click.Option | None:
    if option is not None:
        option.allow_from_autoenv = False
    return option


class _Global(click.Option):
    """An option that stands before or after the verb."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Ask the environment last: a mistake in a variable must not beat what the command line says."""
        if isinstance(ctx.command, click.Group) or getattr(ctx.ensure_object(Session), _kept_as(self)) is not None:
            return None
        return super().resolve_envvar_value(ctx)


def _kept_as(param: click.Parameter) -> str:
    return "queue_name" if param.name == "queue" else str(param.name)


def _global_options(reaches: bool) -> list[click.Parameter]:
    options: list[click.Parameter] = [_global("--json", "Answer with one JSON document.", is_flag=True, default=None)]
    if reaches:
        options[:0] = [
            _global(
                "--url", "Redis, as redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://.", metavar="URL"
            ),
            _global("--queue", "The queue, if not 'default'.", metavar="NAME"),
        ]
    return options


def _global(flag: str, help: str, **rest: Any) -> click.Option:
    return _Global(
        [flag],
        help=help,
        envvar=f"LOKIREDIS_{flag[2:].upper()}",
        show_envvar=True,
        expose_value=False,
        is_eager=True,
        callback=_remember,
        **rest,
    )


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep the value nearest to the user: after the verb, then before it, then the environment."""
    source = ctx.get_parameter_source(str(param.name))
    if source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
        setattr(ctx.ensure_object(Session), _kept_as(param), value)


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    own: list[tuple[str, str]] = []
    everywhere: list[tuple[str, str]] = []
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        # click lists arguments from 8.5 on; ours are in the usage line.
        if record is not None and isinstance(param, click.Option):
            (own if GLOBAL.isdisjoint(param.opts) else everywhere).append(record)
    for title, records in (("Options", own), ("Global options", everywhere)):
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _write_examples(examples: str, formatter: click.HelpFormatter) -> None:
    with formatter.section("Examples"):
        indent = " " * formatter.current_indent
        formatter.write(textwrap.indent(textwrap.dedent(examples).strip(), indent) + "\n")
