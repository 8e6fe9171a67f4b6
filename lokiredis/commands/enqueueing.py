"""Tasks on their way in: what is stored of one, and the batches that are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

from .. import arguments, replies
from ..arguments import sized
from ..canonical import default_key, digest, dumps
from ..errors import InvalidTask
from ..keys import Keys
from ..models import Enqueued, NewTask, at_ms, to_ms
from .command import Command, build, scoped_request

_REQUESTS = UUID("6d1b6a0c-5f0f-4c1b-9d4b-6f1f3c0a9e57")


def as_new_task(task: NewTask | Mapping[str, Any], index: int | None = None, request: str | None = None) -> NewTask:
    """A task to enqueue from a model or a camelCase dict. Raises InvalidTask, naming *index*."""
    if isinstance(task, NewTask):
        return task
    if request is not None and isinstance(task, Mapping) and task.get("id") is None:
        task = {**task, "id": _id_of(request, index or 0)}
    try:
        return NewTask.from_json(task)
    except InvalidTask as e:
        e.index = index
        raise


def _id_of(request: str, index: int) -> str:
    """The id of a task that has none of its own: the same each time that the caller repeats this request.

    A new one each time would be another task to the queue, which knows a repeated enqueue by its ids (design rule 9).
    """
    return str(uuid5(_REQUESTS, f"{arguments.request(request)} {index}"))


def _document(task: NewTask, extra: Mapping[str, Any]) -> tuple[int, bytes]:
    payload = sized(dumps(task.payload, "payload"), "payload")
    key = task.idempotency_key
    rest = b"{}"
    if extra or key is not None:
        rest = dumps(extra if key is None else {"idempotencyKey": key, **extra}, "document")
    whole = b'{"payload":' + payload + (b"," + rest[1:] if rest != b"{}" else b"}")
    return len(payload), sized(whole, "document")


def document(task: NewTask) -> bytes:
    """What is stored of a task besides its small fields: its payload, its own key and the user's fields, as JSON."""
    return _document(task, task.model_extra or {})[1]


#: Which ids the dependencies of a task are sent as.
Names = Callable[[NewTask], Sequence[str]]


def as_given(task: NewTask) -> Sequence[str]:
    """The dependencies as the user named them."""
    return task.dependencies


def key_of(task: NewTask) -> str:
    """The idempotency key: the task's own, else that of its content ("" for none).

    Of the dependencies as they were given, whatever is sent: the same plan must have the same keys another time.
    """
    if task.idempotency_key is not None:
        return task.idempotency_key
    return default_key(task.type, task.payload, task.dependencies, task.model_extra or {})


@lru_cache(1024, typed=True)
def _form(
    type: str,
    priority: int,
    timeout: float,
    max_retries: int,
    backoff_seconds: float,
    available_ms: int | None,
    delay: float | None,
) -> str:
    """What many tasks of a batch have in common: put together once, and taken apart once by the script."""
    # No datetime among the arguments: the two 2:30 of the night in which clocks go back are equal to a cache.
    available = "" if available_ms is None else max(available_ms, 0)
    wait = "" if delay is None else to_ms(delay)
    return f"{type} {priority} {to_ms(timeout)} {max_retries} {to_ms(backoff_seconds)} {available} {wait}"


def _words(task: NewTask, index: int | None, names: Names = as_given) -> list[Any]:
    try:
        payload, stored = _document(task, task.model_extra or {})
    except InvalidTask as e:
        e.index, e.id = index, task.id
        raise
    form = _form(
        task.type,
        task.priority,
        task.timeout,
        task.max_retries,
        task.backoff_seconds,
        None if task.available_at is None else at_ms(task.available_at),
        task.delay,
    )
    return [task.id, form, digest(key_of(task)), str(payload), stored, " ".join(names(task))]


def enqueue_batch(
    keys: Keys, /, tasks: Sequence[NewTask], request: str, *, names: Names = as_given, check: bool = False
) -> Command[list[Enqueued]]:
    """One atomic batch, at most 1,000 tasks. ``check`` stores nothing: it only raises what storing would."""
    words = [word for i, task in enumerate(tasks) for word in _words(task, i, names)]
    ids = [task.id for task in tasks]
    return build(
        "enqueue",
        keys,
        lambda reply: replies.enqueued(reply, ids),
        words,
        request=request,
        mode="check" if check else "",
    )


def enqueue(keys: Keys, /, *, request: str | None = None, **fields: Any) -> Command[Enqueued]:
    """Store one task. Keyword arguments are those of NewTask; others are kept with the task.

    Returns Enqueued(id, created, state): when an equal task is waiting, running or done, that one with
    ``created=False`` (design rule 12). Raises InvalidTask, TaskExists, UnknownDependency, DependencyCycle, QueueFull.
    """
    if request is not None and fields.get("id") is None:
        fields["id"] = _id_of(request, 0)
    task = NewTask(**fields)
    return build(
        "enqueue",
        keys,
        lambda reply: replies.enqueued(reply, [task.id])[0],
        _words(task, None),
        request=scoped_request(request),
        mode="",
    )
