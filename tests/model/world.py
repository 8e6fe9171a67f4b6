"""What the model knows: tasks, breakers, switches, holds. All times are milliseconds."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Any, cast

#: Pending in three kinds (design section 3), then the other four states.
PENDING = ("ready", "delayed", "blocked")
STATES = {
    **dict.fromkeys(PENDING, "pending"),
    "leased": "in-progress",
    "completed": "completed",
    "dead": "dead-letter",
    "cancelled": "cancelled",
}
#: An equal task in one of these is returned instead of a second one (rule 12).
BLOCKING = frozenset((*PENDING, "leased", "completed"))

ATTEMPTS_KEPT = 20
DAY = 86_400_000


class Refused(Exception):
    """The model's word for an error: the name of its class."""

    @property
    def code(self) -> str:
        return str(self.args[0])


@dataclass
class Ended:
    """One claim that ended: a line of the ledger, and the answer that its ending got."""

    token: int
    agent: str
    claimed: int
    ended: int
    outcome: str
    operation: str
    error: str | None
    answer: tuple[str, int, int | None]


@dataclass
class ModelTask:
    """One task."""

    id: str
    type: str
    priority: int
    sequence: int
    max_retries: int
    timeout: int
    base: int
    key: str
    depends: tuple[str, ...]
    payload: Any
    created: int
    available: int | None
    place: str = "ready"
    backoff: int = 0
    retries: int = 0
    handbacks: int = 0
    waits: set[str] = field(default_factory=set)
    ended: int | None = None
    token: int | None = None
    agent: str | None = None
    claimed: int | None = None
    lease: int | None = None
    limit: int | None = None
    deadline: int | None = None
    error: str | None = None
    result: dict[str, Any] | None = None
    attempts: list[Ended] = field(default_factory=list)
    checkpoint: Any = None
    progress: Any = None
    reason: str | None = None
    escalated: int | None = None
    note: str | None = None

    @property
    def state(self) -> str:
        return STATES[self.place]

    @property
    def rank(self) -> tuple[int, int]:
        """Its place in claim order (rule 2)."""
        return -self.priority, self.sequence

    @property
    def incomplete(self) -> bool:
        return self.result is not None and self.result["status"] == "incomplete"


@dataclass
class ModelBreaker:
    """The breaker of one type (rule 11); `wait` names what must pass before an open one is due."""

    state: str = "closed"
    failures: int = 0
    last_failure: int | None = None
    opened: int | None = None
    half_opened: int | None = None
    wait: str = "half"
    probe: tuple[str, int] | None = None
    gives_way: str | None = None


@dataclass
class Hold:
    """An agent's hold, and its rate limits in a row since it last completed a task."""

    until: int = 0
    in_a_row: int = 0


@dataclass
class Config:
    """The settings in force that the machine changes."""

    threshold: int = 5
    cooldown: int = 300_000
    half: int = 60_000
    count_on: str = "dead-letter"
    keep: int = 7 * DAY
    tombstone: int = 30 * DAY
    longest_hold: int = 6 * 3_600_000
    longest_slowdown: int = 1_800_000
    jitter: float = 0
    report: bool = True
    report_keys: tuple[str, ...] = ()


@dataclass
class World:
    """A queue."""

    now: int
    tasks: dict[str, ModelTask] = field(default_factory=dict)
    #: key -> who owns it, the one that is answered with first.
    owners: dict[str, list[str]] = field(default_factory=dict)
    tombstones: dict[str, int] = field(default_factory=dict)
    breakers: dict[str, ModelBreaker] = field(default_factory=dict)
    config: Config = field(default_factory=Config)
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    paused: bool = False
    paused_types: set[str] = field(default_factory=set)
    slowdown: int = 0
    holds: dict[str, Hold] = field(default_factory=dict)
    #: dead letter -> the canary that it waits for.
    canaries: dict[str, str] = field(default_factory=dict)
    reaped: int | None = None
    grace: int = 0
    sequence: int = 0
    totals: dict[str, int] = field(default_factory=lambda: {"completed": 0, "failed": 0, "dead": 0})

    def copy(self) -> World:
        """One of its own, to try something on. deepcopy took a quarter of all the time of the histories."""
        return cast("World", pickle.loads(pickle.dumps(self)))

    def task(self, id: str) -> ModelTask:
        if id not in self.tasks:
            raise Refused("TaskNotFound")
        return self.tasks[id]

    def hold(self, agent: str) -> Hold:
        return self.holds.get(agent, Hold())

    def in_place(self, *places: str, type: str | None = None) -> list[ModelTask]:
        return [t for t in self.tasks.values() if t.place in places and (type is None or t.type == type)]

    def pending(self, task: ModelTask, available: int | None) -> None:
        """Put a task among the pending ones; it keeps its sequence, and so its place (rule 2)."""
        task.available = available if available is not None and available > self.now else None
        task.ended = None
        if task.incomplete:
            # Silent: a result that was refused for its missing report goes with the claim that brought it.
            task.result = None
        task.place = "blocked" if task.waits else "ready" if task.available is None else "delayed"

    def close(self, task: ModelTask, outcome: str, operation: str, error: str | None) -> None:
        """The claim has ended: a line in the ledger, and nobody runs the task any more."""
        assert task.token is not None
        assert task.agent is not None
        assert task.claimed is not None
        answer = (task.state, task.retries, None if task.place == "completed" else task.available)
        line = Ended(task.token, task.agent, task.claimed, self.now, outcome, operation, error or None, answer)
        task.attempts = [*task.attempts, line][-ATTEMPTS_KEPT:]
        task.lease = task.limit = task.deadline = None
        if task.place not in ("completed", "cancelled"):
            task.agent = task.claimed = None

    def release_dependents(self, parent: str) -> None:
        """A dependency has completed: its name goes from every set (rule 4)."""
        for task in self.tasks.values():
            if parent in task.waits:
                task.waits.discard(parent)
                if not task.waits and task.place == "blocked":
                    due = task.available is None or task.available <= self.now
                    task.place = "ready" if due else "delayed"
        behind = [self.tasks[id] for id, canary in self.canaries.items() if canary == parent]
        self.forget_canary(parent)
        for task in sorted(behind, key=lambda t: t.sequence):
            # Silent: an equal one that lives stands in its way, as for a person; then it stays a dead letter.
            if self.equal_of(task) is None:
                self.revive(task, None)

    def equal_of(self, task: ModelTask) -> str | None:
        """The equal task that stands in the way of a dead letter (rule 12)."""
        return next((id for id in self.living_owners(task.key) if id != task.id), None)

    def living_owners(self, key: str) -> list[str]:
        """The tasks of this key that wait, run or are done."""
        return [id for id in self.owners.get(key, ()) if self.tasks[id].place in BLOCKING] if key else []

    def own(self, task: ModelTask, *, first: bool) -> None:
        """The task lives, and its key is its own: before the others that live, or behind them."""
        if task.key:
            others = [id for id in self.living_owners(task.key) if id != task.id]
            self.owners[task.key] = [task.id, *others] if first else [*others, task.id]

    def revive(self, task: ModelTask, available: int | None) -> None:
        """A dead letter is pending again, with all its attempts."""
        self.own(task, first=True)
        task.retries = task.handbacks = 0
        task.backoff = task.base
        self.pending(task, available)

    def forget_canary(self, canary: str) -> None:
        """Nobody waits for it any more."""
        self.canaries = {id: other for id, other in self.canaries.items() if other != canary}

    def retention(self, finished: int) -> None:
        """Rule 17: each finishing call removes up to twice what it finished, of each kind."""
        for place in ("completed", "cancelled"):
            oldest = sorted(self.in_place(place), key=lambda t: (t.ended, t.id))
            for task in oldest[: 2 * finished]:
                assert task.ended is not None
                if task.ended <= self.now - self.config.keep:
                    self.remove(task)
                    if place == "completed":
                        self.tombstones[task.id] = self.now + self.config.tombstone

    def remove(self, task: ModelTask) -> None:
        del self.tasks[task.id]
        if task.id in self.owners.get(task.key, ()):
            self.owners[task.key].remove(task.id)
