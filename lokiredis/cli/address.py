"""A Redis URL as it may be shown to people: without any password."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

from .text import safe

_URL = re.compile(
    r"""\A (?P<scheme> [a-z][a-z0-9+.-]* ://)
        (?: (?P<user> [^/?#]*) @)?
        (?P<place> (?: [^/?#@:,\[\]]* | \[[0-9a-f:.]*\]) (?: :[0-9]*)?
            (?: , (?: [^/?#@:,\[\]]* | \[[0-9a-f:.]*\]) (?: :[0-9]*)?)*)
        (?P<path> /[^?#]*)?
        (?: [?#][^@]*)? \Z""",
    re.VERBOSE | re.IGNORECASE | re.ASCII | re.DOTALL,
)

_SCHEMES = frozenset({"redis", "rediss", "unix", "memory"})
_SEVERAL_HOSTS = frozenset({"redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"})


def shown_url(url: str) -> str:
    """*url* without password and query. A URL that can't be taken apart for certain shows its scheme only.

    A password that holds a raw "/", "?" or "@" would otherwise leave a piece of itself behind.
    """
    found = _URL.match(url)
    if found is None or ("@" in (found["path"] or "") and (found["place"] or found["user"] is not None)):
        return safe(url.partition("://")[0] + "://…") if "://" in url else "…"
    user, colon, _ = (found["user"] or "").partition(":")
    login = "" if found["user"] is None else f"{user if colon else ''}:***@"
    return safe(f"{found['scheme']}{login}{found['place']}{found['path'] or ''}")


def is_redis_url(url: str) -> bool:
    """Whether redis-py would take it. Its complaint about a bad port may quote a piece of the password."""
    if url.partition("://")[0] in _SEVERAL_HOSTS:
        return True  # looked at when it is used
    try:
        parts = urlsplit(url)
        return parts.scheme in _SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def without_secrets(text: str, url: str | None) -> str:
    """*text* with the URL's passwords struck out, in case an error quotes the URL."""
    if not url:
        return text
    text = text.replace(url, shown_url(url))
    for secret in _secrets(url):
        text = text.replace(secret, "***")
    return text


def _secrets(url: str) -> list[str]:
    before, at, _ = url.rpartition("@")
    found = [before.partition("://")[2].partition(":")[2]] if at else []
    for name, values in parse_qs(url.partition("?")[2]).items():
        if name.endswith("password"):  # sentinel_password and ssl_password too
            found += values
    # A one-letter password would strike out letters all over the message, and hides nothing.
    return [form for secret in found for form in {secret, unquote(secret)} if len(form) > 3]
