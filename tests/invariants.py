"""What must hold in the stored data of a queue between any two calls. The `queue` fixture checks it after each test."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from lokiredis.keys import Keys

_WORDS = (
    "place type timeout token agent host claimed lease limit ended handbacks flags bytes retries "
    "priority sequence max_retries base backoff created available digest nonce"
).split()

_SIDES = {
    "D": "dependencies",
    "W": "waiting",
    "A": "attempts",
    "E": "errors",
    "R": "results",
    "C": "checkpoints",
    "G": "progress",
    "N": "reasons",
    "S": "escalations",
}

_PER_TYPE = ("ready", "delayed", "blocked", "leased")
_ENDED = ("completed", "dead", "cancelled")
#: As in lua/lib/owners.lua: a key has no more.
_MOST_OWNERS = 100
_HASHES = (
    "queue",
    "settings",
    "tasks",
    "documents",
    "unique",
    "types",
    "tally",
    "paused",
    "breakers",
    "agents",
    "canaries",
    *_SIDES.values(),
)
_ZSETS = ("index", *_ENDED, "tombstones", "todo", "alarms", "seen")
_QUEUE_FIELDS = {"schema", "paused", "slowdown", "reaped", "grace", "run", "floor", "sequence", "configured", "waited"}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_STEP = 2**49


def check(redis: Any, queue_name: str) -> None:
    """Assert that the data of *queue_name* is sound, naming everything that is not."""
    data = _read(redis, Keys(queue_name).prefix)
    wrong: list[str] = []
    for claim in (_keys, _records, _indexes, _sides, _waiting, _names, _counts, _alarms, _leases, _breakers):
        wrong += islice(claim(data), 10)
    assert not wrong, f"queue {queue_name} is not sound:\n  " + "\n  ".join(wrong)


@dataclass
class _Data:
    """All keys of one queue, read at one moment."""

    zsets: dict[str, dict[str, float]] = field(default_factory=dict)
    hashes: dict[str, dict[str, bytes]] = field(default_factory=dict)
    expiring: dict[str, int] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    tasks: dict[str, dict[str, str]] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)

    def words(self, key: str) -> dict[str, str]:
        return {name: value.decode() for name, value in self.hashes.get(key, {}).items()}

    def zset(self, key: str) -> dict[str, float]:
        return self.zsets.get(key, {})

    def waiting(self, id: str) -> list[str]:
        return self.hashes.get("waiting", {}).get(id, b"").decode().split()


def _raw(value: Any) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)


def _text(value: Any) -> str:
    return _raw(value).decode("utf-8", "surrogateescape")


def _read(redis: Any, prefix: str) -> _Data:
    data = _Data()
    pattern = re.sub(r"([\[\]*?\\])", r"\\\1", prefix) + "*"
    names = sorted({_text(key).removeprefix(prefix) for key in redis.scan_iter(match=pattern, count=5000)})
    for first in range(0, len(names), 5000):
        _read_part(redis, prefix, names[first : first + 5000], data)
    for id, text in data.words("tasks").items():
        words = text.split(" ")
        if len(words) == len(_WORDS):
            data.tasks[id] = dict(zip(_WORDS, words, strict=True))
        else:
            data.torn.append(f"task {id} has {len(words)} words, not {len(_WORDS)}: {text!r}")
    return data


def _read_part(redis: Any, prefix: str, names: list[str], data: _Data) -> None:
    pipe = redis.pipeline(transaction=False)
    for name in names:
        kind = _kind(name)
        if kind == "zset":
            pipe.zrange(prefix + name, 0, -1, withscores=True)
        elif kind == "hash":
            pipe.hgetall(prefix + name)
        else:
            pipe.pttl(prefix + name)
    for name, reply in zip(names, pipe.execute(), strict=True):
        kind = _kind(name)
        if kind == "zset":
            data.zsets[name] = {_text(member): float(score) for member, score in reply}
        elif kind == "hash":
            data.hashes[name] = {_text(key): _raw(value) for key, value in reply.items()}
        elif kind == "expiring":
            data.expiring[name] = int(reply)
        else:
            data.others.add(name)


def _kind(name: str) -> str:
    head, _, rest = name.partition(":")
    if not rest:
        return "hash" if name in _HASHES else "zset" if name in _ZSETS else "other"
    if head in (*_PER_TYPE, "wake", "dependents"):
        return "zset"
    return "expiring" if head in ("hold", "request") else "other"


def _keys(data: _Data) -> Iterable[str]:
    """Every key has an owner: its task, its type, or a time at which it goes by itself."""
    yield from data.torn
    for name in sorted(data.others - {"events", "decisions"}):
        yield f"key {name} belongs to nobody"
    for name, left in data.expiring.items():
        if left <= 0:
            yield f"key {name} never expires"
    for name in data.zsets:
        head, _, rest = name.partition(":")
        if head in _PER_TYPE and rest not in data.hashes.get("types", {}):
            yield f"key {name} is of a type that no task has"
        if head == "wake" and not _ID.fullmatch(rest):
            yield f"key {name} is of no possible type"
    for unknown in sorted(data.words("queue").keys() - _QUEUE_FIELDS):
        yield f"queue has an unknown field {unknown}"
    if data.tasks and data.words("queue").get("schema") is None:
        yield "queue holds tasks but no schema"


def _records(data: _Data) -> Iterable[str]:
    """tasks, documents and index hold the same ids; sequences are unique."""
    ids, documents, index = set(data.tasks), set(data.hashes.get("documents", {})), data.zset("index")
    for id in sorted(ids ^ documents):
        yield f"{id} is {'a task without a document' if id in ids else 'a document without a task'}"
    for id in sorted(ids ^ set(index)):
        yield f"{id} is {'not in index' if id in ids else 'in index but no task'}"
    for id, task in data.tasks.items():
        if id in index and index[id] != float(task["sequence"]):
            yield f"{id} has the sequence {task['sequence']} but {index[id]:.0f} in index"
    for sequence, count in Counter(index.values()).items():
        if count > 1:
            yield f"{count} tasks have the sequence {sequence:.0f}"
    last = float(data.words("queue").get("sequence", "0"))
    if index and max(index.values()) > last:
        yield f"index goes up to {max(index.values()):.0f}, the queue's sequence only to {last:.0f}"


def _indexes(data: _Data) -> Iterable[str]:
    """Every task is in exactly one index, the one that its state word names, at the right place in it."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, members in data.zsets.items():
        if key.partition(":")[0] in _PER_TYPE or key in _ENDED:
            for id in members:
                found[id].append(key)
    for id in sorted(found.keys() - data.tasks.keys()):
        yield f"{id} is in {', '.join(found[id])} but no task"
    for id, task in data.tasks.items():
        place = task["place"]
        if place not in (*_PER_TYPE, *_ENDED):
            yield f"{id} has the state word {place!r}"
            continue
        key = f"{place}:{task['type']}" if place in _PER_TYPE else place
        if found[id] != [key]:
            yield f"{id} should be in {key}, is in {', '.join(found[id]) or 'no index'}"
            continue
        score, wanted = data.zset(key)[id], _score(place, task)
        if wanted is not None and score != wanted:
            yield f"{id} is in {key} at {score:.0f}, not at {wanted:.0f}"


def _score(place: str, task: Mapping[str, str]) -> float | None:
    if place in ("ready", "blocked"):
        return (10 - int(task["priority"])) * _STEP + float(task["sequence"])
    if place == "leased":
        return None
    text = task["available"] if place == "delayed" else task["ended"]
    return float(text) if text else -1


def _sides(data: _Data) -> Iterable[str]:
    """The letters of a task are exactly the side tables that have an entry of it; its bytes are their real sum."""
    for letter, table in _SIDES.items():
        entries = data.hashes.get(table, {})
        for id in sorted(entries.keys() - data.tasks.keys()):
            yield f"{table} has an entry of {id}, which is no task"
        for id, task in data.tasks.items():
            if (letter in task["flags"]) != (id in entries):
                lacks = "lacks its" if letter in task["flags"] else "has an"
                yield f"{id} {lacks} entry in {table}, letters {task['flags']!r}"
    documents = data.hashes.get("documents", {})
    for id, task in data.tasks.items():
        flags = task["flags"]
        if len(set(flags)) != len(flags) or not set(flags) <= {*_SIDES, "I"}:
            yield f"{id} has the letters {flags!r}"
        if "I" in flags and "R" not in flags:
            yield f"{id} is marked incomplete without a result"
        total = len(documents.get(id, b"")) + sum(len(data.hashes.get(t, {}).get(id, b"")) for t in _SIDES.values())
        if int(task["bytes"]) != total:
            yield f"{id} says {task['bytes']} bytes, has {total}"
        if data.hashes.get("attempts", {}).get(id, b"").count(b"\n") >= 20:
            yield f"{id} keeps more than 20 attempts"


def _waiting(data: _Data) -> Iterable[str]:
    """Names waited for and entries under dependents:<name> are two views of one thing; a to-do explains a rest."""
    to_do, moved = _to_do(data)
    for id, task in data.tasks.items():
        names = data.waiting(id)
        if (task["place"] == "blocked") != bool(names) and task["place"] not in ("leased", "dead"):
            yield f"{id} is {task['place']} and waits for {names}"
        for name in names:
            keys = [name, *moved.get(name, ())]
            if not any(data.zset(f"dependents:{key}").get(id) == float(task["sequence"]) for key in keys):
                yield f"{id} waits for {name} but is not entered under dependents:{name}"
            other = data.tasks.get(name)
            if other is None:
                if name not in moved:
                    yield f"{id} waits for {name}, which is no task"
            elif other["place"] in ("completed", "cancelled") and name not in to_do and name not in moved:
                yield f"{id} waits for {name}, which is {other['place']}, and nothing is to be done about it"
    links = {id: link.split("\n")[0] for id, link in data.words("canaries").items()}
    for id, name in links.items():
        if data.tasks.get(id, {}).get("place") != "dead":
            yield f"{id} waits for the canary {name}, but is no dead letter"
        keys = [name, *moved.get(name, ())]
        if not any(id in data.zset(f"dependents:{key}") for key in keys):
            yield f"{id} waits for the canary {name}, but is not entered under dependents:{name}"
    for key, members in data.zsets.items():
        if not key.startswith("dependents:"):
            continue
        name = key.removeprefix("dependents:")
        if name not in to_do and name not in data.tasks:
            yield f"key {key} belongs to no task and no to-do"
        for id in members:
            waits = name in data.waiting(id) or links.get(id) == name
            if name not in to_do and (id not in data.tasks or not waits):
                yield f"{id} is entered under {key} but does not wait for it"


def _to_do(data: _Data) -> tuple[set[str], dict[str, list[str]]]:
    """The names that have work pending under dependents:<name>, and where those of discarded tasks went."""
    names: set[str] = set()
    moved: dict[str, list[str]] = defaultdict(list)
    for job in data.zset("todo"):
        kind, name, *parent = job.split(" ")
        names.add(name)
        if kind == "discard":
            moved[parent[0]].append(name)
    return names, moved


def _names(data: _Data) -> Iterable[str]:
    """A key names tasks with that digest, and all of them that wait, run or are done; a tombstone names none."""
    owners = {digest: text.split(" ") for digest, text in data.words("unique").items()}
    for digest, ids in owners.items():
        for id in ids:
            if data.tasks.get(id, {}).get("digest") != digest:
                yield f"unique has {digest} for {id}, whose digest is {data.tasks.get(id, {}).get('digest')!r}"
    for id, task in data.tasks.items():
        ids = owners.get(task["digest"], [])
        if task["digest"] and task["place"] not in ("dead", "cancelled") and id not in ids and len(ids) < _MOST_OWNERS:
            yield f"{id} is {task['place']} and does not own its key {task['digest']}"
    for id in sorted(data.zset("tombstones").keys() & data.tasks.keys()):
        yield f"{id} is a task and has a tombstone"


def _counts(data: _Data) -> Iterable[str]:
    """types and tally are what a count gives."""
    types = Counter(task["type"] for task in data.tasks.values())
    stored = {name: int(count) for name, count in data.words("types").items()}
    if stored != types:
        yield f"types counts {stored}, there are {dict(types)}"
    places = Counter(f"{t['place']}:{t['type']}" for t in data.tasks.values() if t["place"] in _ENDED)
    tally = {name: int(count) for name, count in data.words("tally").items()}
    counted = {name: count for name, count in tally.items() if not name.startswith("total:")}
    if counted != places:
        yield f"tally counts {counted}, there are {dict(places)}"
    for name, count in tally.items():
        if count <= 0:
            yield f"tally has {name} at {count}"


def _alarms(data: _Data) -> Iterable[str]:
    """No alarm rings late."""
    alarms = data.zset("alarms")
    for key, members in data.zsets.items():
        place, _, type = key.partition(":")
        if place in ("delayed", "leased"):
            name, first = f"{place[0]}:{type}", min(members.values())
            if name not in alarms:
                yield f"{key} has no alarm"
            elif alarms[name] > first:
                yield f"the alarm of {key} rings at {alarms[name]:.0f}, its first entry is due at {first:.0f}"


def _leases(data: _Data) -> Iterable[str]:
    """A leased task has all that belongs to a claim, any other one nothing of it."""
    for id, task in data.tasks.items():
        if task["place"] == "leased":
            missing = [word for word in ("token", "agent", "claimed", "lease", "limit") if not task[word]]
            if missing:
                yield f"{id} is leased without {', '.join(missing)}"
            elif data.zset(f"leased:{task['type']}").get(id, 0) > float(task["limit"]):
                yield f"{id} has a lease beyond its time limit {task['limit']}"
        else:
            left = [word for word in ("lease", "limit") if task[word]]
            left += [w for w in ("agent", "claimed") if task[w] and task["place"] not in ("completed", "cancelled")]
            if left:
                yield f"{id} is {task['place']} but has {', '.join(left)}"


def _breakers(data: _Data) -> Iterable[str]:
    """A half-open breaker has a probe, and that is running; any other has none."""
    for type, text in data.words("breakers").items():
        words = text.split(" ")
        if len(words) != 9 or words[0] not in ("closed", "open", "half-open"):
            yield f"the breaker of {type} is {text!r}"
            continue
        probe, token = words[6], words[7]
        task = data.tasks.get(probe, {})
        running = task.get("place") == "leased" and task.get("token") == token and task.get("type") == type
        if words[0] == "half-open" and not running:
            yield f"the breaker of {type} is half-open, but its probe {probe} {token} does not run"
        if words[0] != "half-open" and (probe or token):
            yield f"the breaker of {type} is {words[0]} and has a probe {probe} {token}"
        if words[0] == "open" and not words[3]:
            yield f"the breaker of {type} is open since never"
