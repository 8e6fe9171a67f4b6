"""From a URL to a client with timeouts, and from a client to one that may block."""

from __future__ import annotations

import os
from typing import Any, TypeVar, cast

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


def blocking_twin(client: C, longest: float) -> C:
    """A client of the same server with connections of its own, which may block for *longest* seconds."""
    kind: Any = type(client)
    pool = cast("Any", client).connection_pool
    options = pool.connection_kwargs | {"socket_timeout": longest + _BLOCK_MARGIN}
    twin = type(pool)(connection_class=pool.connection_class, **options)
    made: C = kind(connection_pool=twin)
    return made
