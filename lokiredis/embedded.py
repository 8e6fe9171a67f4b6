"""The server that lokiredis starts itself: one per ``.loki`` folder, shared by all processes of that folder.

Files in ``.loki/redis/``, besides the data and ``redis.log``:

``redis.sock``    where the server listens.
``start.lock``    held for a moment by the process that starts or stops the server.
``alive.lock``    held by the server process itself for as long as it lives, so the kernel says whether there is one:
                  no pid has to be believed, a kill -9 or a reboot frees it, and a paused server still has it.
``owner.json``    the machine that runs the server; removed by a clean stop.
``data-version``  the server version that wrote the data.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .append_only_file import drop_open_call
from .errors import LokiRedisError, QueueUnavailable
from .line_file import read_line, write_line
from .machine import process_begin, read_machine, this_machine
from .server_program import ServerProgram, Version, choose_program, parse_version, running_version
from .socket_path import socket_path

if TYPE_CHECKING:
    from redis import Redis

START_SECONDS = 30.0
LOADING_SECONDS = 600.0
STOP_SECONDS = 60.0
# Longer than a stop, which holds the lock until the server is gone.
_LOCK_SECONDS = STOP_SECONDS + 30.0
_ANSWER_SECONDS = 2.0
_POLL_SECONDS = 0.01

Pulse = Literal["up", "loading", "silent", "absent"]


@dataclass(frozen=True)
class ServerStatus:
    """What a server says of itself. ``memory`` is in bytes, ``uptime`` in seconds; None when it isn't running."""

    running: bool
    folder: Path
    socket: Path
    url: str
    log: Path
    loading: bool = False
    pid: int | None = None
    version: str | None = None
    program: str | None = None
    port: int | None = None
    bind: str | None = None
    memory: int | None = None
    clients: int | None = None
    uptime: int | None = None


def find_folder(start: Path | None = None) -> Path:
    """The nearest ``.loki`` folder from *start* (default: the current folder) upwards, as git finds ``.git``.

    Without one: where it would be made, ``.loki`` in *start*. Nothing is created.
    """
    try:
        here = Path(os.path.abspath(start or "."))
    except FileNotFoundError:
        raise LokiRedisError("The current folder was removed; change to another one.") from None
    for folder in (here, *here.parents):
        if os.path.isdir(folder / ".loki"):
            return folder / ".loki"
    return here / ".loki"


def ensure(folder: Path | None = None) -> str:
    """The URL of the running server of *folder* (default: the nearest ``.loki``), which is started when needed.

    Costs one connect and PING when it runs already. Errors: as ``EmbeddedServer.start``.
    """
    return EmbeddedServer(folder or find_folder()).start()


class EmbeddedServer:
    """The server of one ``.loki`` folder, whose data is in ``<folder>/redis/``. Making this object touches nothing.

    The server outlives the process that started it, and every acknowledged write survives a kill -9 of either.
    Removing the folder doesn't end the server: stop it first.
    """

    def __init__(self, folder: Path) -> None:
        self._given = Path(os.path.abspath(folder))
        self.folder = Path(os.path.realpath(folder))
        self.data = self.folder / "redis"
        self.log = self.data / "redis.log"

    @property
    def socket(self) -> Path:
        """Where clients connect: ``redis.sock`` of the folder, by a shorter way when that path is too long."""
        return socket_path(self.data)

    @property
    def url(self) -> str:
        """``unix:///path/redis.sock`` for redis clients, with special characters escaped as ``%20``."""
        from urllib.parse import quote

        return "unix://" + quote(os.fsencode(self.socket))

    def start(self, *, port: int | None = None, bind: str | None = None) -> str:
        """The server's URL, once it answers; started first when it isn't running.

        *port* opens a TCP port too, on *bind* (default 127.0.0.1), without a password: every user of this machine can
        connect. An address that other machines reach is refused. Returns when the data is loaded: up to 30 s, or
        10 minutes for a server that says it is loading. Errors: ``NoServer``, ``UnsupportedServer``,
        ``QueueUnavailable`` with the last lines of its log, ``LokiRedisError`` when the folder can't be used, belongs
        to another host, or the server runs already on another port.
        """
        listen = _listen(port, bind)
        with self._plain_errors():
            if self._pulse() != "up":
                self._start(listen)
            if listen is not None:
                self._check_listens(*listen)
            return self.url

    def stop(self) -> None:
        """End the server and return when its process is gone and its data is on disk. Not running: nothing happens.

        Errors: ``QueueUnavailable`` when it doesn't answer or end, ``LokiRedisError`` when it runs on another host.
        """
        with self._plain_errors():
            if not self.data.is_dir():
                return
            with self._start_lock():
                self._check_owner()
                if self._pulse() != "absent":
                    self._shut_down()
                elif self._alive():
                    raise self._no_answer()
                self._owner_file.unlink(missing_ok=True)

    def status(self) -> ServerStatus:
        """What the server says of itself now. ``QueueUnavailable`` when there is one that doesn't answer."""
        with self._plain_errors():
            known = {"folder": self.data, "socket": self.socket, "url": self.url, "log": self.log}
            if self._pulse() == "absent" and not self._alive():
                return ServerStatus(running=False, **known)  # type: ignore[arg-type]
            info = self._info()
            listens = self._listens() if info["tcp_port"] else None
        return ServerStatus(
            running=True,
            loading=bool(info.get("loading")),
            pid=info["process_id"],
            version=running_version(info),
            program=info.get("executable"),
            port=info["tcp_port"] or None,
            bind=listens["bind"] if listens else None,
            memory=info["used_memory"],
            clients=info["connected_clients"],
            uptime=info["uptime_in_seconds"],
            **known,  # type: ignore[arg-type]
        )

    # -- talking to the server

    def _connect(self, timeout: float) -> Redis:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return Redis(
            unix_socket_path=str(self.socket),
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # redis-py repeats a refused connect for seconds, and would send SHUTDOWN again.
            retry=Retry(NoBackoff(), 0),
            # 2: no HELLO, which an old or loading server may refuse.
            protocol=2,
            decode_responses=True,
        )

    def _pulse(self) -> Pulse:
        if not os.path.exists(self.data / "redis.sock"):
            return "absent"
        from redis import AuthenticationError, BusyLoadingError, ConnectionError, ResponseError, TimeoutError

        with self._connect(_ANSWER_SECONDS) as client:
            try:
                client.ping()
            except BusyLoadingError:
                return "loading"
            except (ResponseError, AuthenticationError):
                return "up"  # BUSY, MISCONF and the like: not happy, but there
            except TimeoutError:
                return "silent"
            except ConnectionError as error:
                return "up" if "max number of clients" in str(error) else "absent"
        return "up"

    def _info(self) -> dict[str, Any]:
        from redis import ConnectionError, TimeoutError

        with self._connect(_ANSWER_SECONDS) as client:
            try:
                return dict(client.info())
            except (ConnectionError, TimeoutError):
                raise self._no_answer() from None

    def _listens(self) -> dict[str, str]:
        """``bind``, addresses between blanks, and ``port``."""
        from redis import ConnectionError, TimeoutError

        with self._connect(_ANSWER_SECONDS) as client:
            try:
                return dict(client.config_get("port")) | dict(client.config_get("bind"))
            except (ConnectionError, TimeoutError):
                raise self._no_answer() from None

    def _check_listens(self, bind: str, port: int) -> None:
        config = self._listens()
        if config["port"] != str(port) or bind not in config["bind"].split():
            now = "without a TCP port" if config["port"] == "0" else f"on {config['bind']} port {config['port']}"
            raise LokiRedisError(f"The server of {self.folder} runs already, {now}. Stop it first, then start it so.")

    # -- starting

    def _start(self, listen: tuple[str, int] | None) -> None:
        self._make_folder()
        self._refuse_odd_files()
        log_begin = self.log.stat().st_size if self.log.exists() else 0
        # More than one round only when somebody stopped the server while we waited for it.
        for _ in range(20):
            with self._start_lock():
                self._check_owner()
                spawned = self._spawn_unless_alive(listen)
            if self._wait_until_up():
                return
            if spawned and self._has_died():
                break
        raise self._start_failure(log_begin)

    def _make_folder(self) -> None:
        if self._given.is_symlink() and not self._given.exists():
            # Its target may be on a disk that isn't mounted: making it would hide the real data.
            raise LokiRedisError(f"{self._given} is a symlink to nothing.")
        for folder, mode in ((self.folder, 0o777), (self.data, 0o700)):
            if folder.is_symlink():
                raise LokiRedisError(f"{folder} is a symlink; the embedded server needs a folder there.")
            try:
                folder.mkdir(mode, parents=True, exist_ok=True)
            except FileExistsError:
                raise LokiRedisError(f"{folder} is a file; the embedded server needs a folder there.") from None
        if stat.S_IMODE(self.data.stat().st_mode) != 0o700:
            self.data.chmod(0o700)

    def _refuse_odd_files(self) -> None:
        """Redis follows a link, which a checkout may bring, and writes to its target; for a pipe it waits for ever."""
        for name in ("redis.pid", "redis.log", *(file.name for file in (self._alive_file, self._owner_file))):
            path = self.data / name
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(mode):
                raise LokiRedisError(f"{path} is no plain file; the embedded server needs its own there.")

    def _spawn_unless_alive(self, listen: tuple[str, int] | None) -> bool:
        """True when a server was started, False when there is one."""
        alive = os.open(self._alive_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # Not at once, because others hold it shared for an instant while they look whether it is taken.
            if self._pulse() != "absent" or not _flock(alive, fcntl.LOCK_EX, seconds=0.2):
                return False
            program = choose_program(self._data_version())
            drop_open_call(self.data, program.path)
            owner = vars(this_machine()) | {"program": str(program), "url": self.url}
            write_line(self._owner_file, json.dumps(owner))
            self._spawn(program, listen, alive)
        finally:
            # Not unlocked, closed: the server has the same lock.
            os.close(alive)
        # Still under the start lock: a stop that finds a living server can talk to it.
        self._wait_until(lambda pulse: pulse != "absent")
        return True

    def _has_died(self) -> bool:
        with self._start_lock():
            # A stop removes this file.
            if self._alive() or not self._owner_file.exists():
                return False
            self._owner_file.unlink()
            return True

    def _spawn(self, program: ServerProgram, listen: tuple[str, int] | None, alive: int) -> None:
        import subprocess

        # Every path is relative to cwd, so none needs quoting, fits no limit, or is wrong after a move of the folder.
        bind, port = listen or ("127.0.0.1", 0)
        options = {
            # Its own double fork: no zombie stays in a long-lived client.
            "daemonize": "yes",
            "pidfile": "redis.pid",
            "logfile": "redis.log",
            "unixsocket": "redis.sock",
            "unixsocketperm": "600",
            "bind": bind,
            "port": str(port),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [program.path, *arguments],
                cwd=self.data,
                # A worker whose task started it ends what it knows by this variable.
                env={name: value for name, value in os.environ.items() if name != "LOKIREDIS_TASK_FILE"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[alive],
                start_new_session=True,
                umask=0o077,
            )
            try:
                process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_until(self, reached: Callable[[Pulse], bool]) -> bool:
        """True once the server's pulse is as wanted; False when its process has ended."""
        begin = time.monotonic()
        limit = START_SECONDS
        while True:
            pulse = self._pulse()
            if reached(pulse):
                return True
            if pulse == "absent" and not self._alive():
                return False
            if pulse == "loading":
                limit = max(limit, LOADING_SECONDS)
            if time.monotonic() - begin > limit:
                raise self._no_answer(loading=pulse == "loading")
            time.sleep(_POLL_SECONDS)

    def _wait_until_up(self) -> bool:
        if not self._wait_until(lambda pulse: pulse == "up"):
            return False
        try:
            self._record_data_version()
        except QueueUnavailable:
            return False  # stopped by somebody at this moment
        return True

    def _start_failure(self, log_begin: int) -> QueueUnavailable:
        with open(self.log, "rb") as log:
            log.seek(log_begin)
            lines = log.read()[-4000:].decode(errors="replace").splitlines()
        tail = "".join(f"\n  {line}" for line in lines[-6:])
        return QueueUnavailable(f"The embedded server did not start; the end of {self.log}:{tail}")

    # -- stopping

    def _shut_down(self) -> None:
        from redis import ConnectionError, ResponseError, TimeoutError

        pid = self._info()["process_id"]
        # In another container its pid is some other process here.
        begun = process_begin(pid) if self._is_server(pid) else None
        with self._connect(STOP_SECONDS) as client:
            try:
                client.execute_command("SHUTDOWN")
            except ConnectionError:
                pass  # the answer to a SHUTDOWN that is obeyed
            except ResponseError as error:
                raise LokiRedisError(f"The server of {self.folder} refused to stop: {error}") from None
            except TimeoutError:
                raise self._no_answer() from None
        end = time.monotonic() + STOP_SECONDS
        while self._alive() or (begun is not None and process_begin(pid) == begun):
            if time.monotonic() > end:
                raise QueueUnavailable(
                    f"The server of {self.folder} (pid {pid}) did not end within {STOP_SECONDS:g} s."
                )
            time.sleep(_POLL_SECONDS)

    # -- the files beside the data

    @property
    def _alive_file(self) -> Path:
        return self.data / "alive.lock"

    @property
    def _owner_file(self) -> Path:
        return self.data / "owner.json"

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        handle = os.open(self.data / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if not _flock(handle, fcntl.LOCK_EX, _LOCK_SECONDS):
                raise QueueUnavailable(
                    f"Another process has been starting or stopping the server of {self.folder} for long."
                )
            yield
            # Unlocked, not just closed: another thread may have forked meanwhile, and the child has the lock too.
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)

    def _alive(self) -> bool:
        try:
            handle = os.open(self._alive_file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look at once don't take each other for a server.
            free = _flock(handle, fcntl.LOCK_SH, seconds=0)
            if free:
                fcntl.flock(handle, fcntl.LOCK_UN)
            return not free
        finally:
            os.close(handle)

    def _is_server(self, pid: int) -> bool:
        """True when process *pid* has our alive.lock open: proof that it is this folder's server, not a reused pid."""
        try:
            lock = os.stat(self._alive_file)
            handles = [os.stat(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            return False
        return any(os.path.samestat(lock, handle) for handle in handles)

    def _check_owner(self) -> None:
        owner = read_machine(self._owner_file)
        if owner is not None and owner.is_other_than(this_machine()):
            raise LokiRedisError(
                f"The server of {self.folder} belongs to host {owner.host}, and two servers on one folder would "
                f"destroy its data. Stop it there; if that host is gone, remove {self._owner_file}"
            )

    def _data_version(self) -> Version | None:
        known = [parse_version(read_line(self.data / "data-version"))]
        if (self.data / "appendonlydir").exists():
            # Written by 7 or newer, also when the client died before it could record that.
            known.append((7, 0, 0))
        return max((version for version in known if version is not None), default=None)

    def _record_data_version(self) -> None:
        """Called once the server is up: one that can't start must not bar the older one that owns the data."""
        version = running_version(self._info())
        path = self.data / "data-version"
        if read_line(path) != version:
            with self._start_lock():
                write_line(path, version)

    # -- errors

    def _no_answer(self, *, loading: bool = False) -> QueueUnavailable:
        if loading:
            return QueueUnavailable(f"The server of {self.folder} is still loading its data; try again later.")
        try:
            pid = int((self.data / "redis.pid").read_text())
        except (OSError, ValueError):
            pid = 0
        advice = f" To end it: kill {pid}" if pid and self._is_server(pid) else ""
        return QueueUnavailable(
            f"The server of {self.folder} runs, but doesn't answer on {self.socket}; see {self.log}.{advice}"
        )

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = error.filename if error.filename is not None else self.data
            reason = error.strerror or type(error).__name__
            raise LokiRedisError(f"The embedded server can't use {os.fsdecode(where)}: {reason}.") from None


def _flock(handle: int, how: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True


def _listen(port: int | None, bind: str | None) -> tuple[str, int] | None:
    """(address, port) to listen on, or None for no TCP."""
    import ipaddress

    if port is None:
        if bind is not None:
            raise LokiRedisError("An address to bind needs a port too.")
        return None
    if not 1 <= port <= 65535:
        raise LokiRedisError(f"The port must be 1 to 65535, not {port}.")
    address = "127.0.0.1" if bind in (None, "localhost") else str(bind)
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        raise LokiRedisError(f"The address to bind must be an IP address of this machine, not {address}.") from None
    if not loopback:
        # Redis 6.2 lets anybody in as soon as an address is bound, its protected mode notwithstanding.
        raise LokiRedisError(
            f"The embedded server has no password, so it does not listen on {address}, where other machines reach it. "
            "Run a Redis of your own with a password, or forward the socket with ssh -L."
        )
    return address, port
