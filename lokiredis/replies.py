"""Read what the scripts answer and publish: rows of words into the models. lua/lib/record.lua and task.lua write it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from .canonical import default_key
from .errors import LokiRedisError, from_reply
from .event_cursor import Cursor
from .explanation import Root
from .models import (
    Agent,
    Attempt,
    Breaker,
    Cancelled,
    Claim,
    Enqueued,
    Event,
    Exchange,
    Heartbeat,
    Hold,
    NoClaim,
    Outcome,
    Page,
    Signal,
    State,
    Stats,
    Task,
    TypeStats,
    from_epoch,
    from_ms,
    shown,
)

_PLACES = {
    "leased": State.IN_PROGRESS,
    "dead": State.DEAD_LETTER,
    "completed": State.COMPLETED,
    "cancelled": State.CANCELLED,
}


def text(value: Any) -> str:
    """A reply's string, whether or not the client decodes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _time(word: str) -> datetime | None:
    return from_epoch(int(word)) if word and word != "-" else None


def _names(value: Any) -> list[str]:
    return text(value).split() if value else []


def _lines(value: Any) -> list[str]:
    # Not splitlines(): an error text may hold U+2028 and others that it takes for the end of a line.
    return text(value).split("\n") if value else []


def _json(value: Any) -> Any:
    return json.loads(value) if value else None


#: An agent that is silent for so many times as long as it said is lost.
SILENT = 3
#: Of a task's side entries a script sends those up to the last that there is (lua/lib/record.lua).
_NO_SIDES = (None,) * 9


@dataclass(frozen=True)
class Fields:
    """What a task consists of. ``values`` has the names of the model, ``document`` holds the user's own fields."""

    place: str
    values: dict[str, Any]
    document: dict[str, Any]

    @property
    def state(self) -> State:
        """One of the five documented states."""
        return _PLACES.get(self.place, State.PENDING)

    def task(self) -> Task:
        """As a model."""
        return Task.read(self.values, self.document, self.state, self.place)

    def to_json(self) -> dict[str, Any]:
        """As ``Task.to_json()``, without a model in between, which takes most of the time."""
        return shown(self.values, self.document)


@dataclass(frozen=True)
class Record:
    """A task as a script sent it. Reading it costs more than claiming it, so that is put off until somebody looks."""

    row: Sequence[Any]

    @property
    def type(self) -> str:
        """The task's type."""
        return text(self.row[1]).split(" ", 2)[1]

    @property
    def timeout(self) -> float:
        """Seconds that an attempt may take."""
        return from_ms(int(text(self.row[1]).split(" ", 3)[2]))

    @property
    def host(self) -> str:
        """The machine of the agent that has the task, "" when nobody has it."""
        return text(self.row[1]).split(" ")[5]

    @property
    def lease_ms(self) -> int | None:
        """How long the lease of the claim is, None without one."""
        return int(text(self.row[1]).split(" ")[7] or 0) or None

    def task(self) -> Task:
        """The whole task."""
        return self.fields().task()

    def fields(self) -> Fields:
        """The whole task, taken apart."""
        row, sides = self.row, (*self.row[6:], *_NO_SIDES)
        (
            place, type_, timeout, token, agent, _, claimed, _, _, ended, _, flags, _, retries,
            priority, sequence, max_retries, base, backoff, created, available, _, _,
        ) = text(row[1]).split(" ")  # fmt: skip
        document: dict[str, Any] = json.loads(row[2])
        dependencies = _names(sides[0])
        payload = document.pop("payload", None)
        key = document.pop("idempotencyKey", None)
        escalated, _, note = text(sides[8] or "").partition(" ")
        values = {
            "id": text(row[0]),
            "idempotency_key": default_key(type_, payload, dependencies, document) if key is None else key,
            "type": type_,
            "priority": int(priority),
            "dependencies": tuple(dependencies),
            "payload": payload,
            "created_at": from_epoch(int(created)),
            "claimed_by": agent or None,
            "claimed_at": _time(claimed),
            "timeout": from_ms(int(timeout)),
            "retries": int(retries),
            "max_retries": int(max_retries),
            "backoff_seconds": from_ms(int(backoff)),
            "last_error": text(sides[2]) if sides[2] is not None else None,
            "completed_at": _time(ended) if place == "completed" else None,
            "result": _result(sides[3], "I" in flags),
            "sequence": int(sequence),
            "available_at": _time(available),
            "cancelled_at": _time(ended) if place == "cancelled" else None,
            "cancel_reason": text(sides[7]) if sides[7] is not None else None,
            "backoff_base": from_ms(int(base)),
            "attempts": tuple(_attempt(line) for line in _lines(sides[6])),
            "checkpoint": _json(sides[4]),
            "progress": _json(sides[5]),
            "waiting_on": frozenset(_names(sides[1])),
            "token": int(token) if token else None,
            "lease_expires_at": _time(text(row[3])) if row[3] else None,
            "escalated_at": _time(escalated),
            "escalation_note": note if escalated else None,
        }
        return Fields(place, values, document)


def _result(value: Any, incomplete: bool) -> dict[str, Any] | None:
    if not value:
        return None
    body: dict[str, Any] = json.loads(value)
    return {"status": "incomplete" if incomplete else "success"} | body


_UNESCAPED = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


def _unescape(line: str) -> str:
    if "\\" not in line:
        return line
    out, at = [], 0
    while at < len(line):
        pair = line[at : at + 2]
        out.append(_UNESCAPED.get(pair, line[at]))
        at += 2 if pair in _UNESCAPED else 1
    return "".join(out)


def _attempt(line: str) -> Attempt:
    token, agent, host, claimed, ended, outcome, _operation, _state, _retries, _available, error = line.split(" ", 10)
    return Attempt(
        token=int(token),
        agent=agent,
        host=None if host == "-" else host,
        claimed_at=from_epoch(int(claimed)),
        ended_at=from_epoch(int(ended)),
        outcome=outcome,
        error=_unescape(error) or None,
    )


def enqueued(reply: Any, ids: Sequence[str]) -> list[Enqueued]:
    """What became of the tasks that were sent as *ids*: created and pending, save those that the reply names."""
    found = [Enqueued(id, True, State.PENDING) for id in ids]
    for index, id, created, state in reply:
        found[int(index)] = Enqueued(text(id), bool(int(created)), State(text(state)))
    return found


def claims(reply: Any) -> list[Claim] | NoClaim:
    """The claims, or why there is none."""
    if reply and not isinstance(reply[0], (list, tuple)):
        wait = reply[2]
        return NoClaim(text(reply[1]), int(wait) / 1000 if wait is not None and wait is not False else None)
    return [
        Claim(text(row[0]), int(row[4]), from_epoch(int(row[3])), from_ms(int(row[5])), Record(row)) for row in reply
    ]


def one_claim(reply: Any) -> Claim | NoClaim:
    """The claim of a call that asked for one."""
    found = claims(reply)
    if isinstance(found, NoClaim):
        return found
    # A repeated call whose task was discarded meanwhile has nothing to show any more.
    return found[0] if found else NoClaim("empty", None)


def some_claims(reply: Any) -> list[Claim]:
    """The claims of a call that asked for several; none is an empty list."""
    found = claims(reply)
    return [] if isinstance(found, NoClaim) else found


def error(code: Any, data: Any) -> LokiRedisError:
    """The error that a script gave for one part of a batch."""
    return from_reply(text(code), text(data)) or LokiRedisError(f"{text(code)} {text(data)}")


def heartbeats(reply: Any) -> list[Heartbeat | LokiRedisError]:
    """One per claim: renewed, cancelled, or an error."""
    found: list[Heartbeat | LokiRedisError] = []
    for row in reply:
        kind = text(row[0])
        if kind == "renewed":
            found.append(Heartbeat(from_epoch(int(row[1])), False))
        elif kind == "cancelled":
            found.append(Heartbeat(None, True))
        else:
            found.append(error(row[0], row[1]))
    return found


def one_heartbeat(reply: Any) -> Heartbeat:
    """The heartbeat of one claim; its error is raised."""
    (found,) = heartbeats(reply)
    if isinstance(found, LokiRedisError):
        raise found
    return found


def outcome(reply: Any) -> Outcome:
    """State, retries, availableAt."""
    return _outcome(text(reply))


@lru_cache
def _outcome(words: str) -> Outcome:
    # Nearly all of them are alike.
    state, retries, available = words.split(" ")
    return Outcome(State(state), int(retries), _time(available))


def exchange(reply: Any) -> Exchange:
    """Outcomes in the order of the endings, and the new claims."""
    outcomes = [error(*row) if isinstance(row, (list, tuple)) else outcome(row) for row in reply[0]]
    return Exchange(outcomes, some_claims(reply[1]))


def hold(reply: Any) -> Hold:
    """Until when, how long, handed back."""
    return Hold(from_epoch(int(reply[0])), int(reply[1]) / 1000, bool(int(reply[2])))


def cancelled(reply: Any) -> Cancelled:
    """Count, done, ids."""
    return Cancelled(int(reply[0]), [text(id) for id in reply[2]], bool(int(reply[1])))


def page(reply: Any) -> Page:
    """A cursor, then the tasks."""
    return Page([Record(row).task() for row in reply[1:]], text(reply[0]) if reply[0] else None)


def records(reply: Any) -> tuple[list[Record], str | None]:
    """As page, with more than a Task shows."""
    return [Record(row) for row in reply[1:]], text(reply[0]) if reply[0] else None


def pairs(flat: Sequence[Any]) -> dict[str, str]:
    """Names and values that stand one after the other."""
    return {text(flat[i]): text(flat[i + 1]) for i in range(0, len(flat), 2)}


@dataclass(frozen=True)
class BreakerWords:
    """A breaker with what only the engine needs of it: what must pass before it is due, its probe, who gives way."""

    breaker: Breaker
    wait: str
    probe: str
    probe_token: int | None
    skip: str


def _breaker_words(words: str) -> BreakerWords:
    state, failures, last_failure, opened, half_opened, wait, probe, token, skip = words.split(" ")
    breaker = Breaker(state, int(failures), _time(last_failure), _time(opened), _time(half_opened))
    return BreakerWords(breaker, wait, probe, int(token) if token else None, skip)


def breaker(words: str) -> Breaker:
    """A breaker as lua/lib/breaker.lua stores it."""
    return _breaker_words(words).breaker


def breaker_words(reply: Any) -> dict[str, BreakerWords]:
    """The breakers of lua/stats.lua, whole."""
    return {type: _breaker_words(words) for type, words in sorted(pairs(reply[6]).items())}


def _type_stats(row: Sequence[Any]) -> TypeStats:
    ready, delayed, blocked, in_progress, completed, dead, cancelled, paused = (int(n) for n in row[1:9])
    return TypeStats(ready, delayed, blocked, in_progress, completed, dead, cancelled, bool(paused))


def stats(reply: Any) -> Stats:
    """Everything that lua/stats.lua counts."""
    now, paused, slowdown, todo, totals, rows, breakers = reply
    types = {text(row[0]): _type_stats(row) for row in rows}
    counted = types.values()
    counts = {
        State.PENDING.value: sum(t.ready + t.delayed + t.blocked for t in counted),
        State.IN_PROGRESS.value: sum(t.in_progress for t in counted),
        State.COMPLETED.value: sum(t.completed for t in counted),
        State.DEAD_LETTER.value: sum(t.dead_letter for t in counted),
        State.CANCELLED.value: sum(t.cancelled for t in counted),
    }
    return Stats(
        now=from_epoch(int(now)),
        counts=counts,
        types=dict(sorted(types.items())),
        breakers={type: breaker(words) for type, words in sorted(pairs(breakers).items())},
        paused=bool(paused),
        slowdown_until=_time(text(slowdown)) if slowdown else None,
        todo=int(todo),
        totals={"completed": 0, "failed": 0, "dead": 0} | {k: int(v) for k, v in pairs(totals).items()},
    )


def root(row: Sequence[Any]) -> Root:
    """A row of lua/lib/roots.lua."""
    id, type, place, agent, lease, available, ended, error, reason, escalated = row
    place = text(place)
    return Root(
        id=text(id),
        type=text(type),
        state=_PLACES.get(place, State.PENDING),
        place=place,
        claimed_by=text(agent) or None,
        lease_expires_at=_time(text(lease)),
        available_at=_time(text(available)),
        completed_at=_time(text(ended)) if place == "completed" else None,
        last_error=text(error) if error is not None else None,
        cancel_reason=text(reason) if reason is not None else None,
        escalated_at=_time(text(escalated)),
    )


def agents(reply: Any) -> list[Agent]:
    """Those that announced themselves and those that hold claims, by name."""
    now, rows, claims = int(reply[0]), reply[1], reply[2]
    held: dict[str, list[Any]] = {}
    for claim in claims:
        held.setdefault(text(claim[0]), []).append(claim)
    return sorted(
        (_agent(text(row[0]), row[1], row[2], held.get(text(row[0]), []), now) for row in rows), key=lambda a: a.name
    )


def _agent(name: str, announced: Any, held_until: Any, claims: Sequence[Any], now: int) -> Agent:
    tasks = [text(claim[2]) for claim in claims]
    until = _time(text(held_until)) if held_until else None
    if not announced:
        host, types = text(claims[0][1]), sorted({text(claim[3]) for claim in claims})
        lost = all(int(claim[5]) < now for claim in claims)
        at, completed, failed = max(int(claim[4]) for claim in claims), None, None
    else:
        words = text(announced).split("\n")
        at, every, completed, failed, host = int(words[0]), int(words[1]), int(words[2]), int(words[3]), words[4]
        types, lost = words[5].split(), now - at > SILENT * every
        tasks += [id for id in words[6].split() if id not in tasks] if not lost else []
    state = "lost" if lost else "held" if until else "working" if tasks else "idle"
    return Agent(name, host, tuple(types), state, tuple(tasks), from_epoch(at), until, completed, failed)


@dataclass(frozen=True)
class Part:
    """What lua/snapshot.lua answers: everything in it is of one moment, ``now`` (ms)."""

    now: int
    #: Where the next call goes on; ``since`` is None when changes may be lost: begin anew.
    since: str | None
    after: str
    last: str
    #: Whether there are more changes.
    more: bool
    #: With the time from which on an open one lets a probe through. Only when nothing more is to come.
    breakers: dict[str, tuple[Breaker, datetime | None]]
    #: Since the queue was made.
    completed: int
    dead: int
    paused: bool
    gone: list[str]
    left: list[str]
    records: list[Record]


def part(reply: Any) -> Part:
    """A part of a snapshot."""
    if not reply[1]:
        return Part(int(reply[0]), None, "0", "", False, {}, 0, 0, False, [], [], [])
    now, since, more, after, last, breakers, totals, gone, left, *rows = reply
    return Part(
        now=int(now),
        since=text(since),
        after=text(after),
        last=text(last),
        more=bool(int(more)),
        breakers={
            text(breakers[i]): (breaker(text(breakers[i + 1])), _time(text(breakers[i + 2])))
            for i in range(0, len(breakers), 3)
        },
        completed=int(totals[0] or 0),
        dead=int(totals[1] or 0),
        paused=bool(int(totals[2])),
        gone=[text(id) for id in gone],
        left=[text(id) for id in left],
        records=[Record(row) for row in rows],
    )


def settings(reply: Any) -> Mapping[str, str]:
    """Names and values as stored."""
    return pairs(reply)


def signal(message: Mapping[str, Any] | None) -> Signal | None:
    """The signal in a message of the queue's channel; None for what isn't one."""
    if message is None or message["type"] not in ("message", b"message"):
        return None
    data = json.loads(message["data"])
    return Signal(data.pop("signal"), data.pop("queue"), from_epoch(data.pop("at")), data)


def entry_id(row: Sequence[Any]) -> str:
    """The stream id of an entry of the event stream."""
    return text(row[0])


def events(row: Sequence[Any]) -> list[Event]:
    """The events of one entry: a line each, ``kind id type agent token text`` (lua/lib/event.lua)."""
    entry, fields = entry_id(row), {text(name): text(value) for name, value in (row[1] or {}).items()}
    at = from_epoch(int(fields["at"])) if fields.get("at", "").isdecimal() else None
    found = []
    for number, line in enumerate(_lines(fields.get("events")), 1):
        kind, *words, said = [*line.split(" ", 5), *[""] * 5][:6]
        id, type, agent, token = (None if word in ("", "-") else word for word in words)
        cursor = Cursor.behind(entry, number)
        found.append(
            Event(
                cursor=str(cursor),
                at=at or from_epoch(cursor.ms),
                kind=kind,
                id=id,
                type=type,
                agent=agent,
                token=int(token) if token is not None and token.isdecimal() else None,
                text=said,
            )
        )
    return found
