"""A URL that every event is posted to."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from ..models import Event

_TRIES, _FIRST_PAUSE, _LONGEST_PAUSE = 4, 0.5, 5
#: To connect, and for each part of the answer.
_SECONDS = 10
_TOO_MANY, _TOO_SLOW = 429, 408


def webhook_url(value: str) -> str:
    """An http or https URL that can be posted to."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = False
    if not usable or not value.isascii() or not value.isprintable() or " " in value:
        raise click.BadParameter("not an http:// or https:// URL")
    if "@" in urlsplit(value).netloc:
        raise click.BadParameter("a name or password in the URL is not sent; use a token in its path")
    return value


class Webhook:
    """Posts an event as JSON, a few times if need be."""

    def __init__(self, url: str) -> None:
        from urllib.request import HTTPRedirectHandler, build_opener

        class Stay(HTTPRedirectHandler):
            """No redirect: urllib would go on with a GET, and the event be lost; or to who knows where."""

            def redirect_request(self, *_: Any, **__: Any) -> None:
                return None

        self._url = url
        self._open = build_opener(Stay).open

    def __call__(self, event: Event) -> str | None:
        """What went wrong in the end, if anything did."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

        again = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(_TRIES),
            wait=wait_exponential(multiplier=_FIRST_PAUSE, max=_LONGEST_PAUSE),
            reraise=True,
        )
        try:
            again(self._post, (json.dumps(event.to_json()) + "\n").encode())
        except (OSError, HTTPException, ValueError) as e:
            # The path of a webhook is often its password.
            parts = urlsplit(self._url)
            return f"{parts.scheme}://{parts.netloc}/… {_why(e)}"
        return None

    def _post(self, body: bytes) -> None:
        from urllib.request import Request

        headers = {"Content-Type": "application/json", "User-Agent": "lokiredis"}
        with self._open(Request(self._url, body, headers, method="POST"), timeout=_SECONDS):
            pass


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in (_TOO_MANY, _TOO_SLOW)
    return isinstance(error, (OSError, HTTPException))


def _why(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()
        moved = ": give the URL that it redirects to" if 300 <= error.code < 400 else ""
        return f"answered {error.code} {error.reason}{moved}"
    return f"failed: {getattr(error, 'reason', None) or error or type(error).__name__}"
