"""Fixtures of every test: a private server per backend and session, a fresh queue per test."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from .servers import Backend, RedisServer, programs

if TYPE_CHECKING:
    from lokiredis import Queue

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

# Hypothesis has a "ci" profile of its own that derandomizes: each run would try the same examples for ever.
for _profile in ("default", "ci"):
    settings.register_profile(
        _profile,
        deadline=None,
        derandomize=False,
        print_blob=True,
        database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
        # A fixture per test, not per example, is what our properties want: they make their own queue names.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
settings.load_profile("ci" if IN_CI else "default")

# A shell starts what runs in its background with Ctrl-C ignored, and every child inherits that: the tests that
# interrupt one would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup does the same with SIGHUP. A handler of Python's is none in a child: there it is the default again.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", default=False, help="run the long campaigns in full")
    parser.addoption(
        "--part", choices=["all", "beside", "alone"], default="all", help="tests that run beside others, or not"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep one part: how long a call takes tells nothing while other tests have the cores, so those tests run alone."""
    part = config.getoption("--part")
    if part == "all":
        return
    kept = [item for item in items if (item.get_closest_marker("alone") is not None) == (part == "alone")]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def lacking(reason: str) -> NoReturn:
    """Ends a test for something that this machine lacks: a skip for a user, a failure in CI."""
    if IN_CI:
        pytest.fail(f"CI must have it: {reason}", pytrace=False)
    pytest.skip(reason)


# First in means last out: it must see what pytest made of an expected failure.
@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    # An expected failure is reported as skipped too.
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        _fail_for_skipping(report)


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, None]:
    outcome = yield
    report: pytest.CollectReport = outcome.get_result()
    if IN_CI and report.skipped:
        _fail_for_skipping(report)


def _fail_for_skipping(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Without this a machine that lacks a backend passes CI with nothing tested."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    report.outcome = "failed"
    report.longrepr = f"skipped, which is a failure in CI: {reason}"


@pytest.fixture(scope="session")
def long_run(pytestconfig: pytest.Config) -> bool:
    """Whether ``--long`` was given."""
    return bool(pytestconfig.getoption("--long"))


def _server(name: str) -> Iterator[RedisServer]:
    program = programs().get(name)
    if program is None:
        lacking(f"{name}: no such server program on this machine")
    with RedisServer(program) as server:
        yield server


@pytest.fixture(scope="session")
def redis6_server() -> Iterator[RedisServer]:
    """The server of the ``redis6`` backend."""
    yield from _server("redis6")


@pytest.fixture(scope="session")
def redis7_server() -> Iterator[RedisServer]:
    """The server of the ``redis7`` backend."""
    yield from _server("redis7")


@pytest.fixture(scope="session")
def server7() -> Iterator[RedisServer]:
    """The newest real server that this machine has, apart from the backends'. Its data stays for the whole session."""
    found = programs()
    name = next((name for name in ("redis7", "redis6") if name in found), "redis7")
    yield from _server(name)


def real_backend(name: str, server: RedisServer) -> Backend:
    """A real server as a backend. The caller closes ``redis``."""
    return Backend(name, server.client(), server.client, server.async_client, server.url, server)


def fake_backend() -> Backend:
    """A new, empty fakeredis as a backend: every client of it shares its data."""
    try:
        fakeredis = importlib.import_module("fakeredis")
    except ImportError:
        lacking("fakeredis: not installed (pip install 'lokiredis[memory]')")
    shared = fakeredis.FakeServer()

    def client(**options: Any) -> Any:
        return fakeredis.FakeRedis(server=shared, **{"decode_responses": False, **options})

    def async_client(**options: Any) -> Any:
        return fakeredis.FakeAsyncRedis(server=shared, **{"decode_responses": False, **options})

    return Backend("fakeredis", client(), client, async_client)


@pytest.fixture(params=["redis6", "redis7", "fakeredis"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend in turn: an empty server, and a fresh client on it."""
    name = request.param
    found = fake_backend() if name == "fakeredis" else real_backend(name, request.getfixturevalue(f"{name}_server"))
    try:
        yield found
    finally:
        # The server lives on: 100,000 tasks left by one test would slow every later one.
        found.redis.flushall()
        found.redis.close()


@pytest.fixture
def queue_name() -> str:
    """A queue name that no other test has."""
    return f"q-{uuid4().hex[:12]}"


@pytest.fixture
def queue(backend: Backend, queue_name: str) -> Iterator[Queue]:
    """An empty queue on each backend, and afterwards the check that its data is sound."""
    from lokiredis import Queue

    yield Queue(backend.redis, name=queue_name)
    importlib.import_module("tests.invariants").check(backend.redis, queue_name)
