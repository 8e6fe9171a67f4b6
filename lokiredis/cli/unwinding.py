"""Signals that end a process at once, while it holds something that must be handed back first."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal came that ends this process."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


@contextmanager
def unwinding() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Ended in here, as Ctrl-C raises KeyboardInterrupt; then they end the process as ever."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise Ended(number)

    # Only the main thread may set handlers. One that is ignored (nohup) stays so.
    in_main = threading.current_thread() is threading.main_thread()
    changed = [number for number in _ENDING if in_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, leave)
    try:
        yield
    except Ended as e:
        signal.signal(e.number, signal.SIG_DFL)
        os.kill(os.getpid(), e.number)
        raise
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
