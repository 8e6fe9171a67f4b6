"""What an operator does: cancel, pauses, slowdowns, breakers, settings."""

from __future__ import annotations

from typing import Any

from .. import arguments, replies
from ..config import to_stored
from ..keys import Keys
from ..models import Cancelled
from .command import Command, build, scoped_request


def cancel(keys: Keys, /, id: str, reason: str = "", *, request: str | None = None) -> Command[Cancelled]:
    """Cancel a pending or running task and all that waits for it (design rule 13).

    ``done`` is False while a long cascade goes on by itself. Raises TaskNotFound, InvalidState.
    """
    named: dict[str, Any] = {"id": arguments.word(id, "id"), "reason": arguments.text(reason)}
    return build("cancel", keys, replies.cancelled, request=scoped_request(request, "cancel", id), **named)


def pause(keys: Keys, /, type: str | None = None, *, request: str | None = None) -> Command[bool]:
    """Stop handing out tasks, of one type or of the whole queue. True when that changed something."""
    chosen = "" if type is None else arguments.task_type(type)
    return build("pause", keys, _flag, request=scoped_request(request, "pause", chosen), type=chosen)


def resume(
    keys: Keys, /, type: str | None = None, *, agent: str | None = None, request: str | None = None
) -> Command[bool]:
    """Undo a pause, of one type or of the whole queue; ``agent``: lift that agent's hold. True when there was one."""
    chosen = "" if type is None else arguments.task_type(type)
    held = "" if agent is None else arguments.agent(agent)
    asked = scoped_request(request, "resume", chosen, held)
    return build("resume", keys, _flag, request=asked, type=chosen, agent=held)


def slowdown(keys: Keys, /, wait: float, reason: str = "", *, request: str | None = None) -> Command[float]:
    """No claims for ``wait`` seconds, for every agent; 0 lifts it.

    Returns until when, in seconds since 1970; 0 when it was lifted.
    """
    return build(
        "slowdown",
        keys,
        lambda reply: int(reply) / 1000,
        request=scoped_request(request, "slowdown"),
        wait=arguments.ms(wait, "wait"),
        reason=arguments.text(reason),
    )


def reset_breaker(keys: Keys, /, type: str, *, request: str | None = None) -> Command[None]:
    """Close the circuit breaker of a type and forget its failures and its probe."""
    chosen = arguments.task_type(type)
    return build("reset_breaker", keys, _nothing, request=scoped_request(request, "reset_breaker", chosen), type=chosen)


def trip_breaker(keys: Keys, /, type: str, *, request: str | None = None) -> Command[None]:
    """Open the circuit breaker of a type by hand; it is due again after halfOpenAfter."""
    chosen = arguments.task_type(type)
    return build("trip_breaker", keys, _nothing, request=scoped_request(request, "trip_breaker", chosen), type=chosen)


def configure(
    keys: Keys, /, *, if_version: int | None = None, request: str | None = None, **settings: Any
) -> Command[int]:
    """Change settings (the fields of :class:`lokiredis.config.Settings`); None takes a default again.

    Returns the new version of the settings. Raises InvalidTask, naming the setting; InvalidState when ``if_version``
    isn't the version that is in force: somebody else has changed them.
    """
    words = [word for pair in to_stored(settings) for word in pair]
    expected = "" if if_version is None else arguments.count(if_version, "if_version")
    asked = scoped_request(request, "configure")
    return build("configure", keys, int, words, request=asked, expected=expected)


def _nothing(reply: Any) -> None:
    return None


def _flag(reply: Any) -> bool:
    return bool(int(reply))
