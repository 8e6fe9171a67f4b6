"""A server that also listens on a port."""

from __future__ import annotations

from pathlib import Path

import pytest

from lokiredis.embedded import EmbeddedServer
from lokiredis.errors import LokiRedisError

from ..servers import free_port
from .processes import (
    pid_of,
    put,
    read,
)


class TestPort:
    @pytest.mark.parametrize("bind", [None, "localhost", "127.0.0.2"])
    def test_open(self, server: EmbeddedServer, program: str, bind: str | None) -> None:
        """A port that is asked for is open on that loopback address, beside the socket."""
        port = free_port()
        url = server.start(port=port, bind=bind)
        put(url, "k", "v")
        assert read(f"redis://{bind or '127.0.0.1'}:{port}") == {"k": "v"}
        assert (server.status().port, server.status().bind) == (port, bind if bind == "127.0.0.2" else "127.0.0.1")
        assert server.start(port=port, bind=bind) == server.start() == url

    def test_other(self, server: EmbeddedServer) -> None:
        """A server that runs already on another port, or none, is left alone with an error."""
        server.start()
        pid = pid_of(server)
        with pytest.raises(LokiRedisError, match=r"runs already, without a TCP port\. Stop it first"):
            server.start(port=free_port())
        assert pid_of(server) == pid

    @pytest.mark.parametrize(
        ("port", "bind", "message"),
        [
            (7000, "0.0.0.0", "no password, so it does not listen on 0.0.0.0"),
            (7000, "::", "no password, so it does not listen on ::"),
            (7000, "10.0.0.1", "no password"),
            (7000, "example.org", "must be an IP address"),
            (7000, "127.0.0.1 --save", "must be an IP address"),
            (None, "127.0.0.1", "needs a port"),
            (0, None, "1 to 65535, not 0"),
            (65536, None, "1 to 65535, not 65536"),
        ],
    )
    def test_refused(
        self, server: EmbeddedServer, folder: Path, port: int | None, bind: str | None, message: str
    ) -> None:
        """An address that other machines reach, and nonsense, is refused before anything is made."""
        with pytest.raises(LokiRedisError, match=message):
            server.start(port=port, bind=bind)
        assert not folder.exists()
