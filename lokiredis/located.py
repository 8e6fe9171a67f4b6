"""Connections to a server whose address others know: sentinels, or the nodes of a cluster.

redis-py's pool for sentinels asks its manager for the address each time it connects, and lets idle connections to an
old one go. A cluster can be asked as well: a queue is one slot, so one node has all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

import redis
import redis.asyncio.sentinel as async_sentinel
from redis import sentinel
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ConnectionError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from .fleet_url import Address
from .outages import Hopeless

#: Who to ask, and in which words. What is sent back is the answer, or the error instead of one.
Search = Generator[tuple[Address, tuple[str, ...]], Any, Address]


class Directory(Protocol):
    """Who can be asked for the server's address."""

    def search(self) -> Search:
        """Asks one after the other. Raises ConnectionError when nobody knows now, Hopeless when nobody ever will."""
        ...


class Sentinels:
    """The sentinels that watch the master of *service*."""

    def __init__(self, addresses: tuple[Address, ...], service: str) -> None:
        self._addresses = list(addresses)
        self._service = service

    def search(self) -> Search:
        """The master's address, from the first sentinel that doesn't believe it to be down."""
        refusal: Exception | None = None
        down = False
        for address in tuple(self._addresses):
            # To the end of the line: one that is cut off from the others, and wrong, isn't asked first again.
            self._addresses.append(self._addresses.pop(self._addresses.index(address)))
            said = yield address, ("SENTINEL", "MASTER", self._service)
            if isinstance(said, Exception):
                refusal = self._refusal(said) or refusal
                continue
            state = _fields(said)
            down = True
            if not {"s_down", "o_down"} & set(state["flags"].split(",")):
                return state["ip"], int(state["port"])
        if refusal is not None and not down:
            raise refusal
        raise ConnectionError(f"the sentinels know no living master of {self._service} now" if down else _SILENT)

    def _refusal(self, error: Exception) -> Exception | None:
        text = str(error)
        if "No such master" in text:
            return Hopeless(f"the sentinels know no master by the name {self._service}")
        if isinstance(error, (AuthenticationError, NoPermissionError)):
            return Hopeless("the sentinels refuse sentinel_username or sentinel_password, or the lack of them")
        if isinstance(error, ResponseError) and "unknown command" in text:
            return Hopeless("what answers there is no sentinel")
        return None


_SILENT = "none of the sentinels answers"


class Cluster:
    """The nodes of a cluster, for the one that has the slot of *key*."""

    def __init__(self, addresses: tuple[Address, ...], key: str) -> None:
        self._given = addresses
        self._known = list(addresses)
        self._slot = key_slot(key.encode())

    def search(self) -> Search:
        """The address of the master that has the slot, as the first node sees it that knows one."""
        refusal: Exception | None = None
        for address in tuple(self._known):
            if address in self._known:
                self._known.append(self._known.pop(self._known.index(address)))
            said = yield address, ("CLUSTER", "SLOTS")
            if isinstance(said, Exception):
                refusal = self._refusal(said) or refusal
                continue
            ranges = [(low, high, [_node(each, address) for each in nodes]) for low, high, *nodes in said]
            others = [node for _, _, nodes in ranges for node in nodes]
            self._known += [node for node in dict.fromkeys(others) if node not in self._known]
            for low, high, nodes in ranges:
                if low <= self._slot <= high:
                    return nodes[0]
        # Nodes that have left the cluster are forgotten.
        self._known = list(self._given)
        raise refusal or ConnectionError("no node of the cluster answers, or none has the queue's slot now")

    def _refusal(self, error: Exception) -> Exception | None:
        if isinstance(error, (AuthenticationError, NoPermissionError)):
            return error
        if isinstance(error, ResponseError) and "cluster support disabled" in str(error):
            return Hopeless("what answers there is no node of a cluster")
        return None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")


def _fields(said: Any) -> dict[str, str]:
    """A reply of names and values in turn, which RESP 3 makes a map."""
    pairs = said.items() if isinstance(said, Mapping) else zip(said[::2], said[1::2], strict=True)
    return {_text(name): _text(value) for name, value in pairs}


def _node(said: Any, asked: Address) -> Address:
    # A node that doesn't know its own address leaves it out.
    return _text(said[0]) or asked[0], int(said[1])


class Locator:
    """Asks until one knows. It is what redis-py's pool takes for its manager of sentinels."""

    def __init__(self, directory: Directory, client: Callable[[Address], Any]) -> None:
        self.directory = directory
        self.to = client

    def discover_master(self, service_name: str) -> Address:
        """Where to connect to now. Raises ConnectionError."""
        search = self.directory.search()
        try:
            address, words = next(search)
            while True:
                try:
                    with self.to(address) as client:
                        said = client.execute_command(*words)
                except (RedisError, OSError) as e:
                    said = e
                address, words = search.send(said)
        except StopIteration as done:
            found: Address = done.value
            return found


class AsyncLocator:
    """As :class:`Locator`, for asyncio."""

    def __init__(self, directory: Directory, client: Callable[[Address], Any]) -> None:
        self.directory = directory
        self.to = client

    async def discover_master(self, service_name: str) -> Address:
        """As :meth:`Locator.discover_master`."""
        search = self.directory.search()
        try:
            address, words = next(search)
            while True:
                try:
                    async with self.to(address) as client:
                        said = await client.execute_command(*words)
                except (RedisError, OSError) as e:
                    said = e
                address, words = search.send(said)
        except StopIteration as done:
            found: Address = done.value
            return found


def _elsewhere(error: ResponseError) -> ConnectionError | None:
    """The outage that *error* is, when the server has become the wrong one. The connection is of no use then."""
    # ASK is not followed: the other node has only a part of the queue, and a script would take the rest for missing.
    if isinstance(error, AskError):  # MOVED too
        return ConnectionError("the queue is moved to another node of the cluster")
    # redis-py looks for that word at the beginning only; 6.2 puts it into the middle of a script's error.
    return ConnectionError("the server has become a replica") if "READONLY " in str(error) else None


class LocatedConnection(sentinel.SentinelManagedConnection):
    """Is given up when its server says that it is the wrong one; the next one asks for the address again."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py, but with a ConnectionError for what another server has to answer."""
        try:
            return super().read_response(*args, **options)
        except ResponseError as e:
            elsewhere = _elsewhere(e)
            if elsewhere is None:
                raise
        self.disconnect()  # type: ignore[no-untyped-call]
        raise elsewhere


class AsyncLocatedConnection(async_sentinel.SentinelManagedConnection):
    """As :class:`LocatedConnection`, for asyncio."""

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """As :meth:`LocatedConnection.read_response`."""
        try:
            return await super().read_response(*args, **options)
        except ResponseError as e:
            elsewhere = _elsewhere(e)
            if elsewhere is None:
                raise
        await self.disconnect()
        raise elsewhere


class AsyncLocatedTLSConnection(AsyncLocatedConnection, redis.asyncio.SSLConnection):
    """The same over TLS."""
