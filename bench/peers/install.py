"""The peers' environments, each under ``bench/.peers/<key>``, never in the project's.

Nothing is pinned beyond a major version (a minor one where a peer is before 1.0): a benchmark compares with what people
install today. The version that was used is recorded, and shown beside the figures.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENTS = Path(__file__).resolve().parent.parent / ".peers"
_RECORD = "peer.json"
_SECONDS = 300.0

#: What is installed, the peer itself first. hiredis: redis-py's C parser, which our own queue uses too.
NODE: Mapping[str, tuple[str, ...]] = {"bullmq_node": ("bullmq@6", "ioredis@5")}
PYTHON: Mapping[str, tuple[str, ...]] = {
    "bullmq_python": ("bullmq>=3,<4", "hiredis"),
    "saq": ("saq[redis,hiredis]>=0.26,<1", "typing_extensions"),  # which it needs and does not name
    "arq": ("arq>=0.28,<1", "hiredis"),
    "streaq": ("streaq>=7,<8",),
    "dramatiq": ("dramatiq[redis]>=2,<3", "hiredis"),
    "rq": ("rq>=3,<4", "hiredis"),
    "celery": ("celery[redis]>=5,<6", "hiredis"),
    "taskiq": ("taskiq-redis>=1,<2", "taskiq[uv]", "hiredis"),
}


@dataclass(frozen=True)
class Installed:
    """A peer that can be started: its version, and that of the language it runs in (``Python 3.11.7``)."""

    name: str
    version: str
    runtime: str


class _Missing(Exception):
    """What an environment needs is not on this machine."""


def install(names: Iterable[str]) -> dict[str, Installed | str]:
    """Makes or reuses the environment of each peer, by its key (``bullmq_node``). A peer that can't be installed is
    given with the reason in one line."""
    return {name: _one(name) for name in names}


def is_installed(environment: Path) -> bool:
    """Whether this environment is whole."""
    return (environment / _RECORD).exists()


def _one(name: str) -> Installed | str:
    wanted = NODE.get(name) or PYTHON.get(name)
    if wanted is None:
        return f"no such peer; there are {', '.join((*NODE, *PYTHON))}"
    folder = ENVIRONMENTS / name
    try:
        found = _recorded(folder, wanted)
        if found is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            version, runtime = (_node if name in NODE else _python)(folder, wanted)
            found = Installed(name, version, runtime)
            record = {"wanted": list(wanted), "version": version, "runtime": runtime}
            (folder / _RECORD).write_text(json.dumps(record))  # last: an environment without it is made again
        return found
    except subprocess.TimeoutExpired:
        return f"not installed within {_SECONDS:g} s"
    except subprocess.CalledProcessError as error:
        return _reason(error.stderr or error.stdout or str(error))
    except _Missing as error:
        return str(error)
    except OSError as error:
        return f"{error.strerror or error}: {error.filename or folder}"


def _recorded(folder: Path, wanted: tuple[str, ...]) -> Installed | None:
    try:
        record = json.loads((folder / _RECORD).read_text())
    except (OSError, ValueError):
        return None
    if record.get("wanted") != list(wanted):
        return None
    return Installed(folder.name, record["version"], record["runtime"])


def _python(folder: Path, wanted: tuple[str, ...]) -> tuple[str, str]:
    _run([sys.executable, "-m", "venv", str(folder)])
    python = str(folder / "bin" / "python")
    _run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted])
    package = wanted[0].split("[")[0].split(">")[0]
    code = "import platform, sys, importlib.metadata as m; print(m.version(sys.argv[1]), platform.python_version())"
    version, runtime = _run([python, "-c", code, package]).split()
    return version, f"Python {runtime}"


def _node(folder: Path, wanted: tuple[str, ...]) -> tuple[str, str]:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise _Missing(f"no {program} on the PATH")
    (folder / "package.json").write_text('{"private": true}')
    _run(["npm", "install", "--silent", "--no-audit", "--no-fund", *wanted], folder)
    package = wanted[0].split("@")[0]
    version = json.loads((folder / "node_modules" / package / "package.json").read_text())["version"]
    return str(version), f"Node {_run(['node', '--version']).strip().lstrip('v')}"


def _run(command: list[str], folder: Path | None = None) -> str:
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")  # not for theirs
    done = subprocess.run(
        command,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in ours},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=True,
    )
    return done.stdout


def _reason(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith(("WARNING", "[notice"))]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["failed without a word"])[0][:200]
