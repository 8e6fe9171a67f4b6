"""Connections that are kept from one call to the next.

redis-py's pool looks after each connection as it is taken and given back, and its client measures a call and may repeat
it: together two thirds of the processor time that a short call cost. None of it is needed here. A call that fails is
sent again by ours (design rule 9), which is also how it is found that a connection was closed meanwhile.
"""

from __future__ import annotations

import os
from typing import Any

import redis
import redis.asyncio as aioredis
from redis.exceptions import ResponseError

from .connect import ASYNC_CONNECTIONS, CONNECTIONS, NO_LIMIT, AsyncRedis, SyncRedis, close_at_once


class KeptConnections:
    """As many as threads ever called at once. They stay the pool's own, which closes them."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool: Any = pool
        self._idle: list[Any] = []
        self._process = os.getpid()

    @classmethod
    def of(cls, client: SyncRedis) -> KeptConnections | None:
        """For a client that :func:`connect.connect` made, unless something needs the pool's own care.

        That is a server that moves (an idle connection to the old one must go), a limit of connections in the URL
        (a kept one would count), and fakeredis.
        """
        pool = client.connection_pool
        plain = type(pool) is redis.ConnectionPool and pool.connection_class in CONNECTIONS
        return cls(pool) if plain and pool.max_connections >= NO_LIMIT else None

    def call(self, words: tuple[str | bytes, ...]) -> Any:
        """Send one command and return its reply. Raises as redis-py."""
        connection = self._take()
        try:
            connection.send_command(*words)
            reply = connection.read_response()
        except ResponseError:
            # To the pool: what is sent next is often a question about the server, which goes that way.
            self._pool.release(connection)
            raise
        except BaseException:
            # A reply may still come on it, which the next call would take for its own.
            self._give_back(connection)
            # They are as old: each would cost another try.
            self.drop()
            raise
        self._idle.append(connection)
        return reply

    def _take(self) -> Any:
        if self._process != os.getpid():
            # After a fork the parent reads from the same sockets: the pool begins anew, too.
            self._idle, self._process = [], os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._pool.get_connection()

    def _give_back(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)

    def drop(self) -> None:
        """Close those that no thread uses now."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            self._give_back(connection)


class AsyncKeptConnections:
    """As :class:`KeptConnections`, for asyncio: as many as tasks ever called or waited at once.

    It has two methods of a pool, for those who need a connection for longer than a call.
    """

    def __init__(self, pool: aioredis.ConnectionPool) -> None:
        self._pool: Any = pool
        self._idle: list[Any] = []

    @classmethod
    def of(cls, client: AsyncRedis) -> AsyncKeptConnections | None:
        """For a client that :func:`connect.connect_async` made; as :meth:`KeptConnections.of`."""
        pool = client.connection_pool
        plain = type(pool) is aioredis.ConnectionPool and pool.connection_class in ASYNC_CONNECTIONS
        return cls(pool) if plain and pool.max_connections >= NO_LIMIT else None

    async def call(self, words: tuple[str | bytes, ...]) -> Any:
        """Send one command and return its reply. Raises as redis-py."""
        connection = await self.get_connection()
        try:
            await connection.send_command(*words)
            reply = await connection.read_response()
        except ResponseError:
            await self._pool.release(connection)
            raise
        except BaseException:
            await self._close(connection)
            raise
        self._idle.append(connection)
        return reply

    async def get_connection(self) -> Any:
        """One that nobody else gets until it is released. It may have been closed meanwhile."""
        return self._idle.pop() if self._idle else await self._pool.get_connection()

    async def release(self, connection: Any) -> None:
        """Give back what :meth:`get_connection` gave, after its reply was read or it was closed."""
        self._idle.append(connection)

    async def _close(self, connection: Any) -> None:
        # Not to the pool, which waits for a lock: a task that is cancelled again there would lose the connection. It
        # connects anew when it is used.
        self._idle.append(connection)
        await self.drop()

    async def drop(self) -> None:
        """Close those that no task uses now."""
        await close_at_once(self._idle)
