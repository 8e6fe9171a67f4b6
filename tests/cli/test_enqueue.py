"""``lokiredis enqueue``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Cli

PLAN: dict[str, Any] = {
    "tasks": [
        {"id": "t-2", "type": "eng-qa", "dependencies": ["t-1"], "payload": {"action": "test"}, "title": "Grüße"},
        {"id": "t-1", "type": "eng-api", "payload": {"big": 9007199254740993, "empty": [], "e": {}}, "retries": 0},
    ]
}


def test_one_task_from_options(cli: Cli) -> None:
    """Every option reaches the stored task."""
    cli("enqueue", "--type", "eng-api", "--id", "a-1")
    made = cli.json(
        "enqueue", "--type", "eng-qa", "--id", "b-1", "--priority", "8", "--depends", "a-1", "--timeout", "10m",
        "--max-retries", "1", "--backoff", "5", "--delay", "1h", "--key", "k-1", "--field", "title=Test it",
        "--field", "labels:=[\"x\"]", "--payload", '{"action": "test"}',
    )  # fmt: skip
    assert made == {"id": "b-1", "created": True, "state": "pending"}
    task = cli.json("show", "b-1")["task"]
    expected = {
        "type": "eng-qa", "priority": 8, "dependencies": ["a-1"], "timeout": 600, "maxRetries": 1,
        "backoffSeconds": 5, "idempotencyKey": "k-1", "title": "Test it", "labels": ["x"],
        "payload": {"action": "test"},
        "waitingOn": ["a-1"],
    }  # fmt: skip
    assert {name: task[name] for name in expected} == expected
    assert task["availableAt"] > task["createdAt"]


def test_a_time_without_a_zone_is_utc(cli: Cli) -> None:
    """As the documented files mean it."""
    cli("enqueue", "--type", "t", "--id", "a-1", "--at", "2031-01-02T03:04:05")
    assert cli.json("show", "a-1")["task"]["availableAt"] == "2031-01-02T03:04:05.000Z"


def test_the_same_task_twice_is_one(cli: Cli) -> None:
    """And the answer is the first one's id."""
    words = ("enqueue", "--type", "t", "--payload", '{"n": 1}')
    first = cli.json(*words)
    assert cli.json(*words) == {"id": first["id"], "created": False, "state": "pending"}
    assert f"{first['id']} is equal to it (pending)" in cli(*words).out
    assert cli.json(*words, "--key", "")["created"] is True


@pytest.mark.parametrize(
    "words",
    [
        ["--priority", "11"], ["--type", "a b"], ["--type", ""], ["--id", "a/b"], ["--id", ""], ["--timeout", "0"],
        ["--max-retries", "101"], ["--backoff", "2h"], ["--delay", "4000d"], ["--at", "nonsense"], ["--at", ""],
        ["--depends", "a b"], ["--key", "k" * 1025], ["--field", "token:=5"], ["--field", 'x:="\\ud800"'],
        ["--payload", '{"a": "\\ud800"}'], ["--request", "a b"],
    ],
)  # fmt: skip
def test_a_value_beyond_its_limit_names_the_option(words: list[str], bare: Cli) -> None:
    """A usage error, before a server is asked."""
    error = bare("enqueue", "--type", "t", *words, "--json", code=2).error
    assert error["code"] == "Usage"
    assert words[0] in error["message"]


def test_a_field_given_twice_is_told_so(bare: Cli) -> None:
    """Not that it has an option of its own."""
    ran = bare("enqueue", "--type", "t", "--field", "x=1", "--field", "x=2", code=2)
    assert ran.err.endswith("Error: --field x: given twice\n")


def test_an_entry_of_a_plan_is_no_usage_error(cli: Cli) -> None:
    """It stands in a file, not in an option."""
    error = cli("enqueue", "--file", "-", "--json", stdin='{"type": "t", "priority": 11}', code=1).error
    assert (error["code"], error["field"], error["index"]) == ("InvalidTask", "priority", 0)


@pytest.mark.parametrize("form", ["file", "stdin", "lines"])
def test_a_plan_in_any_form_and_order(form: str, cli: Cli, tmp_path: Path) -> None:
    """Values come back as they were."""
    text = json.dumps(PLAN) if form != "lines" else "\n".join(map(json.dumps, PLAN["tasks"]))
    (tmp_path / "plan.json").write_text(text)
    path = "-" if form == "stdin" else "plan.json"
    made = cli.json("enqueue", "--file", path, stdin=text)
    tasks = [{"id": id, "created": True, "state": "pending"} for id in ("t-2", "t-1")]
    assert made == {"tasks": tasks, "created": 2, "existing": 0}
    found: Any = {task["id"]: task for task in cli.json("list")["tasks"]}
    assert found["t-1"]["payload"] == PLAN["tasks"][1]["payload"]
    assert found["t-2"]["title"] == "Grüße"
    assert found["t-2"]["waitingOn"] == ["t-1"]
    again = cli.json("enqueue", "--file", path, stdin=text)
    assert (again["created"], again["existing"]) == (0, 2)
    out = cli("enqueue", "--file", path, stdin=text).out
    assert "t-1" in out
    assert "0 tasks enqueued, 2 there already." in out


def test_a_duplicate_with_an_id_of_its_own_is_named(cli: Cli) -> None:
    """Who looks for x2 in the table must find what became of it."""
    plan = json.dumps([{"type": "t", "id": "x1", "payload": {}}, {"type": "t", "id": "x2", "payload": {}}])
    lines = cli("enqueue", "--file", "-", stdin=plan).out.splitlines()
    assert "there already, equal to x2" in lines[2]


def test_an_empty_plan_is_done(cli: Cli) -> None:
    """Nothing to do is no error."""
    assert cli.json("enqueue", "--file", "-", stdin="") == {"tasks": [], "created": 0, "existing": 0}


@pytest.mark.parametrize(
    ("lines", "index", "line"),
    [(['{"type": "a"}', "", '{"type": "b", "priority": 0}'], 1, 3), (['[{"type": "a"}, {"priority": 5}]'], 1, None)],
)
def test_a_bad_task_in_a_plan_is_found_by_file_index_and_line(
    lines: list[str], index: int, line: int | None, cli: Cli, tmp_path: Path
) -> None:
    """And nothing of the plan is stored."""
    (tmp_path / "plan.jsonl").write_text("\n".join(lines))
    error = cli("enqueue", "--file", "plan.jsonl", "--json", code=1).error
    assert (error["code"], error["index"], error.get("line")) == ("InvalidTask", index, line)
    assert error["file"] == "plan.jsonl"
    assert error["message"].startswith("plan.jsonl")
    assert cli.json("status")["counts"]["pending"] == 0


@pytest.mark.parametrize("id", [None, "mine"])
def test_a_dependency_that_is_unknown(id: str | None, cli: Cli) -> None:
    """Names the task by the user's own id, and by none that he never saw."""
    own = [] if id is None else ["--id", id]
    ran = cli("enqueue", "--type", "t", "--depends", "nope", *own, code=1)
    place = "dependencies" if id is None else f"dependencies, {id}"
    assert ran.err == f"Error: {place}: there is no task nope\n"
    task = {"type": "t", "dependencies": ["nope"]} | ({} if id is None else {"id": id})
    assert cli("enqueue", "--file", "-", "--json", stdin=json.dumps([task]), code=1).error.get("id") == id


def test_a_plan_that_is_missing(cli: Cli) -> None:
    """One line with its name."""
    error = cli("enqueue", "--file", "nowhere.json", "--json", code=1).error
    assert error["code"] == "System"
    assert error["message"] == "nowhere.json: No such file or directory"


@pytest.mark.parametrize("title", ["\x1b[2J\x07", "[red]x[/red]", "[/]", ":boom:", "a\nb"])
def test_a_title_never_reaches_the_terminal_raw(title: str, cli: Cli) -> None:
    """Not as control characters and not as rich markup."""
    cli("enqueue", "--type", "t", "--id", "x", "--field", f"title={title}", "--payload", json.dumps({"t": title}))
    shown = title.replace("\x1b", "\\x1b").replace("\x07", "\\x07")
    for words in (["show", "x"], ["list"], ["claim", "--agent", "a", "--type", "t"]):
        out = cli(*words).out
        assert "\x1b" not in out
        assert "\x07" not in out
        assert words[0] == "claim" or shown in out or shown.replace("\n", " ") in out or "\n    b" in out


def test_a_large_plan_that_the_queue_refuses_can_be_corrected_and_repeated(cli: Cli) -> None:
    """It goes in parts: those before the fault stay, and are not made again."""
    tasks: list[dict[str, Any]] = [{"type": "t", "payload": {"n": n}} for n in range(1500)]
    bad = [*tasks, {"type": "t", "dependencies": ["nobody"]}]
    error = cli("enqueue", "--file", "-", "--json", stdin=json.dumps(bad), code=1).error
    assert (error["code"], error["index"]) == ("UnknownDependency", 1500)
    stored = cli.json("status")["counts"]["pending"]
    made = cli.json("enqueue", "--file", "-", stdin=json.dumps(tasks))
    assert (made["created"], made["existing"]) == (1500 - stored, stored)
    assert cli.json("status")["counts"]["pending"] == 1500
