"""What each file holds: the documented shapes, what was there before, and what loki-mode's own tools read."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lokiredis import Claim, Queue, commands
from lokiredis.files.snapshot import Snapshot, Taken
from lokiredis.files.texts import TaskText
from lokiredis.models import iso

from ..conftest import lacking
from ..lua.moves import add, bury, done, take, trip_by_failures
from .conftest import ROOT
from .reading import STATES, ids, tasks

FIXTURE = ROOT / "tests" / "fixtures" / "loki-github-import" / "state" / "orchestrator.json"
NASTY = "<script>alert('ü & 日本')</script>\u2028\x1b[2J"


def _take(queue: Queue, folder: Path, **options: bool) -> Taken:
    with Snapshot(queue, folder, **options) as job:
        return job.take()


def _json(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_bytes())


def test_the_documented_shape(queue: Queue, folder: Path) -> None:
    """Without extras: five files of tasks as ``get`` shows them, and the breakers. Nothing else."""
    extra: dict[str, Any] = {"labels": [], "source": "github", "created_at": "2026-01-20", "nothing": None}
    payload = {"big": 9007199254740993, "empty": [], "nested": {"e": {}}, "text": NASTY, "float": 1.0}
    add(queue, "x", priority=9, payload=payload, **extra)
    add(queue, "y", dependencies=["x"])
    _take(queue, folder, extras=False)
    found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")
    assert found == sorted([*(f"queue/{state}.json" for state in STATES), "state/orchestrator.json"])
    assert tasks(folder, "pending") == [queue.get("x").to_json(), queue.get("y").to_json()]
    [x, _] = tasks(folder, "pending")
    assert (x["payload"], x["labels"], x["created_at"]) == (payload, [], "2026-01-20")
    assert "title" not in x
    assert x.keys() >= set(
        "id idempotencyKey type priority dependencies payload createdAt claimedBy claimedAt timeout retries maxRetries "
        "backoffSeconds lastError completedAt result".split()
    )


def test_a_user_field_under_a_name_of_ours(queue: Queue) -> None:
    """No client of ours stores one; should another do so, each name is still in the text once, as ``get`` has it."""
    add(queue, "x", own=[1.0])
    [record] = queue.run(commands.snapshot(queue.keys, limit=1)).records
    for document in ({"own": [1.0]}, {"type": "mine", "own": {}}):
        task = replace(record.fields(), document=document)
        text = TaskText(extras=False)(task)
        assert json.loads(text) == task.to_json()
        assert [name for name, _ in json.loads(text, object_pairs_hook=list)] == list(task.to_json())


def test_what_tools_read_of_a_task(queue: Queue, folder: Path) -> None:
    """title, description, created_at and status, where it has none of its own."""
    add(queue, "own", title="T", description="", status=None, created_at=5)
    add(queue, "asked", payload={"action": "implement", "target": "api.py", "goal": "It works"})
    add(queue, "described", payload={"action": "Add it", "description": "With care"})
    add(queue, "bare", payload={"action": 7})
    _take(queue, folder)
    fields = ("title", "description", "status", "created_at")
    found = {task["id"]: tuple(task[name] for name in fields) for task in tasks(folder, "pending")}
    made = {task["id"]: task["createdAt"] for task in tasks(folder, "pending")}
    assert found == {
        "own": ("T", "", None, 5),
        "asked": ("implement api.py", "It works", "pending", made["asked"]),
        "described": ("Add it", "With care", "pending", made["described"]),
        "bare": ("bare", "", "pending", made["bare"]),
    }


def test_the_other_files(queue: Queue, folder: Path) -> None:
    """Each in its own shape, with the same tasks in it."""
    bury(queue, "dead", payload={"x": 1})
    for number, priority in enumerate([10, 9, 8, 7, 5, 4, 1]):
        add(queue, f"p{number}", priority=priority, payload={"priority": 3}, note='"priority": 2')
    claim = take(queue, agent="host/me")
    add(queue, "done", priority=10)
    done(queue, take(queue))
    queue.announce("w/1", ["a", "b"], tasks=[], completed=4, failed=1)
    queue.pause()
    taken = _take(queue, folder)
    assert _json(folder, "queue/failed.json") == tasks(folder, "dead-letter")
    agents = {agent["id"]: agent for agent in _json(folder, "state/agents.json")}
    assert agents["host/me"] | {"spawned_at": ""} == {
        "agent_id": "host/me", "agent_type": "a", "current_task": claim.id, "spawned_at": "", "tasks_completed": 0,
        "status": "working", "id": "host/me", "type": "a", "currentTask": claim.id, "tasks": [claim.id], "model": None,
    }  # fmt: skip
    assert (agents["w/1"]["tasks_completed"], agents["w/1"]["type"], agents["w/1"]["status"]) == (4, "a,b", "idle")
    board = _json(folder, "dashboard-state.json")
    assert board.keys() == {"timestamp", "version", "mode", "phase", "tasks", "agents", "metrics"}
    assert {name: [task["id"] for task in listed] for name, listed in board["tasks"].items()} == {
        "pending": ids(folder, "pending"), "inProgress": ["p0"], "review": [], "completed": ["done"],
        "failed": ["dead"],
    }  # fmt: skip
    words = ["high", "high", "medium", "medium", "low", "low"]
    assert [task["priority"] for task in board["tasks"]["pending"]] == words
    assert board["tasks"]["pending"][0]["payload"] == {"priority": 3}
    assert board["tasks"]["inProgress"][0]["priority"] == "critical"
    assert (board["mode"], board["phase"]) == ("paused", "BOOTSTRAP")
    assert board["metrics"] == {"tasksCompleted": 1, "tasksFailed": 1}
    status = (folder / "STATUS.txt").read_text()
    assert re.findall(r"^(\w.*?): +(\S+)$", status, re.M) == [
        ("Phase", "BOOTSTRAP"), ("Mode", "paused"), ("Pending", "6"), ("In progress", "1"), ("Completed", "1"),
        ("Failed", "1"),
    ]  # fmt: skip
    assert taken.counts == {"pending": 6, "in-progress": 1, "completed": 1, "dead-letter": 1, "cancelled": 0}


def test_an_agent_keeps_the_time_when_it_was_first_seen(queue: Queue, folder: Path) -> None:
    """Also when another job goes on with the files."""
    queue.announce("w/1", ["a"])
    _take(queue, folder)
    [first] = _json(folder, "state/agents.json")
    queue.announce("w/1", ["a"], completed=1)
    _take(queue, folder)
    [second] = _json(folder, "state/agents.json")
    assert second == first | {"tasks_completed": 1}


def test_a_new_orchestrator_file(queue: Queue, folder: Path) -> None:
    """Has the default skeleton, and the breakers in the documented schema."""
    trip_by_failures(queue)
    _take(queue, folder, extras=False)
    found = _json(folder, "state/orchestrator.json")
    assert found.keys() == {"version", "currentPhase", "startedAt", "agents", "metrics", "circuitBreakers"}
    assert found["metrics"] == {"tasksCompleted": 0, "tasksFailed": 5}
    breaker = queue.breakers()["a"]
    assert found["circuitBreakers"] == {"a": breaker.to_json()}
    _take(queue, folder)
    shown = _json(folder, "state/orchestrator.json")["circuitBreakers"]["a"]
    assert breaker.opened_at is not None
    assert shown["cooldownUntil"] == iso(breaker.opened_at + timedelta(seconds=60))
    assert shown["halfOpenAttempts"] == 0


def test_foreign_keys_stay(queue: Queue, folder: Path) -> None:
    """Only the breakers of a real file change; all else stays to the byte, numbers and blanks too."""
    path = folder / "state" / "orchestrator.json"
    path.parent.mkdir(parents=True)
    before = FIXTURE.read_text().replace("12,", '12.50e0 ,\n  "circuit": "} ü \\u00fc",', 1)
    path.write_text(before)
    trip_by_failures(queue, "b")
    taken = _take(queue, folder)
    assert _json(folder, "dashboard-state.json")["phase"] == "DEVELOPMENT"
    after = path.read_text()
    begin = before.index('"circuitBreakers": ') + len('"circuitBreakers": ')
    assert after.startswith(before[:begin])
    assert after.endswith(before[before.rindex("\n") :])
    assert json.loads(after)["circuitBreakers"].keys() == {"b"}
    assert taken.notes == []
    assert "state/orchestrator.json" not in _take(queue, folder).written
    assert json.loads(after) | {"circuitBreakers": 0} == json.loads(before) | {"circuitBreakers": 0}


@pytest.mark.parametrize("text", ["{}", ' {"a": [1, {"}": 2}]} \n', '{"x": "circuitBreakers"}'])
def test_breakers_are_added(queue: Queue, folder: Path, text: str) -> None:
    """To a file that has none, with all of its other text where it was."""
    path = folder / "state" / "orchestrator.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    trip_by_failures(queue, "b")
    _take(queue, folder)
    found = _json(folder, "state/orchestrator.json")
    assert found.pop("circuitBreakers").keys() == {"b"}
    assert found == json.loads(text)
    assert path.read_text().startswith(text.rstrip()[:-1])


@pytest.mark.parametrize("broken", [b"", b'{"version": ', b"[1]", b"\xff\xfe{}", b"{} x", b"[" * 100_000])
def test_a_broken_orchestrator_file(queue: Queue, folder: Path, broken: bytes) -> None:
    """Is kept beside it, which is said, and made anew. An older kept one stays."""
    path = folder / "state" / "orchestrator.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(broken)
    path.with_name("orchestrator.json.bak").write_text("older")
    [note] = _take(queue, folder).notes
    assert note.startswith("state/orchestrator.json was no JSON object")
    assert path.with_name("orchestrator.json.bak").read_text() == "older"
    assert path.with_name("orchestrator.json.bak2").read_bytes() == broken
    assert _json(folder, "state/orchestrator.json")["circuitBreakers"] == {}
    assert _take(queue, folder).notes == []


def test_a_byte_order_mark(queue: Queue, folder: Path) -> None:
    """As some editors write it: it stays where it is, as all other keys do, and nothing is set aside."""
    path = folder / "state" / "orchestrator.json"
    path.parent.mkdir(parents=True)
    mark, text = b"\xef\xbb\xbf", b'{"currentPhase": "QA", "agents": {"n": 9007199254740993}}'
    path.write_bytes(mark + text)
    trip_by_failures(queue, "b")
    assert _take(queue, folder).notes == []
    found = path.read_bytes()
    assert found.startswith(mark + text[:-1])
    assert json.loads(found).pop("circuitBreakers").keys() == {"b"}
    assert _json(folder, "dashboard-state.json")["phase"] == "QA"
    assert [item.name for item in path.parent.glob("orchestrator*")] == [path.name]
    assert "state/orchestrator.json" not in _take(queue, folder).written


def _all_texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for part in parts for text in _all_texts(part)]


def test_text_that_others_wrote(queue: Queue, folder: Path) -> None:
    """No file has markup in it; by default JSON means the same, with escape_html each value is harmless, too."""
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "orchestrator.json").write_text(json.dumps({"currentPhase": NASTY}))
    bury(queue, "dead", title=NASTY, payload={NASTY: [NASTY]})
    add(queue, "done")
    queue.complete(take(queue), output=NASTY, decision_report={"why": NASTY, NASTY: {"a": [NASTY, {"b": 1}]}})
    for escaped in (False, True):
        _take(queue, folder, escape_html=escaped)
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != "orchestrator.json"]
        assert len(files) > 9
        for path in files:
            data = path.read_bytes()
            if path.name != "STATUS.txt" or escaped:
                assert not re.search(rb"[<>]|&(?!amp;|lt;|gt;|nbsp;)", data), path
            assert b"\x1b" not in data
            if path.suffix == ".json":
                texts = _all_texts(json.loads(data))
                assert not escaped or not [text for text in texts if "<" in text]
    [dead] = tasks(folder, "dead-letter")
    assert html.unescape(dead["title"]) == NASTY
    _take(queue, folder)
    [dead] = tasks(folder, "dead-letter")
    assert (dead["title"], dead["payload"]) == (NASTY, {NASTY: [NASTY]})


def test_decision_reports(queue: Queue, folder: Path) -> None:
    """One readable file for each completed task, written once, also for what was resolved by a person."""
    add(queue, "api-1", priority=8)
    queue.complete(
        take(queue, agent="me"),
        output="It works.\n  Twice.",
        decision_report={"testResults": {"passed": 12}, "why": "Asked for", "what": ["a", "b"], "my_own": None},
    )
    bury(queue, "api-2")
    queue.resolve_dead("api-2", {"output": "by hand", "decisionReport": {"why": "x", "what": "y"}})
    assert _take(queue, folder).reports == 2
    where = folder / "logs" / "decisions"
    day = tasks(folder, "completed")[0]["completedAt"][:10]
    assert sorted(path.name for path in where.glob("2*")) == [f"{day}-api-1.md", f"{day}-api-2.md"]
    completed = tasks(folder, "completed")[0]["completedAt"]
    assert (where / f"{day}-api-1.md").read_text() == (
        "# Decision report: api-1\n\n"
        f"- **Type**: a\n- **Priority**: 8\n- **Completed**: {completed}\n- **By**: me\n- **Attempts**: 1\n\n"
        "## Why\n\nAsked for\n\n## What\n\n- a\n- b\n\n## Test results\n\n- **passed**: 12\n\n"
        "## my\\_own\n\nnull\n\n## Output\n\nIt works.  \n&nbsp;&nbsp;Twice.\n"
    )
    (where / f"{day}-api-1.md").write_text("A person's note.")
    assert _take(queue, folder).reports == 0
    assert (where / f"{day}-api-1.md").read_text() == "A person's note."


def test_reviews_of_dead_letters(queue: Queue, folder: Path) -> None:
    """Are written down by the job, once, by whatever number of jobs."""
    bury(queue, "x")
    with Snapshot(queue, folder) as job, Snapshot(queue, folder) as other:
        queue.discard_dead("x", "not needed")
        assert [one.take().decisions for one in (job, other, job)] == [1, 0, 0]
    [path] = (folder / "logs" / "decisions").iterdir()
    assert path.name.startswith("dlq-review-")
    assert path.read_text().count("not needed") == 1


def test_many_reports_come_in_parts(queue: Queue, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot archives so many, says how many are left, and the next one goes on."""
    monkeypatch.setattr("lokiredis.files.snapshot._MOST_REPORTS", 3)
    for number in range(7):
        add(queue, f"x{number}")
        done(queue, take(queue))
    with Snapshot(queue, folder) as job:
        taken = [job.take() for _ in range(4)]
    assert [(one.reports, one.reports_left) for one in taken] == [(3, 4), (3, 1), (1, 0), (0, 0)]
    assert len(list((folder / "logs" / "decisions").iterdir())) == 7


def test_documented_jq(queue: Queue, folder: Path) -> None:
    """The one-liner of the reference picks the task that the next claim returns; those of docs/files.md run."""
    jq = shutil.which("jq") or lacking("jq: not installed")
    for number, priority in enumerate([3, 9, 9, 10, 10, 1]):
        add(queue, f"x{number}", "ab"[number % 2], priority=priority)
    add(queue, "late", priority=10, delay=60)
    add(queue, "blocked", priority=10, dependencies=["x5"])
    for _ in range(6):
        _take(queue, folder)
        program = ".tasks | map(select(.claimedBy == null)) | .[0]"
        ran = subprocess.run([jq, "-r", program, folder / "queue" / "pending.json"], capture_output=True, check=True)
        claim = queue.claim("me", ["a", "b"])
        assert isinstance(claim, Claim)
        assert json.loads(ran.stdout)["id"] == claim.id
    [block] = re.findall(r"## With jq\s+```sh\n(.*?)```", (ROOT / "docs" / "files.md").read_text(), re.S)
    for command in block.splitlines():
        assert folder.name == ".loki"
        subprocess.run(["sh", "-c", command], cwd=folder.parent, check=True, capture_output=True)
