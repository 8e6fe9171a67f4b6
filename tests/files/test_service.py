"""What the service says of trouble: once, and when it is over."""

from __future__ import annotations

import errno
from datetime import datetime, timezone
from typing import Any

import pytest

from lokiredis.errors import QueueUnavailable, SchemaMismatch
from lokiredis.files.folder import FileRefused
from lokiredis.files.service import Service
from lokiredis.files.snapshot import Taken


class _Ends(BaseException):
    """Somebody ends the service."""


class _Job:
    """Snapshots that go as the test says."""

    def __init__(self, *answers: BaseException | list[str]) -> None:
        self._answers = list(answers)

    def take(self) -> Taken:
        answer = self._answers.pop(0) if self._answers else _Ends()
        if isinstance(answer, BaseException):
            raise answer
        return Taken(datetime.now(timezone.utc), True, "0-0", {}, [], 0, 0, 0, answer)


def _said(*answers: BaseException | list[str], ends: type[BaseException] = _Ends) -> list[str]:
    said: list[str] = []
    job: Any = _Job(*answers)
    with pytest.raises(ends):
        Service(job, every=0, say=said.append).run()
    return said


def test_an_outage_is_said_once() -> None:
    """However many tries it takes, and whatever each of them was told."""
    found = _said([], *(QueueUnavailable(f"Redis cannot be reached: {i}") for i in range(4)), [], QueueUnavailable())
    again = "the files stay as they are, and it is tried again"
    assert found == [f"Redis cannot be reached; {again}", "all is well again", f"Redis cannot be reached; {again}"]


def test_each_trouble_is_said() -> None:
    """Another one is news; so is what a snapshot has to tell."""
    full = OSError(errno.ENOSPC, "No space left on device", "/x/queue/pending.json")
    found = _said(full, full, FileRefused("queue.lock is locked"), full, ["kept as orchestrator.json.bak"])
    assert [line.partition(";")[0] for line in found] == [
        "/x/queue/pending.json: No space left on device",
        "queue.lock is locked",
        "/x/queue/pending.json: No space left on device",
        "all is well again",
        "kept as orchestrator.json.bak",
    ]


def test_what_does_not_pass_ends_it() -> None:
    """Nobody waits for a schema to change."""
    assert _said(SchemaMismatch("another schema"), ends=SchemaMismatch) == []
