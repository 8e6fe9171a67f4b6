"""A child process that must not outlive this one, not even when this one is killed with -9."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import cache

_PR_SET_PDEATHSIG = 1


def dies_with_us(first: Callable[[], None] | None = None) -> Callable[[], None] | None:
    """For ``preexec_fn``: Linux then ends the child with SIGKILL when the thread that starts it ends. Elsewhere None.

    It does not reach what the child starts itself, and a set-user-id program is exempt (prctl(2)). *first* is called
    in the child, too, before anything else.
    """
    if sys.platform != "linux":
        return first
    # Found before the fork: an import or dlopen in the child may wait for ever, for a lock that a thread of ours held.
    ask_kernel, us, number = prctl(), os.getpid(), int(signal.SIGKILL)

    def ask() -> None:
        if first is not None:
            first()
        ask_kernel(_PR_SET_PDEATHSIG, number)
        # Whoever died before it asked is never told of.
        if os.getppid() != us:
            os._exit(1)

    return ask


@cache
def prctl() -> Callable[[int, int], int]:
    """The system call of Linux, with one argument after its option."""
    found = ctypes.CDLL(None).prctl
    found.argtypes = [ctypes.c_int, ctypes.c_ulong]
    return found
