"""A real-world entry of a queue file as the task that it means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..arguments import sized
from ..canonical import default_key, digest, dumps
from ..commands import Restored
from ..errors import InvalidTask
from ..models import (
    AGENT_PATTERN,
    RESERVED,
    State,
    to_ms,
)
from . import fields, ledger
from .times import ms_of, optional_ms

#: What is read from an entry; every other name is the user's own.
_KNOWN = RESERVED | frozenset(
    "id type priority timeout maxRetries backoffSeconds availableAt idempotencyKey dependencies payload".split()
)
#: Kept for later: they have no meaning yet.
_LATER = frozenset("group locks pool budget usage".split())
_STATUS = {
    **{state.value: state for state in State},
    "failed": State.DEAD_LETTER, "done": State.COMPLETED, "canceled": State.CANCELLED,
}  # fmt: skip
_LONGEST_TEXT = 16384
_LARGEST = 2**52


@dataclass(frozen=True)
class Place:
    """What the file says about its entries. ``state`` None: it doesn't, so each entry has to."""

    state: State | None
    default_type: str | None = None
    #: The server's time, milliseconds.
    now: int = 0
    #: Of a claim: its lease in milliseconds, and the host of its agent.
    lease: int | str = ""
    host: str = ""


@dataclass(frozen=True)
class Entry:
    """A task to restore, and what is to be told about it."""

    task: Restored
    #: The dependencies that it still waits for, as far as the file knows.
    waits: tuple[str, ...]
    notes: tuple[str, ...]


def read(value: Any, place: Place) -> Entry:
    """The task that *value* means. Raises InvalidTask, naming the field, for what can't be taken."""
    if not isinstance(value, Mapping):
        raise InvalidTask("not a JSON object")
    return _Reading(value, place).entry()


class _Reading:
    """One entry while it is read: what can't be placed is gathered in ``imported``."""

    def __init__(self, value: Mapping[str, Any], place: Place) -> None:
        self.given = value
        self.place = place
        self.imported: dict[str, Any] = {}
        self.notes: list[str] = []

    def entry(self) -> Entry:
        id = fields.task_id(self._get("id"))
        type = fields.task_type(self._get("type"), self.place.default_type)
        state, attempts, gone = self._state(), self._attempts(), False
        token, agent, claimed = self._count("token", _LARGEST), self._agent(), self._time("claimedAt")
        deadline = self._time("leaseExpiresAt")
        if state is State.IN_PROGRESS and (
            token is None or not agent or deadline is None or deadline <= self.place.now
        ):
            # Nobody can finish it: either nobody was given a token, or the time for that is over.
            state, gone = State.PENDING, True
            self.notes.append(f"in progress, but {agent or 'its agent'} is gone: pending again")
        completed, cancelled = self._time("completedAt"), self._time("cancelledAt")
        last = attempts[-1] if attempts else None
        died = last.ended if last else None
        host = self.place.host if state is State.IN_PROGRESS else (last and last.host) or ""
        if gone and agent:
            attempts = [*attempts, ledger.lost(token or 0, agent, claimed, self.place.now)][-20:]
        if state is State.COMPLETED and ledger.is_synthesized(attempts, token, agent, claimed, completed):
            attempts = []
        ended = {State.COMPLETED: completed, State.CANCELLED: cancelled, State.DEAD_LETTER: died}.get(state)
        result, incomplete = self._result()
        error, reason = self._text("lastError"), self._text("cancelReason")
        dependencies, waits = self._dependencies(state)
        running = state is State.IN_PROGRESS
        base, backoff = self._backoff()
        retries = self._count("retries", 1_000_000)
        task = Restored(
            id=id,
            type=type,
            priority=fields.priority(self._get("priority")),
            timeout=fields.timeout(self._get("timeout")),
            max_retries=fields.max_retries(self._get("maxRetries")),
            base=base,
            state=state.value,
            retries=_or_none(retries),
            backoff=backoff,
            created=_or_none(self._created()),
            available=_or_none(self._available()),
            ended=_or_none(ended),
            token=_or_none(token),
            agent=agent if state in (State.IN_PROGRESS, State.COMPLETED, State.CANCELLED) else "",
            host=host,
            claimed=_or_none(claimed),
            lease=self.place.lease if running else "",
            deadline=_or_none(deadline if running else None),
            sequence=_or_none(self._count("sequence", 2**48 - 1)),
            checkpoint=self._json("checkpoint"),
            progress=self._json("progress"),
            result=result,
            incomplete=incomplete,
            attempts="\n".join(past.line() for past in attempts).encode(),
            error=error or b"",
            reason=reason or b"",
            escalation=self._escalation(),
            empty=("E" if error == b"" else "") + ("N" if reason == b"" else ""),
            names=tuple(name if name in waits else f"+{name}" for name in dependencies),
            **self._document(type, dependencies),
        )
        return Entry(task, tuple(waits), tuple(self.notes))

    def _get(self, name: str) -> Any:
        return self.given.get(name)

    def _put_aside(self, name: str) -> None:
        """A value that has no place here, under a name that only the queue sets (design section 2)."""
        self.imported[name] = self.given[name]
        self.notes.append(f"{name} is kept under imported")

    def _state(self) -> State:
        """By the file; else by what the entry says happened, then by its status."""
        if self.place.state is State.PENDING and self._get("claimedBy") is not None:
            # The documented claim with jq leaves what it claims in pending.json.
            return State.IN_PROGRESS
        if self.place.state is not None:
            return self.place.state
        for name, state in (
            ("cancelledAt", State.CANCELLED),
            ("completedAt", State.COMPLETED),
            ("claimedBy", State.IN_PROGRESS),
        ):
            if self._get(name) is not None:
                return state
        status = self._get("status")
        return (
            _STATUS.get(status.lower().replace("_", "-"), State.PENDING) if isinstance(status, str) else State.PENDING
        )

    def _backoff(self) -> tuple[int, int]:
        """The delay after the first failure, and the one in force; the documented files know only the second."""
        backoff = fields.seconds(self._get("backoffSeconds"), "backoffSeconds", 60, 3960)
        own = self._get("backoffBase")
        if own is not None:
            if not isinstance(own, bool) and isinstance(own, (int, float)) and 0 <= own <= 3600:
                return to_ms(own), backoff
            self._put_aside("backoffBase")
        return min(backoff, 3_600_000), backoff

    def _count(self, name: str, most: int) -> int | None:
        value = self._get(name)
        if value is None:
            return None
        number = fields.whole(value)
        if number is not None and 0 <= number <= most:
            return number
        self._put_aside(name)
        return None

    def _time(self, name: str) -> int | None:
        value = self._get(name)
        if value is None:
            return None
        found = optional_ms(value)
        if found is None:
            self._put_aside(name)
        return found

    def _created(self) -> int | None:
        # Other tools write created_at, which stays a field of the user's own.
        return self._time("createdAt") if self._get("createdAt") is not None else optional_ms(self._get("created_at"))

    def _available(self) -> int | None:
        value = self._get("availableAt")
        return None if value is None else ms_of(value, "availableAt")

    def _agent(self) -> str:
        value = self._get("claimedBy")
        if value is None:
            return ""
        if isinstance(value, str) and re.fullmatch(AGENT_PATTERN, value):
            return value
        self._put_aside("claimedBy")
        return ""

    def _attempts(self) -> list[ledger.Past]:
        value = self._get("attempts")
        if value is None:
            return []
        found = ledger.read(value)
        if found is None:
            self._put_aside("attempts")
            return []
        return found

    def _text(self, name: str) -> bytes | None:
        value = self._get(name)
        if value is None:
            return None
        text = value.encode("utf-8", "backslashreplace") if isinstance(value, str) else dumps(value, name)
        return text[:_LONGEST_TEXT].decode("utf-8", "ignore").encode()

    def _json(self, name: str) -> bytes:
        value = self._get(name)
        return b"" if value is None else sized(dumps(value, name), name)

    def _result(self) -> tuple[bytes, str]:
        value = self._get("result")
        if value is None:
            return b"", ""
        body = dict(value) if isinstance(value, Mapping) else {"output": value}
        incomplete = body.get("status") == "incomplete"
        if incomplete or body.get("status") == "success":
            del body["status"]
        return sized(dumps(body, "result"), "result"), "incomplete" if incomplete else ""

    def _escalation(self) -> bytes:
        at, note = self._time("escalatedAt"), self._text("escalationNote")
        if at is None:
            return b""
        return b"%d " % at + (note or b"")

    def _dependencies(self, state: State) -> tuple[list[str], list[str]]:
        """All of them, and those not completed: the queue's own files tell which these are."""
        names = fields.dependencies(self._get("dependencies"))
        waits = self._get("waitingOn")
        if state in (State.COMPLETED, State.CANCELLED):
            return names, []
        if waits is None:
            return names, names
        if not isinstance(waits, list) or not all(name in names for name in waits):
            self._put_aside("waitingOn")
            return names, names
        return names, [name for name in names if name in waits]

    def _document(self, type: str, dependencies: list[str]) -> dict[str, Any]:
        """The payload, the task's own key and the user's fields, and the digest of the key."""
        payload = {} if self._get("payload") is None else self._get("payload")
        if not isinstance(payload, Mapping):
            raise InvalidTask("a JSON object", field="payload")
        extra = {name: value for name, value in self.given.items() if name not in _KNOWN}
        for name in _LATER & self.given.keys():
            self._put_aside(name)
        if self.imported:
            before = extra.get("imported")
            own = before if isinstance(before, Mapping) else {} if before is None else {"imported": before}
            extra["imported"] = {**own, **self.imported}
        key = self._get("idempotencyKey")
        if key is not None and (not isinstance(key, str) or len(key) > 1024):
            raise InvalidTask("a text of up to 1,024 characters", field="idempotencyKey")
        written = sized(dumps(payload, "payload"), "payload")
        usual = default_key(type, payload, dependencies, extra)
        rest = dumps(extra if key is None or key == usual else {"idempotencyKey": key, **extra}, "document")
        document = b'{"payload":' + written + (b"," + rest[1:] if rest != b"{}" else b"}")
        return {"document": sized(document, "document"), "digest": digest(usual if key is None else key)}


def _or_none(value: int | None) -> int | str:
    return "" if value is None else value
