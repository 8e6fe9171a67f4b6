"""The work on one task: ``python -m lokiredis.demo.agent FOLDER``, which ``lokiredis worker`` runs for each.

It finds its task in a file that its environment names, tells the queue how far it is, and prints the result as its last
line. It fails by what it writes to standard error; the worker sees a rate limit in there, waits, and runs it again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..queue import Queue
from .artefact import Brief, Made, Source, digest, make, path_of
from .plan import PART, RATE_LIMIT, STEP_SECONDS, STEPS

#: What a killed agent would have gone on with. Far beyond the demo's end.
_FOR_EVER = 300.0


class _WorkFailed(Exception):
    """What a tool, a test or a model said."""


@dataclass(frozen=True)
class _Claim:
    """With id and token the queue lets us speak for our worker's claim."""

    id: str
    token: int


@dataclass(frozen=True)
class _Work:
    task: dict[str, Any]
    claim: _Claim
    agent: str
    folder: Path
    queue: Queue
    checkpoint: Path

    def result(self) -> dict[str, Any]:
        """Go through the steps that are left, and make the file."""
        saved = json.loads(self.checkpoint.read_text()) if self.checkpoint.exists() else None
        done = int(saved["done"]) if saved else 0
        for step in range(done, len(STEPS)):
            self._tell(step)
            time.sleep(STEP_SECONDS)
            self._act(STEPS[step], new=saved is None)
        made = make(self.folder, self._brief())
        return {"output": asdict(made) | {"carriedOnAt": done}, "decisionReport": _report(self.task, made)}

    def _tell(self, step: int) -> None:
        doing, checkpoint = {"step": step + 1, "of": len(STEPS), "doing": STEPS[step]}, {"done": step}
        # At once, for another agent, who goes on if we are killed now.
        self.queue.heartbeat(self.claim, progress=doing, checkpoint=checkpoint)
        # The worker reads it when we end, and gives it to our next run: behind a rate limit the claim stays its own.
        self.checkpoint.write_text(json.dumps(checkpoint))

    def _act(self, step: str, *, new: bool) -> None:
        """What goes wrong, for the tasks that have a part in it. ``new``: nobody began it before us."""
        part = self.task.get(PART)
        if part == "flaky" and step == "check" and new:
            raise _WorkFailed("1 of 1,000 requests was answered with 503")
        if part == "hopeless" and step == "check":
            raise _WorkFailed("cannot pull the image: no route to registry.example")
        if part == "limited" and step == "draft" and new:
            held = {"step": 2, "of": len(STEPS), "doing": f"held {RATE_LIMIT:.0f} s"}
            self.queue.heartbeat(self.claim, progress=held)
            raise _WorkFailed(f"429 Too Many Requests, Retry-After: {RATE_LIMIT:g}")
        if part == "doomed" and step == "write" and new:
            time.sleep(_FOR_EVER)

    def _brief(self) -> Brief:
        id, payload = self.task["id"], self.task["payload"]
        return Brief(
            id=id,
            type=self.task["type"],
            agent=self.agent,
            goal=payload["goal"],
            constraints=tuple(payload["constraints"]),
            path=path_of(id, payload),
            sources=tuple(self._source(name) for name in self.task["dependencies"]),
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


def _report(task: dict[str, Any], made: Made) -> dict[str, Any]:
    decisions = task["payload"]["context"]["architectureDecisions"]
    return {
        "why": decisions[0] if decisions else "The plan asks for it, and no decision stands against it",
        "what": f"{made.path}, {made.bytes} bytes: {task['payload']['goal']}",
        "tradeOffs": "One plain file in place of a framework",
        "risks": "A demo's content: read it before you use it",
        "testResults": made.checked,
        "nextSteps": [f"Look at {made.path}"],
    }


def main() -> None:
    """The task that the environment names, its files below the folder that the command line names."""
    there = os.environ
    claim = _Claim(there["LOKIREDIS_TASK_ID"], int(there["LOKIREDIS_TASK_TOKEN"]))
    task = json.loads(Path(there["LOKIREDIS_TASK_FILE"]).read_text(encoding="utf-8"))
    checkpoint = Path(there["LOKIREDIS_TASK_CHECKPOINT_FILE"])
    with Queue.from_url(None, there["LOKIREDIS_QUEUE"]) as queue:
        work = _Work(task, claim, there["LOKIREDIS_AGENT"], Path(sys.argv[1]), queue, checkpoint)
        try:
            result = work.result()
        except _WorkFailed as e:
            sys.exit(str(e))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
