"""``lokiredis explain``: for people and for programs."""

from __future__ import annotations

import pytest

from .conftest import Cli
from .test_operate import dead_letter, enqueue


def test_a_task_that_is_next(cli: Cli) -> None:
    """Ready now, place 1, and the one behind it."""
    enqueue(cli, "x", "y")
    out = cli("explain", "x").out
    assert out.startswith("x  t, priority 5, pending\nReady now, place 1: ")
    assert "No live agent of t is known." in out
    assert "Place 2 of t, behind 1 task." in cli("explain", "y").out
    data = cli.json("explain", "y")
    assert (data["ready"], data["position"], data["reason"], data["expected"]) == (False, 2, None, "ready")
    cli("claim", "--agent", "a-1", "--type", "t")
    assert "a-1 works on it" in cli("explain", "x").out
    assert "No live agent" not in cli("explain", "y").out


def test_a_blocked_task(cli: Cli) -> None:
    """Its roots, with their states; a dead letter's error moves no cursor."""
    dead_letter(cli, "dead")
    enqueue(cli, "mid", depends="dead")
    enqueue(cli, "x", depends="mid")
    out = cli("explain", "x").out
    assert "It waits for 1 task:\n  dead  t, dead-letter: hope\\x1bless\n" in out
    assert "\x1b" not in out
    assert cli.json("explain", "x")["waitsFor"] == [
        {"id": "dead", "type": "t", "state": "dead-letter", "place": "dead"}
    ]
    assert "lokiredis dead show dead" in cli("explain", "dead").out


def test_what_stops_it(cli: Cli) -> None:
    """Each with the command that lifts it."""
    enqueue(cli, "x")
    enqueue(cli, "late", delay="1h")
    cli("pause")
    cli("pause", "--type", "t")
    cli("slowdown", "--wait", "1m")
    cli("breaker", "trip", "t")
    out = cli("explain", "x").out
    for words in ("lokiredis resume\n", "lokiredis resume --type t\n", "SLOWDOWN until", "lets one task through from"):
        assert words in out
    assert "Not before 2" in cli("explain", "late").out
    gate = cli.json("explain", "x")["gate"]
    assert (gate["paused"], gate["breaker"], gate["probe"]) == (True, "open", None)


def test_an_agent(cli: Cli) -> None:
    """What it gets, or why nothing; of an unknown one the types must be named."""
    enqueue(cli, "x")
    assert "Its next claim gets x." in cli("explain", "--agent", "a-1", "--type", "t").out
    out = cli("explain", "--agent", "a-1", "--type", "other").out
    assert "gets nothing: there are no tasks of its types." in out
    data = cli.json("explain", "--agent", "a-1", "--type", "other", "--type", "t")
    assert (data["task"], data["reason"], [line["ready"] for line in data["types"]]) == ("x", None, [0, 1])
    assert cli("explain", "--agent", "a-1", "--json", code=1).error["code"] == "InvalidTask"


@pytest.mark.parametrize("words", [[], ["x", "--agent", "a"], ["x", "--type", "t"]])
def test_what_is_to_be_explained(words: list[str], bare: Cli) -> None:
    """One thing."""
    assert "Usage" in bare("explain", *words, code=2).err
    assert bare("explain", *words, "--json", code=2).error["code"] == "Usage"


def test_nobody(cli: Cli) -> None:
    """There is no such task."""
    assert cli("explain", "x", "--json", code=1).error["code"] == "TaskNotFound"
