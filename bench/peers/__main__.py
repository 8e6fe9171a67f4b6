"""``cd bench && ../.venv/bin/python -m peers``: installs the peers and shows that each load runs, with small counts.

The figures of so few tasks say that the drivers work, not how fast a peer is: BullMQ's drain is three times as fast
when Node has compiled it. ``bench/run.py`` measures.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry

from . import PEERS, Installed, Peer, PeerFailed, install

_ENQUEUE = ("single/s", "32 at once/s", "batches/s")
_WORK = ("drain/s", "drain ×4/s", "pickup p50 ms", "p99 ms", "layers/s", "fan/s")
_HEADER = ("version", *_ENQUEUE, *_WORK)


def main() -> None:
    """Prints one row per peer, and what failed below the table."""
    parser = argparse.ArgumentParser(prog="python -m peers", description=__doc__)
    parser.add_argument("peers", nargs="*", metavar="PEER", help="only these, by their folders: saq rq")
    parser.add_argument("--tasks", type=int, default=2000, help="enqueued and drained (default: 2000)")
    parser.add_argument("--pickups", type=int, default=100, help="default: 100")
    parser.add_argument("--dag", type=int, default=1000, help="tasks of a graph (default: 1000)")
    options = parser.parse_args()
    known = [peer.key for peer in PEERS]
    if unknown := set(options.peers) - set(known):
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    found = install(options.peers or known)
    remarks = []
    _row("peer", *_HEADER)
    with _server() as (url, client):
        for peer in PEERS:
            installed = found.get(peer.key)
            if isinstance(installed, str):
                remarks.append(f"{peer.name}: {installed}")
            elif isinstance(installed, Installed):
                cells = _measure(peer, url, client, options.tasks, options.pickups, options.dag, remarks)
                _row(peer.name, installed.version, *cells)
    print("\n".join(remarks))


def _measure(
    peer: Peer, url: str, client: Redis, tasks: int, pickups: int, dag: int, remarks: list[str]
) -> Iterator[str]:
    def tried(load: str, measure: Callable[[], tuple[float, ...]], width: int = 1) -> tuple[str, ...]:
        client.flushall()
        if load not in peer.can:
            return ("–",) * width
        try:
            return tuple(f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" for value in measure())
        except PeerFailed as error:
            remarks.append(f"{peer.name}, {load}: {error.reason}")
            return ("failed",) * width

    def drained(processes: int) -> tuple[float, ...]:
        peer.fill(url, tasks)
        done = peer.drain(url, tasks, processes)
        return (done.tasks / done.wall,)

    def picked_up() -> tuple[float, ...]:
        cuts = quantiles(peer.pickup(url, pickups).from_return, n=100)
        return cuts[49] * 1000, cuts[98] * 1000

    def put(mode: str) -> tuple[float, ...]:
        return (tasks / peer.enqueue(url, tasks, mode).seconds,)

    def graph(shape: str) -> tuple[float, ...]:
        done = peer.dag(url, shape, dag)
        return (done.enqueued.tasks / (done.enqueued.seconds + done.drained.wall),)

    for mode in ("single", "parallel32", "batch1000"):
        yield from tried(mode, partial(put, mode))
    for processes in (1, 4):
        yield from tried("drain", partial(drained, processes))
    yield from tried("pickup", picked_up, 2)
    for shape in ("layers", "fan"):
        yield from tried(shape, partial(graph, shape))


def _row(name: str, *cells: str) -> None:
    print(name.ljust(13), *(cell.rjust(len(title)) for cell, title in zip(cells, _HEADER, strict=True)), flush=True)


@contextmanager
def _server() -> Iterator[tuple[str, Redis]]:
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("peers: no redis-server on the PATH")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="lokibench-") as folder:
        words = f"--port {port} --bind 127.0.0.1 --appendonly no --dir {Path(folder)}".split()
        process = subprocess.Popen(
            [program, *words, "--save", ""], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            client = Redis(port=port, retry=Retry(NoBackoff(), 0))
            for _ in range(500):
                try:
                    client.ping()
                    break
                except ConnectionError:
                    time.sleep(0.01)
            yield f"redis://127.0.0.1:{port}/0", client
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
