"""The server of a benchmark run: bench/private_server.py."""

from __future__ import annotations

import socket
import tempfile
from typing import Any

import pytest


def test_a_port_that_is_taken_ends_the_run_in_one_line(bench: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything was made that would be left behind."""
    from private_server import private_server

    def made(*args: Any, **named: Any) -> str:
        raise AssertionError("a folder was made")

    monkeypatch.setattr(tempfile, "mkdtemp", made)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"^bench: port {port} can't be had: "), private_server(port=port):
            pass
