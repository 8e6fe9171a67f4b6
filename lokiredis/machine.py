"""This machine and its processes: what tells one from another, and one boot from the next."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from .line_file import read_line


@dataclass(frozen=True)
class Machine:
    """Who runs a server: the name of the machine for people, its ids to tell machines and boots apart."""

    host: str
    machine: str
    boot: str

    def is_other_than(self, here: Machine) -> bool:
        """True when *here* is another machine than this one was, a reboot apart."""
        # Containers on one kernel have different host names but the same boot id, and alive.lock works between them.
        # Else name and machine-id must both be ours (a reboot): either alone is shared by cloned machines or images.
        if self.boot and self.boot == here.boot:
            return False
        return (self.host, self.machine) != (here.host, here.machine)


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(
        host=os.uname().nodename,
        machine=read_line("/etc/machine-id"),
        boot=read_line("/proc/sys/kernel/random/boot_id"),
    )


def read_machine(path: Path) -> Machine | None:
    """The machine that a file of JSON names; None when there is no such file, or no sense in it."""
    try:
        known = json.loads(read_line(path) or "null")
        return Machine(host=str(known["host"]), machine=str(known["machine"]), boot=str(known["boot"]))
    except (ValueError, TypeError, KeyError):
        return None


def process_begin(pid: int) -> str | None:
    """When process *pid* began, in clock ticks since boot: that and the pid name one process. None when it ended."""
    # The program's name comes first, in brackets, and may hold anything.
    fields = read_line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return None if not fields or fields[0] in "ZX" else fields[19]
