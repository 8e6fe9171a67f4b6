"""What a caller may pass: refused with InvalidTask before anything is sent, or understood in every form."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, tzinfo
from enum import Enum, IntEnum
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lokiredis import (
    AsyncQueue,
    Claim,
    DecisionReportMissing,
    Finished,
    InvalidTask,
    LokiRedisError,
    NewTask,
    Queue,
    Released,
    State,
)

from .lua.moves import REPORT
from .servers import RedisServer
from .waiting import wait_until


class _Number(IntEnum):
    TWO = 2


class _NoOffset(tzinfo):
    """A zone that does not know its offset, which makes no time aware."""

    def utcoffset(self, at: datetime | None) -> timedelta | None:
        return None

    def dst(self, at: datetime | None) -> timedelta | None:
        return None

    def tzname(self, at: datetime | None) -> str:
        return "somewhere"


class _Name(str, Enum):
    QUEUE = "queue-1"
    TYPE = "build"
    AGENT = "agent-1"


def _child(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_set_of_dependencies_has_one_key_in_every_process() -> None:
    """A set's order differs between processes; the default idempotency key does not."""
    code = (
        "from lokiredis import NewTask; from lokiredis.commands import key_of;"
        "print(key_of(NewTask(type='a', dependencies={kind}(f'd{{n}}' for n in range(9)))))"
    )
    for kind in ("set", "frozenset"):
        keys = {_child(code.format(kind=kind), PYTHONHASHSEED=str(seed)) for seed in range(3)}
        keys.add(_child(code.format(kind="sorted")))
        assert len(keys) == 1
    with pytest.raises(InvalidTask, match="dependencies"):
        NewTask(type="a", dependencies={"a", 1})  # type: ignore[arg-type]


def test_the_locale_does_not_matter() -> None:
    """Files are UTF-8 wherever lokiredis runs: every script loads, and the plan of the demo."""
    code = (
        "from lokiredis.scripts import NAMES, load; from lokiredis.demo.plan import planned;"
        "print(len([load(name) for name in NAMES]) > 9, len(planned()) > 1)"
    )
    for locale in ("C", "POSIX"):
        assert _child(code, PYTHONUTF8="0", LC_ALL=locale, PYTHONCOERCECLOCALE="0").split() == ["True", "True"]


def test_an_enum_is_the_number_that_it_stands_for(queue: Queue) -> None:
    """A limit or a token as an IntEnum."""
    for id in ("x", "y", "z"):
        queue.enqueue(id=id, type="a", payload={"id": id})
    claims = queue.claim_many("me", "a", _Number.TWO)
    assert len(claims) == 2
    token = IntEnum("token", {"IT": claims[0].token})
    held: Any = type("Held", (), {"id": claims[0].id, "token": token["IT"]})()
    assert queue.complete(held, decision_report=REPORT).state is State.COMPLETED
    assert len(queue.list("pending", limit=_Number.TWO).tasks) == 1
    assert len(queue.exchange("me", "a", limit=_Number.TWO).claims) == 1


def test_only_an_object_is_a_task() -> None:
    """from_json of anything else: InvalidTask."""
    for value in (None, 1, "x", [], [("type", "a")]):
        with pytest.raises(InvalidTask, match="JSON object"):
            NewTask.from_json(value)  # type: ignore[arg-type]


_LARGE = "x" * (9 * 1024 * 1024)

_TOO_LARGE: dict[str, tuple[str, Callable[[Queue, Claim], object]]] = {
    "payload": ("payload", lambda q, _: q.enqueue(type="a", payload={"text": _LARGE})),
    "document": ("document", lambda q, _: q.enqueue(type="a", note=_LARGE)),
    "batch": ("payload", lambda q, _: q.enqueue_many([{"type": "a"}, {"type": "a", "payload": {"text": _LARGE}}])),
    "checkpoint": ("checkpoint", lambda q, claim: q.heartbeat(claim, checkpoint=_LARGE)),
    "progress": ("progress", lambda q, claim: q.heartbeat(claim, progress=_LARGE)),
    "hold": ("checkpoint", lambda q, claim: q.rate_limited(claim, "429", checkpoint=_LARGE)),
    "result": ("result", lambda q, claim: q.complete(claim, output=_LARGE, decision_report=REPORT)),
    "exchange": (
        "result",
        lambda q, claim: q.exchange("me", "a", finished=[Finished(claim, _LARGE, decision_report=REPORT)]),
    ),
    "resolve_dead": ("result", lambda q, _: q.resolve_dead("x", {"output": _LARGE, "decisionReport": REPORT})),
    "id": ("id", lambda q, _: q.get(_LARGE)),
}


@pytest.mark.parametrize("name", _TOO_LARGE)
def test_what_no_setting_allows_is_not_sent(name: str, monkeypatch: pytest.MonkeyPatch, queue_name: str) -> None:
    """More than 8 MiB in one field: InvalidTask that names it, before Redis closes the connection on it."""
    with Queue.from_url("memory://sizes", queue_name) as queue:
        queue.enqueue(id="x", type="a")
        claim = queue.claim("me", "a")
        assert isinstance(claim, Claim)
        monkeypatch.setattr(queue, "_send", lambda command: pytest.fail("it was sent"))
        field, call = _TOO_LARGE[name]
        with pytest.raises(InvalidTask, match="at most") as refused:
            call(queue, claim)
        assert refused.value.field == field


def test_a_key_of_several_lines_is_no_required_key(queue: Queue) -> None:
    r"""{"x\nwhy\ny": 1} has no "why"; beside a "why" of its own such a key may stand."""
    queue.configure(decision_report_keys=["why"])
    queue.enqueue(id="x", type="a")
    claim = queue.claim("me", "a")
    assert isinstance(claim, Claim)
    for report in ({"x\nwhy\ny": 1}, {"\nwhy\n": 1}, {"why\n": 1}):
        with pytest.raises(DecisionReportMissing, match="why"):
            queue.complete(claim, decision_report=report)
    assert queue.complete(claim, decision_report={"why": 1, "a\nb": 2}).state is State.COMPLETED
    assert (queue.get("x").result or {})["decisionReport"] == {"why": 1, "a\nb": 2}


def test_a_report_of_odd_keys_only_is_a_report(queue: Queue) -> None:
    """Where no key is required, one of several lines counts."""
    queue.enqueue(id="x", type="a")
    claim = queue.claim("me", "a")
    assert isinstance(claim, Claim)
    assert queue.complete(claim, decision_report={"a\nb": 1}).state is State.COMPLETED


def test_an_enum_is_the_text_that_it_stands_for(redis7_server: RedisServer) -> None:
    """As a queue, a type and an agent: its name in a key would be another queue, and a waiter would hear nothing."""
    with (
        Queue.from_url(redis7_server.url, _Name.QUEUE) as queue,
        Queue.from_url(redis7_server.url, "queue-1") as other,
        ThreadPoolExecutor(1) as thread,
    ):
        assert (queue.name, queue.keys.prefix) == ("queue-1", "loki:{queue-1}:")
        waiting = thread.submit(queue.claim, _Name.AGENT, [_Name.TYPE], wait=20)
        with redis7_server.client() as client:
            wait_until(lambda: client.info("clients")["blocked_clients"] == 1, 10)
        other.enqueue(type="build", payload={})
        claim = waiting.result(timeout=5)
        assert claim
        other.complete(claim, decision_report=REPORT)


@pytest.mark.parametrize("value", ["5", None, float("nan"), -1, True])
def test_how_long_to_retry_is_a_time(value: Any) -> None:
    """NaN has no end either, but nobody means it."""
    with pytest.raises(InvalidTask) as caught:
        Queue.from_url("redis://127.0.0.1:1", retry_for=value)
    assert caught.value.field == "retry_for"
    assert Queue.from_url("redis://127.0.0.1:1", retry_for=float("inf")).retry_for == float("inf")


@pytest.mark.parametrize("wrong", [{"name": "a b"}, {"retry_for": -1}])
def test_no_server_is_started_for_a_wrong_argument(wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before the folder of an embedded server is made."""
    monkeypatch.delenv("LOKIREDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    for kind in (Queue, AsyncQueue):
        with pytest.raises(LokiRedisError):
            kind.from_url(**wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", [5, b"redis://x", [], ["redis://x"]])
def test_a_url_is_a_text(url: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list must not start the embedded server."""
    monkeypatch.setenv("LOKIREDIS_URL", "redis://127.0.0.1:1")
    for kind in (Queue, AsyncQueue):
        with pytest.raises(LokiRedisError, match="a URL is a text"):
            kind.from_url(url)


_WRONG: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "request of a surrogate": ("request", lambda q: q.enqueue(type="a", request="\ud800")),
    "request of many digits": ("request", lambda q: q.enqueue(type="a", request=10**5000)),
    "graph limit None": ("limit", lambda q: q.graph(limit=None)),
    "graph limit 1.5": ("limit", lambda q: q.graph("x", limit=1.5)),
    "graph limit -1": ("limit", lambda q: q.graph(limit=-1)),
    "graph way 5": ("way", lambda q: q.graph("x", way=5)),
    "graph way all": ("way", lambda q: q.graph("x", way="all")),
    "groups limit": ("limit", lambda q: q.dead_groups(limit="5")),
    "canary of None": ("others", lambda q: q.canary_dead("x", None)),
    "canary of a text": ("others", lambda q: q.canary_dead("x", "abc")),
    "canary of lists": ("others", lambda q: q.canary_dead("x", [["y"]])),
    "graph way of all": ("way", lambda q: q.graph(way=5)),
    "listen nan": ("timeout", lambda q: q.listen(timeout=float("nan"))),
    "listen text": ("timeout", lambda q: q.listen(timeout="5")),
    "announce a number": ("tasks", lambda q: q.announce("me", tasks=5)),
    "announce a text": ("tasks", lambda q: q.announce("me", tasks="abc")),
    "endless types": ("types", lambda q: q.claim("me", repeat("a"))),
    "endless claims": ("claims", lambda q: q.heartbeat_many(repeat(SimpleNamespace(id="x", token=1)))),
    "endless endings": ("finished", lambda q: q.exchange("me", "a", finished=repeat(Released(None)))),
    "no offset": ("availableAt", lambda q: q.enqueue(type="a", available_at=datetime(2030, 1, 1, tzinfo=_NoOffset()))),
    "events of no offset": ("since", lambda q: q.events(since=datetime(2030, 1, 1, tzinfo=_NoOffset()))),
    "import None": ("path", lambda q: q.import_(None)),
    "import a surrogate": ("path", lambda q: q.import_("\ud800")),
    "import NUL": ("path", lambda q: q.import_("a\0b")),
    "export bytes": ("path", lambda q: q.export(b"x")),
    "export no": ("replace", lambda q: q.export("x", replace="no")),
}


@pytest.mark.parametrize("case", _WRONG)
def test_what_is_refused_by_name(case: str, queue: Queue) -> None:
    """Never an error of Python's own, and nothing is done."""
    field, call = _WRONG[case]
    with pytest.raises(InvalidTask) as caught:
        call(queue)
    assert caught.value.field == field
