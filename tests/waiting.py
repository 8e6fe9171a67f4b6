"""Waiting for a condition, instead of sleeping a guess."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

_PAUSE = 0.005


def wait_until(
    condition: Callable[[], T], timeout: float = 10, what: str = "", *, told: Callable[[], str] | None = None
) -> T:
    """The first true value of ``condition``, asked every few ms; fails after ``timeout`` seconds, naming ``what``.

    ``told`` gives what else the failure shows.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            name = what or getattr(condition, "__name__", repr(condition))
            pytest.fail(
                f"waited {timeout:g} s in vain for: {name} (last value {value!r})" + (f"\n{told()}" if told else "")
            )
        time.sleep(_PAUSE)
