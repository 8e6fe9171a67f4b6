"""Queue.import_: real-world files, and every way in which one can be bad."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lokiredis import InvalidTask, Queue
from lokiredis.files.report import Imported, Told
from lokiredis.files.snapshot import Snapshot
from lokiredis.models import at_ms, parse_time

from ..invariants import check
from ..lua.moves import add, done, every, places, stored, take
from ..servers import RedisServer
from .queues import FIXTURES, new_queue, picture

ROOT = Path(__file__).parents[2]


@pytest.fixture
def queue(server7: RedisServer) -> Iterator[Queue]:
    """An empty queue, and afterwards the check that its data is sound."""
    found = new_queue(server7)
    yield found
    check(found.redis, found.name)


def _task(id: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "a", "payload": {}} | fields


def _write(path: Path, *tasks: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tasks": tasks}, ensure_ascii=False))
    return path


def _refusals(report: Imported) -> list[tuple[str, int | None, str | None, str]]:
    return [(Path(told.file).name, told.index, told.id, told.reason) for told in report.refused]


def test_documented_files(queue: Queue) -> None:
    """All five files as the reference has them; the agent of the running task has no token, so it is pending."""
    report = queue.import_(FIXTURES / "loki-documented")
    assert report.created == {"cancelled": 1, "completed": 1, "dead-letter": 1, "pending": 3}
    assert report.refused == ()
    assert places(queue) == {
        "t-1": "completed", "t-2": "ready", "t-3": "blocked", "t-4": "ready", "t-8": "cancelled", "t-9": "dead",
    }  # fmt: skip
    tasks = {task.id: task for task in every(queue)}
    assert tasks["t-3"].waiting_on == {"t-2"}
    assert tasks["t-4"].payload == {
        "action": "implement", "target": "x", "big": 9007199254740993, "empty": [], "nested": {"e": {}},
    }  # fmt: skip
    assert (tasks["t-4"].retries, tasks["t-4"].last_error) == (1, "429 too many requests")
    assert tasks["t-4"].available_at == parse_time("2026-01-15T10:20:00Z", "")
    assert tasks["t-1"].claimed_by == "agent-2"
    assert tasks["t-1"].completed_at == parse_time("2026-01-15T10:04:00Z", "")
    assert tasks["t-8"].cancel_reason == "Parent t-7 cancelled"
    assert [(past.agent, past.outcome) for past in tasks["t-2"].attempts] == [("agent-7", "released")]
    assert at_ms(tasks["t-2"].attempts[0].claimed_at) == at_ms(parse_time("2026-01-15T10:05:00.123Z", ""))


def test_bare_lists(queue: Queue) -> None:
    """Without tasks around them, a file of 0 bytes among them, claimedAt a number, and no type."""
    report = queue.import_(FIXTURES / "loki-bare-lists")
    assert _refusals(report) == [("pending.json", 2, "prd-001", "type: no type; --default-type gives it one")]
    assert [task.id for task in every(queue)] == ["task-012", "task-013", "task-014"]
    [past] = queue.get("task-012").attempts
    assert (past.agent, at_ms(past.claimed_at)) == ("agent-frontend-001", 1795360000250)
    assert queue.import_(FIXTURES / "loki-bare-lists", default_type="general").created == {"pending": 1}
    task = queue.get("prd-001")
    assert (task.type, task.priority, task.payload) == ("general", 5, {})
    given = json.loads((FIXTURES / "loki-bare-lists/queue/pending.json").read_text())[2]
    assert {"id": "prd-001"} | (task.model_extra or {}) == given


def test_issues_of_github(queue: Queue) -> None:
    """Priorities are words, fields of other tools are kept, an open breaker comes along."""
    report = queue.import_(FIXTURES / "loki-github-import", default_type="general")
    assert (report.created, report.refused, report.breakers) == ({"pending": 2}, (), 1)
    tasks = {task.id: task for task in every(queue)}
    assert [tasks["github-42"].priority, tasks["github-43"].priority] == [8, 5]
    assert tasks["github-42"].created_at == parse_time("2026-01-20T09:30:00Z", "")
    extra = tasks["github-43"].model_extra or {}
    assert (extra["title"], extra["labels"], extra["status"]) == ("Übersetzung fehlt — 日本語", [], "pending")
    breaker = queue.breakers()["eng-frontend"]
    assert (breaker.state, breaker.failures) == ("open", 10)
    assert breaker.opened_at == parse_time("2026-01-20T09:00:00Z", "")


@pytest.mark.parametrize("name", ["loki-documented", "loki-bare-lists", "loki-github-import"])
def test_twice_and_dry(queue: Queue, name: str) -> None:
    """A dry run tells what an import then does, and changes nothing; a second import changes nothing either."""
    dry = queue.import_(FIXTURES / name, default_type="x", dry_run=True)
    assert stored(queue) == {}
    done = queue.import_(FIXTURES / name, default_type="x")
    assert dry.to_json() | {"dryRun": False} == done.to_json()
    before = stored(queue)
    again = queue.import_(FIXTURES / name, default_type="x")
    assert (again.created, again.existing, again.breakers) == ({}, sum(done.created.values()), 0)
    assert stored(queue) == before


def test_a_plan(queue: Queue) -> None:
    """A file whose name tells no state."""
    report = queue.import_(ROOT / "lokiredis" / "demo" / "todo-app-plan.json")
    assert (list(report.created), report.refused) == (["pending"], ())
    first = take(queue, [task.type for task in every(queue)])
    assert first.id == "plan-001"


@pytest.mark.parametrize("folder", [".", "queue", "..", "../.."])
def test_where_the_files_may_be(queue: Queue, tmp_path: Path, folder: str) -> None:
    """The project, its .loki folder, or the queue folder."""
    loki = tmp_path / "project" / ".loki"
    _write(loki / "queue" / "pending.json", _task("x"))
    given = {".": loki, "queue": loki / "queue", "..": loki.parent, "../..": loki / "queue" / ".." / ".."}[folder]
    assert queue.import_(given).created == {"pending": 1}


def test_shapes_of_a_file(queue: Queue, tmp_path: Path) -> None:
    """JSON lines, one object, a list with a byte order mark, tasks between other members."""
    (tmp_path / "lines.jsonl").write_text('{"id": "a", "type": "t"}\n\n{"id": "b", "type": "t"}\n')
    (tmp_path / "one.json").write_text('{"id": "c", "type": "t", "tasks": ["x"]}')
    (tmp_path / "bom.json").write_bytes(b'\xef\xbb\xbf[{"id": "d", "type": "t"}]')
    (tmp_path / "members.json").write_text(
        '{"v": {"tasks": [1]}, "tasks": [{"id": "e", "type": "t"}], "more": [[{}], "]"]}'
    )
    for name in ("lines.jsonl", "one.json", "bom.json", "members.json"):
        queue.import_(tmp_path / name)
    assert [task.id for task in every(queue)] == list("abcde")
    assert queue.get("c").model_extra == {"tasks": ["x"]}


def test_states_without_a_name(queue: Queue, tmp_path: Path) -> None:
    """An entry says itself what became of it."""
    path = _write(
        tmp_path / "all.json",
        _task("a", completedAt="2026-11-20T10:00:00Z", result="done"),
        _task("b", cancelledAt="2026-11-20T10:00:00Z"),
        _task("c", status="failed"),
        _task("d", status="COMPLETED"),
        _task("e", status="in_progress"),
        _task("f", claimedBy="me", claimedAt=1795360000.25),
        _task("g", status=7),
    )
    queue.import_(path)
    assert places(queue) == {
        "a": "completed", "b": "cancelled", "c": "dead", "d": "completed", "e": "ready", "f": "ready", "g": "ready",
    }  # fmt: skip
    assert queue.get("a").result == {"status": "success", "output": "done"}


def test_priorities(queue: Queue, tmp_path: Path) -> None:
    """Words in any case, digits as text, whole floats; nothing else."""
    good = {"critical": 10, "HIGH": 8, "medium": 5, "Normal": 5, "low": 3, "7": 7, None: 5}
    bad = ["soon", 0, 11, 2.5, True, "11", []]
    tasks = [_task(f"g{n}", priority=value) for n, value in enumerate(good)]
    tasks += [_task(f"b{n}", priority=value) for n, value in enumerate(bad)]
    report = queue.import_(_write(tmp_path / "pending.json", *tasks, _task("float", priority=8.0)))
    assert [queue.get(f"g{n}").priority for n in range(len(good))] == list(good.values())
    assert queue.get("float").priority == 8
    assert [told.id for told in report.refused] == [f"b{n}" for n in range(len(bad))]
    assert all(told.reason.startswith("priority: ") for told in report.refused)


def test_names_that_only_the_queue_sets(queue: Queue, tmp_path: Path) -> None:
    """Names kept for later, and values of another kind, go into imported; unknown ones stay where they are."""
    odd = _task(
        "x", group="g", locks=["l"], pool=1, budget={"usd": 9007199254740993}, usage=None, attempts=3, token="secret",
        claimedAt="yesterday", createdAt=[], imported={"before": []}, progress="half", checkpoint=[], extra=[[]],
        waitingOn="all", retries="two", sequence=-1, escalatedAt={}, backoffBase="x",
    )  # fmt: skip
    queue.import_(_write(tmp_path / "pending.json", odd, _task("y", imported="mine", group=2)))
    task = queue.get("x")
    extra = task.model_extra or {}
    moved = (
        "group locks pool budget usage attempts token claimedAt createdAt waitingOn retries sequence escalatedAt "
        "backoffBase"
    ).split()
    assert extra == {"extra": [[]], "imported": {"before": []} | {name: odd[name] for name in moved}}
    assert (task.progress, task.checkpoint, task.attempts, task.retries) == ("half", [], (), 0)
    assert (queue.get("y").model_extra or {})["imported"] == {"imported": "mine", "group": 2}


def test_an_equal_task_is_known(queue: Queue, tmp_path: Path) -> None:
    """What was imported without a key blocks an equal task as an enqueued one does."""
    queue.import_(_write(tmp_path / "pending.json", _task("x", title="t")))
    made = queue.enqueue(type="a", payload={}, title="t")
    assert (made.id, made.created) == ("x", False)


def test_order_and_dependencies_over_files(queue: Queue, tmp_path: Path) -> None:
    """In any file and any order; one in no file was completed long ago, which is noted."""
    _write(tmp_path / "queue" / "pending.json", _task("c", dependencies=["b", "a", "long-ago"]), _task("b"), _task("d"))
    _write(tmp_path / "queue" / "completed.json", _task("a"))
    report = queue.import_(tmp_path)
    assert (report.refused, set(queue.get("c").waiting_on)) == ((), {"b"})
    assert [(told.id, "long ago" in told.reason) for told in report.notes] == [("c", True)]
    done(queue, take(queue))
    assert queue.get("c").place == "ready"


def test_the_order_of_a_file(queue: Queue, tmp_path: Path) -> None:
    """Without numbers the order is that of the file; what waits comes right after what it waits for."""
    tasks = [_task("a"), _task("x", dependencies=["z"]), _task("y"), _task("z"), _task("w")]
    queue.import_(_write(tmp_path / "pending.json", *tasks))
    assert [task.id for task in every(queue)] == ["a", "y", "z", "x", "w"]


def test_a_dry_run_of_many(queue: Queue, tmp_path: Path) -> None:
    """What an earlier batch would have stored is there for the later ones."""
    tasks = [_task(f"x{n}", dependencies=[f"x{n - 1}"] if n else []) for n in range(700)]
    path = _write(tmp_path / "pending.json", *tasks)
    assert queue.import_(path, dry_run=True).created == {"pending": 700}
    assert stored(queue) == {}


def test_a_claim_without_a_token(queue: Queue, tmp_path: Path) -> None:
    """Whatever lease it names: nobody could finish it."""
    ahead = {"leaseExpiresAt": "2099-01-01T00:00:00Z"}
    path = _write(
        tmp_path / "in-progress.json",
        _task("x", claimedBy="me", **ahead),
        _task("y", token=5, **ahead),
        _task("z", token=5, claimedBy="not an agent", **ahead),
    )
    assert queue.import_(path).created == {"pending": 3}


def test_a_dependency_in_the_queue(queue: Queue, tmp_path: Path) -> None:
    """It is waited for as one in the files is."""
    add(queue, "mine")
    queue.import_(_write(tmp_path / "pending.json", _task("x", dependencies=["mine"])))
    assert queue.get("x").waiting_on == {"mine"}


def test_who_depends_on_what_was_refused(queue: Queue, tmp_path: Path) -> None:
    """Is refused as well, over any number of steps: it would start too early. A mended file brings them all."""
    chain = [_task(f"x{n}", dependencies=[f"x{n - 1}"]) for n in range(1, 30)]
    path = tmp_path / "pending.json"
    report = queue.import_(_write(path, *reversed(chain), _task("x0", priority="soon"), _task("free")))
    assert [task.id for task in every(queue)] == ["free"]
    assert report.refused_count == 30
    assert Told(str(path), 28, "x1", "it depends on x0, which was not taken") in report.refused
    assert queue.import_(_write(path, *reversed(chain), _task("x0"), _task("free"))).created == {"pending": 30}


def test_many_who_depend_on_one(queue: Queue, tmp_path: Path) -> None:
    """The queue is not asked about each of them."""
    tasks = [_task("bad", priority=0), *(_task(f"x{n}", dependencies=["bad"]) for n in range(1000))]
    path = _write(tmp_path / "pending.json", *tasks)
    queue.import_(path, dry_run=True)
    queue.redis.config_resetstat()
    assert queue.import_(path).refused_count == 1001
    calls = queue.redis.info("commandstats")
    assert sum(calls[name]["calls"] for name in calls if name in ("cmdstat_fcall", "cmdstat_evalsha")) < 10


def test_many_refusals(queue: Queue, tmp_path: Path) -> None:
    """Each of 600 documents that are too long for this queue is told; the others go in."""
    queue.configure(document_bytes=200)
    tasks = [_task(f"x{n}", payload={"t": "y" * (300 if n % 2 else 1)}) for n in range(1200)]
    report = queue.import_(_write(tmp_path / "pending.json", *tasks))
    assert (report.created, report.refused_count) == ({"pending": 600}, 600)
    assert report.refused[0].index == 1
    assert report.refused[0].reason.startswith("document: ")


def test_circles_and_cancelled_parents(queue: Queue, tmp_path: Path) -> None:
    """Those in them are refused, the rest goes in."""
    _write(tmp_path / "queue" / "cancelled.json", _task("gone"), _task("child", dependencies=["gone"]))
    _write(
        tmp_path / "queue" / "pending.json",
        _task("p", dependencies=["q"]),
        _task("q", dependencies=["p"]),
        _task("self", dependencies=["self"]),
        _task("orphan", dependencies=["gone"]),
        _task("free"),
    )
    for dry_run in (True, False):
        report = queue.import_(tmp_path, dry_run=dry_run)
        assert report.created == {"cancelled": 2, "pending": 1}
        assert [told.id for told in report.refused] == ["p", "q", "self", "orphan"]
        assert "gone was cancelled" in report.refused[3].reason


def test_one_file_of_a_folder(queue: Queue) -> None:
    """A dependency that waits in another file of it was not completed long ago."""
    path = FIXTURES / "loki-documented" / "queue"
    report = queue.import_(path / "pending.json")
    assert _refusals(report) == [
        ("pending.json", 0, "t-3", "it depends on t-2, which is in in-progress.json; import the folder")
    ]
    queue.import_(path / "in-progress.json")
    assert queue.import_(path / "pending.json").created == {"pending": 1}
    assert queue.get("t-3").waiting_on == {"t-2"}


def test_duplicate_ids(queue: Queue, tmp_path: Path) -> None:
    """Of different contents the first is kept and the others are told; equal ones are one task."""
    _write(tmp_path / "queue" / "in-progress.json", _task("moved"))
    path = _write(
        tmp_path / "queue" / "pending.json",
        _task("x", payload={"n": 1}),
        _task("x", payload={"n": 2}),
        {"payload": {"n": 1}, "type": "a", "id": "x"},
        _task("moved"),
        _task("bad", priority=0),
        _task("bad"),
    )
    report = queue.import_(tmp_path)
    assert queue.get("x").payload == {"n": 1}
    assert [(told.index, told.id) for told in report.refused] == [(1, "x"), (3, "moved"), (4, "bad"), (5, "bad")]
    assert f"queue/{path.name} entry 0" in report.refused[0].reason
    assert "the same as entry 0" in [told.reason for told in report.notes]


def test_failed_json_echoes_the_dead_letters(queue: Queue, tmp_path: Path) -> None:
    """What both files have is no duplicate; what only failed.json has is a dead letter."""
    _write(tmp_path / "queue" / "dead-letter.json", _task("x", retries=3))
    _write(tmp_path / "queue" / "failed.json", _task("x", title="as another tool has it"), _task("y"))
    assert queue.import_(tmp_path).refused == ()
    assert places(queue) == {"x": "dead", "y": "dead"}


_BAD_ENTRIES: dict[str, tuple[bytes, str]] = {
    "NaN": (b'{"id": "x", "type": "a", "n": NaN}', "NaN is not JSON"),
    "infinity": (b'{"id": "x", "type": "a", "n": -Infinity}', "-Infinity is not JSON"),
    "out of range": (b'{"id": "x", "type": "a", "n": 1e999}', "out of range"),
    "digits": (b'{"id": "x", "type": "a", "n": ' + b"9" * 5000 + b"}", "too many digits"),
    "utf-8": (b'{"id": "x", "type": "a", "t": "\xff"}', "not valid UTF-8 at byte 31 of it"),
    "surrogate": (b'{"id": "x", "type": "a", "t": "\\ud800"}', "a lone surrogate"),
    "depth 300": (b'{"id": "x", "type": "a", "t": ' + b"[" * 300 + b"]" * 300 + b"}", "nested deeper than 200"),
    "depth 2000": (b'{"id": "x", "type": "a", "t": ' + b'{"k":' * 2000 + b"1" + b"}" * 2001, "nested too deeply"),
    "depth 100000": (b'{"id": "x", "type": "a", "t": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "no id": (b'{"type": "a"}', "id: no id"),
    "odd id": (b'{"id": "a b", "type": "a"}', "id: a letter or digit"),
    "number": (b"17", "not a JSON object"),
    "null": (b"null", "not a JSON object"),
    "list": (b'["x"]', "not a JSON object"),
    "payload": (b'{"id": "x", "type": "a", "payload": "text"}', "payload: a JSON object"),
    "dependencies": (b'{"id": "x", "type": "a", "dependencies": "y"}', "dependencies: a list of ids"),
    "timeout": (b'{"id": "x", "type": "a", "timeout": "1h"}', "timeout: from 0"),
    "availableAt": (b'{"id": "x", "type": "a", "availableAt": "soon"}', "availableAt: not an ISO 8601 time"),
    "too long": (b'{"id": "x", "type": "a", "t": "' + b"x" * 33_600_000 + b'"}', "longer than 33,554,432 bytes"),
}


@pytest.mark.parametrize("name", _BAD_ENTRIES)
def test_a_bad_entry(queue: Queue, tmp_path: Path, name: str) -> None:
    """It alone is refused, with file, index and reason; what stands around it goes in."""
    text, reason = _BAD_ENTRIES[name]
    path = tmp_path / "pending.json"
    path.write_bytes(b'[{"id": "before", "type": "a"}, ' + text + b', {"id": "after", "type": "a"}]')
    report = queue.import_(path)
    [told] = report.refused
    assert (told.file, told.index) == (str(path), 1)
    assert reason in told.reason
    assert "\n" not in str(told)
    assert [task.id for task in every(queue)] == ["before", "after"]


def test_who_may_depend_on_a_lost_entry(queue: Queue, tmp_path: Path) -> None:
    """Where an id can't be read, an unknown dependency may be that one: it wasn't completed long ago."""
    path = tmp_path / "pending.json"
    deep = b'{"id": "lost", "type": "a", "t": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    path.write_bytes(b"[" + deep + b',{"id": "x", "type": "a", "dependencies": ["lost"]}]')
    assert [told.id for told in queue.import_(path).refused] == [None, "x"]


_BROKEN_FILES: dict[str, tuple[bytes, str, int | None]] = {
    "empty": (b"", "the file is empty", None),
    "in the middle": (b'[\n{"id": "x", "type": "a"},\n{"id": "y", type: "a"},\n{"id": "z"}]', "not JSON: ", 3),
    "no comma": (b'[{"id": "x", "type": "a"}\n{"id": "y", "type": "a"}]', "a comma or the end of the list", 2),
    "a comma too many": (b'[{"id": "x", "type": "a"},]', "not JSON: ", 1),
    "cut off": (b'{"tasks": [{"id": "x", "type": "a"},\n{"id": "y", "ty', "cut off: ", 2),
    "cut off behind": (b'{"tasks": [{"id": "x", "type": "a"}]', "cut off: ", 1),
    "a text without end": (b'[{"id": "x", "type": "a"}, {"id": "y, "type": "a"}, {"id": "z"}]', "not JSON: ", 1),
    "more behind": (b'[{"id": "x", "type": "a"}]\n]', "there is more behind the end", 2),
    "twice": (b'{"tasks": [{"id": "x", "type": "a"}], "tasks": []}', "twice", 1),
    "text": (b"id,type\nx,a\n", "neither a list nor an object", 1),
    "zeros": (b"\x00" * 4096, "neither a list nor an object", 1),
    "utf-16": ('[{"id": "x", "type": "a"}]'.encode("utf-16"), "neither a list nor an object", 1),
    "a broken line": (b'{"id": "x", "type": "a"}\n{"id" "y"}\n{"id": "z", "type": "a"}\n', "not JSON: ", 2),
    "an export cut off": (b'{"lokiredis": {"format": 1}}\n{"state": "pending", "task": {"id": "x", "type": "a"}}\n',
                          "the last line of the export is missing", None),
    "a newer export": (b'{"lokiredis": {"format": 99}}\n', "format 99", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", _BROKEN_FILES)
def test_a_broken_file(queue: Queue, tmp_path: Path, name: str) -> None:
    """The whole import is refused in one line that names the file and the place, and nothing is stored."""
    data, reason, line = _BROKEN_FILES[name]
    path = tmp_path / "pending.json"
    path.write_bytes(data)
    with pytest.raises(InvalidTask) as caught:
        queue.import_(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (caught.value.data["file"], caught.value.data.get("line")) == (str(path), line)
    assert stored(queue) == {}


def test_a_broken_file_among_others(queue: Queue, tmp_path: Path) -> None:
    """Nothing of the folder is stored: what waits for the tasks of the broken one would start too early."""
    _write(tmp_path / "queue" / "completed.json", _task("x"))
    (tmp_path / "queue" / "pending.json").write_text('[{"id": "y", "type": "a"}, {')
    with pytest.raises(InvalidTask) as caught:
        queue.import_(tmp_path)
    assert caught.value.data["file"] == "queue/pending.json"
    assert stored(queue) == {}


def test_no_queue_files(queue: Queue, tmp_path: Path) -> None:
    """An empty folder, one with other files, a path that isn't there, and what is no file at all."""
    (tmp_path / "queue").mkdir()
    (tmp_path / "notes.json").write_text("[]")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidTask, match=r"none of pending\.json"):
        queue.import_(tmp_path)
    with pytest.raises(FileNotFoundError):
        queue.import_(tmp_path / "nothing")
    with pytest.raises(InvalidTask, match="neither a file nor a folder"):
        queue.import_(tmp_path / "pipe")


def test_what_stands_in_place_of_a_file(queue: Queue, tmp_path: Path) -> None:
    """Each is told by name and the rest goes in, but for who may depend on what would be in it."""
    _write(tmp_path / "queue" / "pending.json", _task("x"), _task("y", dependencies=["x", "there"]))
    (tmp_path / "queue" / "completed.json").mkdir()
    os.mkfifo(tmp_path / "queue" / "cancelled.json")
    (tmp_path / "queue" / "failed.json").symlink_to(tmp_path / "nothing")
    (tmp_path / "state" / "orchestrator.json").mkdir(parents=True)
    for dry_run in (True, False):
        report = queue.import_(tmp_path, dry_run=dry_run)
        assert report.created == {"pending": 1}
        assert [(told.file, told.id) for told in report.refused] == [
            ("queue/completed.json", None),
            ("queue/cancelled.json", None),
            ("queue/failed.json", None),
            ("state/orchestrator.json", None),
            ("queue/pending.json", "y"),
        ]
        assert all("not a regular file" in told.reason for told in report.refused[:4])
    (tmp_path / "queue" / "pending.json").unlink()
    assert queue.import_(tmp_path).refused_count == 4


def test_a_file_above_the_limit(queue: Queue, tmp_path: Path) -> None:
    """It is refused by name before it is read: this one has 3 TB, all of them holes."""
    path = tmp_path / "pending.json"
    with path.open("wb") as file:
        file.truncate(3 * 10**12)
    with pytest.raises(InvalidTask, match="above the limit of 1,073,741,824") as caught:
        queue.import_(path)
    assert caught.value.data["file"] == str(path)
    _write(path, _task("x"))
    with pytest.raises(InvalidTask, match="above the limit of 20"):
        queue.import_(path, max_bytes=20)
    assert queue.import_(path, max_bytes=path.stat().st_size).created == {"pending": 1}


@pytest.mark.parametrize("text", ["{", "[]", "\ud800", '{"circuitBreakers": {"a b": {"state": "open"}}}',
                                  '{"circuitBreakers": {"a": {"state": "ajar"}}}', "[" * 5000])  # fmt: skip
def test_a_broken_orchestrator_file(queue: Queue, tmp_path: Path, text: str) -> None:
    """It costs the breakers, and that is told; the tasks go in."""
    _write(tmp_path / "queue" / "pending.json", _task("x"))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "orchestrator.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    report = queue.import_(tmp_path)
    assert (report.created, report.breakers) == ({"pending": 1}, 0)
    assert [(told.file, told.index) for told in report.refused] == [("state/orchestrator.json", None)]


_MEASURED = """
import resource, sys
from lokiredis import Queue
queue = Queue.from_url(sys.argv[1], sys.argv[2])
queue.counts()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = queue.import_(sys.argv[3], dry_run=True)
print(sum(report.created.values()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def _big_file(path: Path, count: int, size: int) -> None:
    text = "x" * size
    with path.open("w") as file:
        file.write('{"tasks": [')
        for n in range(count):
            file.write(("," if n else "") + json.dumps(_task(f"x-{n}", payload={"text": text, "n": n})))
        file.write("]}")


@pytest.mark.timeout(900)
def test_a_big_file_is_never_in_memory(server7: RedisServer, tmp_path: Path, long_run: bool) -> None:
    """A file of 200 MB (1 GB with --long) is imported with less than 100 MB more than an idle client has."""
    path, count = tmp_path / "pending.json", 50_000 if long_run else 10_000
    _big_file(path, count, 20_000)
    assert path.stat().st_size > count * 20_000
    queue = new_queue(server7)
    ran = subprocess.run(
        [sys.executable, "-c", _MEASURED, server7.url, queue.name, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    found, kilobytes = map(int, ran.stdout.split())
    assert found == count
    assert kilobytes < 100 * 1024


def test_a_snapshot(server7: RedisServer, queue: Queue, tmp_path: Path) -> None:
    """The files that other tools look at bring everything back: all but the leases' length and what breakers add."""
    other = new_queue(server7)
    other.import_(FIXTURES / "loki-documented")
    take(other, "eng-backend")
    other.trip_breaker("eng-qa")
    with Snapshot(other, tmp_path, extras=False) as snapshot:
        snapshot.take()
    report = queue.import_(tmp_path)
    assert (report.refused, report.notes, report.breakers) == ((), (), 1)
    assert picture(queue)["tasks"] == picture(other)["tasks"]
    assert queue.breakers() == other.breakers()


def test_a_snapshot_with_extras(server7: RedisServer, queue: Queue, tmp_path: Path) -> None:
    """What it adds for other tools stays with the task, and failed.json is no second dead letter."""
    other = new_queue(server7)
    other.import_(FIXTURES / "loki-documented")
    with Snapshot(other, tmp_path) as snapshot:
        snapshot.take()
    report = queue.import_(tmp_path)
    assert (report.refused, places(queue)) == ((), places(other))
