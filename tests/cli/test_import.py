"""``lokiredis import`` and ``lokiredis export``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lokiredis import Queue

from ..invariants import check
from ..servers import RedisServer
from ..waiting import wait_until
from .conftest import Cli, Program

FIXTURES = Path(__file__).parents[1] / "fixtures"


def test_what_is_told(cli: Cli) -> None:
    """Notes and counts on standard output, refusals on standard error, exit 1 for these; then nothing is left to do."""
    ran = cli("import", FIXTURES / "loki-bare-lists", code=1)
    assert ran.out.splitlines() == [
        "note: queue/completed.json: the file is empty",
        "note: queue/in-progress.json entry 0: task-012: in progress, but agent-frontend-001 is gone: pending again",
        "3 tasks imported (3 pending).",
    ]
    assert ran.err.splitlines() == [
        "refused: queue/pending.json entry 2: prd-001: type: no type; --default-type gives it one",
        "1 refusal; see above.",
    ]
    ran = cli("import", FIXTURES / "loki-bare-lists", "--default-type", "general")
    assert ran.out.splitlines()[-2:] == ["1 task imported (1 pending).", "3 tasks there already, left as they are."]


def test_a_dry_run(cli: Cli) -> None:
    """It says "would", and nothing is there afterwards."""
    ran = cli("import", FIXTURES / "loki-documented", "--dry-run")
    told = "6 tasks would be imported (1 cancelled, 1 completed, 1 dead-letter, 3 pending)."
    assert ran.out.splitlines()[-1] == told
    assert cli.json("status")["counts"]["pending"] == 0


def test_json(cli: Cli) -> None:
    """One document, also with refusals."""
    ran = cli("import", FIXTURES / "loki-github-import", "--json", code=1)
    assert ran.data["created"] == {"pending": 1}
    assert ran.data["breakers"] == 1
    [refused] = ran.data["refused"]
    assert (refused["file"], refused["index"], refused["id"]) == ("queue/pending.json", 1, "github-43")


def test_texts_of_strangers(cli: Cli, tmp_path: Path) -> None:
    """What a file says can't move the cursor."""
    (tmp_path / "pending.json").write_text(json.dumps([{"id": "x\x1b[2J\n", "type": "a"}]))
    ran = cli("import", tmp_path, code=1)
    assert "\x1b" not in ran.out + ran.err
    assert len(ran.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the file is empty"),
        (b'[{"id": "x"},\n{"id" 3}]', "line 2"),
        (b"\xff\xfe", "neither a list nor an object"),
        (b"[" * 2000, "cut off"),
    ],
)
def test_a_bad_file_is_one_line(program: Program, tmp_path: Path, data: bytes, told: str) -> None:
    """Which names the file, with exit code 1."""
    path = tmp_path / "pending.json"
    path.write_bytes(data)
    ran = program("import", path)
    assert ran.code == 1
    [line] = ran.err.splitlines()
    assert line.startswith(f"Error: {path}")
    assert told in line


def test_no_files(cli: Cli, tmp_path: Path) -> None:
    """A folder without queue files, and a path that isn't there."""
    assert "no queue files there" in cli("import", tmp_path, code=1).err
    assert "does not exist" in cli("import", tmp_path / "nothing", code=2).err
    (tmp_path / "pending.json").mkdir()
    ran = cli("import", tmp_path, code=1)
    assert ran.err.splitlines() == [
        "refused: pending.json: not a regular file; nothing was taken from it",
        "1 refusal; see above.",
    ]


def test_the_size_limit(cli: Cli, tmp_path: Path) -> None:
    """In units, and only as much as was said."""
    path = tmp_path / "pending.json"
    path.write_text(json.dumps([{"id": "x", "type": "a", "t": "y" * 3000}]))
    assert "--max-size allows more" in cli("import", path, "--max-size", "2K", code=1).err
    assert cli("import", path, "--max-size", "3.0K", code=2).err.count("is no size") == 1
    assert cli("import", path, "--max-size", "1 MiB").out.startswith("1 task imported")


@pytest.mark.parametrize("name", ["backup", "queue.jsonl"])
def test_there_and_back(cli: Cli, server7: RedisServer, queue_name: str, tmp_path: Path, name: str) -> None:
    """What export writes import takes, into a queue of another name."""
    cli("import", FIXTURES / "loki-documented")
    cli("breaker", "trip", "a")
    cli("pause", "--type", "b")
    ran = cli("export", tmp_path / name)
    assert ran.out.startswith("6 tasks exported to ")
    copy = Cli({"LOKIREDIS_URL": server7.url, "LOKIREDIS_QUEUE": f"{queue_name}-copy"})
    ran = copy("import", tmp_path / name)
    assert ran.out.splitlines() == [
        "6 tasks imported (1 cancelled, 1 completed, 1 dead-letter, 3 pending).",
        "1 breaker restored.",
        "Settings and pauses restored.",
    ]
    for state in ("pending", "completed", "dead-letter", "cancelled"):
        assert copy.json("list", "--state", state) == cli.json("list", "--state", state)


def test_an_export_that_exists(cli: Cli, tmp_path: Path) -> None:
    """It stays, unless --replace is given."""
    cli("export", tmp_path / "queue.jsonl")
    cli("enqueue", "--type", "a")
    ran = cli("export", tmp_path / "queue.jsonl", code=1)
    assert "is there already; --replace overwrites it" in ran.err
    assert cli.json("export", tmp_path / "queue.jsonl", "--replace")["tasks"]["pending"] == 1


def test_an_export_to_what_is_no_file(cli: Cli, tmp_path: Path) -> None:
    """Replaced, a pipe or /dev/null would be gone for everybody."""
    os.mkfifo(tmp_path / "queue.jsonl")
    assert "not a regular file" in cli("export", tmp_path / "queue.jsonl", "--replace", code=1).err
    assert (tmp_path / "queue.jsonl").is_fifo()


def test_an_export_to_where_nobody_may_write(cli: Cli, tmp_path: Path) -> None:
    """One line that names the place."""
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in cli("export", tmp_path / "file" / "queue.jsonl", code=1).err


@pytest.mark.faults
@pytest.mark.parametrize("numbered", [True, False])
def test_killed_in_the_middle(
    program: Program, server7: RedisServer, queue_name: str, tmp_path: Path, numbered: bool
) -> None:
    """What is stored is sound, and importing again brings the rest, in order."""
    path, count = tmp_path / "pending.json", 10_000
    with path.open("w") as file:
        for n in range(count):
            task = {"id": f"x{n}", "type": "a", "dependencies": [f"x{n - 1}"] if n % 2 else []}
            file.write(json.dumps(task | ({"sequence": 3 * n + 1} if numbered else {})) + "\n")
    queue = Queue(server7.client(), queue_name)
    running = program.start("import", path)
    wait_until(lambda: queue.counts()["pending"] > 0, timeout=60)
    running.kill()
    running.wait()
    before = queue.counts()["pending"]
    assert 0 < before < count
    check(queue.redis, queue_name)
    ran = program("import", path)
    assert ran.code == 0
    assert f"{count - before:,} tasks imported" in ran.out
    check(queue.redis, queue_name)
    scores = queue.redis.zrange(queue.keys.fixed("index"), 0, -1, withscores=True)
    assert [id.decode() for id, _ in scores] == [f"x{n}" for n in range(count)]
    assert [int(score) for _, score in scores] == [3 * n + 1 if numbered else n + 1 for n in range(count)]
