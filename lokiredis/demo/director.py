"""Starts the fleet, follows the queue until the plan is done, and ends everything that it started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Protocol

from ..embedded import EmbeddedServer
from ..models import NoClaim, Task
from ..queue import Queue
from ..worker.orphans import dies_with_us
from .evidence import Evidence, Killed, Snapshot, hold_of
from .happenings import Happening, between
from .plan import BREAKERS, DOOMED, FLEET, GRACE, LEASE, LIMITED, PROBE, STEPS, TIME_LIMIT, Role, cast

_LOOK = 0.12
#: How long agents that were told to stop may take.
_LAST_WORDS = 3.0
#: How long the connections of ended processes may still show in the server's count.
_LINGER = 1.0
#: No task has this type, so an observer that claims it can only be told why it gets nothing.
_OBSERVED = "demo-observer"


class Screen(Protocol):
    """Where a run is shown."""

    def show(self, snapshot: Snapshot, dead: frozenset[str]) -> None:
        """The queue as it is now, and which agents are dead."""

    def tell(self, happening: Happening, seconds: float) -> None:
        """One line of news, of so many seconds after the begin."""


@dataclass(frozen=True)
class Run:
    """Where a run is: its queue, its folder of files, and the folder whose .loki has the queue."""

    queue: str
    folder: Path
    home: Path


def new_run(home: Path, folder: Path) -> Run:
    """A run with a name of its own, below *folder*. *home* is the .loki folder."""
    stem = f"demo-{datetime.now():%m%d-%H%M%S}"
    for number in range(1, 100):
        name = stem if number == 1 else f"{stem}-{number}"
        place = folder / "demo-out" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.mkdir()
        except FileExistsError:
            continue
        return Run(name, place, home)
    raise FileExistsError(f"{folder / 'demo-out' / stem} and a hundred others exist")


@contextmanager
def server(home: Path, tell: Callable[[str], None]) -> Iterator[str]:
    """The URL of the embedded server of *home*. Stopped afterwards if it was started here and nobody else uses it."""
    embedded = EmbeddedServer(home)
    ran_before = embedded.status().running
    try:
        yield embedded.start()
    finally:
        if not ran_before:
            with _undisturbed():
                _stop(embedded, tell)


def _stop(embedded: EmbeddedServer, tell: Callable[[str], None]) -> None:
    end = time.monotonic() + _LINGER
    # The one client left is the one that asks.
    while (status := embedded.status()).running and (status.clients or 0) > 1:
        if time.monotonic() > end:
            tell(f"Somebody else uses the server of {embedded.folder} by now, so it runs on.")
            return
        time.sleep(0.02)
    embedded.stop()


def perform(run: Run, url: str, screen: Screen) -> Evidence:
    """Load the plan, let the fleet work, and return what was seen. No agent is left, however this ends."""
    with Queue.from_url(url, run.queue) as queue:
        queue.configure(breaker_overrides=BREAKERS)
        queue.enqueue_many(cast())
        first = Snapshot.of(queue)
        with _Fleet(run, url) as fleet:
            director = _Director(queue, fleet, screen, first)
            director.follow()
            fleet.end()
        return Evidence(
            snapshot=Snapshot.of(queue),
            began=first.stats.now,
            folder=run.folder,
            exits=fleet.exits(),
            killed=director.killed,
            refusals=frozenset(director.refusals),
            hold=hold_of(queue, LIMITED),
            slowdown_until=director.slowdown_until,
            out_of_time=director.out_of_time,
        )


class _Director:
    """Looks at the queue again and again, and does what the story asks of somebody outside it."""

    def __init__(self, queue: Queue, fleet: _Fleet, screen: Screen, first: Snapshot) -> None:
        self.killed: Killed | None = None
        self.refusals: set[str] = set()
        self.slowdown_until: datetime | None = None
        self.out_of_time = False
        self._queue = queue
        self._fleet = fleet
        self._screen = screen
        self._seen = first
        self._began = first.stats.now

    def follow(self) -> None:
        """Until nothing waits and nothing runs, or the time is up, or an agent broke down that nobody killed."""
        end = time.monotonic() + TIME_LIMIT
        while time.monotonic() < end:
            now = Snapshot.of(self._queue)
            for happening in between(self._seen, now):
                self._screen.tell(happening, (happening.at - self._began).total_seconds())
            self._seen = now
            self._screen.show(now, self._fleet.dead())
            self._kill(now)
            self._observe(now)
            self._probe(now)
            if self._is_over(now) or self._fleet.dead() - self._killed_agents():
                return
            time.sleep(_LOOK)
        self.out_of_time = True

    def _is_over(self, now: Snapshot) -> bool:
        # The last look may be older than the probe that was put into the queue after it.
        return now.idle and (PROBE["id"] in now.tasks or not _is_open(now))

    def _killed_agents(self) -> set[str]:
        return {self.killed.agent} if self.killed else set()

    def _kill(self, now: Snapshot) -> None:
        """Kill whoever works on the doomed task, in the middle of it."""
        task = now.tasks[DOOMED]
        if self.killed is None and _doing(task) == "write" and task.claimed_by is not None:
            self.killed = Killed(task.claimed_by, task.id)
            self._fleet.kill(task.claimed_by)
            text = f"kill -9 for {task.claimed_by}, in the middle of {task.id}"
            self._screen.tell(Happening(now.stats.now, text, "bad"), (now.stats.now - self._began).total_seconds())

    def _observe(self, now: Snapshot) -> None:
        """Try a claim while the fleet is slowed down."""
        until = now.stats.slowdown_until
        if until is not None and until > now.stats.now:
            self.slowdown_until = until
            found = self._queue.claim("observer", _OBSERVED)
            if isinstance(found, NoClaim):
                self.refusals.add(found.reason)

    def _probe(self, now: Snapshot) -> None:
        """What an operator would do: see that the breaker is open, repair, and let a task try it."""
        if PROBE["id"] not in now.tasks and _is_open(now):
            self._queue.enqueue_many([PROBE])


def _is_open(now: Snapshot) -> bool:
    breaker = now.stats.breakers.get(PROBE["type"])
    return breaker is not None and breaker.state == "open"


def _doing(task: Task) -> str | None:
    progress: Any = task.progress
    return progress["doing"] if isinstance(progress, dict) and progress.get("doing") in STEPS else None


class _Fleet:
    """The agents: a ``lokiredis worker`` each. None outlives us, whatever ends us."""

    def __init__(self, run: Run, url: str) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._run = run
        self._logs = run.folder / "logs"
        # The folder of a killed worker's task stays, and shall not stay in /tmp.
        self._temporary = run.folder / ".tmp"
        self._environment = _environment(url, self._temporary)

    def __enter__(self) -> _Fleet:
        self._logs.mkdir()
        self._temporary.mkdir()
        try:
            for role in FLEET:
                self._processes[role.name] = self._start(role)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        with _undisturbed():
            self.end()

    def _start(self, role: Role) -> subprocess.Popen[bytes]:
        with open(self._logs / f"{role.name}.log", "wb") as log:
            return subprocess.Popen(
                self._command(role),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                # Not in our process group: Ctrl-C is for the director, who ends them in order.
                start_new_session=True,
                # And when we are killed with -9, who else should end them?
                preexec_fn=dies_with_us(),
            )

    def _command(self, role: Role) -> list[str]:
        """As anybody would type it."""
        types = [word for type in role.types for word in ("--type", type)]
        times = ["--lease", f"{LEASE:g}s", "--grace", f"{GRACE:g}s"]
        words = ["--queue", self._run.queue, "worker", "--agent", role.name, *types, *times]
        work = [sys.executable, "-m", "lokiredis.demo.agent", str(self._run.folder)]
        return [sys.executable, "-m", "lokiredis", *words, "--logs", str(self._logs / "tasks"), "--", *work]

    def kill(self, agent: str) -> None:
        """Kill one with -9, and return when it is gone."""
        process = self._processes[agent]
        process.kill()
        process.wait()

    def dead(self) -> frozenset[str]:
        """Who doesn't run any more."""
        return frozenset(name for name, process in self._processes.items() if process.poll() is not None)

    def exits(self) -> dict[str, int | None]:
        """Exit codes."""
        return {name: process.poll() for name, process in self._processes.items()}

    def end(self) -> None:
        """Tell all to stop; kill who doesn't."""
        for process in self._processes.values():
            process.terminate()
        end = time.monotonic() + _LAST_WORDS
        for process in self._processes.values():
            try:
                process.wait(max(end - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._temporary, ignore_errors=True)


def _environment(url: str, temporary: Path) -> Mapping[str, str]:
    # The package may be found only because of the folder that we were started in, or of our own PYTHONPATH.
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(path for path in paths if path)
    return os.environ | {"LOKIREDIS_URL": url, "PYTHONPATH": path, "TMPDIR": str(temporary)}


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not break off the tidying up, which takes a few seconds at most."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def tidy_ending() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does: with everything that it started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
