"""Everything that a queue has in Redis, as plain data to compare."""

from __future__ import annotations

from typing import Any

from lokiredis.keys import Keys

Stored = dict[str, Any]


def stored(redis: Any, queue_name: str) -> Stored:
    """Key (without the queue's prefix) -> content, and whether it expires. *redis* must not decode replies."""
    prefix = Keys(queue_name).prefix.encode()
    found: Stored = {}
    for key in sorted(redis.scan_iter(match=prefix + b"*", count=1000)):
        expires = redis.pttl(key) > 0
        name = key.removeprefix(prefix).decode()
        found[name] = (_content(redis, key), "expires" if expires else "stays")
    return found


def _content(redis: Any, key: bytes) -> Any:
    kind = redis.type(key)
    if kind == b"hash":
        return redis.hgetall(key)
    if kind == b"zset":
        return redis.zrange(key, 0, -1, withscores=True)
    if kind == b"stream":
        # The ids of a stream are the server's time, which no test moves.
        return [fields for _, fields in redis.xrange(key)]
    return redis.get(key)
