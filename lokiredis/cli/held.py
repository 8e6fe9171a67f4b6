"""Which claim a verb is about: id and token as arguments, as options, or from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

_AnyCallable = TypeVar("_AnyCallable", bound=Callable[..., Any])


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
            type=int,
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
        click.argument("token", type=int, required=False),
        click.argument("id", required=False),
    ):
        command = decorate(command)
    return command


def held(id: str | None, token: int | None, task_option: str | None, token_option: int | None) -> Held:
    """The claim meant. Raises a usage error when a half is missing or the two halves are of different claims."""
    task = id if id is not None else task_option
    proof = token if token is not None else token_option
    if task is None or proof is None:
        missing = "ID" if task is None else "TOKEN"
        raise click.UsageError(f"{missing} is missing: give ID TOKEN, or set LOKIREDIS_TASK_ID and LOKIREDIS_TOKEN")
    theirs = os.environ.get("LOKIREDIS_TASK_ID")
    if token is None and theirs and task != theirs and str(proof) == os.environ.get("LOKIREDIS_TOKEN"):
        raise click.UsageError(f"$LOKIREDIS_TOKEN belongs to {theirs}, not to {task}: give the token too")
    return Held(task, proof)
