"""What the queue must know of a server: its version, and whether it would throw data away."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from .errors import UnsupportedServer

OLDEST = (6, 2)


@dataclass(frozen=True)
class Server:
    """``version`` is None for a server that does not tell one (fakeredis, or INFO forbidden by its ACL)."""

    version: tuple[int, ...] | None
    name: str = "redis"
    #: False once it has refused a function library: then it gets plain scripts.
    functions: bool = True

    def as_known_from(self, earlier: Server) -> Server:
        """This server, with what the earlier look at it found out since."""
        return replace(self, functions=self.functions and earlier.functions)

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> Server:
        """The server of an INFO reply. Raises UnsupportedServer below 6.2; warns about an evicting one."""
        if "redis_version" not in info:
            # A cluster client answers for each node.
            nodes = [node for node in info.values() if isinstance(node, Mapping)]
            info = nodes[0] if nodes else {}
        text = str(info.get("redis_version", ""))
        version = tuple(int(part) for part in text.split(".") if part.isdigit()) or None
        if version is not None and version < OLDEST:
            raise UnsupportedServer(f"this server is Redis {text}; lokiredis needs 6.2 or newer, or Valkey")
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            warnings.warn(
                f"this Redis throws data away when memory is full (maxmemory-policy {policy}): "
                "tasks WILL be lost. Set maxmemory-policy noeviction.",
                stacklevel=2,
            )
        # Valkey tells the Redis version that it is compatible with as redis_version.
        return cls(version, str(info.get("server_name", "redis")))

    @classmethod
    def from_refusal(cls, error: ResponseError) -> Server:
        """The server of a refused INFO: the plainest form of the scripts works everywhere.

        Raises UnsupportedServer for one from before HELLO, with which redis-py begins each connection.
        """
        text = str(error)
        if "unknown command" in text and "HELLO" in text:
            raise UnsupportedServer("this server is older than Redis 6; lokiredis needs 6.2 or newer, or Valkey")
        return cls(None)


def read_server(client: Any) -> Server:
    """Ask a server who it is. Raises UnsupportedServer."""
    try:
        return Server.from_info(client.info())
    except ResponseError as e:
        return Server.from_refusal(e)


async def read_server_async(client: Any) -> Server:
    """As :func:`read_server`, awaited."""
    try:
        return Server.from_info(await client.info())
    except ResponseError as e:
        return Server.from_refusal(e)


def lacks_script(error: ResponseError) -> bool:
    """Was a script called that this server has not been given yet, or lost?"""
    return isinstance(error, NoScriptError) or str(error).startswith("Function not found")


def is_loaded_already(error: ResponseError) -> bool:
    """Did another client load the same library first?"""
    return "already exists" in str(error)


def refuses_functions(error: ResponseError) -> bool:
    """Does this server take no function libraries, by its ACL or by its keeper's choice?"""
    text = str(error).lower()
    return ("fcall" in text or "function" in text) and ("permission" in text or "unknown command" in text)
