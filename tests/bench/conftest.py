"""A peer that needs nothing installed: its queue is a folder, a task is a file, and who deletes the file has it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

BENCH = Path(__file__).resolve().parent.parent.parent / "bench"

if TYPE_CHECKING:
    from peers import Peer

_DRIVER = f"""
import os, sys, time, uuid
sys.path.insert(0, {str(BENCH / "peers" / "drivers")!r})
from harness import Driver, main

class Folder(Driver):
    def put(self, task):
        open(f"{{self.url}}/{{uuid.uuid4()}}", "w").close()

    def put_batch(self, batch):
        for task in batch:
            self.put(task)

    def layers(self, width, depth):
        self.put_batch(range(width * depth))

    def fan(self, width):
        self.put_batch(range(width + 2))

    def work(self, meter, *, each):
        meter.wait(each=each)
        while True:
            for name in os.listdir(self.url):
                try:
                    os.unlink(f"{{self.url}}/{{name}}")
                except FileNotFoundError:
                    continue
                meter.handled()
            time.sleep(0.001)

main(Folder)
"""


@dataclass(frozen=True)
class Fake:
    """The peer, its queue, and how to give it another driver."""

    peer: Peer
    queue: Path

    def driver(self, text: str) -> None:
        """Replaces the driver; it is run with the words of the load as its arguments."""
        (self.peer.drivers / "fake_driver.py").write_text(text)

    def slow(self) -> None:
        """Its worker takes 10 ms for each task."""
        self.driver(_DRIVER.replace("meter.handled()", "meter.handled(); time.sleep(0.01)"))

    def waiting(self) -> int:
        """The tasks in the queue."""
        return len(list(self.queue.iterdir()))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """``peers`` can be imported, as by a program in bench/."""
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.fixture
def fake(bench: None, tmp_path: Path) -> Fake:
    from peers import Peer

    environment = tmp_path / "environments" / "fake"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    (environment / "peer.json").write_text("{}")
    drivers, queue = tmp_path / "drivers", tmp_path / "queue"
    drivers.mkdir()
    queue.mkdir()
    can = frozenset({"single", "parallel32", "batch1000", "drain", "pickup", "layers", "fan"})
    found = Fake(Peer("Fake", "fake", "Python", can, "", environment.parent, drivers), queue)
    found.driver(_DRIVER)
    return found
