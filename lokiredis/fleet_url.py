"""URLs that name more than one host: the sentinels that know a master, or some nodes of a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlencode

from .errors import LokiRedisError
from .url import check_url

Address = tuple[str, int]

_URL = re.compile(
    r"(?P<tls>rediss?)\+(?P<kind>sentinel|cluster)://(?:(?P<login>[^/?#]*)@)?(?P<hosts>[^/?#@]*)"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?P<host>[^\s:%\[\]]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]+))?")
#: As sentinel.conf allows it.
_SERVICE = re.compile(r"[A-Za-z0-9._-]+")
_PORTS = {"sentinel": 26379, "cluster": 6379}
_YES_OR_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True)
class FleetURL:
    """Who to ask for the server, and plain Redis URLs that carry how to talk to it, and to those asked."""

    kind: Literal["sentinel", "cluster"]
    addresses: tuple[Address, ...]
    #: Of a sentinel's master; empty for a cluster.
    service: str
    #: ``redis://`` or ``rediss://`` with the login and the options; the host in it stands for any.
    server: str
    #: The same for those who are asked: what stands before and after the host.
    _asked: tuple[str, str]

    def to(self, address: Address) -> str:
        """The URL to ask the one at *address* by."""
        before, after = self._asked
        return before + _bracketed(address) + after


def is_fleet_url(url: str) -> bool:
    """Whether its scheme is one of those that :func:`read_fleet_url` reads."""
    return url.startswith(("redis+sentinel://", "rediss+sentinel://", "redis+cluster://", "rediss+cluster://"))


def read_fleet_url(url: str) -> FleetURL:
    """Raises LokiRedisError for what can't be meant. It quotes none of it: any piece may belong to a password."""
    found = _URL.fullmatch(url)
    if found is None or not url.isprintable():
        raise LokiRedisError("the Redis URL can't be taken apart; a password with one of / ? # in it needs %2F %3F %23")
    kind: Literal["sentinel", "cluster"] = "sentinel" if found["kind"] == "sentinel" else "cluster"
    addresses = tuple(_address(text, _PORTS[kind]) for text in found["hosts"].split(","))
    options = parse_qsl(found["query"] or "", keep_blank_values=True)
    own = {name.removeprefix("sentinel_"): value for name, value in options if name.startswith("sentinel_")}
    rest = [(name, value) for name, value in options if not name.startswith("sentinel_")]
    service, database = "", ""
    if kind == "sentinel":
        service, database = _service(unquote(found["path"] or ""))
    else:
        _refuse_database(found["path"], options)
    login = f"{found['login']}@" if found["login"] is not None else ""
    before, after = f"{found['tls']}://{login}", f"/{database}?{urlencode(rest)}"
    asked = (before, after) if kind == "cluster" else _to_sentinels(found["tls"], own, rest)
    made = FleetURL(kind, addresses, service, before + _bracketed(addresses[0]) + after, asked)
    for each in (made.server, *(made.to(address) for address in addresses)):
        check_url(each)
    return made


def _address(text: str, port: int) -> Address:
    if not text:
        raise LokiRedisError("a host is missing in the Redis URL: it wants host:port,host:port")
    found = _HOST.fullmatch(text)
    if found is None:
        raise LokiRedisError("the Redis URL wants host:port,host:port, an IPv6 address in brackets")
    port = int(found["port"] or port)
    if not 0 < port < 65536:
        raise LokiRedisError("a port in the Redis URL is not one of 1 to 65535")
    return found["host"].strip("[]"), port


def _service(path: str) -> tuple[str, str]:
    service, _, database = path.removeprefix("/").partition("/")
    if not _SERVICE.fullmatch(service):
        raise LokiRedisError(
            "the Redis URL lacks the name that the sentinels know the master by: redis+sentinel://host:26379/NAME"
        )
    return service, database


def _refuse_database(path: str | None, options: list[tuple[str, str]]) -> None:
    if (path or "/") not in ("/", "/0") or any(name == "db" for name, _ in options):
        raise LokiRedisError("a Redis Cluster has no databases: the Redis URL ends after its hosts and options")
    if any(name.startswith("sentinel_") for name, _ in options):
        raise LokiRedisError("the options sentinel_… belong to a Redis URL with redis+sentinel://")


def _to_sentinels(scheme: str, own: dict[str, str], rest: list[tuple[str, str]]) -> tuple[str, str]:
    """TLS to the sentinels too when the scheme says so, as others read it, with the same certificates."""
    tls = _YES_OR_NO.get(own.pop("ssl", "yes" if scheme == "rediss" else "no").lower())
    if tls is None:
        raise LokiRedisError("sentinel_ssl in the Redis URL is yes or no")
    if not own.keys() <= {"username", "password"}:
        raise LokiRedisError("of sentinel_… the Redis URL may have sentinel_username, sentinel_password, sentinel_ssl")
    shared = [(name, value) for name, value in rest if name.startswith("ssl_")] if tls else []
    return f"{'rediss' if tls else 'redis'}://", f"?{urlencode([*own.items(), *shared])}"


def _bracketed(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
