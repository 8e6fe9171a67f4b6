"""Sessions with a queue as data: steps that a sync and an async client play alike, and what they answered."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lokiredis import Claim, LokiRedisError
from lokiredis.models import Task

from ..clock import Clock

#: A step gets the queue and the answers so far by name; an AsyncQueue answers with an awaitable.
Call = Callable[[Any, Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Step:
    """One call, the name of its answer, and the seconds that the clock moves on before it."""

    call: Call
    name: str = ""
    after: float = 0


@dataclass
class Played:
    """The answers, readable ones for comparing and real ones for later steps."""

    shown: list[Any] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    def note(self, step: Step, answer: Any) -> None:
        self.shown.append(shown(answer))
        if step.name:
            self.answers[step.name] = answer


def play(queue: Any, clock: Clock, steps: Iterable[Step], played: Played | None = None) -> Played:
    """Play the steps on a sync queue; an error of the queue is an answer too."""
    played = played or Played()
    for step in steps:
        clock.advance(step.after)
        try:
            answer = step.call(queue, played.answers)
        except LokiRedisError as e:
            answer = e
        played.note(step, answer)
    return played


async def play_async(queue: Any, clock: Clock, steps: Sequence[Step], played: Played | None = None) -> Played:
    """As :func:`play`, on an AsyncQueue."""
    played = played or Played()
    for step in steps:
        clock.advance(step.after)
        try:
            answer = step.call(queue, played.answers)
            if inspect.isawaitable(answer):
                answer = await _awaited(answer)
        except LokiRedisError as e:
            answer = e
        played.note(step, answer)
    return played


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def shown(answer: Any) -> Any:
    """An answer as plain data: claims with their whole task, errors with all that they carry."""
    if isinstance(answer, LokiRedisError):
        return [answer.code, answer.message, answer.id, answer.state, answer.index, answer.field, answer.data]
    if isinstance(answer, Claim):
        return ["Claim", answer.id, answer.token, answer.deadline, answer.lease, shown(answer.task)]
    if isinstance(answer, Task):
        return [answer.place, answer.to_json()]
    if isinstance(answer, (list, tuple)):
        return [shown(part) for part in answer]
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        return [type(answer).__name__, *(shown(getattr(answer, part.name)) for part in dataclasses.fields(answer))]
    return answer
