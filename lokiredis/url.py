"""What a Redis URL may say. redis-py passes over what it doesn't understand, or stumbles over it when it connects."""

from __future__ import annotations

import re
import ssl
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from .errors import LokiRedisError

_SECONDS = frozenset(("socket_timeout", "socket_connect_timeout"))
_WHOLE = frozenset(("db", "max_connections", "health_check_interval", "socket_read_size", "ssl_min_version"))
#: What may stand after the ?. Others of redis-py's take objects, which no URL can name.
_OPTIONS = (
    _SECONDS
    | _WHOLE
    | frozenset(
        (
            "username password client_name protocol decode_responses socket_keepalive retry_on_timeout "
            "ssl_keyfile ssl_certfile ssl_cert_reqs ssl_ca_certs ssl_ca_path ssl_ca_data ssl_password ssl_ciphers "
            "ssl_check_hostname ssl_include_verify_flags ssl_exclude_verify_flags"
        ).split()
    )
)


def check_url(url: str) -> None:
    """Raises LokiRedisError for what can't be a Redis URL. It quotes none of it: any piece may belong to a password."""
    try:
        parts = urlsplit(url)
        known = url.startswith(("redis://", "rediss://", "unix://")) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise LokiRedisError(
            "not a Redis URL: redis://, rediss://, unix://, memory://, redis+sentinel:// or redis+cluster://"
        )
    if not _is_possible(url, parts):
        raise LokiRedisError("the Redis URL names no possible host or path")
    if parts.scheme != "unix" and not re.fullmatch(r"/?[0-9]*/?", unquote(parts.path)):
        raise LokiRedisError("the database in a Redis URL is a number, as in redis://host:6379/0")
    for name, values in parse_qs(parts.query).items():
        if name not in _OPTIONS:
            raise LokiRedisError("an option after the ? of the Redis URL is unknown to lokiredis")
        if not _is_value(name, values[0]):
            raise LokiRedisError("an option after the ? of the Redis URL has a value that it can't have")


def _is_possible(url: str, parts: SplitResult) -> bool:
    """Whether the name can be looked up at all: UTF-8, no label over 63 characters."""
    host = unquote(parts.hostname or "")
    try:
        url.encode()
        host.encode("idna")
    except UnicodeError:
        return False
    return "\0" not in host + unquote(parts.path)


def _is_value(name: str, value: str) -> bool:
    try:
        if name in _SECONDS:
            return 0 < float(value) < float("inf")
        if name == "ssl_min_version":
            ssl.TLSVersion(int(value))
        return name not in _WHOLE or int(value) >= (name not in ("db", "health_check_interval"))
    except ValueError:
        return False
