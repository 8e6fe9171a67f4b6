"""What counts as a rate limit, and how long it asks to wait (rule 15)."""

from __future__ import annotations

import math
import time
import urllib.error
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.message import Message
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lokiredis.ratelimit import is_rate_limit, retry_after

NOW = datetime(2026, 10, 21, 7, 0, 0, tzinfo=timezone.utc)
MIB = 1024 * 1024


class Response:
    """A response as httpx and requests have it; requests' is false for an error status."""

    def __init__(self, status_code: int = 429, headers: object = None) -> None:
        self.status_code = status_code
        self.headers = headers

    def __bool__(self) -> bool:
        return False


class SdkError(Exception):
    """An exception that carries a response, as those of httpx, requests, openai and anthropic do."""

    def __init__(self, message: str = "", response: object = None, **attributes: object) -> None:
        super().__init__(message)
        self.response = response
        for name, value in attributes.items():
            setattr(self, name, value)


class RateLimitError(Exception):
    """As the SDKs name it."""


class ApiRateLimitError(Exception):
    """As some wrappers name it."""


class HostileError(Exception):
    """Raises whatever it is asked."""

    def __str__(self) -> str:
        raise ValueError("no text")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class HostileHeaders:
    """Headers without an end."""

    def items(self) -> Iterator[tuple[str, str]]:
        while True:
            yield "x", "y"


class NoClass:
    """Fails even isinstance."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


@pytest.mark.parametrize(
    "error",
    [
        "Rate limit reached for gpt-5",
        "RATE LIMIT",
        "rate_limit_error",
        "rate-limited",
        "anthropic.RateLimitError: slow down",
        "429",
        "Error code: 429 - {'error': {}}",
        "HTTP 429.",
        "HTTP429",
        "status_code=429,",
        "HTTP/429",
        "(429)",
        "HTTP/1.1 429 Too Many",
        "ERR_429",
        "Too Many Requests",
        "TOO_MANY_REQUESTS",
        "Quota exceeded for quota metric 'Requests'",
        "503 Service Unavailable\r\nRetry-After: 120",
        b"429 \xff\xfe",
        bytearray(b"too many requests"),
        429,
        {"status": 429},
        ValueError("rate limit"),
        RateLimitError(),
        ApiRateLimitError(),
        SdkError("no", response=Response(429)),
        SdkError("no", status_code=429),
        SdkError("no", status=HTTPStatus.TOO_MANY_REQUESTS),
        SdkError("no", response=Response(503, {"Retry-After": "3"})),
        urllib.error.HTTPError("http://x", 429, "no", Message(), None),
        KeyboardInterrupt("429"),
    ],
    ids=repr,
)
def test_a_rate_limit_is_recognised(error: object) -> None:
    """The documented words in any case and as SDKs spell them, a 429 of its own, and what exceptions carry."""
    assert is_rate_limit(error)


@pytest.mark.parametrize(
    "error",
    [
        "",
        b"",
        None,
        "1429",
        "4290",
        "14290 tokens",
        "429.5",
        "took 429ms",
        "3.429",
        "1,429",
        "429,000",
        "0x429",
        "0x4290",
        "a429f",
        "d429-11ee-be56-0242ac120002",
        "3f2504e0-4f89-429c-9a0c",
        "task-429",
        "eng_429",
        "#429",
        "https://host/issues/429",
        "429/500 done",
        "12:429",
        "429-10-11",
        "separate limits",
        "accurate limit",
        "rate of limits",
        "many requests",
        "HTTP 500",
        ValueError("boom"),
        SdkError("no", response=Response(500, {"Content-Type": "text/plain"})),
        SdkError("no", code=lambda: 429),
    ],
    ids=lambda error: error if isinstance(error, str) else type(error).__name__,
)
def test_something_else_is_no_rate_limit(error: object) -> None:
    """A 429 inside a longer number, an id or a path is none, nor is half a phrase."""
    assert not is_rate_limit(error)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Retry-After: 30", 30),
        ("HTTP/1.1 429\r\nretry-after: 30\r\nDate: Wed, 21 Oct 2026 07:00:00 GMT", 30),
        ("RETRY-AFTER:30", 30),
        ("Retry-After: 0", 0),
        ("Retry-After: 1.5", 1.5),
        ("retry after 30s", 30),
        ("Please retry after 30 seconds.", 30),
        ("retry after 30.", 30),
        ("try again in 1m30s", 90),
        ("Please try again in 1m 30s.", 90),
        ("try again in 1h2m", 3720),
        ("try again in 1h2m3.5s", 3723.5),
        ("try again in 1 hour, 2 minutes and 3 seconds", 3723),
        ("try again in 2 days", 172800),
        ("try again in 500ms", 0.5),
        ("try again in 6m0s. Visit 4 pages", 360),
        ("try again in 857 milliseconds", 0.857),
        ("try again in about 5 minutes", 300),
        ("TRY AGAIN IN 5 MIN", 300),
        ("Please retry in 33.2s.", 33.2),
        ("{'retry_after': 12}", 12),
        ('{"retry-after": "12", "x": 1}', 12),
        ('{"retryAfter":12}', 12),
        ('{"retryDelay": "33s"}', 33),
        ('{"retry_after_ms": 1500}', 1.5),
        ("retry_after_seconds=7", 7),
        ("[(b'retry-after', b'9')]", 9),
        ("retry after a while; try again in 20s", 20),
        ("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT", 1680),
        ('"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"', 1680),
        ("Retry-After: Wednesday, 21-Oct-26 07:28:00 GMT", 1680),
        ("Retry-After: Wed Oct 21 07:28:00 2026", 1680),
        ("Retry-After: Wed, 21 Oct 2026 09:28:00 +0200", 1680),
        ("Retry-After: Tue, 20 Oct 2026 07:28:00 GMT", 0),
    ],
)
def test_the_wait_is_read_from_text(text: str, seconds: float) -> None:
    """Each documented way to say it, as str, as bytes and as an exception's text."""
    for error in (text, text.encode(), RuntimeError(text)):
        assert retry_after(error, now=NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "429",
        "rate limit, 30 requests per minute",
        "Retry-After:",
        "Retry-After: soon",
        "Retry-After: -5",
        "retry after -5s",
        "Retry-After: nan",
        "Retry-After: inf",
        "Retry-After: 1e999",
        "Retry-After: 30x",
        "Retry-After: 30-60",
        "Retry-After: 2026-10-21T07:28:00Z",
        "Retry-After: 07:28:00",
        "Retry-After: Wed, 99 Oct 2026 07:28:00 GMT",
        "Retry-After: Wed, 21 Foo 2026 07:28:00 GMT",
        "Retry-After: Wed, 21 Oct 2026 27:78:00 GMT",
        "Retry-After: ٣٠",
        "retrying into 30",
    ],
)
def test_no_wait_is_made_up(text: str) -> None:
    """Where nothing sound is said, there is no answer, and the agent's own backoff applies."""
    assert retry_after(text, now=NOW) is None


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (SdkError(response=Response(headers={"retry-after": "30"})), 30),
        (SdkError(response=Response(headers={"Retry-After": "30"})), 30),
        (SdkError(response=Response(headers={b"Retry-After": b"30"})), 30),
        (SdkError(response=Response(headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})), 1680),
        (SdkError(response=Response(headers={"retry-after-ms": "250", "retry-after": "1"})), 0.25),
        (SdkError(headers={"Retry-After": "30"}), 30),
        (SdkError(retry_after=12), 12),
        (SdkError(retry_after=1.5), 1.5),
        (SdkError(retry_after="12"), 12),
        (SdkError(retry_after=timedelta(minutes=2)), 120),
        (SdkError("try again in 9s", response=Response(headers={"retry-after": "30"})), 30),
        (SdkError("try again in 9s", response=Response(headers={"retry-after": "soon"})), 9),
        (SdkError("try again in 9s", retry_after=None), 9),
        (SdkError("try again in 9s", retry_after=-1), 9),
        (SdkError("try again in 9s", retry_after=math.nan), 9),
        (SdkError("try again in 9s", retry_after=math.inf), 9),
        (SdkError("try again in 9s", retry_after=10**400), 9),
        (SdkError("try again in 9s", retry_after=True), 9),
        (SdkError("try again in 9s", retry_after=timedelta(seconds=-3)), 9),
        (SdkError("try again in 9s", retry_after=lambda: 5), 9),
        (SdkError("try again in 9s", response=Response(headers=HostileHeaders())), 9),
        (SdkError("try again in 9s", response=Response(headers=7)), 9),
        (SdkError("try again in 9s", response=HostileError()), 9),
        (SdkError("no"), None),
    ],
)
def test_the_wait_is_read_from_exceptions(error: object, seconds: float | None) -> None:
    """Headers and attributes go before the text, and whatever is unsound in them is passed over."""
    assert retry_after(error, now=NOW) == seconds


def test_a_hostile_object_is_harmless() -> None:
    """Whatever an agent's tool raised, also what fails str(), getattr() or even isinstance(), has an answer."""
    for error in (HostileError(), NoClass()):
        assert not is_rate_limit(error)
        assert retry_after(error) is None


def test_the_wait_is_read_from_urllib() -> None:
    """The standard library's own error carries a Message, which is no Mapping."""
    headers = Message()
    headers["Retry-After"] = "30"
    assert retry_after(urllib.error.HTTPError("http://x", 429, "no", headers, None)) == 30


def test_a_date_counts_from_this_machines_clock_by_default() -> None:
    """Without now, a date ten minutes ahead is ten minutes."""
    date = (datetime.now(timezone.utc) + timedelta(minutes=10)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    wait = retry_after(f"Retry-After: {date}")
    assert wait is not None
    assert 590 <= wait <= 600


def test_a_naive_now_is_utc() -> None:
    """A now without a time zone is no error and counts as UTC."""
    assert retry_after("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT", now=NOW.replace(tzinfo=None)) == 1680


def test_a_huge_wait_is_finite() -> None:
    """However many digits, the answer is a finite number or none: capping it is the script's part."""
    for digits in (20, 300, MIB):
        for error in ("Retry-After: " + "9" * digits, SdkError(retry_after="9" * digits)):
            wait = retry_after(error)
            assert wait is None or math.isfinite(wait)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        " ",
        "9",
        "429",
        "1429.",
        "0x429 ",
        "4",
        "retry",
        "retry after ",
        "retry-after:",
        "try again in 1x ",
        "try again in 1m1m1",
        "1h1m1s",
        "rate",
        "rate ",
        "Wed, ",
        "retry after Wed, 21 Oct ",
        "retry after \t",
        "Wed, 21 Oct 2026 07:28:0",
        "\ud800",
        "\x00",
    ],
)
def test_a_megabyte_is_read_in_linear_time(piece: str) -> None:
    """No text makes the patterns backtrack: four times the text takes about four times as long, and 1 MiB ends soon."""

    def seconds(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        begin = time.process_time()
        is_rate_limit(text)
        retry_after(text, now=NOW)
        return time.process_time() - begin

    # Quadratic would be 16 times. Times below a hundredth of a second say nothing.
    longest = min(5, 10 * max(min(seconds(MIB // 4) for _ in range(2)), 0.01))
    assert seconds(MIB) < longest or seconds(MIB) < longest


@given(st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none(), st.dictionaries(st.text(), st.text())))
def test_nothing_raises(error: object) -> None:
    """Any object has an answer of the declared type, and so has an exception that carries it everywhere."""
    carrier = SdkError(str(error), response=Response(headers={"retry-after": error}), retry_after=error, code=error)
    for asked in (error, carrier):
        assert is_rate_limit(asked) in (True, False)
        wait = retry_after(asked, now=NOW)
        assert wait is None or (math.isfinite(wait) and wait >= 0)


@given(st.text(st.sampled_from("retry after-:=429.0msh1 Wed,GMT\"'ſ٣"), max_size=60))
def test_nothing_raises_on_text_close_to_the_real_thing(text: str) -> None:
    """The same on text made of the pieces that the patterns look for."""
    is_rate_limit(text)
    wait = retry_after("Retry-After: " + text, now=NOW)
    assert wait is None or (math.isfinite(wait) and wait >= 0)


@given(
    st.integers(0, 10**6),
    st.sampled_from(
        [("Retry-After: {}", 1), ("retry after {}s", 1), ("try again in {}m", 60), ("retry in {}ms", 0.001)]
    ),
    st.text(max_size=50).map(lambda text: text + "\n"),
)
def test_a_wait_is_found_wherever_it_stands(number: int, form: tuple[str, float], before: str) -> None:
    """What comes before it in a long message doesn't hide it."""
    text, scale = form
    assert retry_after(before + text.format(number), now=NOW) == pytest.approx(number * scale)


@given(
    st.tuples(st.text("0123456789", max_size=6), st.text("0123456789", max_size=6))
    .filter(any)
    .map(lambda around: "429".join(around))
)
def test_no_longer_number_is_a_status(number: str) -> None:
    """429 as a part of another number never counts, however it is wrapped."""
    wraps: list[Callable[[str], str]] = [str, "took {} ms".format, "({})".format, "id={}".format, "{}.".format]
    assert not any(is_rate_limit(wrap(number)) for wrap in wraps)
