"""What lokiredis says of its own while a command runs on: lines on standard error, safe to print."""

from __future__ import annotations

import logging
import sys
from datetime import datetime, timezone

from .text import clock, safe


def clock_now() -> str:
    """The time that a line of the log begins with."""
    return clock(datetime.now(timezone.utc))


def print_log(name: str) -> None:
    """Print what the logger *name* is told from now on. Ids and errors in it come from others."""

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"{clock_now()} {safe(record.getMessage())}"

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    found = logging.getLogger(name)
    found.addHandler(handler)
    found.setLevel(logging.INFO)
    found.propagate = False
