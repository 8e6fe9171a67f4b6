"""What goes into the queue and what comes out of it. Durations are seconds, times are aware UTC datetimes."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PrivateAttr, TypeAdapter, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from .errors import InvalidTask, LokiRedisError
from .event_kinds import ALERTS

if TYPE_CHECKING:
    from .replies import Record

if sys.version_info >= (3, 11):
    from enum import StrEnum
else:
    from enum import Enum

    class StrEnum(str, Enum):
        """A str whose text is its value, as in Python 3.11."""

        __str__ = str.__str__


UTC = timezone.utc
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]"
ID_PATTERN = rf"^{NAME}{{0,127}}$"
TYPE_PATTERN = rf"^{NAME}{{0,63}}$"
AGENT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/@:-]{0,127}$"

LONGEST_TIMEOUT = 30 * 86400
LONGEST_DELAY = 10 * 365 * 86400
MOST_DEPENDENCIES = 1000

#: Set by the queue, never by a user (design section 2); the second line is kept for later.
RESERVED = frozenset(
    (
        "sequence cancelledAt cancelReason backoffBase attempts checkpoint progress waitingOn token leaseExpiresAt "
        "escalatedAt escalationNote group locks pool budget usage "
        "createdAt claimedBy claimedAt retries lastError completedAt result"
    ).split()
)


class State(StrEnum):
    """Where a task is. The value is the name of its file in ``.loki/queue`` (design section 3)."""

    PENDING = "pending"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    DEAD_LETTER = "dead-letter"
    CANCELLED = "cancelled"


def to_ms(seconds: float) -> int:
    """Seconds as whole milliseconds; a positive duration never becomes 0."""
    ms = math.ceil(round(seconds * 1000, 3))
    return 1 if ms == 0 and seconds > 0 else ms


def from_ms(ms: int | float) -> int | float:
    """Milliseconds as seconds: an int when it is a whole number, as in the documented files."""
    whole, rest = divmod(int(ms), 1000)
    return whole if rest == 0 else int(ms) / 1000


def at_ms(when: datetime) -> int:
    """An aware datetime as milliseconds since 1970."""
    return (when - _EPOCH) // timedelta(milliseconds=1)


def from_epoch(ms: int) -> datetime:
    """Milliseconds since 1970 as an aware UTC datetime."""
    return _EPOCH + timedelta(milliseconds=ms)


def iso(when: datetime) -> str:
    """``2026-11-22T10:00:00.123Z``: ISO 8601 in UTC with milliseconds."""
    when = when if when.tzinfo is UTC else when.astimezone(UTC)
    return when.isoformat(timespec="milliseconds")[:-6] + "Z"


def _new_id() -> str:
    """A random UUID (version 4) as text, in half the time of ``str(uuid4())``: a batch needs a thousand."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


class NewTask(BaseModel):
    """A task to enqueue. Keyword arguments are snake_case; :meth:`from_json` reads the documented camelCase.

    Unknown fields are kept with the task and come back unchanged. Raises InvalidTask, naming the field.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=False,
        extra="allow",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
    )
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    type: str = Field(pattern=TYPE_PATTERN)
    payload: dict[str, JsonValue] = Field(default_factory=dict)
    priority: int = Field(5, ge=1, le=10)
    dependencies: tuple[Annotated[str, Field(pattern=ID_PATTERN)], ...] = Field((), max_length=MOST_DEPENDENCIES)
    id: str = Field(default_factory=_new_id, pattern=ID_PATTERN)
    timeout: float = Field(3600, gt=0, le=LONGEST_TIMEOUT, allow_inf_nan=False)
    max_retries: int = Field(3, ge=0, le=100)
    backoff_seconds: float = Field(60, ge=0, le=3600, allow_inf_nan=False)
    available_at: datetime | None = None
    delay: float | None = Field(None, ge=0, le=LONGEST_DELAY, allow_inf_nan=False)
    idempotency_key: str | None = Field(None, max_length=1024)

    FIELDS: ClassVar[frozenset[str]]

    if not TYPE_CHECKING:

        def __init__(self, /, **data: Any) -> None:
            try:
                super().__init__(**data)
            except ValidationError as e:
                raise _refusal(e) from None
            _refuse_reserved(self.model_extra)

    @classmethod
    def from_json(cls, task: Mapping[str, Any]) -> NewTask:
        """A task from a JSON object with the documented names. A null stands for "not given".

        Raises InvalidTask for a value that breaks a limit or a name that only the queue may set.
        """
        if not isinstance(task, Mapping):
            raise InvalidTask("a task is a JSON object")
        given = {k: v for k, v in task.items() if not (v is None and (k in cls.FIELDS or k in RESERVED))}
        if isinstance(given.get("availableAt"), str):
            given["availableAt"] = parse_time(given["availableAt"], "availableAt")
        try:
            # Not model_validate(): with an __init__ of its own a model reads keyword names there.
            made = cls.__new__(cls)
            cls.__pydantic_validator__.validate_python(given, by_alias=True, by_name=False, self_instance=made)
        except ValidationError as e:
            raise _refusal(e) from None
        _refuse_reserved(made.model_extra)
        return made

    @field_validator("dependencies", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        # A set's order differs between processes, and the default idempotency key is made of the order.
        if isinstance(value, (set, frozenset)):
            return tuple(sorted(value, key=str))
        return tuple(value) if isinstance(value, list) else value

    @field_validator("available_at")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.utcoffset() is None:  # a tzinfo may know none
            raise ValueError("must have a time zone")
        return value


NewTask.FIELDS = frozenset(to_camel(name) for name in NewTask.model_fields)


_TIME = TypeAdapter(datetime)


def parse_time(text: str, name: str) -> datetime:
    """An ISO 8601 text as an aware datetime. Raises InvalidTask for anything else."""
    # pydantic reads it: datetime.fromisoformat of Python 3.10 knows only three or six digits of a second. It takes
    # plain numbers too, which are no ISO 8601.
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        raise InvalidTask("not an ISO 8601 time", field=name)
    try:
        when = _TIME.validate_python(text)
    except ValidationError:
        raise InvalidTask("not an ISO 8601 time", field=name) from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _refusal(error: ValidationError) -> InvalidTask:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = [str(part) for part in first["loc"]]
    name = to_camel(where[0]) if where else None
    message = first["msg"].removeprefix("Value error, ")
    if "string_pattern" in first["type"]:
        message = "a letter or digit, then letters, digits and . _ - (an id up to 128, a type up to 64)"
    return InvalidTask(message, field=name)


def _refuse_reserved(extra: Mapping[str, Any] | None) -> None:
    for name in extra or ():
        if name in RESERVED or (name != name.lower() and name in NewTask.FIELDS):
            raise InvalidTask("only the queue sets this field", field=name)


class Attempt(BaseModel):
    """One claim that ended. ``outcome``: completed, failed, expired, released or cancelled."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    token: int
    agent: str
    host: str | None
    claimed_at: datetime
    ended_at: datetime
    outcome: str
    error: str | None = None


class Task(BaseModel):
    """A stored task, as it was when it was read. ``model_extra`` holds the user's own fields."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)

    id: str
    idempotency_key: str | None = None
    type: str
    priority: int
    dependencies: tuple[str, ...] = ()
    payload: Any = None
    created_at: datetime
    claimed_by: str | None = None
    claimed_at: datetime | None = None
    timeout: float
    retries: int = 0
    max_retries: int
    backoff_seconds: float
    last_error: str | None = None
    completed_at: datetime | None = None
    result: dict[str, Any] | None = None
    sequence: int
    available_at: datetime | None = None
    cancelled_at: datetime | None = None
    cancel_reason: str | None = None
    backoff_base: float
    attempts: tuple[Attempt, ...] = ()
    checkpoint: Any = None
    progress: Any = None
    waiting_on: frozenset[str] = frozenset()
    token: int | None = None
    lease_expires_at: datetime | None = None
    escalated_at: datetime | None = None
    escalation_note: str | None = None

    _state: State = PrivateAttr()
    _place: str = PrivateAttr()

    @classmethod
    def read(cls, values: dict[str, Any], document: dict[str, Any], state: State, place: str) -> Task:
        """A task from *values* by the names of the fields, all of them, and the user's own fields; unchecked.

        What model_construct() does, which looks for every alias of every field: most of the time of a claim went there.
        """
        task = cls.__new__(cls)
        _set(task, "__dict__", values)
        _set(task, "__pydantic_fields_set__", set(values))
        # Apart from the fields: a user's created_at is a field like any other (design section 2).
        _set(task, "__pydantic_extra__", document)
        _set(task, "__pydantic_private__", {"_state": state, "_place": place})
        return task

    @property
    def state(self) -> State:
        """One of the five documented states."""
        return self._state

    @property
    def place(self) -> str:
        """``ready``, ``delayed`` or ``blocked`` for a pending task, else the name of its index."""
        return self._place

    def to_json(self) -> dict[str, Any]:
        """The task as a JSON object with the documented names, the user's own fields after them."""
        return shown(self.__dict__, self.model_extra or {})


_set = object.__setattr__

# Made once: for a snapshot of 100,000 tasks the names took longer than all the rest.
_TASK_NAMES = [(name, to_camel(name)) for name in Task.model_fields]
_ATTEMPT_NAMES = [(name, to_camel(name)) for name in Attempt.model_fields]


def shown(values: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """A task's *values*, by the names of its model, as a JSON object; the user's own fields after them."""
    return {name: shown_value(values[field]) for field, name in _TASK_NAMES} | dict(extra)


def shown_value(value: Any) -> Any:
    """One value of a task, as JSON has it."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [
            {name: shown_value(getattr(v, field)) for field, name in _ATTEMPT_NAMES} if isinstance(v, Attempt) else v
            for v in value
        ]
    return value


@dataclass(frozen=True)
class Enqueued:
    """``created`` is False when an equal task was there already; ``id`` and ``state`` are then that task's."""

    id: str
    created: bool
    state: State


@final
@dataclass(frozen=True)
class Claim:
    """A task leased to an agent until ``deadline``; ``lease`` seconds are what a heartbeat renews it by."""

    id: str
    token: int
    deadline: datetime
    lease: float
    record: Record = field(repr=False, compare=False)

    @cached_property
    def task(self) -> Task:
        """The task with its payload, and with the checkpoint and attempts of earlier claims."""
        return self.record.task()


@dataclass(frozen=True)
class NoClaim:
    """Nothing was given. ``reason`` is one of paused, slowdown, held, breaker, delayed, blocked, empty;

    ``retry_after`` seconds is when time alone can change that: 0 when work is left over, None when it can't.
    """

    reason: str
    retry_after: float | None

    def __bool__(self) -> Literal[False]:
        return False


@dataclass(frozen=True)
class Heartbeat:
    """``deadline`` is until when the claim now holds, None when the task was cancelled under the agent."""

    deadline: datetime | None
    cancelled: bool


@dataclass(frozen=True)
class Outcome:
    """Where a task went when its claim ended."""

    state: State
    retries: int
    available_at: datetime | None


@dataclass(frozen=True)
class Hold:
    """The agent gets no work before ``until`` (``wait`` seconds); ``released``: the task was handed back."""

    until: datetime
    wait: float
    released: bool


@dataclass(frozen=True)
class Finished:
    """An ending for :meth:`Queue.exchange`: the claim's task is done."""

    claim: Any
    output: Any = None
    decision_report: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Failed:
    """An ending for :meth:`Queue.exchange`: the attempt failed."""

    claim: Any
    error: object
    retry: bool = True


@dataclass(frozen=True)
class Released:
    """An ending for :meth:`Queue.exchange`: the task is handed back without a charge."""

    claim: Any
    delay: float = 0
    reason: str = ""


@dataclass(frozen=True)
class Exchange:
    """``outcomes`` stand in the order of ``finished``: each an Outcome or the error of that one."""

    outcomes: list[Outcome | LokiRedisError]
    claims: list[Claim]


@dataclass(frozen=True)
class Cancelled:
    """``ids`` are the first 1,000 of ``count``; while ``done`` is False other calls carry the cascade on."""

    count: int
    ids: list[str]
    done: bool


@dataclass(frozen=True)
class Page:
    """Some tasks in order. Pass ``cursor`` to get the next page; None is the end. A page may be short."""

    tasks: list[Task]
    cursor: str | None


@dataclass(frozen=True)
class Breaker:
    """The circuit breaker of one task type (design rule 11)."""

    state: str
    failures: int
    last_failure: datetime | None
    opened_at: datetime | None
    half_open_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """The documented schema of ``circuitBreakers`` entries."""
        return {
            "state": self.state,
            "failures": self.failures,
            "lastFailure": self.last_failure and iso(self.last_failure),
            "openedAt": self.opened_at and iso(self.opened_at),
            "halfOpenAt": self.half_open_at and iso(self.half_open_at),
        }


@dataclass(frozen=True)
class TypeStats:
    """How many tasks of one type are where, and whether the type is paused."""

    ready: int
    delayed: int
    blocked: int
    in_progress: int
    completed: int
    dead_letter: int
    cancelled: int
    paused: bool


@dataclass(frozen=True)
class Stats:
    """The queue at one moment. ``totals`` count since the queue was made: completed, failed, dead."""

    now: datetime
    counts: dict[str, int]
    types: dict[str, TypeStats]
    breakers: dict[str, Breaker]
    paused: bool
    slowdown_until: datetime | None
    todo: int
    totals: dict[str, int]


@dataclass(frozen=True)
class Wait:
    """The oldest ready task of a priority; ``since`` is when it was made, or became due."""

    priority: int
    id: str
    type: str
    since: datetime


@dataclass(frozen=True)
class Agent:
    """Who works for a queue. ``state`` is working, idle, held (until ``held_until``) or lost (silent for too long).

    ``last_seen`` is its last announcement, else when it claimed; ``completed`` and ``failed`` count since it started,
    None for an agent that only claims.
    """

    name: str
    host: str
    types: tuple[str, ...]
    state: str
    tasks: tuple[str, ...]
    last_seen: datetime
    held_until: datetime | None
    completed: int | None
    failed: int | None


@dataclass(frozen=True)
class Signal:
    """A message of the queue's pub/sub channel: SLOWDOWN with ``wait``, CANCEL with ``id`` and ``token`` …"""

    signal: str
    queue: str
    at: datetime
    data: dict[str, Any]


@dataclass(frozen=True)
class Event:
    """Something that happened in the queue. ``cursor`` is its place in the stream: the next one is read from there.

    ``kind`` is one of event_kinds.KINDS. A ``gap`` is no change of state: it tells that events before its
    cursor are gone unread (Queue.events).
    """

    cursor: str
    at: datetime
    kind: str
    id: str | None = None
    type: str | None = None
    agent: str | None = None
    token: int | None = None
    text: str = ""

    @property
    def is_alert(self) -> bool:
        """Whether somebody should hear of it: a dead letter, an open breaker, a lost agent, an escalation, a gap."""
        return self.kind in ALERTS

    def to_json(self) -> dict[str, Any]:
        """The event as ``lokiredis events --json`` writes it."""
        return {
            "cursor": self.cursor,
            "at": iso(self.at),
            "kind": self.kind,
            "id": self.id,
            "type": self.type,
            "agent": self.agent,
            "token": self.token,
            "text": self.text,
        }
