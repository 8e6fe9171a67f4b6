"""One agent of the fleet: ``python -m lokiredis.demo.agent QUEUE FOLDER NAME TYPE…``, with $LOKIREDIS_URL.

It claims a task, works on it while a thread renews the claim, and completes it; a rate limit is told to the queue and
waited out. It ends when its standard input does: the director holds the other end, so no agent outlives it, not even
when the director is killed with -9.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import LokiRedisError, StaleClaim
from ..models import Claim, Hold, Task, iso
from ..queue import Queue
from ..ratelimit import is_rate_limit
from .artefact import Brief, Made, Source, digest, make, path_of
from .plan import BEAT, LEASE, PART, RATE_LIMIT, STEP_SECONDS, STEPS

#: How long an agent blocks on the server before it asks again.
_WAIT = 30.0
#: What a killed agent would have gone on with. Far beyond the demo's end.
_FOR_EVER = 300.0
#: An agent that is told to stop has so long to hand its task back.
_LAST_WORDS = 1.0


class _Stopped(Exception):
    """The demo is over."""


class _WorkFailed(Exception):
    """What a tool, a test or a model said."""


@dataclass(frozen=True)
class _Agent:
    name: str
    types: tuple[str, ...]
    folder: Path
    queue: Queue
    stop: threading.Event
    busy: threading.Event

    def run(self) -> None:
        """Claim and work until the demo is over."""
        while not self.stop.is_set():
            claim = self.queue.claim(self.name, self.types, lease=LEASE, wait=_WAIT)
            if isinstance(claim, Claim):
                self.busy.set()
                self._work(claim)
                self.busy.clear()

    def _work(self, claim: Claim) -> None:
        with _Heartbeats(self.queue, claim):
            try:
                self._finish(claim)
            except _Stopped:
                self.queue.release(claim, reason="the demo was stopped")
            except StaleClaim as e:
                # Too late: another agent has the task. The queue took nothing of ours.
                print(f"{claim.id}: {e}", file=sys.stderr, flush=True)
            except Exception as e:
                self.queue.fail(claim, e)

    def _finish(self, claim: Claim) -> None:
        done, hold = _done(claim.task), None
        began = done
        while True:
            try:
                self._think(claim, done, first=hold is None)
                break
            except _WorkFailed as e:
                if not is_rate_limit(e):
                    raise
                done = 1
                hold = self.queue.rate_limited(claim, e, checkpoint={"done": done})
                self._sit_out(claim, hold)
        made = make(self.folder, self._brief(claim.task))
        output = asdict(made) | {"carriedOnAt": began, "heldUntil": iso(hold.until) if hold else None}
        self.queue.complete(claim, output=output, decision_report=_report(claim.task, made))

    def _think(self, claim: Claim, done: int, *, first: bool) -> None:
        """Go through the steps that are left, with a checkpoint before each."""
        for step in range(done, len(STEPS)):
            doing = {"step": step + 1, "of": len(STEPS), "doing": STEPS[step]}
            self.queue.heartbeat(claim, progress=doing, checkpoint={"done": step})
            self._pause(STEP_SECONDS)
            self._act(claim.task, STEPS[step], first=first)

    def _act(self, task: Task, step: str, *, first: bool) -> None:
        """What goes wrong, for the tasks that have a part in it."""
        part = (task.model_extra or {}).get(PART)
        new = not task.attempts
        if part == "flaky" and step == "check" and new:
            raise _WorkFailed("1 of 1,000 requests was answered with 503")
        if part == "hopeless" and step == "check":
            raise _WorkFailed("cannot pull the image: no route to registry.example")
        if part == "limited" and step == "draft" and new and first:
            raise _WorkFailed(f"429 Too Many Requests, Retry-After: {RATE_LIMIT:g}")
        if part == "doomed" and step == "write" and new:
            self._pause(_FOR_EVER)

    def _sit_out(self, claim: Claim, hold: Hold) -> None:
        self.queue.heartbeat(claim, progress={"step": 2, "of": len(STEPS), "doing": f"held {hold.wait:.0f} s"})
        self._pause(hold.wait)

    def _pause(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise _Stopped

    def _brief(self, task: Task) -> Brief:
        payload = task.payload
        return Brief(
            id=task.id,
            type=task.type,
            agent=self.name,
            goal=payload["goal"],
            constraints=tuple(payload["constraints"]),
            path=path_of(task.id, payload),
            sources=tuple(self._source(id) for id in task.dependencies),
        )

    def _source(self, id: str) -> Source:
        """The file of a dependency. The queue promised that it is there, and this is where a broken promise shows."""
        result = self.queue.get(id).result
        if not result:
            raise _WorkFailed(f"{id} is not completed")
        output: dict[str, Any] = result["output"]
        if digest(self.folder / output["path"]) != output["sha256"]:
            raise _WorkFailed(f"{output['path']} is not what {id} wrote")
        return Source(id, output["path"], output["sha256"])


class _Heartbeats:
    """Renews a claim in the background until the work on it ends. Other errors than its end show in the work itself."""

    def __init__(self, queue: Queue, claim: Claim) -> None:
        self._queue = queue
        self._claim = claim
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(BEAT):
            try:
                if self._queue.heartbeat(self._claim).cancelled:
                    return
            except LokiRedisError:
                return


def _done(task: Task) -> int:
    """How many steps the agent before us had done."""
    return int(task.checkpoint["done"]) if isinstance(task.checkpoint, dict) else 0


def _report(task: Task, made: Made) -> dict[str, Any]:
    decisions = task.payload["context"]["architectureDecisions"]
    return {
        "why": decisions[0] if decisions else "The plan asks for it, and no decision stands against it",
        "what": f"{made.path}, {made.bytes} bytes: {task.payload['goal']}",
        "tradeOffs": "One plain file in place of a framework",
        "risks": "A demo's content: read it before you use it",
        "testResults": made.checked,
        "nextSteps": [f"Look at {made.path}"],
    }


def _watch(stop: threading.Event, busy: threading.Event) -> None:
    # os.read: a thread inside sys.stdin makes the interpreter's end fail.
    while os.read(0, 1024):
        pass
    stop.set()
    if busy.is_set():
        threading.Event().wait(_LAST_WORDS)
    # The main thread may be blocked on the server for half a minute.
    os._exit(0)


def main() -> None:
    """Run the agent that the command line names."""
    name, folder, agent, *types = sys.argv[1:]
    stop, busy = threading.Event(), threading.Event()
    threading.Thread(target=_watch, args=(stop, busy), daemon=True).start()
    with Queue.from_url(None, name) as queue:
        _Agent(agent, tuple(types), Path(folder), queue, stop, busy).run()


if __name__ == "__main__":
    main()
