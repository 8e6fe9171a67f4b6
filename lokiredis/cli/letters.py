"""Which dead letters a verb of the review desk is about: one by its id, or many by type, group or all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .limits import refuse, request_id, task_type
from .session import Session
from .text import plural, safe

if TYPE_CHECKING:
    from ..queue import Queue

_AnyCallable = TypeVar("_AnyCallable", bound=Callable[..., Any])

#: How many refusals are told one by one.
_TOLD = 20


def _person(value: str) -> str:
    from ..arguments import person

    refuse(person, value)
    return value


@dataclass(frozen=True)
class Letters:
    """One id, or what many have in common."""

    id: str | None
    type: str | None
    group: str | None
    all: bool

    @property
    def one(self) -> str:
        """The id, of a verb that is about a single one."""
        assert self.id is not None
        return self.id

    def ids(self, queue: Queue) -> list[str]:
        """The ids that are meant, in the order in which the tasks were made. Raises a usage error for no such group."""
        if self.id is not None:
            return [self.id]
        groups = [one for one in queue.dead_groups(self.type) if self.group in (None, one.group)]
        if self.group is not None and not groups:
            raise click.UsageError(f"no dead letters are in the group {self.group}: lokiredis dead list --group")
        letters = sorted((letter for group in groups for letter in group.letters), key=lambda letter: letter.sequence)
        return [letter.id for letter in letters]


def takes_letters(command: _AnyCallable) -> _AnyCallable:
    """ID, or --type, --group, --all; the verb gets ``letters``, ``by`` and ``request``."""
    for decorate in (
        click.option(
            "--request",
            type=request_id,
            metavar="ID",
            help="Repeating with the same id gives the same answer for 10 minutes.",
        ),
        click.option(
            "--by",
            type=_person,
            envvar="LOKIREDIS_BY",
            show_envvar=True,
            metavar="NAME",
            help="Who decides, for the record.  [default: user@host]",
        ),
        click.option("--all", is_flag=True, help="All dead letters."),
        click.option("--group", metavar="GROUP", help="All of this group, as of `dead list --group`."),
        click.option("--type", type=task_type, metavar="TYPE", help="All of this type."),
        click.argument("id", required=False),
    ):
        command = decorate(command)
    return command


def letters(id: str | None, type: str | None, group: str | None, all: bool) -> Letters:
    """What is meant. Raises a usage error when that is nothing, or two things."""
    many = type is not None or group is not None
    if id is not None and (many or all):
        raise click.UsageError("give an ID, or --type, --group or --all")
    if id is None and not many and not all:
        raise click.UsageError("which? Give an ID, or --type, --group or --all")
    if all and many:
        raise click.UsageError("--all leaves nothing to --type and --group")
    return Letters(id, type, group, all)


def decide_many(session: Session, queue: Queue, ids: list[str], done: str, decide: Callable[[str], object]) -> None:
    """Decide about each, and go on when one is refused: it may have been decided about by somebody else meanwhile.

    JSON: {"count", "ids", "refused": [{"id", "code", "message"}]}; exit 1 when any was refused.
    """
    from ..errors import LokiRedisError, QueueUnavailable, SchemaMismatch

    decided: list[str] = []
    refused: list[dict[str, str]] = []
    for id in ids:
        try:
            decide(id)
        except (QueueUnavailable, SchemaMismatch):
            raise
        except LokiRedisError as e:
            refused.append({"id": id, "code": e.code, "message": str(e)})
        else:
            decided.append(id)

    def tell() -> None:
        click.echo(f"{plural(len(decided), 'dead letter')} {done}.")
        for one in refused[:_TOLD]:
            click.echo(safe(f"{one['id']}: {one['message']}"), err=True)
        if len(refused) > _TOLD:
            click.echo(f"and {len(refused) - _TOLD:,} more refused", err=True)

    session.answer({"count": len(decided), "ids": decided, "refused": refused}, tell)
    if refused:
        raise click.exceptions.Exit(1)
