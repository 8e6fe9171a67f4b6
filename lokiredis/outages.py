"""When a call is sent again, for how long, and what the caller is told in the end (design rule 9)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    InvalidResponse,
    MasterDownError,
    MaxConnectionsError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_exponential,
    wait_random,
)

from .errors import LokiRedisError, QueueFull, QueueUnavailable, from_reply

#: All that a call may fail with; a cluster client of redis-py has a tree of its own.
FAILURES = (RedisError, OSError, RedisClusterException)
RETRYABLE = (ConnectionError, TimeoutError, OSError)
#: UNBLOCKED is what a waiting client is told when its server becomes a replica, MISCONF while the disk there is full.
_PASSING = (
    "UNBLOCKED ",
    "BUSY ",
    "LOADING ",
    "READONLY ",
    "MASTERDOWN ",
    "CLUSTERDOWN ",
    "TRYAGAIN ",
    "NOREPLICAS ",
    "MISCONF ",
)
# Of these redis-py takes that word off.
_PASSING_ERRORS = (BusyLoadingError, ReadOnlyError, ClusterDownError, TryAgainError, RedisClusterException, *RETRYABLE)
# Redis 6.2 puts the words of its own around what a command inside a script was refused with.
_PASSING_IN_SCRIPT = re.compile(r"@user_script: ?\d+: -(?:READONLY|NOREPLICAS|CLUSTERDOWN|MISCONF) ")
_READONLY_IN_SCRIPT = re.compile(r"@user_script: ?\d+: -READONLY ")
# What a command inside a script may not do is told by 7.0 and older in the first words, by newer ones in the second.
_NOT_ALLOWED_IN_SCRIPT = re.compile(r"The user executing the script can't|ACL failure in script")
# What is said to one who has given none: to a HELLO three lines of advice for whoever writes a client.
_NO_PASSWORD = re.compile(r"Authentication required|HELLO must be called with the client already authenticated")
_HOPELESS_TLS = re.compile(r"CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER")


class Hopeless(ConnectionError):
    """Those who are asked where the server is have answered, and will not answer otherwise."""


_HOPELESS = (Hopeless, AuthenticationError, AuthorizationError, MaxConnectionsError)


class _Translate:
    """Redis's errors as ours."""

    def __call__(self, error: BaseException, *, tls: bool = False) -> LokiRedisError:
        """The error of our tree that says the same. *tls*: the connection was to be one over TLS."""
        text = str(error)
        if isinstance(error, InvalidResponse):
            return QueueUnavailable("Redis cannot be reached: what answers there is no Redis server")
        if self.is_outage(error) or isinstance(error, (ConnectionError, TimeoutError, OSError)):
            return unavailable(error, tls=tls)
        if isinstance(error, MovedError):
            return LokiRedisError(
                "this is a node of a Redis Cluster, and the queue is on another one: use redis+cluster://"
            )
        code, _, rest = text.partition(" ")
        known = from_reply(code, rest)
        if known is not None:
            return known
        # redis-py takes the code off the plain error's text; 6.2 tells it in the middle of a script's error.
        if isinstance(error, OutOfMemoryError) or "OOM" in text:
            return QueueFull()
        if isinstance(error, NoPermissionError) or _NOT_ALLOWED_IN_SCRIPT.search(text):
            return LokiRedisError("Redis refused: this user is not allowed what the call needs", detail=text)
        if "user_script" in text:
            return LokiRedisError("a script of lokiredis failed inside Redis, and changed nothing more", detail=text)
        return LokiRedisError(f"Redis refused: {text.splitlines()[0] if text else type(error).__name__}")

    def is_outage(self, error: BaseException) -> bool:
        """May the same call succeed a little later?"""
        if isinstance(error, _HOPELESS) or _HOPELESS_TLS.search(str(error)):
            return False
        if isinstance(error, _PASSING_ERRORS):
            return True
        text = str(error)
        return isinstance(error, ResponseError) and (
            text.startswith(_PASSING) or _PASSING_IN_SCRIPT.search(text) is not None
        )


translate = _Translate()


def unavailable(error: BaseException, *, tls: bool = False) -> QueueUnavailable:
    """One line, without the password that a URL in the text may hold."""
    # A server without TLS just waits for the end of what it takes for a command: nothing else would tell what is wrong.
    # One that refuses the password was reached.
    how = " over TLS (rediss://)" if tls and not isinstance(error, (AuthenticationError, AuthorizationError)) else ""
    if _NO_PASSWORD.search(str(error)):
        return QueueUnavailable("Redis cannot be reached: it wants a password")
    text = re.sub(r"(//[^/@\s:]*:)[^@\s]*@", r"\1***@", str(error)).splitlines()
    return QueueUnavailable(f"Redis cannot be reached{how}: {text[0] if text else type(error).__name__}")


def is_demoted(error: BaseException) -> bool:
    """Does the server say that it is a replica now? A connection to it stays open, and would hear the same for ever."""
    if isinstance(error, (ReadOnlyError, MasterDownError)):
        return True
    text = str(error)
    return isinstance(error, ResponseError) and (
        text.startswith("UNBLOCKED ") or _READONLY_IN_SCRIPT.search(text) is not None
    )


def _again(error: BaseException) -> bool:
    return isinstance(error, FAILURES) and translate.is_outage(error)


def _rules() -> dict[str, Any]:
    return {
        "retry": retry_if_exception(_again),
        "wait": wait_exponential(multiplier=0.02, max=1) + wait_random(0, 0.05),
        "reraise": True,
    }


def retries(seconds: float) -> Retrying:
    """Attempts with growing pauses, up to a second, for about *seconds*."""
    return Retrying(stop=stop_after_delay(seconds), **_rules())


def async_retries(seconds: Callable[[], float], failed: Callable[[], None]) -> AsyncRetrying:
    """As :func:`retries`, for asyncio. *seconds* may become less meanwhile; *failed*: called after each attempt."""

    def enough(state: RetryCallState) -> bool:
        failed()
        return (state.seconds_since_start or 0) >= seconds()

    return AsyncRetrying(stop=enough, **_rules())
