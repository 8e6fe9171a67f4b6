"""A busy client of a queue: ``python -m tests.files.load URL QUEUE NUMBER``, until its standard input is closed."""

from __future__ import annotations

import os
import random
import select
import sys

from lokiredis import Claim, Failed, Finished, LokiRedisError, NewTask, Queue, Released

TYPES = ["a", "b", "c"]
REPORT = {"why": "asked", "what": "done"}
#: More would only make each look at them longer: then what is there goes round.
MOST_WAITING, MOST_ENDED = 60, 300


class Load:
    """Everything that changes a task, at random."""

    def __init__(self, queue: Queue, number: int) -> None:
        self.queue = queue
        self.name = f"p{number}"
        self.random = random.Random(number)
        self.made: list[str] = []
        self.claims: list[Claim] = []
        #: How many more may end for good, of all that may: what ends comes the seldomer, and never stops for long.
        self.room = 1.0

    def step(self) -> None:
        """One of them. What another process did first is no error here."""
        moves = [self.add, self.claim, self.claim, self.end, self.end, self.beat, self.cancel, self.revive, self.swap]
        try:
            self.random.choice(moves)()
        except LokiRedisError:
            pass

    def add(self) -> None:
        counts = self.queue.counts()
        self.room = max(1 - (counts["completed"] + counts["cancelled"]) / MOST_ENDED, 0)
        if counts["pending"] + counts["in-progress"] + counts["dead-letter"] > MOST_WAITING:
            return
        tasks = []
        for _ in range(self.random.randint(1, 12)):
            id = f"{self.name}-{len(self.made)}"
            names = self.random.sample(self.made[-30:], min(len(self.made), self.random.choice([0, 0, 1, 3])))
            tasks.append(
                NewTask(
                    id=id,
                    type=self.random.choice(TYPES),
                    priority=self.random.randint(1, 10),
                    dependencies=tuple(names),
                    payload={"text": "<ü>" * self.random.randint(0, 100)},
                    max_retries=2,
                    backoff_seconds=self.random.choice([0, 0.05, 5]),
                    idempotency_key="",
                )
            )
            self.made.append(id)
        self.queue.enqueue_many(tasks)

    def may_end(self) -> bool:
        return self.random.random() < self.room**2

    def claim(self) -> None:
        self.claims += self.queue.claim_many(self.name, TYPES, self.random.randint(1, 6))

    def end(self) -> None:
        if self.claims:
            claim = self.claims.pop(self.random.randrange(len(self.claims)))
            how = self.random.random()
            if how < 0.5 and self.may_end():
                self.queue.complete(claim, output="ok", decision_report=REPORT)
            elif how < 0.9:
                self.queue.fail(claim, "it broke", retry=self.random.random() < 0.7)
            else:
                self.queue.release(claim)

    def swap(self) -> None:
        ended, self.claims = self.claims[:10], self.claims[10:]
        endings: list[Finished | Failed | Released] = []
        for claim in ended:
            if self.may_end():
                endings.append(Finished(claim, output=1, decision_report=REPORT))
            else:
                endings.append(Failed(claim, "it broke") if self.random.random() < 0.5 else Released(claim))
        self.claims += self.queue.exchange(self.name, TYPES, finished=endings, limit=10).claims

    def beat(self) -> None:
        if self.claims:
            self.queue.heartbeat(self.claims[0], progress={"step": self.random.random()})

    def cancel(self) -> None:
        ids = [*self.made[-3:], *(claim.id for claim in self.claims)]
        if ids and self.may_end():
            self.queue.cancel(self.random.choice(ids), "not needed")

    def revive(self) -> None:
        for task in self.queue.list("dead-letter", limit=10).tasks:
            if not self.may_end():
                self.queue.retry_dead(task.id, force=True)
            else:
                self.queue.discard_dead(task.id, "no use")


def main(url: str, name: str, number: str) -> None:
    """Work until somebody closes standard input."""
    # Four of these would leave the job that is tested a fifth of a small machine: it is Redis that they keep busy.
    os.nice(10)
    with Queue.from_url(url, name) as queue:
        load = Load(queue, int(number))
        while not select.select([sys.stdin], [], [], 0)[0]:
            load.step()


if __name__ == "__main__":
    main(*sys.argv[1:])
