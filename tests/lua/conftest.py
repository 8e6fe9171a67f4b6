"""The queue that the scripts' tests use: on each backend, with a clock that the test moves."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator

import pytest

from ..clock import Clock, ClockedQueue
from ..servers import Backend


@pytest.fixture
def clocked(backend: Backend, queue_name: str) -> Iterator[ClockedQueue]:
    """An empty queue on a clock of its own, and afterwards the check that its data is sound."""
    yield ClockedQueue(backend.redis, queue_name, Clock())
    if importlib.util.find_spec("tests.invariants") is not None:
        importlib.import_module("tests.invariants").check(backend.redis, queue_name)
