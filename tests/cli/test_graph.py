"""``lokiredis graph`` and ``lokiredis list --blocked``: what depends on what, and what holds it up."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .conftest import Cli
from .test_operate import dead_letter, enqueue


@pytest.fixture
def plan(cli: Cli) -> Cli:
    """one ← left, right ← top ← roof; the dead letter holds right up, too."""
    dead_letter(cli, "dead")
    enqueue(cli, "one")
    enqueue(cli, "left", depends="one")
    cli("enqueue", "--type", "t", "--id", "right", "--key", "", "--depends", "one", "--depends", "dead")
    cli("enqueue", "--type", "u", "--id", "top", "--key", "", "--depends", "left", "--depends", "right")
    enqueue(cli, "roof", depends="top")
    return cli


def test_what_a_task_depends_on(plan: Cli) -> None:
    """A tree in which each task is drawn once."""
    assert plan("graph", "top").out.splitlines() == [
        "top  u, blocked",
        "├─ left  t, blocked",
        "│  └─ one  t, ready",
        "└─ right  t, blocked",
        "   ├─ one  t, ready",
        "   └─ dead  t, dead-letter",
    ]


def test_what_waits_for_a_task(plan: Cli) -> None:
    """The other way round; what was drawn already is not drawn again."""
    assert plan("graph", "one", "--down").out.splitlines() == [
        "one  t, ready",
        "├─ left  t, blocked",
        "│  └─ top  u, blocked",
        "│     └─ roof  t, blocked",
        "└─ right  t, blocked",
        "   └─ top  u, blocked  (see above)",
    ]
    out = plan("graph", "one", "--down", "--depth", "1").out.splitlines()
    assert out[1] == "├─ left  t, blocked  … 1 task below: lokiredis graph left"
    assert len(out) == 3


def test_the_whole_plan(plan: Cli) -> None:
    """From the tasks that wait for nobody on; as JSON the tasks themselves."""
    lines = plan("graph").out.splitlines()
    assert [line for line in lines if line[0].isalpha()] == ["dead  t, dead-letter", "one  t, ready"]
    data = plan.json("graph")
    assert [task["id"] for task in data["tasks"]] == ["dead", "one", "left", "right", "top", "roof"]
    assert data["whole"] is True
    assert data["tasks"][3] == {
        "id": "right", "type": "t", "state": "pending", "place": "blocked", "priority": 5,
        "dependencies": ["one", "dead"], "waitingOn": ["one", "dead"],
    }  # fmt: skip
    ran = plan("graph", "--limit", "2")
    assert len(ran.out.splitlines()) == 2
    assert "more than 2 tasks" in ran.err


def test_for_graphviz_and_mermaid(plan: Cli) -> None:
    """Each task and each dependency; ids that are words of the language are none there."""
    enqueue(plan, "end", depends="one")
    dot = plan("graph", "--dot").out
    assert dot.startswith("digraph queue {\n")
    assert '  "one" [label="one\\nt, pending", fillcolor="#ffffff"];\n' in dot
    assert '  "dead" -> "right";\n' in dot
    assert dot.endswith("}\n")
    mermaid = plan("graph", "--mermaid").out
    assert mermaid.startswith("graph TD\n")
    assert '  t6["end<br>t, pending"]:::pending\n' in mermaid
    assert "  t1 --> t6\n" in mermaid
    assert set(re.findall(r":::(\S+)", mermaid)) == {"pending", "dead-letter"}
    assert re.findall(r"^  classDef (\S+) fill:#", mermaid, re.M) == ["dead-letter", "pending"]
    assert plan.json("graph", "--mermaid") == {"text": mermaid, "whole": True}


@pytest.mark.parametrize("words", [["--dot", "--mermaid"], ["--down"], ["--depth", "0"], ["--dot", "--depth", "3"]])
def test_what_is_no_graph(words: list[str], bare: Cli) -> None:
    """Usage errors."""
    assert bare("graph", *words, "--json", code=2).error["code"] == "Usage"


def test_nobody(cli: Cli) -> None:
    """No such task; no tasks at all."""
    assert cli("graph", "x", "--json", code=1).error["code"] == "TaskNotFound"
    assert cli("graph").out == ""


def test_a_chain_of_ten_thousand(cli: Cli) -> None:
    """No tree is too deep for it."""
    plan = [{"id": f"x{i}", "type": "t", "n": i, "dependencies": [f"x{i - 1}"] if i else []} for i in range(10_000)]
    # As JSON: the table of 10,000 lines for people takes longer than all else here.
    assert cli.json("enqueue", "--file", "-", stdin="\n".join(map(json.dumps, plan)))["created"] == 10_000
    deep = ("--depth", "100")
    for words in (["x9999", *deep], ["x0", "--down", *deep], deep, ["--dot"], ["--mermaid"]):
        lines = cli("graph", *words, "--limit", "100000").out.splitlines()
        assert len(lines) >= 101
    blocked = cli.json("list", "--blocked", "--limit", "3")
    assert [root | {} for root in blocked["roots"]] == [
        {"id": "x0", "type": "t", "state": "pending", "place": "ready", "holdsBack": 9999}
    ]
    assert [task["id"] for task in blocked["tasks"]] == ["x1", "x2", "x3"]


def test_blocked(plan: Cli) -> None:
    """The roots first, by how much they hold back; then each blocked task behind what it waits for."""
    data = plan.json("list", "--blocked")
    assert [(root["id"], root["state"], root["holdsBack"]) for root in data["roots"]] == [
        ("one", "pending", 4), ("dead", "dead-letter", 3),
    ]  # fmt: skip
    assert [task["id"] for task in data["tasks"]] == ["left", "right", "top", "roof"]
    assert (data["count"], data["whole"]) == (4, True)
    out = plan("list", "--blocked").out
    assert out.index("dead-letter") < out.index("right  t: waits for dead, one\n")


def test_blocked_of_one_type(plan: Cli) -> None:
    """And only what holds those up."""
    enqueue(plan, "lone")
    enqueue(plan, "waits", depends="lone")
    data: Any = plan.json("list", "--blocked", "--type", "u")
    assert ([task["id"] for task in data["tasks"]], {root["id"] for root in data["roots"]}) == (
        ["top"],
        {"one", "dead"},
    )
    assert plan.json("list", "--blocked", "--type", "v")["roots"] == []
    ran = plan("list", "--blocked", "--limit", "1")
    assert "--limit" in ran.err
    assert plan("list", "--blocked", "--state", "completed", "--json", code=2).error["code"] == "Usage"
    assert len(plan.json("list", "--blocked", "--limit", "1", "--all")["tasks"]) == 5
