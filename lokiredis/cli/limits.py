"""Values that the library would refuse: here they are usage errors, which name the option, before a server is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def refuse(check: Callable[..., object], *values: Any, option: str | None = None) -> None:
    """A usage error for what the library would refuse, with the library's words but the option's name."""
    from ..errors import InvalidTask

    try:
        check(*values)
    except InvalidTask as e:
        raise click.BadParameter(e.message, param_hint=option) from None


def queue_name(value: str) -> str:
    """A queue's name."""
    from ..keys import Keys

    refuse(Keys, value, option="--queue")
    return value


def task_type(value: str) -> str:
    """A task type."""
    from ..arguments import task_type as check

    refuse(check, value)
    return value


def some_types(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """As many types as one claim takes."""
    from ..arguments import task_types as check

    refuse(check, value)
    return value


def agent_name(value: str) -> str:
    """The name of an agent."""
    from ..arguments import agent as check

    refuse(check, value)
    return value


def request_id(value: str) -> str:
    """What a repeated call is recognised by."""
    from ..arguments import request as check

    refuse(check, value)
    return value
