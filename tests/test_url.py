"""Redis URLs that can't be meant: a plain LokiRedisError, before anything is sent, and without the password."""

from __future__ import annotations

from typing import Any

import pytest

from lokiredis import AsyncQueue, LokiRedisError, Queue
from lokiredis.connect import connect, connect_async

from .servers import RedisServer

both = pytest.mark.parametrize("made", [Queue, AsyncQueue])

_WRONG = [
    "redis://u:geheim@localhost/prod",
    "redis://:geheim@localhost/1/2",
    "rediss://:geheim@localhost/0x1",
    "redis://:geheim@localhost/%31a",
    "redis://:geheim@localhost/-1",
    "redis://:geheim@localhost/0?db=prod",
    "redis://:geheim@localhost?nonsense=1",
    "redis://:geheim@localhost?retry=5",
    "redis://:geheim@localhost?retry_on_error=5",
    "redis://:geheim@localhost?credential_provider=5",
    "redis://:geheim@localhost?encoding=nonsense",
    "redis://:geheim@localhost?socket_timeout=-1",
    "redis://:geheim@localhost?socket_connect_timeout=nan",
    "redis://:geheim@localhost?max_connections=0",
    "redis://:geheim@localhost?protocol=9",
    "redis://:geheim@localhost?ssl_cert_reqs=nonsense",
    "rediss://:geheim@localhost?ssl_cert_reqs=nonsense",
    "rediss://:geheim@localhost?ssl_min_version=5",
    f"redis://:geheim@{'h' * 64}.example",
    "redis://:geheim@a..b",
    "redis://:geheim@\udcff",
    "redis://:geheim@h%00",
    "unix:///tmp/geheim%00",
    "redis://:geheim@localhost:0",
    "redis://:geheim@localhost:port",
    "REDIS://:geheim@localhost",
    "localhost",
    "http://:geheim@localhost",
]


@both
@pytest.mark.parametrize("url", _WRONG)
def test_a_wrong_url_is_refused(url: str, made: Any) -> None:
    """Refused when the queue is made, in one line that quotes nothing of it."""
    with pytest.raises(LokiRedisError, match=r"(?s)\A[^\n]*URL[^\n]*\Z") as refused:
        made.from_url(url)
    assert "geheim" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("path", ["", "/", "/3", "/3/", "/%33", "?db=3", "/3?socket_timeout=60&client_name=me"])
def test_the_database_of_a_url(path: str) -> None:
    """The number after the slash, 0 without one."""
    for connected in (connect("redis://localhost" + path), connect_async("redis://localhost" + path)):
        assert connected.connection_pool.connection_kwargs.get("db", 0) == (3 if "3" in path else 0)


def test_a_socket_in_a_folder_is_no_database(server7: RedisServer) -> None:
    """The path of unix:// is a path."""
    with Queue.from_url(f"{server7.socket_url}?db=1", "q-url") as queue:
        assert queue.counts()["pending"] == 0
