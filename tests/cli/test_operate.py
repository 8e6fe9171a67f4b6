"""The verbs of people who operate a queue, and those that look at it."""

from __future__ import annotations

from typing import Any

import pytest

from lokiredis.cli import checks

from ..servers import RedisServer
from .conftest import Cli


def enqueue(cli: Cli, *ids: str, **options: str) -> None:
    """Tasks of type t."""
    for id in ids:
        cli(
            "enqueue",
            "--type",
            "t",
            "--id",
            id,
            "--key",
            "",
            *(word for k, v in options.items() for word in (f"--{k}", v)),
        )


def dead_letter(cli: Cli, id: str) -> None:
    """A task that failed for good."""
    enqueue(cli, id, priority="10")
    token = cli.json("claim", "--agent", "a-1", "--type", "t")["claim"]["token"]
    cli("fail", id, token, "--error", "hope\x1bless", "--no-retry")


def test_cancel_takes_the_dependents_along(cli: Cli) -> None:
    """And says which."""
    enqueue(cli, "x")
    enqueue(cli, "y", depends="x")
    assert cli.json("cancel", "x", "--reason", "r", "--wait", "5s") == {
        "id": "x", "count": 2, "ids": ["x", "y"], "done": True,
    }  # fmt: skip
    assert cli.json("show", "y")["task"]["cancelReason"] == "Parent x cancelled"
    assert cli("cancel", "x", "--reason", "r", "--json", code=1).error["code"] == "InvalidState"
    assert cli("cancel", "nobody", "--reason", "r", "--json", code=1).error == {
        "code": "TaskNotFound", "message": "there is no task nobody", "id": "nobody",
    }  # fmt: skip


def test_cancel_can_wait_for_a_long_cascade(cli: Cli) -> None:
    """It carries the work on itself when nobody else is there."""
    lines = ['{"type": "t", "id": "x"}'] + [
        f'{{"type": "t", "id": "y-{n}", "dependencies": ["x"], "n": {n}}}' for n in range(2000)
    ]
    cli("enqueue", "--file", "-", "--json", stdin="\n".join(lines))
    first = cli("cancel", "x", "--reason", "r", "--wait", "0")
    assert "goes on in the background" in first.out
    enqueue(cli, "z")
    assert cli.json("cancel", "z", "--reason", "r", "--wait", "1m")["done"] is True
    data = cli.json("status")
    assert (data["counts"]["cancelled"], data["todo"]) == (2002, 0)


def test_show_tells_everything(cli: Cli) -> None:
    """For people too."""
    enqueue(cli, "x")
    dead_letter(cli, "y")
    out = cli("show", "x").out
    assert out.startswith("x  t, priority 5, pending, ready\n")
    out = cli("show", "y").out
    assert "hope\\x1bless" in out
    assert "a-1" in out
    assert "failed" in out
    assert cli("show", "z", code=1).err.startswith("Error: ")


def test_list_in_claim_order_with_notes(cli: Cli) -> None:
    """Ready, delayed, blocked."""
    enqueue(cli, "late", delay="1h")
    enqueue(cli, "low", priority="1")
    enqueue(cli, "high", priority="9", field="title=The title")
    enqueue(cli, "child", depends="low", priority="10")
    assert [task["id"] for task in cli.json("list")["tasks"]] == ["high", "low", "late", "child"]
    out = cli("list").out
    assert "The title" in out
    assert "waits for low" in out
    assert "not before 2" in out


def test_list_in_pages(cli: Cli) -> None:
    """A cursor leads from one to the next; --all needs none."""
    ids = [f"x-{n:03}" for n in range(250)]
    cli("enqueue", "--file", "-", stdin="\n".join(f'{{"type": "t", "id": "{id}", "key": "{id}"}}' for id in ids))
    seen: list[str] = []
    cursor: list[str] = []
    while True:
        data = cli.json("list", "--limit", "70", *cursor)
        seen += [task["id"] for task in data["tasks"]]
        if data["cursor"] is None:
            break
        cursor = ["--cursor", data["cursor"]]
    assert seen == ids
    assert [task["id"] for task in cli.json("list", "--all", "--type", "t")["tasks"]] == ids
    assert [task["id"] for task in cli.json("list", "--limit", "150")["tasks"]] == ids[:150]
    assert cli.json("list", "--type", "other") == {"state": "pending", "tasks": [], "cursor": None}
    assert "--cursor" in cli("list", "--limit", "3").err
    assert cli("list", "--cursor", "x y", "--json", code=1).error["code"] == "InvalidTask"


def test_status_counts(cli: Cli) -> None:
    """Per state and type, breakers and pauses."""
    enqueue(cli, "x", "y")
    enqueue(cli, "z", depends="x")
    cli("claim", "--agent", "a-1", "--type", "t")
    cli("pause", "--type", "t")
    cli("slowdown", "--wait", "1m")
    data = cli.json("status")
    expected = {"pending": 2, "in-progress": 1, "completed": 0, "dead-letter": 0, "cancelled": 0}
    assert data["counts"] == expected
    assert data["types"]["t"] == {
        "ready": 1, "delayed": 0, "blocked": 1, "inProgress": 1, "completed": 0, "deadLetter": 0, "cancelled": 0,
        "paused": True,
    }  # fmt: skip
    assert (data["paused"], data["todo"]) == (False, 0)
    assert data["slowdownUntil"] > data["now"]
    out = cli("status").out
    assert "2 pending, 1 in-progress" in out
    assert "SLOWDOWN until" in out
    assert "paused" in out


def test_an_empty_queue_has_a_status(cli: Cli) -> None:
    """All zeros."""
    assert set(cli.json("status")["counts"].values()) == {0}
    assert "0 pending" in cli("status").out
    assert cli.json("breaker", "list") == {"circuitBreakers": {}}
    assert cli("list").out == "0 tasks pending.\n"


def test_the_review_of_dead_letters(cli: Cli) -> None:
    """list, show, escalate, retry, resolve, discard."""
    dead_letter(cli, "x")
    assert [task["id"] for task in cli.json("dead", "list")["tasks"]] == ["x"]
    assert cli.json("dead", "escalate", "x", "--note", "n") == {"id": "x", "state": "dead-letter"}
    assert cli.json("dead", "show", "x")["task"]["escalationNote"] == "n"
    assert "escalated; hope\\x1bless" in cli("dead", "list").out
    retried = cli.json("dead", "retry", "x", "--delay", "1h")
    assert (retried["state"], retried["retries"]) == ("pending", 0)
    assert cli("dead", "show", "x", "--json", code=1).error["state"] == "pending"

    dead_letter(cli, "y")
    enqueue(cli, "child", depends="y")
    assert cli("dead", "resolve", "y", "--output", "o", "--json", code=1).error["code"] == "DecisionReportMissing"
    assert cli.json("dead", "resolve", "y", "--output", "o", "--why", "w")["state"] == "completed"
    assert cli.json("show", "y")["task"]["result"]["output"] == "o"
    assert cli.json("show", "child")["place"] == "ready"
    cli("cancel", "child", "--reason", "r")

    dead_letter(cli, "z")
    enqueue(cli, "grandchild", depends="z")
    assert cli.json("dead", "discard", "z", "--reason", "r") == {
        "id": "z", "count": 1, "ids": ["grandchild"], "done": True,
    }  # fmt: skip
    assert cli("show", "z", "--json", code=1).error["code"] == "TaskNotFound"


def test_a_retry_of_what_is_there_again_needs_force(cli: Cli) -> None:
    """DuplicateTask, unless forced."""
    cli("enqueue", "--type", "t", "--id", "x", "--key", "k")
    token = cli.json("claim", "--agent", "a-1", "--type", "t")["claim"]["token"]
    cli("fail", "x", token, "--error", "e", "--no-retry")
    cli("enqueue", "--type", "t", "--id", "y", "--key", "k")
    assert cli("dead", "retry", "x", "--json", code=1).error["code"] == "DuplicateTask"
    assert cli.json("dead", "retry", "x", "--force")["state"] == "pending"


def test_breakers_are_tripped_and_reset(cli: Cli) -> None:
    """With the documented schema."""
    found = cli.json("breaker", "trip", "t")["circuitBreakers"]["t"]
    assert found["state"] == "open"
    assert found.keys() == {"state", "failures", "lastFailure", "openedAt", "halfOpenAt"}
    assert "open" in cli("breaker", "list").out
    assert "open" in cli("status").out or not cli.json("status")["types"]
    cli("breaker", "reset", "t")
    assert all(one["state"] == "closed" for one in cli.json("breaker", "list")["circuitBreakers"].values())


def test_pause_and_resume(cli: Cli) -> None:
    """Queue and type are switches of their own."""
    assert cli.json("pause") == {"type": None, "paused": True}
    assert cli.json("pause", "--type", "t") == {"type": "t", "paused": True}
    assert cli.json("resume") == {"type": None, "paused": False}
    data = cli.json("status")
    assert (data["paused"], data["types"]["t"]["paused"]) == (False, True)
    assert cli("resume", "--type", "t").out == "t is not paused any more.\n"
    assert cli.json("resume", "--agent", "a-1") == {"agent": "a-1", "held": False}
    # The agent of this shell is not meant here.
    assert cli("resume", environment={"LOKIREDIS_AGENT": "a-1"}).out == "The queue is not paused any more.\n"


def test_slowdown(cli: Cli) -> None:
    """Set, and lifted with 0."""
    data = cli.json("slowdown", "--wait", "1m", "--reason", "r")
    assert data["wait"] == 60
    assert cli.json("status")["slowdownUntil"] == data["until"]
    assert cli.json("slowdown", "--wait", "0") == {"wait": 0, "until": None}
    assert cli.json("status")["slowdownUntil"] is None


def test_the_doctor_looks_at_everything(cli: Cli, server7: RedisServer) -> None:
    """This server has no append-only file. Function libraries came with Redis 7."""
    data = cli.json("doctor")
    libraries = {"libraries": "ok"} if server7.version >= (7, 0, 0) else {}
    assert data["ok"] is True
    assert {check["name"]: check["level"] for check in data["checks"]} == {
        "version": "ok", "role": "ok", "eviction": "ok", "persistence": "warn", "latency": "ok", "clock": "ok",
        "scripts": "ok", "schema": "ok",
    } | libraries  # fmt: skip
    out = cli("doctor").out
    assert "noeviction" in out
    with server7.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "1gb")
        try:
            assert "WILL VANISH" in cli("doctor", code=1).out
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "0")


def test_the_doctor_tells_of_a_replica(cli: Cli, server7: RedisServer) -> None:
    """And where to connect instead: that it refuses every write must not hide why."""
    with server7.client() as client:
        client.replicaof("127.0.0.1", "1")
        try:
            out = cli("doctor", code=1).out
        finally:
            client.replicaof("NO", "ONE")
    assert "this is a replica; connect to 127.0.0.1:1" in out


def test_the_doctor_finds_a_foreign_schema(cli: Cli, server7: RedisServer, queue_name: str) -> None:
    """And says what to do."""
    cli("enqueue", "--type", "t")
    with server7.client() as client:
        client.hset(f"loki:{{{queue_name}}}:queue", "schema", "99")
    data = cli.json("doctor", code=1)
    assert [check["name"] for check in data["checks"] if check["level"] == "FAIL"] == ["schema"]
    assert cli("status", "--json", code=1).error["code"] == "SchemaMismatch"


@pytest.mark.parametrize(
    ("check", "info", "level"),
    [
        (checks.version, {"redis_version": "7.0.15"}, "ok"),
        (checks.version, {"redis_version": "7.2.4", "valkey_version": "8.0.1"}, "ok"),
        (checks.version, {"redis_version": "6.0.16"}, "FAIL"),
        (checks.version, {}, "warn"),
        (checks.role, {"role": "slave", "master_host": "h", "master_port": 1}, "FAIL"),
        (checks.eviction, {"maxmemory_policy": "allkeys-lru", "maxmemory": 0}, "warn"),
        (checks.eviction, {"maxmemory_policy": "volatile-ttl", "maxmemory": 1}, "FAIL"),
        (checks.eviction, {}, "warn"),
    ],
)
def test_the_doctor_judges(check: Any, info: dict[str, Any], level: str) -> None:
    """What no server here is like."""
    assert check(info)[0] == level


@pytest.mark.parametrize(
    ("info", "fsync", "level"),
    [
        ({"aof_enabled": 1}, "always", "ok"),
        ({"aof_enabled": 1}, "everysec", "warn"),
        ({"aof_enabled": 1}, None, "warn"),
        ({"aof_enabled": 0}, "always", "warn"),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "always", "FAIL"),
        ({}, None, "warn"),
    ],
)
def test_the_doctor_judges_persistence(info: dict[str, Any], fsync: str | None, level: str) -> None:
    """Only an append-only file that is synced always keeps every acknowledged write."""
    assert checks.persistence(info, fsync)[0] == level


@pytest.mark.parametrize(
    "words",
    [
        ["pause", "--type", ""], ["pause", "--type", "a b"], ["resume", "--type", ""], ["resume", "--agent", "a b"],
        ["list", "--type", "a b"], ["dead", "list", "--type", ""], ["slowdown", "--wait", "4000d"],
        ["slowdown", "--request", "a b", "--wait", "1"], ["cancel", "x", "--reason", "r", "--request", ""],
        ["dead", "retry", "x", "--request", "a b"], ["dead", "retry", "x", "--delay", "4000d"],
    ],
)  # fmt: skip
def test_a_wrong_value_is_a_usage_error(words: list[str], bare: Cli) -> None:
    """It names the option, and no server is asked."""
    error = bare(*words, "--json", code=2).error
    assert error["code"] == "Usage"
    assert next(word for word in words if word.startswith("--")) in error["message"] or "--request" in error["message"]


def test_a_slowdown_that_was_cut_says_so(cli: Cli) -> None:
    """Who asked for two hours must hear of half an hour."""
    assert cli("slowdown", "--wait", "2h").out.endswith(" (30m is the longest).\n")
    assert "longest" not in cli("slowdown", "--wait", "29m").out


def test_slowdown_tells_the_wait_that_was_done(cli: Cli) -> None:
    """30 minutes is the longest; a repeated request gets the same answer."""
    first = cli.json("slowdown", "--wait", "1d", "--request", "r-1")
    assert first["wait"] == 1800
    assert cli.json("slowdown", "--wait", "1d", "--request", "r-1") == first


def test_cancel_with_wait_tells_of_the_whole_cascade(cli: Cli) -> None:
    """Not of its first slice alone; others that were cancelled are not counted."""
    enqueue(cli, "other")
    enqueue(cli, "behind", depends="other")
    cli("cancel", "other", "--reason", "Parent x cancelled")
    lines = ['{"type": "t", "id": "x"}']
    lines += [f'{{"type": "t", "id": "y-{n}", "dependencies": ["x"], "n": {n}}}' for n in range(3000)]
    lines += [f'{{"type": "t", "id": "z-{n}", "dependencies": ["y-{n}"], "n": {n}}}' for n in range(2000)]
    cli("enqueue", "--file", "-", "--json", stdin="\n".join(lines))
    words = ("cancel", "x", "--reason", "r", "--wait", "1m", "--request", "r-1")
    data = cli.json(*words)
    assert (data["count"], data["done"]) == (5001, True)
    assert (data["ids"][0], len(data["ids"]), len(set(data["ids"]))) == ("x", 1000, 1000)
    assert {"other", "behind"}.isdisjoint(data["ids"])
    assert cli.json(*words)["count"] == 5001
    out = cli(*words).out
    assert out.startswith("Cancelled 5,001 tasks.\n")
    assert out.endswith("  and 4,981 more\n")
