"""docs/fleet.md is true: its users, its configuration and its URLs work on a real server."""

from __future__ import annotations

import asyncio
import configparser
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lokiredis import AsyncQueue, Queue, QueueUnavailable
from lokiredis.acl import users
from lokiredis.connect import connect

from .conftest import lacking
from .servers import _end, free_port, programs
from .waiting import wait_until

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "fleet.md").read_text()


#: The administrator that the page wants to be there before the default user is switched off.
_ADMIN = "user admin on >geheim ~* &* +@all\nuser default off\n"


def _block(kind: str) -> str:
    found = re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.M | re.S)
    assert len(found) == 1, kind
    return str(found[0])


def test_the_users_are_the_generator_s() -> None:
    """The rules in the page are those that the scripts of today need."""
    assert _block("acl") == users()


def _certificates(folder: Path) -> None:
    """An authority of our own, and a certificate for 127.0.0.1."""
    openssl = shutil.which("openssl") or lacking("openssl: not installed")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for words in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt",
        "req -newkey rsa:2048 -nodes -subj /CN=redis -keyout redis.key -out redis.csr",
        "x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out redis.crt",
    ):
        subprocess.run([openssl, *words.split()], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Tls]:
    """Starts servers that have certificates, in a folder with the page's users, and ends them."""
    _certificates(tmp_path)
    (tmp_path / "users.acl").write_text(users().replace("PASSWORD", "geheim") + _ADMIN)
    made = Tls(tmp_path)
    yield made
    for process in made.processes:
        _end(process, signal.SIGTERM)


class Tls:
    """Servers with TLS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.options = f"?ssl_ca_certs={folder}/ca.crt"

    def start(self, more: str = "", *arguments: str, text: str = "") -> int:
        """A server with the page's configuration, or *text* instead, and *more*; its port."""
        program, port = programs().get("redis7") or lacking("redis7: no such server program"), free_port()
        (self.folder / f"{port}.conf").write_text(
            (text or _block("redis")).replace("6379", str(port)) + "bind 127.0.0.1\n" + more
        )
        log = self.folder / f"{port}.log"
        with log.open("wb") as out:
            words = [str(program), f"{port}.conf", *arguments]
            process = subprocess.Popen(words, cwd=self.folder, stdout=out, start_new_session=True)
        self.processes.append(process)
        wait_until(lambda: re.search("Ready to accept|Sentinel ID", log.read_text()), 20, "a server")
        return port


def _refused(url: str) -> None:
    with Queue.from_url(url, retry_for=0) as queue, pytest.raises(QueueUnavailable):
        queue.counts()


def _works(url: str) -> None:
    with Queue.from_url(url, retry_for=0) as queue:
        queue.enqueue(id="a", type="build")
        assert queue.claim("agent-1", "build", wait=5)
        assert not queue.claim("agent-1", "build", wait=0.1)

    async def run() -> None:
        async with AsyncQueue.from_url(url, retry_for=0) as queue:
            assert not await queue.claim("agent-1", "build", wait=0.1)

    asyncio.run(run())


@pytest.mark.faults
def test_the_configuration_with_tls_and_users(tls: Tls) -> None:
    """A server with just that file takes each role over TLS, and an agent can work; nobody gets in without TLS."""
    port = tls.start()
    for role in ("producer", "agent", "operator", "read-only"):
        with connect(f"rediss://loki-{role}:geheim@127.0.0.1:{port}{tls.options}") as redis:
            assert redis.ping()
    _works(f"rediss://loki-agent:geheim@127.0.0.1:{port}{tls.options}")
    _refused(f"redis://loki-agent:geheim@127.0.0.1:{port}")


@pytest.mark.faults
def test_a_cluster_with_tls_and_users(tls: Tls) -> None:
    """The agent's rights are enough to find the queue's node, too, although it doesn't tell its own address."""
    port = tls.start("cluster-enabled yes\ntls-cluster yes\n")
    with connect(f"rediss://admin:geheim@127.0.0.1:{port}{tls.options}") as admin:
        admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: admin.execute_command("CLUSTER INFO")["cluster_state"] == "ok", 20, "a cluster")
    _works(f"rediss+cluster://loki-agent:geheim@127.0.0.1:{port}{tls.options}")


_SENTINEL = """port 0
tls-port 6379
tls-cert-file redis.crt
tls-key-file redis.key
tls-ca-cert-file ca.crt
tls-auth-clients no
tls-replication yes
requirepass geheim-sentinel
"""


@pytest.mark.faults
def test_sentinel_with_tls_and_users(tls: Tls) -> None:
    """The scheme means TLS to the sentinel and to the server, with the same authority; each has a login of its own."""
    watched = f"sentinel monitor fleet 127.0.0.1 {tls.start()} 1\nsentinel auth-user fleet admin\n"
    port = tls.start(watched + "sentinel auth-pass fleet geheim\n", "--sentinel", text=_SENTINEL)
    options = f"{tls.options}&sentinel_password=geheim-sentinel"
    _works(f"rediss+sentinel://loki-agent:geheim@127.0.0.1:{port}/fleet{options}")
    _refused(f"redis+sentinel://loki-agent:geheim@127.0.0.1:{port}/fleet")


def test_each_url_is_one() -> None:
    """The URLs of the page can be connected with, as far as that can be told without a server."""
    urls = re.findall(r"^LOKIREDIS_URL=(\S+)$", TEXT, re.M)
    assert [url.partition("://")[0] for url in urls] == ["rediss", "redis+sentinel", "redis+cluster"]
    for url in urls:
        connect(url).close()


def test_the_unit() -> None:
    """The systemd unit can be read, each section has what it needs, and one worker's command is one line."""
    unit = configparser.ConfigParser(strict=True, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(_block("systemd"))
    assert unit.sections() == ["Unit", "Service", "Install"]
    words = unit["Service"]["ExecStart"].split()
    assert words[1] == "worker"
    assert words[-2:] == ["--", "/opt/agents/%i"]
    # It runs as a user who may write nowhere but where systemd made a place for it.
    assert words[words.index("--logs") + 1] == "/var/log/" + unit["Service"]["LogsDirectory"]
    assert Path(words[words.index("--health-file") + 1]).parent == Path("/run", unit["Service"]["RuntimeDirectory"])


def test_the_links_and_the_compose_commands() -> None:
    """The commands for compose stand in its own head too."""
    head = (ROOT / "docker-compose.yml").read_text()
    for line in re.findall(r"^(?:echo|docker compose) .*$", TEXT, re.M):
        assert line in head
