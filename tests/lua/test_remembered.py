"""What a function library remembers from one call to the next (lua/README.md) must not show in any answer."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from redis.exceptions import ResponseError

from lokiredis import InvalidTask, NewTask
from lokiredis.commands import claim_once, enqueue_batch
from lokiredis.keys import Keys
from lokiredis.scripts import NAMES, load
from lokiredis.server import read_server

from ..clock import ClockedQueue
from ..servers import Backend
from .moves import AGENT, add, every, moment, places, raw


def test_a_form_met_again_counts_its_delay_anew(clocked: ClockedQueue) -> None:
    """What two calls share is the form; the time from which it counts is each call's own."""
    add(clocked, "x", delay=5)
    first = moment(clocked, 5)
    clocked.clock.advance(60)
    add(clocked, "y", delay=5)
    add(clocked, "z", delay=5, available_at=moment(clocked, 9))
    add(clocked, "now")
    assert [task.available_at for task in every(clocked)] == [first, moment(clocked, 5), moment(clocked, 9), None]
    assert places(clocked) == {"x": "delayed", "y": "delayed", "z": "delayed", "now": "ready"}


def test_a_form_met_again_has_counted_nothing(clocked: ClockedQueue) -> None:
    """A batch leaves no number of its tasks behind: not one that is stored, nor one that is refused half way."""
    clocked.enqueue_many([NewTask(type="a", id=f"x{i}", idempotency_key="") for i in range(3)])
    refused_half_way = ["z", "a 5 3600000 3 60000  ", "", 2, "{}", "", "z2", "a 5 0 3 60000  ", "", 2, "{}", ""]
    with pytest.raises(InvalidTask):
        raw(clocked, "enqueue", "r", "", *refused_half_way)
    clocked.enqueue_many([NewTask(type="a", id=f"y{i}", idempotency_key="") for i in range(2)])
    assert clocked.stats().types["a"].ready == 5
    assert clocked.redis.hget(clocked.keys.fixed("types"), "a") == b"5"


def test_more_forms_than_are_remembered(clocked: ClockedQueue) -> None:
    """A thousand are; each task has its own all the same, also when the first ones come again."""
    for part in range(3):
        timeouts = [part % 2 * 1000 + i + 1 for i in range(1000)]
        fields: list[dict[str, Any]] = [{"id": f"{part}-{at}", "timeout": at, "max_retries": at % 7} for at in timeouts]
        clocked.enqueue_many([NewTask(type="a", idempotency_key="", **each) for each in fields])
    for task in every(clocked):
        at = int(task.id.split("-")[1])
        assert (task.timeout, task.max_retries) == (at, at % 7)


def test_more_queues_than_are_remembered(clocked: ClockedQueue) -> None:
    """A thousand are by the names of their keys; each call reaches its own queue all the same."""
    names = [Keys(f"queue-{i}") for i in range(1005)]
    for number, keys in enumerate([*names, names[0]]):
        clocked.run(enqueue_batch(keys, [NewTask(type="a", id=f"x{number}", idempotency_key="")], "r" * 8))
    claims = [clocked.run(claim_once(names[place], AGENT, ["a"])) for place in (1004, 0, 0)]
    assert [claim.id for claim in claims if claim] == ["x1004", "x0", "x1005"]
    assert not clocked.claim(AGENT, "a")


@pytest.mark.parametrize("name", NAMES)
def test_a_call_with_wrong_keys_spoils_nothing(name: str, backend: Backend) -> None:
    """A library knows a queue's keys by its prefix: what somebody passes in KEYS, or leaves out, is not remembered."""
    script = load(name)
    loaded = script.for_server(read_server(backend.redis).version)
    server: Any = backend.redis
    if loaded.is_library:
        server.function_load(loaded.source, replace=True)
    else:
        server.script_load(loaded.source)
    call = server.fcall if loaded.is_library else server.evalsha
    # The other queue has a schema of its own, and an unknown one ends every script.
    other = Keys("other")
    server.hset(other.fixed("queue"), "schema", "other")
    for number, wrong in enumerate(([], [other.fixed("queue") for _ in script.keys])):
        mine = Keys(f"mine-{number}")
        given = [mine.prefix, *("x" for _ in script.argv[1:])]
        with suppress(ResponseError):
            call(loaded.name, len(wrong), *wrong, *given)
        try:
            found = str(call(loaded.name, len(script.keys), *map(mine.fixed, script.keys), *given))
        except ResponseError as e:
            found = str(e)
        assert "SchemaMismatch" not in found
        assert " nil " not in found
