"""The Redis server of one benchmark run: nothing else uses it, and it is gone afterwards."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def private_server() -> Iterator[PrivateServer]:
    """A server on a unix socket in a temp folder, persistence off; it ends with the block, however that ends."""
    program = choose_program(None)
    folder = Path(tempfile.mkdtemp(prefix="lokibench-", dir="/tmp"))  # a socket path may be 107 bytes long
    arguments = {
        "port": "0",
        "unixsocket": str(folder / "redis.sock"),
        "unixsocketperm": "600",
        "dir": str(folder),
        "logfile": str(folder / "redis.log"),
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
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
            socket = arguments["unixsocket"]
            client = Redis(unix_socket_path=socket, socket_timeout=60, retry=Retry(NoBackoff(), 0))
            _wait_for(client, process, folder / "redis.log")
            yield PrivateServer(str(program), client, f"unix://{socket}")
            client.close()
        finally:
            process.kill()  # there is nothing to save
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
