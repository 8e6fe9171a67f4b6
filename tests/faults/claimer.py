"""An agent process for the tests: claims tasks, works on them for a moment, completes them, and writes down both.

``python -m tests.faults.claimer URL QUEUE AGENT FOLDER SEED`` ends when the queue has nothing pending or running any
more. It may be killed at any moment.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from lokiredis import Claim, Finished, Queue, StaleClaim

TYPES = ("build", "test", "review")
LEASE = 1.0
_LONGEST_WORK = 0.025
#: On a task that somebody lost: long enough for the lost one to come back and find the task in other hands.
_SECOND_ATTEMPT = 0.3
_REPORT = {"why": "a test"}


class _Ledger:
    """Lines that survive this process: each is one write with O_APPEND, whole or not there."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, **entry: Any) -> None:
        os.write(self._file, (json.dumps(entry | {"pid": os.getpid()}) + "\n").encode())


def main(url: str, queue_name: str, agent: str, folder: str, seed: str) -> None:
    """Work until all is done."""
    chance = random.Random(seed)
    claims, effects, refusals = (_Ledger(Path(folder, name)) for name in ("claims", "effects", "refusals"))

    def note_claims(taken: list[Claim]) -> list[Claim]:
        for claim in taken:
            claims.note(id=claim.id, token=claim.token, agent=agent)
        return taken

    with Queue.from_url(url, queue_name, retry_for=60) as queue:
        held: list[Claim] = []
        while True:
            if not held:
                found = queue.claim(agent, TYPES, lease=LEASE, wait=0.5)
                if found:
                    held = note_claims([found])
                elif not _work_left(queue):
                    return
                continue
            again = any(claim.task.attempts for claim in held)
            time.sleep(_SECOND_ATTEMPT if again else len(held) * chance.uniform(0, _LONGEST_WORK))  # the work itself
            if chance.random() < 0.2:
                queue.heartbeat_many(held)
            if len(held) == 1 and chance.random() < 0.5:
                _complete(queue, held.pop(), effects, refusals)
                continue
            # Half of the work goes through the call that ends several claims and takes several new ones.
            done = [Finished(claim, decision_report=_REPORT) for claim in held]
            answer = queue.exchange(agent, TYPES, finished=done, limit=chance.randint(1, 5), lease=LEASE)
            for claim, outcome in zip(held, answer.outcomes, strict=True):
                if isinstance(outcome, StaleClaim):
                    refusals.note(id=claim.id, token=claim.token)
                    continue
                if isinstance(outcome, Exception):
                    raise outcome
                effects.note(id=claim.id, token=claim.token)
            held = note_claims(answer.claims)


def _complete(queue: Queue, claim: Claim, effects: _Ledger, refusals: _Ledger) -> None:
    try:
        queue.complete(claim, decision_report=_REPORT)
    except StaleClaim:
        refusals.note(id=claim.id, token=claim.token)
        return
    effects.note(id=claim.id, token=claim.token)


def _work_left(queue: Queue) -> bool:
    counts = queue.counts()
    return bool(counts["pending"] or counts["in-progress"])


if __name__ == "__main__":
    main(*sys.argv[1:])
