"""Hosts of a fleet on one machine: network namespaces on a bridge of their own, each of which can be cut off."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

from .conftest import lacking

# Waits for the end of its input, which also comes when the test process was killed with -9, and then removes all.
_REMOVE = """
while read -r _; do :; done
for name; do
    pids=$(ip netns pids "$name" 2>/dev/null) && [ -n "$pids" ] && kill -9 $pids
    ip netns delete "$name"
done 2>/dev/null
"""


class Hosts:
    """So many hosts that reach each other, and nothing else. As a context manager they are up, and gone at the end.

    Interfaces have their names inside the namespaces only, so that two runs can't be in each other's way, nor in that
    of the machine; what is removed with a namespace is all that was made.
    """

    def __init__(self, count: int) -> None:
        run = uuid4().hex[:8]
        self._switch = f"loki-{run}-switch"
        self._names = [f"loki-{run}-{number}" for number in range(count)]

    def __enter__(self) -> Hosts:
        if shutil.which("ip") is None:
            lacking("network namespaces: no ip here (Debian: apt-get install iproute2)")
        words = ["sh", "-c", _REMOVE, "sh", self._switch, *self._names]
        self._remover = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
        try:
            self._make()
        except subprocess.CalledProcessError as e:
            self.__exit__()
            lacking(f"network namespaces: {' '.join(e.cmd)} said: {e.stderr.strip()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._remover.communicate(timeout=60)

    def address(self, number: int) -> str:
        """The host's IP address, in a network for benchmarks and tests (RFC 2544)."""
        return f"198.18.0.{number + 1}"

    def on(self, number: int, *words: str) -> list[str]:
        """The command line that runs *words* on this host, as the same process."""
        return ["ip", "netns", "exec", self._names[number], *words]

    def program_on(self, number: int, program: Path, folder: Path) -> Path:
        """A program that is *program* on this host, for those who start a program by its path."""
        path = folder / f"{program.name}-{number}"
        path.write_text(f'#!/bin/sh\nexec {" ".join(self.on(number, str(program)))} "$@"\n')
        path.chmod(0o755)
        return path

    def cut_off(self, number: int) -> None:
        """Pull its cable: what is sent gets lost, and nobody is told that a connection ended."""
        _ip("-n", self._switch, "link", "set", f"port{number}", "down")

    def heal(self, number: int) -> None:
        """Put it back."""
        _ip("-n", self._switch, "link", "set", f"port{number}", "up")

    def _make(self) -> None:
        for name in (self._switch, *self._names):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "bridge", "up")
        for number, name in enumerate(self._names):
            port = f"port{number}"
            _ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
            _ip("-n", name, "address", "add", f"{self.address(number)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=30)
