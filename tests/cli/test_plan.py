"""Plans: the documented queue file, a bare list, JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lokiredis.cli.plan import Plan, read_plan
from lokiredis.errors import InvalidTask

FRESH = {"id": "t-1", "type": "eng-qa", "payload": {"big": 9007199254740993, "empty": [], "e": {}}}


def plan(tmp_path: Path, content: bytes | str | list[Any] | dict[str, Any]) -> Plan:
    """The plan in a file with this content."""
    text = content if isinstance(content, (bytes, str)) else json.dumps(content)
    path = tmp_path / "plan.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_plan(str(path))


@pytest.mark.parametrize(
    "content",
    [
        {"tasks": [FRESH, {"type": "b"}]},
        {"version": 1, "tasks": [FRESH, {"type": "b"}]},
        [FRESH, {"type": "b"}],
        json.dumps(FRESH) + "\n" + '{"type": "b"}',
        "\ufeff" + json.dumps(FRESH) + "\r\n\r\n" + '{"type": "b"}\r\n',
    ],
)
def test_every_form_gives_the_same_tasks(content: Any, tmp_path: Path) -> None:
    """Values come through unchanged."""
    assert plan(tmp_path, content).tasks == [FRESH, {"type": "b"}]


@pytest.mark.parametrize("content", ["", " \n", "[]", '{"tasks": []}'])
def test_no_tasks_are_no_error(content: str, tmp_path: Path) -> None:
    """Real queue folders hold empty files."""
    assert plan(tmp_path, content).tasks == []


def test_one_object_is_one_task(tmp_path: Path) -> None:
    """JSON lines with one line."""
    assert plan(tmp_path, FRESH).tasks == [FRESH]


def test_json_lines_may_hold_any_character(tmp_path: Path) -> None:
    """U+2028 is a line end for Python's splitlines, not for JSON lines."""
    tasks = [{"type": "a", "title": "x\u2028y\u0085z"}, {"type": "b"}]
    content = "\n".join(json.dumps(task, ensure_ascii=False) for task in tasks)
    assert plan(tmp_path, content).tasks == tasks


def test_documented_fields_that_say_nothing_are_dropped(tmp_path: Path) -> None:
    """Every documented queue file carries them, and an export of this queue carries more."""
    idle: dict[str, Any] = {
        "createdAt": "2026-01-15T10:00:00Z",
        **dict.fromkeys(("claimedBy", "claimedAt", "lastError", "completedAt", "result", "token", "checkpoint")),
        **{"retries": 0, "attempts": [], "sequence": 7, "backoffBase": 60, "waitingOn": ["t-9"]},
    }
    kept = {"timeout": 60, "maxRetries": 3, "backoffSeconds": 60, "idempotencyKey": None, "status": "pending"}
    assert plan(tmp_path, [FRESH | idle | kept]).tasks == [FRESH | kept]


@pytest.mark.parametrize(
    ("name", "value"),
    [("retries", 1), ("lastError", "429"), ("completedAt", "2026-01-15T10:00:00Z"), ("claimedBy", "agent-1"),
     ("result", {"status": "success"}), ("cancelledAt", "2026-01-15T10:00:00Z"), ("attempts", [{}])],
)  # fmt: skip
def test_a_task_with_progress_is_for_import(name: str, value: Any, tmp_path: Path) -> None:
    """Enqueueing it would throw its history away."""
    with pytest.raises(InvalidTask, match="worked on already") as caught:
        plan(tmp_path, [FRESH, FRESH | {name: value}])
    assert (caught.value.index, caught.value.field) == (1, name)
    assert caught.value.data["file"].endswith("plan.json")


@pytest.mark.parametrize(
    ("content", "message", "line"),
    [
        (b'{"tasks": [\n{"type": "a",}\n]}', "not JSON", 2),
        (b'{"type": "a"}\n{"type": "b"', "not JSON", 2),
        (b'{"type": "a"}\n\n{"type": NaN}\n', "NaN is not JSON", 3),
        (b'{"type": "a"}\n{"type": "\xff"}\n', "not valid UTF-8", 2),
        (b'[{"type": -Infinity}]', "-Infinity is not JSON", None),
        (b"[" * 100_000, "nested too deeply", None),
        (b'{"type": "a"}\n' + b"[" * 100_000, "nested too deeply", 2),
        (b'{"tasks": {}}', "tasks is not a list", None),
        (b'{"tasks": [{"type": "a"}], "tasks": [{"type": "b"}]}', "tasks stands there twice", None),
        (b'{"type": "a", "id": "outer", "tasks": [{"type": "b"}]}', "both type and tasks", None),
        (b'[{"n": ' + b"9" * 5000 + b"}]", "too many digits", None),
    ],
)
def test_a_file_that_cannot_be_read_names_the_place(
    content: bytes, message: str, line: int | None, tmp_path: Path
) -> None:
    """An InvalidTask with file and line."""
    with pytest.raises(InvalidTask, match=message) as caught:
        plan(tmp_path, content)
    assert caught.value.data.get("line") == line
    assert caught.value.data["file"].endswith("plan.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("entry", [1, None, "task", [], True])
def test_a_task_must_be_an_object(entry: Any, tmp_path: Path) -> None:
    """And the error says which isn't."""
    with pytest.raises(InvalidTask, match="must be a JSON object") as caught:
        plan(tmp_path, [FRESH, entry])
    assert caught.value.index == 1


def test_a_line_with_tasks_of_its_own_is_a_task(tmp_path: Path) -> None:
    """In JSON lines there is no doubt."""
    tasks = [{"type": "a", "id": "outer", "tasks": ["x"]}, {"type": "b"}]
    assert plan(tmp_path, "\n".join(map(json.dumps, tasks))).tasks == tasks


def test_no_advice_names_a_command_that_is_not_there(tmp_path: Path) -> None:
    """``lokiredis import`` is to come."""
    with pytest.raises(InvalidTask) as caught:
        plan(tmp_path, [FRESH | {"retries": 1}])
    assert "lokiredis " not in str(caught.value)
