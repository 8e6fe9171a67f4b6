"""lua/settings.lua: what is in force."""

from __future__ import annotations

from lokiredis import BreakerSettings, Settings

from ..clock import ClockedQueue
from .moves import stored


def test_the_defaults(clocked: ClockedQueue) -> None:
    """A new queue has the documented defaults, and reading them stores nothing."""
    breaker = BreakerSettings(failure_threshold=5, cooldown_seconds=300, half_open_after=60, count_on="dead-letter")
    assert clocked.settings() == Settings(breaker_defaults=breaker)
    assert stored(clocked) == {}
