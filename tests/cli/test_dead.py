"""``lokiredis dead``: the review desk."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from ..waiting import wait_until
from .conftest import Cli, Program


@pytest.fixture
def desk(cli: Cli) -> Cli:
    """Five dead letters of two types and two kinds of failure, and what waits for one of them."""
    for id, type, error in (
        ("a-1", "api", "cannot reach 10.0.0.1:80"),
        ("a-2", "api", "cannot reach 10.0.0.2:81"),
        ("a-3", "api", "disk\x1b full"),
        ("w-1", "web", "cannot reach 10.0.0.3:82"),
        ("w-2", "web", "disk\x1b full"),
    ):
        cli("enqueue", "--type", type, "--id", id, "--key", "")
        token = cli.json("claim", "--agent", "x", "--type", type)["claim"]["token"]
        cli("fail", id, token, "--error", error, "--no-retry")
    cli("enqueue", "--type", "web", "--id", "child", "--depends", "a-1")
    cli("enqueue", "--type", "web", "--id", "grandchild", "--depends", "child")
    return cli


def _group(cli: Cli, pattern: str) -> str:
    [found] = [one["group"] for one in cli.json("dead", "list", "--group")["groups"] if one["pattern"] == pattern]
    return str(found)


def _places(cli: Cli) -> dict[str, str]:
    states = ("pending", "in-progress", "completed", "dead-letter", "cancelled")
    return {task["id"]: state for state in states for task in cli.json("list", "--state", state)["tasks"]}


def test_groups(desk: Cli) -> None:
    """The largest first, with how many of which types; nothing in a pattern moves the cursor."""
    groups = desk.json("dead", "list", "--group")["groups"]
    assert [(one["pattern"], one["count"], one["types"], one["ids"]) for one in groups] == [
        ("cannot reach <n>", 3, {"api": 2, "web": 1}, ["a-1", "a-2", "w-1"]),
        ("disk full", 2, {"api": 1, "web": 1}, ["a-3", "w-2"]),
    ]
    assert all(one["oldest"] <= one["newest"] for one in groups)
    out = desk("dead", "list", "--group").out
    assert "cannot reach <n>" in out
    assert "\x1b" not in out
    assert [one["count"] for one in desk.json("dead", "list", "--group", "--type", "web")["groups"]] == [1, 1]
    assert len(desk.json("dead", "list", "--group", "--limit", "1")["groups"]) == 1
    assert "--cursor" in desk("dead", "list", "--group", "--cursor", "x", code=2).err


def test_show_tells_what_it_blocks(desk: Cli) -> None:
    """Directly and through others."""
    data = desk.json("dead", "show", "a-1")
    assert (data["blocks"], data["blocked"], data["task"]["id"]) == (["child", "grandchild"], 2, "a-1")
    assert "It blocks 2 tasks: child, grandchild." in desk("dead", "show", "a-1").out
    assert "\nIt blocks 0 tasks.\n" in desk("dead", "show", "a-2").out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--all"], ["a-1", "a-2", "a-3", "w-1", "w-2"]),
        (["--type", "web"], ["w-1", "w-2"]),
        (["--group", "cannot reach <n>"], ["a-1", "a-2", "w-1"]),
        (["--group", "cannot reach <n>", "--type", "api"], ["a-1", "a-2"]),
    ],
)
def test_many_at_once(words: list[str], expected: list[str], desk: Cli) -> None:
    """By type, by group, or all; each is a decision of its own."""
    chosen = [_group(desk, word) if "<n>" in word else word for word in words]
    data = desk.json("dead", "retry", *chosen, "--reason", "it is up again", "--by", "ann")
    assert data == {"count": len(expected), "ids": expected, "refused": []}
    assert {id for id, state in _places(desk).items() if state == "pending"} == {*expected, "child", "grandchild"}
    told = desk.json("dead", "decisions")["decisions"]
    assert [(one["id"], one["action"], one["by"], one["why"]) for one in told] == [
        (id, "retry", "ann", "it is up again") for id in expected
    ]


def test_each_verb_takes_many(desk: Cli) -> None:
    """Escalate, resolve, discard; later, too."""
    assert desk.json("dead", "escalate", "--type", "web", "--note", "which?")["ids"] == ["w-1", "w-2"]
    assert [desk.json("show", id)["task"]["escalationNote"] for id in ("w-1", "w-2", "a-3")] == [
        "which?",
        "which?",
        None,
    ]
    assert desk("dead", "discard", "--type", "web", "--reason", "no use").out == "2 dead letters removed.\n"
    assert "w-1" not in _places(desk)
    assert desk.json("dead", "retry", "--group", _group(desk, "disk full"), "--delay", "30m")["ids"] == ["a-3"]
    assert desk.json("show", "a-3")["place"] == "delayed"
    data = desk.json("dead", "resolve", "--all", "--why", "by hand")
    assert (data["count"], data["ids"]) == (2, ["a-1", "a-2"])
    assert desk.json("show", "child")["place"] == "ready"
    assert [one["why"] for one in desk.json("dead", "decisions")["decisions"]][-2:] == ["by hand"] * 2
    assert desk.json("dead", "retry", "--all") == {"count": 0, "ids": [], "refused": []}


def test_one_that_is_refused_does_not_stop_the_rest(desk: Cli) -> None:
    """It is told, with exit code 1."""
    for id, equal in (("k-1", False), ("k-1-again", True)):
        desk("enqueue", "--type", "key", "--id", id, "--key", "k")
        if not equal:
            token = desk.json("claim", "--agent", "x", "--type", "key")["claim"]["token"]
            desk("fail", id, token, "--error", "no", "--no-retry")
    ran = desk("dead", "retry", "--all", "--json", code=1)
    assert (ran.data["count"], [one["code"] for one in ran.data["refused"]]) == (5, ["DuplicateTask"])
    assert "k-1: " in desk("dead", "retry", "--all", code=1).err
    assert desk("dead", "retry", "--all", "--force").out == "1 dead letter pending again.\n"


@pytest.mark.parametrize(
    "words",
    [
        [], ["a-1", "--all"], ["a-1", "--type", "api"], ["--all", "--type", "api"], ["--group", "ffffffff"],
        ["a-1", "--canary"], ["--all", "--canary", "--delay", "5"], ["a-1", "--by", "two\nlines"],
    ],
)  # fmt: skip
def test_what_is_no_choice(words: list[str], desk: Cli) -> None:
    """A usage error, and nothing is decided."""
    assert desk("dead", "retry", *words, "--json", code=2).error["code"] == "Usage"
    assert desk.json("dead", "decisions") == {"decisions": []}


def test_who_decides_stands_in_the_environment(desk: Cli) -> None:
    """LOKIREDIS_BY, for whoever reviews all day."""
    desk("dead", "retry", "a-1", environment={"LOKIREDIS_BY": "Zoë"})
    assert desk.json("dead", "decisions")["decisions"][0]["by"] == "Zoë"


def test_a_canary(desk: Cli) -> None:
    """The oldest goes first; the others follow when some agent has completed it, long after the command has ended."""
    group = _group(desk, "cannot reach <n>")
    out = desk("dead", "retry", "--group", group, "--canary", "--reason", "a new gateway").out
    assert out == "a-1 goes first; 2 dead letters will follow when it has completed.\n"
    assert {id: state for id, state in _places(desk).items() if id[0] in "aw"} == {
        "a-1": "pending", "a-2": "dead-letter", "a-3": "dead-letter", "w-1": "dead-letter", "w-2": "dead-letter",
    }  # fmt: skip
    claim = desk.json("claim", "--agent", "x", "--type", "api")["claim"]
    desk("complete", claim["id"], claim["token"], "--why", "w")
    assert {id: state for id, state in _places(desk).items() if id[0] in "aw"} == {
        "a-1": "completed", "a-2": "pending", "a-3": "dead-letter", "w-1": "pending", "w-2": "dead-letter",
    }  # fmt: skip
    details = [one["detail"] for one in desk.json("dead", "decisions")["decisions"]]
    assert details == ["canary of 2 others", *["its canary a-1 was completed"] * 2]
    assert desk.json("dead", "retry", "--type", "nobody", "--canary") == {"canary": None, "waiting": 0}


def test_the_record_for_people(desk: Cli, tmp_path: Path) -> None:
    """On the screen and in the file, once, with nothing that moves the cursor or makes HTML."""
    desk("dead", "escalate", "a-3", "--note", "<b>who\x1b[31m?</b>", "--by", "ann")
    out = desk("dead", "decisions").out
    assert "escalate  a-3  by ann: <b>who\\x1b[31m?</b>  [disk full]" in out
    for count in (1, 0):
        assert desk.json("dead", "decisions", "--write", str(tmp_path / ".loki")) == {"written": count}
    [file] = (tmp_path / ".loki/logs/decisions").iterdir()
    date = desk.json("dead", "decisions")["decisions"][0]["at"][:10]
    assert file.name == f"dlq-review-{date}.md"
    text = file.read_text()
    assert text.count("Escalated: a-3") == 1
    assert "\x1b" not in text
    assert "<b>" not in text
    assert desk("dead", "decisions", "--limit", "5", "--since", "soon", "--json", code=1).error["code"] == "InvalidTask"
    for option in (["--limit", "1"], ["--since", "1-0"]):
        assert "it takes no --limit" in desk("dead", "decisions", "--write", str(tmp_path), *option, code=2).err


def test_a_command_that_is_killed_in_the_middle(desk: Cli, program: Program) -> None:
    """Whatever was decided by then is recorded, whatever was not is still a dead letter; a second run does the rest."""
    lines = "\n".join(f'{{"type": "bulk", "id": "b-{n}", "n": {n}, "maxRetries": 1}}' for n in range(3000))
    desk("enqueue", "--file", "-", stdin=lines)
    for _ in range(3):
        claims = desk.json("claim", "--agent", "x", "--type", "bulk", "--limit", 1000)["claims"]
        _fail_all(desk, claims)
    command = program.start("dead", "retry", "--type", "bulk")
    wait_until(lambda: desk.json("dead", "decisions", "--limit", "1")["decisions"], what="the first decision")
    command.send_signal(signal.SIGKILL)
    command.wait()
    done = _count_decisions(desk)
    pending = desk.json("status")["types"]["bulk"]["ready"]
    assert 0 < pending == done
    again = desk.json("dead", "retry", "--type", "bulk")
    assert again["count"] == 3000 - done
    assert _count_decisions(desk) == 3000


def _fail_all(cli: Cli, claims: list[dict[str, Any]]) -> None:
    from lokiredis import Failed, Queue

    with Queue.from_url(cli.environment["LOKIREDIS_URL"], cli.environment["LOKIREDIS_QUEUE"]) as queue:
        queue.configure(breaker_defaults={"failure_threshold": 100_000})

        class Held:
            def __init__(self, claim: dict[str, Any]) -> None:
                self.id, self.token = claim["id"], claim["token"]

        queue.exchange("x", [], finished=[Failed(Held(claim), "no", retry=False) for claim in claims], limit=0)


def _count_decisions(cli: Cli) -> int:
    count = 0
    cursor: list[str] = []
    while found := cli.json("dead", "decisions", "--limit", "1000", *cursor)["decisions"]:
        count += len(found)
        cursor = ["--since", found[-1]["cursor"]]
    return count
