"""Each operation as data: which script, which arguments, how to read the reply. Nothing here talks to Redis."""

from __future__ import annotations

import builtins
import random
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from socket import gethostname
from typing import Any, Generic, Protocol, TypeVar

from . import arguments, replies
from .canonical import default_key, digest, dumps
from .config import Settings
from .config import from_stored as _settings_from_stored
from .config import to_stored as _settings_to_stored
from .errors import InvalidTask, LokiRedisError
from .keys import Keys
from .models import (
    Breaker,
    Cancelled,
    Claim,
    Enqueued,
    Exchange,
    Failed,
    Finished,
    Heartbeat,
    Hold,
    NewTask,
    NoClaim,
    Outcome,
    Page,
    Released,
    State,
    Stats,
    Task,
    at_ms,
    to_ms,
)
from .scripts import Script, load

T = TypeVar("T")


class ClaimLike(Protocol):
    """What an ending needs of a claim."""

    @property
    def id(self) -> str: ...
    @property
    def token(self) -> int: ...


@dataclass(frozen=True)
class Command(Generic[T]):
    """One call of one script. Sending it twice has the effect of sending it once (design rule 9)."""

    script: Script
    keys: Sequence[str]
    argv: Sequence[Any]
    parse: Callable[[Any], T]


@cache
def _key_names(keys: Keys, script: Script) -> tuple[str, ...]:
    return tuple(keys.fixed(name) for name in script.keys)


def _command(name: str, keys: Keys, parse: Callable[[Any], T], rest: Iterable[Any] = (), **named: Any) -> Command[T]:
    script = load(name)
    argv = [keys.prefix if arg == "prefix" else named.pop(arg) for arg in script.argv]
    if named:
        raise TypeError(f"{name} has no argument {', '.join(named)}")
    argv.extend(rest)
    return Command(script, _key_names(keys, script), argv, parse)


@cache
def _host() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", gethostname())[:128]


def new_request() -> str:
    """A fresh request id: what a repeated call is recognised by."""
    return secrets.token_urlsafe(9)


def _request(request: str | None, *scope: str) -> str:
    """A request id; one that the caller chose counts for this operation (and agent) alone.

    Without the scope a second agent that chose the same id would get the first one's claim.
    """
    return new_request() if request is None else ":".join([*scope, arguments.request(request)])


# ---- what goes in


def as_new_task(task: NewTask | Mapping[str, Any], index: int | None = None) -> NewTask:
    """A task to enqueue from a model or a camelCase dict. Raises InvalidTask, naming *index*."""
    if isinstance(task, NewTask):
        return task
    try:
        if not isinstance(task, Mapping):
            raise InvalidTask("a task is a JSON object")
        return NewTask.from_json(task)
    except InvalidTask as e:
        e.index = index
        raise


def _document(task: NewTask, extra: Mapping[str, Any]) -> tuple[int, bytes]:
    payload = dumps(task.payload, "payload")
    key = task.idempotency_key
    rest = dumps(extra if key is None else {"idempotencyKey": key, **extra}, "document")
    return len(payload), b'{"payload":' + payload + (b"," + rest[1:] if rest != b"{}" else b"}")


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


def _words(task: NewTask, index: int | None, names: Names = as_given) -> builtins.list[Any]:
    extra: dict[str, Any] = dict(task.model_extra or {})
    try:
        payload, stored = _document(task, extra)
    except InvalidTask as e:
        e.index, e.id = index, task.id
        raise
    sent = names(task)
    return [
        task.id,
        task.type,
        task.priority,
        to_ms(task.timeout),
        task.max_retries,
        to_ms(task.backoff_seconds),
        "" if task.available_at is None else max(at_ms(task.available_at), 0),
        "" if task.delay is None else to_ms(task.delay),
        digest(key_of(task)),
        payload,
        stored,
        len(sent),
        *sent,
    ]


def enqueue_batch(
    keys: Keys, /, tasks: Sequence[NewTask], request: str, *, names: Names = as_given, check: bool = False
) -> Command[builtins.list[Enqueued]]:
    """One atomic batch, at most 1,000 tasks. ``check`` stores nothing: it only raises what storing would."""
    words = [word for i, task in enumerate(tasks) for word in _words(task, i, names)]
    return _command("enqueue", keys, replies.enqueued, words, request=request, mode="check" if check else "")


def enqueue(keys: Keys, /, *, request: str | None = None, **fields: Any) -> Command[Enqueued]:
    """Store one task. Keyword arguments are those of NewTask; others are kept with the task.

    Returns Enqueued(id, created, state): when an equal task is waiting, running or done, that one with
    ``created=False`` (design rule 12). Raises InvalidTask, TaskExists, UnknownDependency, DependencyCycle, QueueFull.
    """
    words = _words(NewTask(**fields), None)
    return _command(
        "enqueue", keys, lambda reply: replies.enqueued(reply)[0], words, request=_request(request), mode=""
    )


# ---- claims


def claim_once(
    keys: Keys,
    /,
    agent: str,
    types: str | Iterable[str],
    *,
    lease: float | None = None,
    request: str | None = None,
) -> Command[Claim | NoClaim]:
    """One claim without waiting."""
    return _claim(keys, agent, types, 1, lease, request, replies.one_claim)


def claim_many(
    keys: Keys,
    /,
    agent: str,
    types: str | Iterable[str],
    limit: int,
    *,
    lease: float | None = None,
    request: str | None = None,
) -> Command[builtins.list[Claim]]:
    """Lease up to *limit* (1 to 1,000) of the best ready tasks to *agent*; an empty list when there are none.

    A reply stops at 8 MiB of documents, so it may be shorter. ``lease`` is seconds, at most each task's timeout.
    """
    return _claim(keys, agent, types, limit, lease, request, replies.some_claims)


def _claim(
    keys: Keys,
    agent: str,
    types: str | Iterable[str],
    limit: int,
    lease: float | None,
    request: str | None,
    parse: Callable[[Any], T],
) -> Command[T]:
    return _command(
        "claim",
        keys,
        parse,
        arguments.task_types(types),
        agent=arguments.agent(agent),
        host=_host(),
        request=_request(request, "claim", agent),
        limit=arguments.limit(limit),
        lease=arguments.lease_ms(lease),
    )


def heartbeat(keys: Keys, /, claim: ClaimLike, *, checkpoint: Any = None, progress: Any = None) -> Command[Heartbeat]:
    """Renew a claim by its lease; store a checkpoint (for the next claimant) or progress (for people), both JSON.

    Returns Heartbeat(deadline, cancelled): after a cancel ``deadline`` is None and ``cancelled`` True.
    Raises StaleClaim when the claim has ended otherwise, TaskNotFound, InvalidTask (more than 1 MiB).
    """
    words = [*arguments.proof(claim), _optional(checkpoint, "checkpoint"), _optional(progress, "progress")]
    return _command("heartbeat", keys, replies.one_heartbeat, words)


def heartbeat_many(keys: Keys, /, claims: Iterable[ClaimLike]) -> Command[builtins.list[Heartbeat | LokiRedisError]]:
    """Renew many claims in one call; each gets its Heartbeat, or the error that it would have raised."""
    words = [word for proof in arguments.proofs(claims) for word in (*proof, "", "")]
    return _command("heartbeat", keys, replies.heartbeats, words)


def _optional(value: Any, field: str) -> bytes:
    return b"" if value is None else dumps(value, field)


# ---- endings


def _result(
    output: Any, decision_report: Mapping[str, Any] | None, result: Mapping[str, Any] | None
) -> tuple[str, bytes]:
    if result is None:
        body: dict[str, Any] = {"output": output, "decisionReport": decision_report}
    else:
        if output is not None or decision_report is not None:
            raise InvalidTask("give either result or its parts", field="result")
        if not isinstance(result, Mapping):
            raise InvalidTask("a JSON object", field="result")
        body = dict(result)
        if body.pop("status", "success") != "success":
            raise InvalidTask("complete takes only the status success: use fail", field="result.status")
    report = body.get("decisionReport")
    written = dumps(body, "result")
    # Only the names of its keys are sent: no script decodes a user's JSON.
    keys = "\n" + "\n".join(report) + "\n" if isinstance(report, Mapping) and report else ""
    return keys, written


def complete(
    keys: Keys,
    /,
    claim: ClaimLike,
    *,
    output: Any = None,
    decision_report: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
) -> Command[Outcome]:
    """End a claim with success; what depends on the task may go on.

    Give ``output`` and ``decision_report``, or the whole ``result``. Raises DecisionReportMissing without a non-empty
    report (design rule 14: the claim stays), StaleClaim, TaskNotFound, InvalidTask.
    """
    report, body = _result(output, decision_report, result)
    id, token = arguments.proof(claim)
    return _command("complete", keys, replies.outcome, id=id, token=token, report=report, body=body)


def fail(keys: Keys, /, claim: ClaimLike, error: object, *, retry: bool = True) -> Command[Outcome]:
    """End a claim with a charge: a retry after the backoff (design rule 10), or the dead-letter queue.

    ``retry=False`` sends the task there at once. Raises StaleClaim, TaskNotFound.
    """
    id, token = arguments.proof(claim)
    return _command(
        "fail",
        keys,
        replies.outcome,
        id=id,
        token=token,
        text=arguments.text(error),
        retry="retry" if arguments.flag(retry, "retry") else "final",
        spread=random.random(),
    )


def release(keys: Keys, /, claim: ClaimLike, *, delay: float = 0, reason: str = "") -> Command[Outcome]:
    """Hand a task back without a charge, to be claimed after ``delay`` seconds.

    Raises StaleClaim, TaskNotFound, InvalidTask.
    """
    id, token = arguments.proof(claim)
    return _command(
        "release",
        keys,
        replies.outcome,
        id=id,
        token=token,
        delay=arguments.ms(delay, "delay"),
        reason=arguments.text(reason),
    )


def rate_limited(
    keys: Keys,
    /,
    claim: ClaimLike,
    error: object,
    *,
    retry_after: float | None = None,
    checkpoint: Any = None,
    release: bool = False,
    request: str | None = None,
) -> Command[Hold]:
    """Hold the claim's agent and slow the fleet down (design rule 15). Costs no attempt.

    Without ``retry_after`` seconds they are read from *error*, else they back off. The claim is kept until the hold
    ends, unless ``release`` is set or the wait is longer than the longest hold.
    Raises StaleClaim, TaskNotFound, InvalidTask.
    """
    if retry_after is None:
        from .ratelimit import retry_after as read

        retry_after = read(error)
    id, token = arguments.proof(claim)
    return _command(
        "rate_limited",
        keys,
        replies.hold,
        id=id,
        token=token,
        request=_request(request, "rate_limited"),
        text=arguments.text(error),
        wait="" if retry_after is None else arguments.wait_ms(retry_after, "retryAfter"),
        spread=random.random(),
        checkpoint=_optional(checkpoint, "checkpoint"),
        give="release" if arguments.flag(release, "release") else "",
    )


def _ending(ending: Finished | Failed | Released) -> builtins.list[Any]:
    if isinstance(ending, Finished):
        report, body = _result(ending.output, ending.decision_report, ending.result)
        return ["complete", *arguments.proof(ending.claim), report, body, ""]
    if isinstance(ending, Failed):
        retry = "retry" if arguments.flag(ending.retry, "retry") else "final"
        return ["fail", *arguments.proof(ending.claim), arguments.text(ending.error), retry, random.random()]
    if isinstance(ending, Released):
        words = arguments.ms(ending.delay, "delay"), arguments.text(ending.reason), ""
        return ["release", *arguments.proof(ending.claim), *words]
    raise InvalidTask("an ending is Finished, Failed or Released", field="finished")


def exchange(
    keys: Keys,
    /,
    agent: str,
    types: str | Iterable[str],
    *,
    finished: Iterable[Finished | Failed | Released] = (),
    limit: int = 1,
    lease: float | None = None,
    request: str | None = None,
) -> Command[Exchange]:
    """End many claims and take up to *limit* new ones in one round trip; 0 takes none.

    Each ending gets its own Outcome or error. While the agent is held the endings count and no claim is given.
    """
    names = arguments.task_types(types)
    if not isinstance(finished, Iterable):
        raise InvalidTask("endings: Finished, Failed or Released", field="finished")
    rest = [*names, *(word for ending in finished for word in _ending(ending))]
    return _command(
        "exchange",
        keys,
        replies.exchange,
        rest,
        agent=arguments.agent(agent),
        host=_host(),
        request=_request(request, "exchange", agent),
        limit=arguments.limit(limit, 0),
        lease=arguments.lease_ms(lease),
        count=len(names),
    )


# ---- operators


def cancel(keys: Keys, /, id: str, reason: str = "", *, request: str | None = None) -> Command[Cancelled]:
    """Cancel a pending or running task and all that waits for it (design rule 13).

    ``done`` is False while a long cascade goes on by itself. Raises TaskNotFound, InvalidState.
    """
    named = {"id": arguments.word(id, "id"), "reason": arguments.text(reason)}
    return _command("cancel", keys, replies.cancelled, request=_request(request, "cancel"), **named)


def retry_dead(
    keys: Keys, /, id: str, *, delay: float = 0, force: bool = False, request: str | None = None
) -> Command[Outcome]:
    """Make a dead letter pending again, with no retries charged, after ``delay`` seconds.

    Raises DuplicateTask when an equal task is waiting, running or done, unless ``force``; TaskNotFound, InvalidState.
    """
    return _command(
        "retry_dead",
        keys,
        replies.outcome,
        request=_request(request, "retry_dead"),
        id=arguments.word(id, "id"),
        delay=arguments.ms(delay, "delay"),
        force="force" if arguments.flag(force, "force") else "",
    )


def resolve_dead(keys: Keys, /, id: str, result: Mapping[str, Any], *, request: str | None = None) -> Command[Outcome]:
    """Complete a dead letter that a person has done; ``result`` needs a decisionReport as for complete.

    Raises DecisionReportMissing, TaskNotFound, InvalidState, InvalidTask.
    """
    report, body = _result(None, None, result)
    named = {"id": arguments.word(id, "id"), "report": report, "body": body}
    return _command("resolve_dead", keys, replies.outcome, request=_request(request, "resolve_dead"), **named)


def discard_dead(keys: Keys, /, id: str, reason: str = "", *, request: str | None = None) -> Command[Cancelled]:
    """Remove a dead letter for good; what waits for it is cancelled, and counted. Raises TaskNotFound, InvalidState."""
    named = {"id": arguments.word(id, "id"), "reason": arguments.text(reason)}
    return _command("discard_dead", keys, replies.cancelled, request=_request(request, "discard_dead"), **named)


def escalate_dead(keys: Keys, /, id: str, note: str, *, request: str | None = None) -> Command[None]:
    """Note on a dead letter that it needs a human decision. Raises TaskNotFound, InvalidState."""
    named = {"id": arguments.word(id, "id"), "note": arguments.text(note)}
    return _command("escalate_dead", keys, _nothing, request=_request(request, "escalate_dead"), **named)


def _nothing(reply: Any) -> None:
    return None


def _flag(reply: Any) -> bool:
    return bool(int(reply))


def pause(keys: Keys, /, type: str | None = None, *, request: str | None = None) -> Command[bool]:
    """Stop handing out tasks, of one type or of the whole queue. True when that changed something."""
    chosen = "" if type is None else arguments.task_type(type)
    return _command("pause", keys, _flag, request=_request(request, "pause"), type=chosen)


def resume(
    keys: Keys, /, type: str | None = None, *, agent: str | None = None, request: str | None = None
) -> Command[bool]:
    """Undo a pause, of one type or of the whole queue; ``agent``: lift that agent's hold. True when there was one."""
    return _command(
        "resume",
        keys,
        _flag,
        request=_request(request, "resume"),
        type="" if type is None else arguments.task_type(type),
        agent="" if agent is None else arguments.agent(agent),
    )


def slowdown(keys: Keys, /, wait: float, reason: str = "", *, request: str | None = None) -> Command[float]:
    """No claims for ``wait`` seconds, for every agent; 0 lifts it.

    Returns until when, in seconds since 1970; 0 when it was lifted.
    """
    return _command(
        "slowdown",
        keys,
        lambda reply: int(reply) / 1000,
        request=_request(request, "slowdown"),
        wait=arguments.ms(wait, "wait"),
        reason=arguments.text(reason),
    )


def reset_breaker(keys: Keys, /, type: str, *, request: str | None = None) -> Command[None]:
    """Close the circuit breaker of a type and forget its failures and its probe."""
    return _command(
        "reset_breaker", keys, _nothing, request=_request(request, "reset_breaker"), type=arguments.task_type(type)
    )


def trip_breaker(keys: Keys, /, type: str, *, request: str | None = None) -> Command[None]:
    """Open the circuit breaker of a type by hand; it is due again after halfOpenAfter."""
    return _command(
        "trip_breaker", keys, _nothing, request=_request(request, "trip_breaker"), type=arguments.task_type(type)
    )


def configure(keys: Keys, /, *, request: str | None = None, **settings: Any) -> Command[int]:
    """Change settings (the fields of :class:`lokiredis.config.Settings`); None takes a default again.

    Returns the new version of the settings. Raises InvalidTask, naming the setting.
    """
    words = [word for pair in _settings_to_stored(settings) for word in pair]
    return _command("configure", keys, int, words, request=_request(request, "configure"))


def settings(keys: Keys, /) -> Command[Settings]:
    """All settings with their values in force."""
    return _command("settings", keys, lambda reply: _settings_from_stored(replies.settings(reply)))


# ---- reading


def get(keys: Keys, /, id: str) -> Command[Task]:
    """The task, whatever its state. Raises TaskNotFound."""

    def parse(reply: Any) -> Task:
        if not reply:
            from .errors import TaskNotFound

            raise TaskNotFound(id=id)
        return replies.Record(reply).task()

    return _command("get", keys, parse, id=arguments.word(id, "id"))


def list_(
    keys: Keys, /, state: State | str | None, *, type: str | None = None, limit: int = 100, cursor: str | None = None
) -> Command[Page]:
    """A page of tasks in one state (None: in all), pending ones in claim order, others by sequence.

    *limit* is 1 to 1,000. A page may be short; only a cursor of None is the end. Raises InvalidTask.
    """
    wanted = ""
    if state is not None:
        names = [s.value for s in State]
        if not isinstance(state, str) or state not in names:
            raise InvalidTask(f"one of {', '.join(names)}", field="state")
        wanted = State(state).value
    return _command(
        "list",
        keys,
        replies.page,
        wanted=wanted,
        type="" if type is None else arguments.task_type(type),
        limit=arguments.limit(limit),
        cursor="" if cursor is None else arguments.word(cursor, "cursor"),
    )


def stats(keys: Keys, /) -> Command[Stats]:
    """Counts per type and state, breakers and switches, at one moment."""
    return _command("stats", keys, replies.stats)


def counts(keys: Keys, /) -> Command[dict[str, int]]:
    """How many tasks are in each of the five states."""
    return _command("stats", keys, lambda reply: replies.stats(reply).counts)


def breakers(keys: Keys, /) -> Command[dict[str, Breaker]]:
    """Every circuit breaker that has a history, by type."""
    return _command("stats", keys, lambda reply: replies.stats(reply).breakers)
