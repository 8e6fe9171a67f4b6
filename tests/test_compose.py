"""docker-compose.yml does what it says. No engine is needed: what it would start runs here as plain processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from redis.exceptions import AuthenticationError

from lokiredis import Queue, State
from lokiredis.worker.health import LOOK

from .conftest import lacking
from .servers import _end, free_port, programs
from .waiting import wait_until

ROOT = Path(__file__).parent.parent
PASSWORD = "geheim42"
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::([?-])([^}]*))?\})")


def _filled_in(value: Any, environment: dict[str, str]) -> Any:
    """*value* with its variables filled in as compose does it."""

    def word(match: re.Match[str]) -> str:
        dollar, name, sign, rest = match.groups()
        if dollar:
            return "$"
        found = environment.get(name) or (rest if sign == "-" else "")
        if not found:
            raise LookupError(rest)
        return found

    if isinstance(value, dict):
        return {name: _filled_in(part, environment) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled_in(part, environment) for part in value]
    return _VARIABLE.sub(word, value) if isinstance(value, str) else value


def _compose(environment: dict[str, str]) -> Any:
    return _filled_in(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), environment)


@pytest.fixture(scope="module")
def services() -> Any:
    """The services, with a password."""
    return _compose({"LOKIREDIS_PASSWORD": PASSWORD})["services"]


@pytest.fixture(scope="module")
def redis_port(services: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The redis service's command line, as a process on a free loopback port."""
    program, port = programs().get("redis7") or lacking("redis7: no such server program"), free_port()
    words = [str(program), *services["redis"]["command"][1:], "--bind", "127.0.0.1"]
    words[words.index("6379")] = str(port)
    assert services["redis"]["command"][0] == "redis-server"
    folder = tmp_path_factory.mktemp("data")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, stdout=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: _health(services["redis"], port) == 0, 20, "a healthy redis")
        yield port
    finally:
        _end(process, signal.SIGTERM)


def _health(service: Any, port: int, **changed: str) -> int:
    kind, command = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    environment = dict(os.environ) | service["environment"] | changed
    command = command.replace("-p 6379", f"-p {port}")
    return subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, check=False, timeout=20
    ).returncode


def test_without_a_password_nothing_starts() -> None:
    """Compose says what is missing, instead of starting a Redis that is open to all."""
    with pytest.raises(LookupError, match="set it in the environment"):
        _compose({})


def test_the_redis(services: Any, redis_port: int) -> None:
    """It keeps what it acknowledges, throws nothing away, and lets nobody in without the password."""
    with Redis(port=redis_port, password=PASSWORD, decode_responses=True) as redis:
        found = redis.config_get("append*") | redis.config_get("maxmemory-policy")
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
        assert wanted.items() <= found.items()
    with Redis(port=redis_port) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()
    assert services["redis"]["volumes"] == ["redis-data:/data"]


def test_the_health_check(services: Any, redis_port: int) -> None:
    """It tells a server that answers from one that is gone or refuses."""
    redis = services["redis"]
    assert _health(redis, redis_port) == 0
    assert _health(redis, redis_port, REDISCLI_AUTH="wrong") != 0
    assert _health(redis, free_port()) != 0


def _entrypoint() -> list[str]:
    found = re.search(r"^ENTRYPOINT (.*)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert found
    words: list[str] = json.loads(found[1])
    return words


def _environment(service: Any, port: int, path: Path) -> dict[str, str]:
    """What a container of this service has; the name ``redis`` and the program are this machine's."""
    told = {name: value.replace("@redis:6379", f"@127.0.0.1:{port}") for name, value in service["environment"].items()}
    (path / "lokiredis").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m lokiredis "$@"\n')
    (path / "lokiredis").chmod(0o755)
    return {"PATH": f"{path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(path)} | told


def test_a_single_command(services: Any, redis_port: int, tmp_path: Path) -> None:
    """The one-shot service speaks to that Redis, with nothing but its environment; only when it is asked for."""
    service = services["lokiredis"]
    assert service["profiles"] == ["tools"]
    for words in (service["command"], ["doctor"]):
        ran = subprocess.run(
            [*_entrypoint(), *words],
            env=_environment(service, redis_port, tmp_path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
    assert not re.search(r"^(warn|FAIL)", ran.stdout, re.M), ran.stdout


def test_the_snapshot_job(services: Any, redis_port: int, tmp_path: Path) -> None:
    """It keeps the files of a folder of this host up to date, and ends well when compose stops it."""
    service = services["snapshot"]
    [volume] = service["volumes"]
    here, _, there = volume.partition(":")
    assert here == "./.loki"
    folder, environment = tmp_path / "board", _environment(service, redis_port, tmp_path)
    words = [*_entrypoint(), *(str(folder) if word == there else word for word in service["command"])]
    assert str(folder) in words
    process = subprocess.Popen(words, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        pending = folder / "queue" / "pending.json"
        wait_until(pending.exists, 30, "the first snapshot")
        task = ["enqueue", "--type", "eng-docs", "--id", "for-the-board"]
        subprocess.run([*_entrypoint(), *task], env=environment, cwd=tmp_path, check=True, timeout=60)
        wait_until(lambda: "for-the-board" in pending.read_text(), 30, "the new task in the files")
    finally:
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said


def _workers(services: Any) -> dict[str, Any]:
    return {name: one for name, one in services.items() if name not in ("redis", "lokiredis", "snapshot")}


def test_the_workers(services: Any, tmp_path: Path) -> None:
    """Each runs `lokiredis worker` with an agent name of its own, in place of the shell, so that it hears SIGTERM."""
    (tmp_path / "lokiredis").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "lokiredis").chmod(0o755)
    assert len(_workers(services)) > 1
    for name, service in _workers(services).items():
        words = [*service["entrypoint"], *service["command"]]
        assert words[2].startswith("exec lokiredis")
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=20)
        said = ran.stdout.splitlines()
        assert said[0] == "worker"
        assert re.fullmatch(r"compose/[A-Za-z0-9._-]+", said[said.index("--agent") + 1])
        assert said[said.index("--type") + 1] == name
        assert int(said[said.index("--concurrency") + 1]) > 0
        assert said[said.index("--") + 1 :] == [f"/agents/{name}"]
        assert service["deploy"]["replicas"] > 0
        assert said[said.index("--health-file") + 1] in service["healthcheck"]["test"][1]
        _is_taken(said)


def _result(queue: Queue, id: str) -> Any:
    task = queue.get(id)
    return task is not None and task.state is State.COMPLETED and task.result


def test_the_workers_work(services: Any, redis_port: int, tmp_path: Path) -> None:
    """Each does a task of its type with the command of docs/fleet.md, is healthy meanwhile, and ends when told to."""
    agents, workers = tmp_path / "agents", _workers(services)
    agents.mkdir()
    [example] = re.findall(r"^```python\n(#!.*?)^```$", (ROOT / "docs" / "fleet.md").read_text(), re.M | re.S)
    for name in workers:
        (agents / name).write_text(example)
        (agents / name).chmod(0o755)
    with Queue.from_url(f"redis://:{PASSWORD}@127.0.0.1:{redis_port}/0") as queue:
        for name, service in workers.items():
            healthy = tmp_path / f"healthy-{name}"
            words = [
                word.replace("/tmp/healthy", str(healthy)).replace("/agents/", f"{agents}/")
                for word in [*service["entrypoint"], *service["command"]]
            ]
            environment = _environment(service, redis_port, tmp_path)
            worker = subprocess.Popen(words, env=environment, cwd=tmp_path, start_new_session=True)
            try:
                id = queue.enqueue(type=name, payload={"action": "test"}).id
                result = wait_until(partial(_result, queue, id), 30, f"a task of {name}")
                check = service["healthcheck"]["test"][1].replace("/tmp/healthy", str(healthy))
                assert subprocess.run(["sh", "-c", check], check=False, timeout=20).returncode == 0
                worker.terminate()
                assert worker.wait(timeout=30) == 0
            finally:
                _end(worker, signal.SIGKILL)
            assert result["output"] == "test is done"
            assert service["init"] is True


def _is_taken(words: list[str]) -> None:
    """The verb knows each option."""
    import click

    from lokiredis.cli import main

    found = main.get_command(click.Context(main), "worker")
    assert found is not None
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words[: words.index("--")] if word.startswith("--")} <= known


def test_the_worker_s_health_check(services: Any, tmp_path: Path) -> None:
    """Good while the file is fresh; not without it, and not when it has grown old."""
    health = tmp_path / "healthy"
    command = _workers(services)["eng-qa"]["healthcheck"]["test"][1].replace("/tmp/healthy", str(health))

    def code() -> int:
        return subprocess.run(["sh", "-c", command], capture_output=True, check=False, timeout=20).returncode

    assert code() != 0
    health.touch()
    assert code() == 0
    os.utime(health, (1_000_000_000, 1_000_000_000))
    assert code() != 0
    # A worker that is well writes it so often that a few late ones do no harm.
    [minutes] = re.findall(r"-mmin -([0-9]+)", command)
    assert int(minutes) * 60 >= 4 * LOOK


def test_no_port_is_open_to_others(services: Any) -> None:
    """Only this host reaches Redis from outside of the containers."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:6379:6379"]


def test_compose_reads_it_as_we_do(services: Any, tmp_path: Path) -> None:
    """Debian's docker-compose takes the file, finds the same commands in it, and insists on the password."""
    program = shutil.which("docker-compose") or lacking("docker-compose: not installed")
    (tmp_path / "empty").touch()  # not the .env of whoever tests
    words = [program, "--env-file", str(tmp_path / "empty"), "--profile", "tools", "config"]
    environment = {"PATH": os.environ["PATH"], "LOKIREDIS_PASSWORD": PASSWORD}
    ran = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
    found = yaml.safe_load(ran.stdout)["services"]
    assert found.keys() == services.keys()
    for name, service in services.items():
        assert found[name].get("command") == service.get("command")
        assert found[name]["environment"] == service["environment"]
        # It writes a dollar as it has to be written again.
        assert [word.replace("$$", "$") for word in found[name].get("entrypoint", [])] == service.get("entrypoint", [])
    del environment["LOKIREDIS_PASSWORD"]
    ran = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode != 0
    assert "LOKIREDIS_PASSWORD" in ran.stderr


def test_the_image_has_all_that_an_installation_needs(tmp_path: Path) -> None:
    """What the Dockerfile copies makes a wheel with the scripts in it, and .dockerignore lets it through."""
    copied = re.findall(r"^COPY (.+) (/src\S*)$", (ROOT / "Dockerfile").read_text(), re.M)
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M)
    source = tmp_path / "src"
    source.mkdir()
    for names, _ in copied:
        for name in names.split():
            assert name in allowed
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, source / name)
    build = "import hatchling.build; print(hatchling.build.build_wheel('..'))"
    ran = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=True, timeout=60
    )
    with zipfile.ZipFile(tmp_path / ran.stdout.split()[-1]) as wheel:
        assert "lokiredis/lua/claim.lua" in wheel.namelist()
        assert "lokiredis/cli/root.py" in wheel.namelist()
