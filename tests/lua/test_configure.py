"""lua/configure.lua: settings change together, and come back as they were given."""

from __future__ import annotations

from typing import Any

import pytest

from lokiredis import BreakerSettings, InvalidTask

from ..clock import ClockedQueue
from .moves import add, forget_marks, marks, refused, stored, trip_by_failures

CHANGES: dict[str, Any] = {
    "payload_bytes": 1,
    "checkpoint_bytes": 2,
    "result_bytes": 3,
    "document_bytes": 4,
    "keep_seconds": 600.5,
    "keep_count": 0,
    "tombstone_seconds": 700,
    "longest_hold": 0,
    "longest_slowdown": 0.001,
    "decision_report": False,
    "decision_report_keys": ("why", "what else"),
    "backoff_jitter": 0.05,
}


def test_every_setting(clocked: ClockedQueue) -> None:
    """Each comes back as it was given, and None is the default again."""
    before = clocked.settings()
    assert clocked.configure(**CHANGES) == 1
    assert clocked.settings() == before.model_copy(update=CHANGES | {"version": 1})
    assert clocked.configure(**dict.fromkeys(CHANGES)) == 2
    assert clocked.settings() == before.model_copy(update={"version": 2})


def test_breakers(clocked: ClockedQueue) -> None:
    """Defaults and overrides per type, in the documented names or Python's; what is left out is the default."""
    clocked.configure(
        breaker_defaults={"failureThreshold": 2},
        breaker_overrides={"a": {"cooldownSeconds": 1.5}, "b": BreakerSettings(count_on="attempt")},
    )
    found = clocked.settings()
    assert found.breaker_defaults == BreakerSettings(
        failure_threshold=2, cooldown_seconds=300, half_open_after=60, count_on="dead-letter"
    )
    assert found.breaker_overrides == {
        "a": BreakerSettings(cooldown_seconds=1.5),
        "b": BreakerSettings(count_on="attempt"),
    }
    clocked.configure(breaker_overrides={"a": None})
    assert clocked.settings().breaker_overrides == {"b": BreakerSettings(count_on="attempt")}


def test_a_bad_one_spoils_all(clocked: ClockedQueue) -> None:
    """All of the given settings change, or none."""
    with pytest.raises(InvalidTask) as caught:
        clocked.configure(keep_count=5, payload_bytes=0)
    assert (caught.value.field, stored(clocked)) == ("payload_bytes", {})
    with pytest.raises(InvalidTask) as caught:
        clocked.configure(keep_counts=5)
    assert caught.value.field == "keep_counts"


def test_a_shorter_wait_opens_a_breaker_now(clocked: ClockedQueue) -> None:
    """A change counts at once, and wakes those who wait."""
    trip_by_failures(clocked)
    add(clocked, "x")
    forget_marks(clocked)
    assert refused(clocked).reason == "breaker"
    clocked.configure(breaker_defaults={"half_open_after": 0})
    assert "a" in marks(clocked)
    assert clocked.claim("me", "a")
