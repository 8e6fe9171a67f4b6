"""Which claim a verb is about: id and token as arguments, as options, or from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

_AnyCallable = TypeVar("_AnyCallable", bound=Callable[..., Any])


_TOKEN = click.IntRange(0, 2**53)


class Held(NamedTuple):
    """A claim, as the queue's endings take it."""

    id: str
    token: int


def takes_claim(command: _AnyCallable) -> _AnyCallable:
    """ID and TOKEN for a verb that needs a claim."""
    for decorate in (
        click.option(
            "--token",
            "token_option",
            envvar="LOKIREDIS_TOKEN",
            show_envvar=True,
            metavar="TOKEN",
            help="The claim's token, in place of the argument.",
        ),
        click.option(
            "--task",
            "task_option",
            envvar="LOKIREDIS_TASK_ID",
            show_envvar=True,
            metavar="ID",
            help="The task's id, in place of the argument.",
        ),
        click.argument("token", type=_TOKEN, required=False),
        click.argument("id", required=False),
    ):
        command = decorate(command)
    return command


def held(id: str | None, token: int | None, task_option: str | None, token_option: str | None) -> Held:
    """The claim meant. Raises a usage error when a half is missing, or two claims are named.

    The environment is looked at last, and only for what is missing: whatever stands there, arguments win.
    """
    ctx = click.get_current_context()
    by_name = ctx.get_parameter_source("token_option") is ParameterSource.COMMANDLINE
    proof = token if token is not None and not by_name else _number(token_option)
    if token is not None and proof != token:
        raise click.UsageError(f"two tokens are given: {token}, and --token {proof}")
    if id is not None and id != task_option and ctx.get_parameter_source("task_option") is ParameterSource.COMMANDLINE:
        raise click.UsageError(f"two tasks are given: {id}, and --task {task_option}")
    task = id if id is not None else task_option
    if task is None or proof is None:
        missing = "ID" if task is None else "TOKEN"
        raise click.UsageError(f"{missing} is missing: give ID TOKEN, or set LOKIREDIS_TASK_ID and LOKIREDIS_TOKEN")
    theirs = os.environ.get("LOKIREDIS_TASK_ID")
    if token is None and not by_name and theirs and task != theirs:
        raise click.UsageError(f"$LOKIREDIS_TOKEN belongs to {theirs}, not to {task}: give the token too")
    return Held(task, proof)


def _number(token: str | None) -> int | None:
    try:
        return None if token is None else int(_TOKEN(token))
    except click.BadParameter as e:
        raise click.BadParameter(e.message, param_hint="--token ($LOKIREDIS_TOKEN)") from None
