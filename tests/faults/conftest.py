"""Fixtures of the fault tests: servers of their own, which they may kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import lacking
from ..servers import programs


@pytest.fixture(params=["redis6", "redis7"])
def program(request: pytest.FixtureRequest) -> Path:
    """The server program of each version in turn."""
    return program_of(request.param)


@pytest.fixture
def program6() -> Path:
    """The server program of Redis 6.2."""
    return program_of("redis6")


@pytest.fixture
def program7() -> Path:
    """The server program of Redis 7 or newer."""
    return program_of("redis7")


def program_of(name: str) -> Path:
    """A server program by its name in ``programs()``."""
    return programs().get(name) or lacking(f"{name}: no such server program on this machine")
