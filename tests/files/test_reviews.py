"""What was decided about dead letters is written down once, by however many jobs."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lokiredis import Decision, Queue
from lokiredis.files.folder import FileRefused, Folder
from lokiredis.files.reviews import Reviews, entry
from lokiredis.files.snapshot import Snapshot
from lokiredis.models import from_epoch

from ..servers import RedisServer

_JOB = """
import sys
from lokiredis import Queue
from lokiredis.files.folder import Folder
from lokiredis.files.reviews import Reviews
with Queue.from_url(sys.argv[1], sys.argv[2]) as queue, Folder.open(sys.argv[3]) as root:
    print(Reviews(queue).append(root))
"""


def _decide(queue: Queue, count: int, first: int = 0) -> None:
    """So many escalations, each of a new dead letter."""
    queue.configure(breaker_defaults={"failure_threshold": 100_000})
    for number in range(first, first + count):
        queue.enqueue(id=f"x{number}", type="a", idempotency_key="")
        claim = queue.claim("me", "a")
        assert claim
        queue.fail(claim, f"error {number}", retry=False)
        queue.escalate_dead(f"x{number}", "which?", by="ann")


def _titles(folder: Path) -> list[str]:
    return [
        id
        for file in sorted(folder.rglob("dlq-review-*.md"))
        for id in re.findall(r"Escalated: (\w+)", file.read_text())
    ]


def test_a_job_goes_on_where_it_ended(server7: RedisServer, queue_name: str, tmp_path: Path) -> None:
    """Each decision is there once; one that begins anew adds nothing."""
    with Queue.from_url(server7.url, queue_name) as queue, Folder.open(tmp_path) as root:
        job = Reviews(queue)
        assert job.append(root) == 0
        assert not list(tmp_path.rglob("*.md"))
        _decide(queue, 3)
        assert [job.append(root), job.append(root)] == [3, 0]
        _decide(queue, 2, first=3)
        assert [Reviews(queue).append(root), job.append(root)] == [2, 0]
    assert _titles(tmp_path) == [f"x{n}" for n in range(5)]


def test_jobs_on_several_machines(server7: RedisServer, queue_name: str, tmp_path: Path) -> None:
    """Four processes at once on one folder: nothing twice, nothing missing."""
    with Queue.from_url(server7.url, queue_name) as queue:
        _decide(queue, 40)

    def run(_: int) -> int:
        words = [sys.executable, "-c", _JOB, server7.url, queue_name, str(tmp_path)]
        return int(subprocess.run(words, check=True, capture_output=True, timeout=60).stdout)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) == 40
    assert _titles(tmp_path) == [f"x{n}" for n in range(40)]


def test_a_snapshot_writes_them_too(server7: RedisServer, queue_name: str, tmp_path: Path) -> None:
    """Beside its other files, each once, whether by one job or by several."""
    with Queue.from_url(server7.url, queue_name) as queue:
        _decide(queue, 2)
        for _ in range(2):
            with Snapshot(queue, tmp_path) as job:
                job.take()
                job.take()
        assert _titles(tmp_path) == ["x0", "x1"]


def test_a_folder_that_leads_elsewhere(server7: RedisServer, queue_name: str, tmp_path: Path) -> None:
    """A link in the folder is not followed; when it is gone all is written."""
    (tmp_path / "loki").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "loki/logs").symlink_to(tmp_path / "elsewhere")
    with Queue.from_url(server7.url, queue_name) as queue, Folder.open(tmp_path / "loki") as root:
        job = Reviews(queue)
        _decide(queue, 1)
        with pytest.raises(FileRefused):
            job.append(root)
        assert not list((tmp_path / "elsewhere").iterdir())
        (tmp_path / "loki/logs").unlink()
        assert job.append(root) == 1


def test_an_entry_is_readable_and_escaped() -> None:
    """With who, when, why and the failure's pattern; what people wrote takes no part in the Markdown."""
    decision = Decision(
        cursor="1-0",
        at=from_epoch(1_800_000_000_000),
        action="retry",
        id="api-1",
        type="eng",
        by="ann <a@b>",
        why="# up\n<script>again",
        pattern="cannot reach <n>",
        detail="after 1800 s",
    )
    text = entry(decision)
    assert text.startswith("## 08:00:00Z Retried: api-1\n\n- **Type**: eng\n- **By**: ann &lt;a@b&gt;\n")
    assert "<script>" not in text
    assert "\n# " not in text
    assert "- **Failure pattern**: cannot reach &lt;n&gt;" in text
    assert text.endswith("- **How**: after 1800 s")
