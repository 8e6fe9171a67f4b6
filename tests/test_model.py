"""The real queue and a plain-Python model of the design, side by side: the same answers and the same state."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from lokiredis.commands import ending

from .conftest import fake_backend
from .model.driver import spread
from .model.machine import QueueMachine
from .model.tight import TightMachine
from .servers import Backend, programs

#: Making a failure small takes Hypothesis up to five minutes more.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def known_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The random numbers that calls bring along are the machine's."""
    monkeypatch.setattr(ending, "random", SimpleNamespace(random=lambda: spread.value))


@pytest.fixture
def best(request: pytest.FixtureRequest) -> Any:
    """A client of the newest server that this machine has; without any, fakeredis."""
    if {"redis7", "redis6"} & programs().keys():
        return request.getfixturevalue("server7").client()
    return fake_backend().redis


def _run(machine: Callable[[Any, str], RuleBasedStateMachine], redis: Any, examples: int) -> None:
    def fresh() -> RuleBasedStateMachine:
        return machine(redis, f"m-{uuid4().hex[:12]}")

    chosen = settings(max_examples=examples, stateful_step_count=30)
    run_state_machine_as_test(cast("type[RuleBasedStateMachine]", fresh), settings=chosen)


@pytest.mark.longest
@pytest.mark.timeout(7200)
def test_random_histories(best: Any, long_run: bool) -> None:
    """All answers and states of 200 histories (5,000 with --long) are the design's; then all work gets done."""
    _run(QueueMachine, best, 5000 if long_run else 200)


def test_random_histories_on_each_backend(backend: Backend) -> None:
    """Every server keeps to the design. fakeredis, the slowest, tries fewer histories."""
    _run(QueueMachine, backend.redis, 10 if backend.name == "fakeredis" else 30)


@pytest.mark.longest
@pytest.mark.timeout(7200)
def test_work_that_is_left_over(best: Any, long_run: bool) -> None:
    """However little one call does, the data is sound at every step, and in the end nothing is lost or stuck."""
    _run(TightMachine, best, 2000 if long_run else 60)
