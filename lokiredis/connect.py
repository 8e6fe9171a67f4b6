"""From a URL to a client with timeouts, and from a client to one that may block."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import redis
import redis.asyncio as aioredis
from hiredis import pack_command
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import SentinelConnectionPool as _AsyncLocatedPool
from redis.backoff import NoBackoff
from redis.exceptions import DataError, RedisError
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool as _LocatedPool

from .errors import LokiRedisError
from .fleet_url import Address, FleetURL, is_fleet_url, read_fleet_url
from .located import (
    AsyncLocatedConnection,
    AsyncLocatedTLSConnection,
    AsyncLocator,
    Cluster,
    Directory,
    LocatedConnection,
    Locator,
    Sentinels,
)
from .url import check_url

SyncRedis = Any
AsyncRedis = Any

CONNECT_TIMEOUT, CALL_TIMEOUT = 5.0, 10.0
#: Of connections in a pool. redis-py 8 has 100 at most, and the 101st of the claims that wait in a process fails.
NO_LIMIT = 2**31
#: On top of the time that a call blocks on the server: after that the connection is dead.
_BLOCK_MARGIN = 10.0
#: How long an interrupted call may take to hand back what it claimed: to connect, and for each reply.
_SHORT = 2.0

C = TypeVar("C")


def resolve(url: str | None) -> str:
    """*url*, else $LOKIREDIS_URL, else the embedded server of the nearest .loki folder, started when need be."""
    if url is not None and not isinstance(url, str):
        raise LokiRedisError(f"a URL is a text, not {type(url).__name__}")
    url = url or os.environ.get("LOKIREDIS_URL")
    if url:
        return url
    from .embedded import ensure

    return ensure()


def _options(url: str, retry: Any) -> dict[str, Any]:
    # redis-py's own retry is off: ours knows which errors pass, and the scripts know a repeated call.
    options = {
        "socket_timeout": CALL_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "max_connections": NO_LIMIT,
        "retry": retry,
    }
    if url.startswith("unix://"):
        del options["socket_keepalive"]
    return options


def _fake(url: str, kind: str) -> Any:
    try:
        import fakeredis
    except ImportError:
        raise LokiRedisError("memory:// needs fakeredis: pip install 'lokiredis[memory]'") from None
    server = _MEMORY.setdefault(url, fakeredis.FakeServer())
    return getattr(fakeredis, kind)(server=server)


#: One server per memory:// URL and process, so that a sync and an async client share it.
_MEMORY: dict[str, Any] = {}


def connect(url: str, key: str = "") -> SyncRedis:
    """A redis-py client for any URL that lokiredis takes. Others: LokiRedisError. *key*: one of the queue's.

    For sentinels it is a client of their master, for a cluster one of the node that has *key*; where that is, is
    asked whenever it connects.
    """
    if url.startswith("memory://"):
        return _fake(url, "FakeRedis")
    if is_fleet_url(url):
        return _located(read_fleet_url(url), key)
    options = _options(url, Retry(NoBackoff(), 0))
    if url.startswith("rediss://"):
        options["connection_class"] = _TLSConnection
    return _made(redis.Redis, url, options)


def connect_async(url: str, key: str = "") -> AsyncRedis:
    """As :func:`connect`, for asyncio."""
    if url.startswith("memory://"):
        return _fake(url, "FakeAsyncRedis")
    if is_fleet_url(url):
        return _located_async(read_fleet_url(url), key)
    client = _made(aioredis.Redis, url, _options(url, AsyncRetry(NoBackoff(), 0)))
    # Not as an option: for two of the schemes redis-py puts a class of its own in its place.
    client.connection_pool.connection_class = _PACKED[url.partition(":")[0]]
    return client


def _located(found: FleetURL, key: str) -> SyncRedis:
    kind = _LocatedTLSConnection if uses_tls(connect(found.server)) else LocatedConnection
    told: Any = redis.connection.parse_url(found.server)  # type: ignore[no-untyped-call]
    options = _options(found.server, Retry(NoBackoff(), 0)) | _told(told)

    def client(address: Address) -> SyncRedis:
        return _briefly(connect(found.to(address)))

    locator = Locator(_directory(found, key), client)
    return redis.Redis.from_pool(_LocatedPool(found.service, locator, connection_class=kind, **options))  # type: ignore[no-untyped-call]


def _located_async(found: FleetURL, key: str) -> AsyncRedis:
    kind = _PackedLocatedTLS if uses_tls(connect_async(found.server)) else _PackedLocated
    told: Any = aioredis.connection.parse_url(found.server)
    options = _options(found.server, AsyncRetry(NoBackoff(), 0)) | _told(told)

    def client(address: Address) -> AsyncRedis:
        return _briefly(connect_async(found.to(address)))

    locator = AsyncLocator(_directory(found, key), client)
    return aioredis.Redis.from_pool(_AsyncLocatedPool(found.service, locator, connection_class=kind, **options))  # type: ignore[no-untyped-call]


def _directory(found: FleetURL, key: str) -> Directory:
    if found.kind == "sentinel":
        return Sentinels(found.addresses, found.service)
    return Cluster(found.addresses, key)


def _told(options: Any) -> dict[str, Any]:
    """What a URL says, without the place."""
    return {name: value for name, value in options.items() if name not in ("host", "port", "connection_class")}


def _briefly(client: C) -> C:
    """*client*, made for one question: another one is asked soon when there is no answer."""
    client.connection_pool.connection_kwargs.update(socket_timeout=_SHORT, socket_connect_timeout=_SHORT)  # type: ignore[attr-defined]
    return client


def _made(kind: Any, url: str, options: dict[str, Any]) -> Any:
    check_url(url)
    try:
        client = kind.from_url(url, **options)
        pool = client.connection_pool
        # Made, not connected: only there redis-py looks at most of the options, too late for a plain answer.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, RedisError):
        # The error's own text may quote a piece of the password.
        raise LokiRedisError("an option after the ? of the Redis URL has a value that it can't have") from None
    return client


class _TLSConnection(redis.SSLConnection):
    """Its handshake counts as connecting: redis-py gives it as long again as any reply."""

    def _connect(self) -> Any:
        usual, self.socket_timeout = self.socket_timeout, self.socket_connect_timeout
        try:
            made = super()._connect()  # type: ignore[no-untyped-call]
        finally:
            self.socket_timeout = usual
        made.settimeout(usual)
        return made


#: Those of a client that :func:`connect` makes for one server.
CONNECTIONS = (redis.Connection, redis.UnixDomainSocketConnection, _TLSConnection)


class _LocatedTLSConnection(LocatedConnection, _TLSConnection):
    """Over TLS, to where the server is."""


class _Packed:
    """Has its calls written by hiredis, and sends them at once where the socket has room.

    redis-py writes them in Python, which was a quarter of a worker's time, and sends by asyncio.wait_for(), which makes
    a task of each sending before Python 3.12.
    """

    _writer: Any
    health_check_interval: Any

    def pack_command(self, *args: Any) -> list[bytes]:
        if args[0] not in ("FCALL", "EVALSHA"):
            # Two words may stand in the first place. No numbers: see Client._argv, by which a script's call has none.
            args = (*args[0].split(), *(str(word) if type(word) in (int, float) else word for word in args[1:]))
        try:
            return [pack_command(args)]
        except TypeError as e:
            raise DataError(str(e)) from None

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if self._writer is not None and not self.health_check_interval:
            try:
                self._writer.writelines(command)
                if not self._writer.transport.get_write_buffer_size():
                    return  # if the connection is gone, the reading finds that
            except (AttributeError, RuntimeError):
                pass  # it is gone, as asyncio says that of TLS: redis-py finds that as it waits for the rest to be sent
            command = []
        await super().send_packed_command(command, check_health)  # type: ignore[misc]


class _PackedTCP(_Packed, aioredis.Connection):
    pass


class _PackedUnix(_Packed, aioredis.UnixDomainSocketConnection):
    pass


class _PackedTLS(_Packed, aioredis.SSLConnection):
    pass


class _PackedLocated(_Packed, AsyncLocatedConnection):
    pass


class _PackedLocatedTLS(_Packed, AsyncLocatedTLSConnection):
    pass


_PACKED = {"redis": _PackedTCP, "unix": _PackedUnix, "rediss": _PackedTLS}
#: As CONNECTIONS, for asyncio.
ASYNC_CONNECTIONS = tuple(_PACKED.values())


def uses_tls(client: Any) -> bool:
    """Whether *client* talks to its server over TLS; False when that can't be told."""
    kind = getattr(getattr(client, "connection_pool", None), "connection_class", None)
    return isinstance(kind, type) and issubclass(kind, (redis.SSLConnection, aioredis.SSLConnection))


def blocking_twin(client: C, longest: float, key: str) -> C:
    """A client of the same server with connections of its own, which may block for *longest* seconds.

    In a cluster that server is the node which has *key*.
    """
    return _twin(client, key, socket_timeout=longest + _BLOCK_MARGIN)


def may_block_here(client: Any) -> bool:
    """Whether :meth:`block_here` leaves other calls a connection; a URL may say max_connections."""
    pool = getattr(client, "connection_pool", None)
    # Of our own connections it is known what a cancelled wait does to them: they are closed. An older fakeredis keeps
    # its own, and the next call gets the reply.
    if pool is None or not issubclass(pool.connection_class, _Packed):
        return False
    return bool(pool.max_connections >= NO_LIMIT)


async def block_here(lender: Any, marks: Sequence[str], seconds: float) -> None:
    """Wait for a mark on a connection of *lender*, a pool or what keeps its connections; nobody else gets it meanwhile.

    The claims before and after go over it, too: a waiting agent needs one connection. Redis looks after each of them
    every second, and oftener if there are many: 4,000 cost it 0.4 % of a core, 2,000 cost 0.25 %, none 0.2 %.
    """
    connection: Any = await lender.get_connection()
    usual = connection.socket_timeout
    try:
        await connection.send_command("BZPOPMIN", *marks, str(seconds))
        connection.socket_timeout = seconds + _BLOCK_MARGIN
        await connection.read_response()
    finally:
        connection.socket_timeout = usual
        await lender.release(connection)


def short_twin(client: C, key: str) -> C:
    """As :func:`blocking_twin`, for calls that somebody waits for who wants to leave: a short one, once."""
    return _twin(client, key, socket_timeout=_SHORT, socket_connect_timeout=_SHORT, retry=Retry(NoBackoff(), 0))


def _twin(client: C, key: str, **changed: Any) -> C:
    kind, pool_kind, connection, options = _parts(client, key)
    # redis-py's blocking pool makes a place in a list for each that there may be.
    limit = {} if issubclass(pool_kind, redis.BlockingConnectionPool) else {"max_connections": NO_LIMIT}
    made: C = kind(connection_pool=pool_kind(connection_class=connection, **limit, **options | changed))
    return made


def sync_twin(client: AsyncRedis) -> SyncRedis:
    """A blocking client of the same server, with the options of the given one for asyncio."""
    pool = client.connection_pool
    kinds = {
        aioredis.SSLConnection: _TLSConnection,
        aioredis.UnixDomainSocketConnection: redis.UnixDomainSocketConnection,
        aioredis.Connection: redis.Connection,
    }
    options = pool.connection_kwargs | {"retry": Retry(NoBackoff(), 0)}
    kind = next((sync for other, sync in kinds.items() if issubclass(pool.connection_class, other)), None)
    if kind is None:
        import fakeredis

        return fakeredis.FakeRedis(
            connection_pool=redis.ConnectionPool(connection_class=fakeredis.FakeConnection, **options)
        )
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=kind, **options))


def _own_of(pool: Any) -> dict[str, Any]:
    """What a pool of connections to a located server is made of, too. It follows a failover by itself."""
    if not isinstance(pool, (_LocatedPool, _AsyncLocatedPool)):
        return {}
    found: Any = pool
    return {
        "service_name": found.service_name,
        "sentinel_manager": found.sentinel_manager,
        "is_master": found.is_master,
        "check_connection": found.check_connection,
    }


def node_of(client: Any, key: str) -> dict[str, Any]:
    """The argument that sends a command without keys to the server that has *key*.

    A cluster client of redis-py would send a script to all, and stop at the first one that has it already.
    """
    if isinstance(client, (redis.RedisCluster, aioredis.RedisCluster)):
        return {"target_nodes": client.get_node_from_key(key)}
    return {}


def drop_idle(client: SyncRedis) -> None:
    """Close the connections that no thread uses: after an interruption the reply of a call may still come on one.

    The next call would take it for its own.
    """
    nodes = [client]
    if isinstance(client, redis.RedisCluster):
        cluster: Any = client
        nodes = [node.redis_connection for node in cluster.get_nodes() if node.redis_connection is not None]
    for node in nodes:
        node.connection_pool.disconnect(inuse_connections=False)
        if node.connection is not None:
            node.connection.disconnect()


def leave_server(client: SyncRedis) -> None:
    """Close the connections that no thread uses: new ones go to where the client's address leads by now.

    The nodes of a cluster tell a cluster client where to go.
    """
    if isinstance(client, redis.RedisCluster):
        return
    client.connection_pool.disconnect(inuse_connections=False)
    # One for all threads. Who is in the middle of a call on it hears the same from the server.
    if client.connection is not None and client.single_connection_lock.acquire(blocking=False):
        try:
            client.connection.disconnect()
        finally:
            client.single_connection_lock.release()


async def leave_server_async(client: AsyncRedis) -> None:
    """As :func:`leave_server`, for tasks."""
    if isinstance(client, aioredis.RedisCluster):
        return
    # Not by the pool's own method: it waits for each to be closed, and another task could take that one meanwhile.
    await close_at_once(client.connection_pool._available_connections)
    if client.connection is not None and not client._single_conn_lock.locked():
        await close_at_once([client.connection])


async def close_at_once(connections: Iterable[Any]) -> None:
    """Close connections for asyncio without giving way to another task. They connect anew when they are used."""
    for connection in connections:
        if connection.is_connected:
            await connection.disconnect(nowait=True)


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
    options = {name: value for name, value in pool.connection_kwargs.items() if name != "connection_pool"}
    return type(client), type(pool), pool.connection_class, options | _own_of(pool)
