"""From a URL to a client with timeouts, and from a client to one that may block."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import redis
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from .errors import LokiRedisError

SyncRedis = Any
AsyncRedis = Any

CONNECT_TIMEOUT, CALL_TIMEOUT = 5.0, 10.0
#: On top of the time that a call blocks on the server: after that the connection is dead.
_BLOCK_MARGIN = 10.0

C = TypeVar("C")


def resolve(url: str | None) -> str:
    """*url*, else $LOKIREDIS_URL, else the embedded server of the nearest .loki folder, started when need be."""
    url = url or os.environ.get("LOKIREDIS_URL")
    if url:
        return url
    from .embedded import ensure

    return ensure()


def _options(retry: Any) -> dict[str, Any]:
    # redis-py's own retry is off: ours knows which errors pass, and the scripts know a repeated call.
    return {
        "socket_timeout": CALL_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "retry": retry,
    }


def _fake(url: str, kind: str) -> Any:
    try:
        import fakeredis
    except ImportError:
        raise LokiRedisError("memory:// needs fakeredis: pip install 'lokiredis[memory]'") from None
    server = _MEMORY.setdefault(url, fakeredis.FakeServer())
    return getattr(fakeredis, kind)(server=server)


#: One server per memory:// URL and process, so that a sync and an async client share it.
_MEMORY: dict[str, Any] = {}


def connect(url: str) -> SyncRedis:
    """A redis-py client for ``redis://``, ``rediss://``, ``unix://`` or ``memory://``. Others: LokiRedisError."""
    if url.startswith("memory://"):
        return _fake(url, "FakeRedis")
    try:
        return redis.Redis.from_url(url, **_for_scheme(url, Retry(NoBackoff(), 0)))
    except ValueError:
        # The error's own text may quote a piece of the password.
        raise LokiRedisError("not a Redis URL: redis://, rediss://, unix:// or memory://") from None


def connect_async(url: str) -> AsyncRedis:
    """As :func:`connect`, for asyncio."""
    if url.startswith("memory://"):
        return _fake(url, "FakeAsyncRedis")
    try:
        return aioredis.Redis.from_url(url, **_for_scheme(url, AsyncRetry(NoBackoff(), 0)))
    except ValueError:
        # The error's own text may quote a piece of the password.
        raise LokiRedisError("not a Redis URL: redis://, rediss://, unix:// or memory://") from None


def _for_scheme(url: str, retry: Any) -> dict[str, Any]:
    options = _options(retry)
    if url.startswith("unix://"):
        del options["socket_keepalive"]
    return options


def blocking_twin(client: C, longest: float, key: str) -> C:
    """A client of the same server with connections of its own, which may block for *longest* seconds.

    In a cluster that server is the node which has *key*.
    """
    kind, pool_kind, connection, options = _parts(client, key)
    pool = pool_kind(connection_class=connection, **options | {"socket_timeout": longest + _BLOCK_MARGIN})
    made: C = kind(connection_pool=pool)
    return made


def _parts(client: Any, key: str) -> tuple[Any, Any, Any, dict[str, Any]]:
    """The kinds of client, pool and connection that *client* talks to one server with, and its options."""
    if isinstance(client, aioredis.RedisCluster):
        node = client.get_node_from_key(key)
        if node is None:
            raise LokiRedisError("the cluster has no node for this queue")
        return aioredis.Redis, aioredis.ConnectionPool, node.connection_class, node.connection_kwargs
    if isinstance(client, redis.RedisCluster):
        nodes: Any = client
        client = nodes.get_redis_connection(nodes.get_node_from_key(key))
    pool = client.connection_pool
    return type(client), type(pool), pool.connection_class, pool.connection_kwargs
