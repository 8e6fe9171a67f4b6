"""The Redis server of one benchmark run: nothing else uses it, and it is gone afterwards."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

from lokiredis.server_program import choose_program

_START_SECONDS = 20.0


@dataclass(frozen=True)
class Spent:
    """What the server has done so far: script calls, microseconds in them, microseconds of CPU of the process."""

    calls: int
    script: int
    cpu: float

    def since(self, before: Spent) -> Spent:
        """The difference to an earlier reading."""
        return Spent(self.calls - before.calls, self.script - before.script, self.cpu - before.cpu)


@dataclass(frozen=True)
class PrivateServer:
    """A running server and a client of it."""

    program: str
    client: Redis
    url: str

    def script_time(self) -> tuple[int, int]:
        """Calls of scripts and the microseconds in them. What a script calls has lines of its own, which are left out:
        its time is within the script's already."""
        stats = self.client.info("commandstats")
        lines = [stats[name] for name in ("cmdstat_fcall", "cmdstat_evalsha") if name in stats]
        return sum(line["calls"] for line in lines), sum(line["usec"] for line in lines)

    def spent(self) -> Spent:
        """Script time, and CPU time of the whole process: reading calls and writing replies too."""
        calls, script = self.script_time()
        cpu = self.client.info("cpu")
        return Spent(calls, script, (cpu["used_cpu_user"] + cpu["used_cpu_sys"]) * 1e6)


#: What a server keeps on disk, as redis.conf says it.
PERSISTENCE = {"off": {"appendonly": "no"}} | {
    fsync: {"appendonly": "yes", "appendfsync": fsync} for fsync in ("everysec", "always")
}


@contextmanager
def private_server(*, port: int | None = None, persistence: str = "off") -> Iterator[PrivateServer]:
    """A server in a temp folder, on a unix socket, or on a *port* of loopback; it ends with the block.

    0 takes a free port; one that is taken ends the program with a line that says so. No RDB is written.
    """
    program = choose_program(None)
    tcp = _free_port(port) if port is not None else None
    folder = Path(tempfile.mkdtemp(prefix="lokibench-", dir="/tmp"))  # a socket path may be 107 bytes long
    arguments = {
        "port": str(tcp or 0),
        "bind": "127.0.0.1",
        "unixsocket": str(folder / "redis.sock"),
        "unixsocketperm": "600",
        "dir": str(folder),
        "logfile": str(folder / "redis.log"),
        "save": "",
        "maxmemory-policy": "noeviction",
        "maxclients": "25000",
        **PERSISTENCE[persistence],
    }
    try:
        process = subprocess.Popen(
            [program.path, *(word for name, value in arguments.items() for word in (f"--{name}", value))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is ours alone: we end the server
        )
        try:
            path = arguments["unixsocket"]
            client = Redis(unix_socket_path=path, socket_timeout=60, retry=Retry(NoBackoff(), 0))
            _wait_for(client, process, folder / "redis.log")
            yield PrivateServer(str(program), client, f"redis://127.0.0.1:{tcp}/0" if tcp else f"unix://{path}")
            client.close()
        finally:
            process.kill()  # there is nothing to save
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port(port: int) -> int:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as e:
            raise SystemExit(f"bench: port {port} can't be had: {e.strerror}") from None
        return int(probe.getsockname()[1])


def _wait_for(client: Redis, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.ping()
            return
        except (ConnectionError, TimeoutError):
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace") if log.exists() else ""
                raise SystemExit(f"bench: the server did not start: {said[-500:].strip()}") from None
            time.sleep(0.01)
