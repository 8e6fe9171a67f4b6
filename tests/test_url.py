"""Redis URLs that can't be meant: a plain LokiRedisError, before anything is sent, and without the password."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio

from lokiredis import AsyncQueue, LokiRedisError, Queue
from lokiredis.connect import connect, connect_async, uses_tls

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
    "redis+geheim://localhost",
]

_NO_SERVICE = "name that the sentinels know the master by"
_HOSTS = "wants host:port,host:port"
_DATABASE = "database in a Redis URL is a number"
_OWN = "sentinel_username, sentinel_password, sentinel_ssl"
#: What is wrong with a URL of several hosts is told by name.
_WRONG_FLEETS = {
    "redis+sentinel://:geheim@localhost": _NO_SERVICE,
    "redis+sentinel://:geheim@localhost/": _NO_SERVICE,
    "redis+sentinel://:geheim@localhost//0": _NO_SERVICE,
    "redis+sentinel://:geheim@localhost/a%20b": _NO_SERVICE,
    "redis+sentinel://:geheim@localhost/main/geheim": _DATABASE,
    "redis+sentinel://:geheim@localhost/main/1/2": _DATABASE,
    "redis+sentinel://:geheim@a,,b/main": "host is missing",
    "redis+sentinel:///main": "host is missing",
    "redis+cluster://": "host is missing",
    "redis+cluster://:geheim@a,": "host is missing",
    "redis+sentinel://:geheim@a:0/main": "port",
    "redis+sentinel://:geheim@a:65536/main": "port",
    "redis+sentinel://:geheim@a:geheim/main": _HOSTS,
    "redis+cluster://::1": _HOSTS,
    "redis+sentinel://:gehe/im@a/main": _HOSTS,
    "redis+cluster://:geheim@h%00": _HOSTS,
    "redis+sentinel://:gehe#im@a/main": "taken apart",
    "redis+cluster://:geheim@\udcff": "taken apart",
    f"redis+cluster://a,:geheim@{'h' * 64}.example": "taken apart|wants host|no possible host",
    f"redis+cluster://:geheim@a,{'h' * 64}.example": "no possible host",
    "redis+sentinel://:geheim@a/main?sentinel_db=1": _OWN,
    "redis+sentinel://:geheim@a/main?sentinel_ssl=geheim": "sentinel_ssl in the Redis URL is yes or no",
    "redis+sentinel://:geheim@a/main?nonsense=geheim": "option",
    "redis+sentinel://:geheim@a/main?socket_timeout=-1": "option",
    "rediss+sentinel://:geheim@a/main?ssl_cert_reqs=geheim": "option",
    "redis+cluster://:geheim@a/1": "no databases",
    "redis+cluster://:geheim@a?db=1": "no databases",
    "redis+cluster://a?sentinel_password=geheim": r"redis\+sentinel",
}


@both
@pytest.mark.parametrize("url", _WRONG)
def test_a_wrong_url_is_refused(url: str, made: Any) -> None:
    """Refused when the queue is made, in one line that quotes nothing of it."""
    with pytest.raises(LokiRedisError, match=r"(?s)\A[^\n]*URL[^\n]*\Z") as refused:
        made.from_url(url)
    assert "geheim" not in str(refused.value)
    assert refused.value.__cause__ is None


@both
@pytest.mark.parametrize("url", _WRONG_FLEETS)
def test_a_wrong_url_of_several_hosts_is_refused(url: str, made: Any) -> None:
    """As above, and the line says which piece is wrong."""
    test_a_wrong_url_is_refused(url, made)
    with pytest.raises(LokiRedisError, match=_WRONG_FLEETS[url]):
        made.from_url(url)


_SENTINELS = "rediss+sentinel://ann:p%40ss@a,[::1]:1/main/3?socket_timeout=7&ssl_cert_reqs=none&sentinel_username=sue"


@pytest.mark.parametrize("made", [connect, connect_async])
def test_what_a_url_of_sentinels_says(made: Any) -> None:
    """The login, the database and the options are the server's; the sentinels have a login of their own, and TLS."""
    pool = made(_SENTINELS + "&sentinel_password=x%26y").connection_pool
    said = {"username": "ann", "password": "p@ss", "db": 3, "socket_timeout": 7, "ssl_cert_reqs": "none"}
    assert said.items() <= pool.connection_kwargs.items()
    assert "host" not in pool.connection_kwargs
    assert pool.service_name == "main"
    asked = pool.sentinel_manager.to(("::1", 1))
    assert uses_tls(made(_SENTINELS))
    assert uses_tls(asked)
    said = {"host": "::1", "port": 1, "username": "sue", "password": "x&y", "ssl_cert_reqs": "none"}
    assert said.items() <= asked.connection_pool.connection_kwargs.items()
    assert "db" not in asked.connection_pool.connection_kwargs


def test_tls_to_sentinels_can_be_another_choice() -> None:
    """sentinel_ssl: by default as the scheme says for the server."""
    for scheme, option, tls in [("rediss", "no", False), ("redis", "yes", True), ("redis", "no", False)]:
        made = connect(f"{scheme}+sentinel://a/main?sentinel_ssl={option}")
        assert uses_tls(made) == (scheme == "rediss")
        assert uses_tls(made.connection_pool.sentinel_manager.to(("a", 1))) == tls


@pytest.mark.parametrize("made", [connect, connect_async])
def test_what_a_url_of_a_cluster_says(made: Any) -> None:
    """Every node has the same login and options; ports are 6379 unless said."""
    pool = made("rediss+cluster://:secret@a,b:7000/?ssl_check_hostname=no", "loki:{q}:").connection_pool
    asked = pool.sentinel_manager.to(("b", 7000)).connection_pool.connection_kwargs
    for options in (pool.connection_kwargs, asked):
        assert options["password"] == "secret"
        assert options["ssl_check_hostname"] is False
    address, _ = next(pool.sentinel_manager.directory.search())
    assert address == ("a", 6379)


@pytest.mark.parametrize("path", ["", "/", "/3", "/3/", "/%33", "?db=3", "/3?socket_timeout=60&client_name=me"])
def test_the_database_of_a_url(path: str) -> None:
    """The number after the slash, 0 without one."""
    for connected in (connect("redis://localhost" + path), connect_async("redis://localhost" + path)):
        assert connected.connection_pool.connection_kwargs.get("db", 0) == (3 if "3" in path else 0)


def test_a_socket_in_a_folder_is_no_database(server7: RedisServer) -> None:
    """The path of unix:// is a path."""
    with Queue.from_url(f"{server7.socket_url}?db=1", "q-url") as queue:
        assert queue.counts()["pending"] == 0


@pytest.mark.parametrize("url", ["redis://localhost", "rediss://localhost", "unix:///tmp/x.sock"])
def test_calls_of_asyncio_are_written_by_hiredis(url: str) -> None:
    """Whatever the scheme: in Python it is a quarter of a worker's time. Numbers go as text, as they do there."""
    pool = connect_async(url).connection_pool
    connection = pool.make_connection()
    assert connection.pack_command("FUNCTION LOAD", "é", 5, b"x") == [
        b"*5\r\n$8\r\nFUNCTION\r\n$4\r\nLOAD\r\n$2\r\n\xc3\xa9\r\n$1\r\n5\r\n$1\r\nx\r\n"
    ]
    assert type(connection).pack_command is not redis.asyncio.Connection.pack_command
