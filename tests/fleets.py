"""Several real servers that belong together: a master with a replica and sentinels, and a cluster."""

from __future__ import annotations

import os
import subprocess
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis
from redis import Redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from .servers import RedisServer, _remove, _short_folder, free_port
from .waiting import wait_until

SERVICE = "fleet"
PASSWORD, SENTINEL_PASSWORD = "geheim-data", "geheim-sentinel"
#: As fast as servers on one machine can be sure that another one is dead.
_DOWN_AFTER_MS = 500
_SLOTS = 16384


class Sentinel:
    """One sentinel process: the redis-sentinel beside the server's program, else that program in its sentinel mode."""

    def __init__(self, program: Path, master: int, quorum: int) -> None:
        self.port = free_port()
        folder = _short_folder()
        self._log = folder / "sentinel.log"
        configuration = folder / "sentinel.conf"
        # It writes what it finds out into this file, so each one has its own.
        configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\nrequirepass {SENTINEL_PASSWORD}\n"
            f"sentinel sentinel-pass {SENTINEL_PASSWORD}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master} {quorum}\n"
            f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        beside = program.with_name("redis-sentinel")
        words: list[str | Path] = [beside, configuration] if beside.exists() else [program, configuration, "--sentinel"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.kill = weakref.finalize(self, _remove, os.getpid(), [self._process], folder)

    def ask(self, *words: str) -> Any:
        """What it answers, or None while it can't."""
        client = Redis(port=self.port, password=SENTINEL_PASSWORD, retry=Retry(NoBackoff(), 0), decode_responses=True)
        with client:
            try:
                return client.execute_command(*words)  # type: ignore[no-untyped-call]
            except redis.RedisError:
                return None

    def tail(self) -> str:
        """The end of its log, for messages."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def master(self) -> dict[str, str]:
        """What it knows of the master."""
        said = self.ask("SENTINEL", "MASTER", SERVICE) or []
        return dict(said) if isinstance(said, dict) else dict(zip(said[::2], said[1::2], strict=True))


class SentinelFleet:
    """A master, a replica and three sentinels, all with passwords. As a context manager it is ready, and gone after."""

    def __init__(self, program: Path) -> None:
        self._all = ExitStack()
        config: dict[str, str | int] = {"requirepass": PASSWORD, "masterauth": PASSWORD, "repl-diskless-sync-delay": 0}
        self.servers = [self._all.enter_context(_Guarded(program, tcp=True, config=config)) for _ in range(2)]
        with self.client(1) as replica:
            replica.execute_command("REPLICAOF", "127.0.0.1", self.servers[0].port)
        self.sentinels = [Sentinel(program, self.servers[0].port, quorum=2) for _ in range(3)]

    def __enter__(self) -> SentinelFleet:
        wait_until(self._is_ready, 30, "three sentinels that know each other and the replica", told=self._told)
        return self

    def __exit__(self, *exc: object) -> None:
        for sentinel in self.sentinels:
            sentinel.kill()
        self._all.close()

    @property
    def url(self) -> str:
        """The URL of the fleet."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}?sentinel_password={SENTINEL_PASSWORD}"

    def client(self, number: int) -> Redis:
        """A client of one of the servers: 0 was the first master, 1 the first replica."""
        return self.servers[number].client(password=PASSWORD)

    def replicate(self) -> None:
        """Returns when the replica has all that the first master has acknowledged."""
        with self.client(0) as master:
            master.execute_command("SET", "marker", 1)
            assert master.wait(1, 10_000) == 1

    def _is_ready(self) -> bool:
        found = [sentinel.master() for sentinel in self.sentinels]
        return all(one.get("num-other-sentinels") == "2" and one.get("num-slaves") == "1" for one in found)

    def _told(self) -> str:
        return "\n\n".join([*(one.tail() for one in self.sentinels), *(one.tail() for one in self.servers)])


class _Guarded(RedisServer):
    """A server with a password, which its own control needs too."""

    def _control(self) -> Redis:
        return Redis(
            unix_socket_path=str(self.socket), password=PASSWORD, socket_timeout=10, retry=Retry(NoBackoff(), 0)
        )


class Cluster:
    """Three masters that share the slots, and with ``replica`` a replica of the first. A context manager, too."""

    def __init__(self, program: Path, *, replica: bool = False) -> None:
        self._all = ExitStack()
        config: dict[str, str | int] = {
            "cluster-enabled": "yes",
            "cluster-announce-ip": "127.0.0.1",
            "cluster-node-timeout": 1000,
            "repl-diskless-sync-delay": 0,
        }
        self.nodes = [
            self._all.enter_context(RedisServer(program, tcp=True, config=config)) for _ in range(3 + replica)
        ]

    def __enter__(self) -> Cluster:
        third = _SLOTS // 3 + 1
        for number, node in enumerate(self.nodes):
            with node.client() as client:
                if number < 3:
                    slots = range(number * third, min(_SLOTS, (number + 1) * third))
                    client.execute_command("CLUSTER ADDSLOTS", *slots)
                # Two nodes that took the same epoch would argue about it first.
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[0].port)
        wait_until(lambda: all(map(self._knows_all, self.nodes)), 30, "nodes that know each other")
        for node in self.nodes[3:]:
            with node.client() as client:
                client.execute_command("CLUSTER REPLICATE", self.id(self.nodes[0]))
        wait_until(lambda: all(map(self._is_ok, self.nodes)), 30, "a cluster that covers all slots")
        return self

    def __exit__(self, *exc: object) -> None:
        self._all.close()

    @property
    def url(self) -> str:
        """The URL that names every node."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def name_on(self, number: int) -> str:
        """The name of a queue that lies on this master."""
        third = _SLOTS // 3 + 1
        return next(name for name in map("q{}".format, range(1000)) if self.slot(name) // third == number)

    @staticmethod
    def slot(name: str) -> int:
        """The slot of a queue."""
        return key_slot(f"loki:{{{name}}}:".encode())

    def id(self, node: RedisServer) -> str:
        """What the cluster calls this node."""
        with node.client(decode_responses=True) as client:
            return str(client.execute_command("CLUSTER MYID"))

    def move(self, name: str, source: RedisServer, target: RedisServer) -> None:
        """Gives the slot of a queue that nobody uses meanwhile, with all its keys, to another node."""
        slot = self.slot(name)
        with source.client() as old, target.client() as new:
            new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self.id(source))
            old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self.id(target))
            while keys := old.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
                old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            for client in (new, old):
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", self.id(target))

    def _knows_all(self, node: RedisServer) -> bool:
        with node.client() as client:
            known = client.execute_command("CLUSTER NODES")
            return len(known) == len(self.nodes) and all(one["connected"] for one in known.values())

    def _is_ok(self, node: RedisServer) -> bool:
        with node.client() as client:
            info = client.execute_command("CLUSTER INFO")
            synced = client.info("replication").get("master_link_status", "up") == "up"
            return bool(info["cluster_state"] == "ok" and synced)
