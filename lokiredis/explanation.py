"""Why a task does not run, and why an agent gets none: what :meth:`Queue.explain` answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .models import Breaker, State, Task


@dataclass(frozen=True)
class Gate:
    """What may keep a task type from being given out.

    ``breaker`` is None when it is closed without a failure. ``probe_at`` is when an open one lets a probe through,
    ``probe`` the task that a half-open one waits for.
    """

    type: str
    paused: bool
    breaker: Breaker | None
    probe_at: datetime | None
    probe: str | None


@dataclass(frozen=True)
class Root:
    """A task that others wait for and that waits for nobody, with what tells why it isn't done. The fields are Task's.

    It has neither payload nor results, which may be a hundred megabytes: :meth:`Queue.get` reads a whole task.
    """

    id: str
    type: str
    state: State
    place: str
    claimed_by: str | None
    lease_expires_at: datetime | None
    available_at: datetime | None
    completed_at: datetime | None
    last_error: str | None
    cancel_reason: str | None
    escalated_at: datetime | None

    @property
    def waiting_on(self) -> frozenset[str]:
        """Nothing: so it is a root."""
        return frozenset()


@dataclass(frozen=True)
class Explanation:
    """Why a task runs or doesn't, at the moment ``now``.

    ``ready``: the next claim of its type takes it. ``position`` is its place in the line of its type, 1 first; None
    when it is in none. ``expected`` is where the next claim finds it: ``ready`` for a delayed task that is due, or for
    a claim that nobody renewed. ``reason`` is why a claim of its type gets nothing (as of NoClaim), None when it gets
    a task; ``retry_after`` seconds is when time alone can change that.

    ``waits_for`` are the first 100 of the ``roots`` tasks that it waits for in the end, not ``walked_all``: the least
    that there are. ``agents`` live agents of the type are known.
    """

    now: datetime
    task: Task
    ready: bool
    position: int | None
    expected: str
    reason: str | None
    retry_after: float | None
    paused: bool
    slowdown_until: datetime | None
    gate: Gate
    agents: int
    roots: int
    walked_all: bool
    waits_for: tuple[Root, ...]

    @property
    def state(self) -> State:
        """The state of the task."""
        return self.task.state


@dataclass(frozen=True)
class TypeLine:
    """The tasks of one of an agent's types."""

    gate: Gate
    ready: int
    delayed: int
    blocked: int
    in_progress: int


@dataclass(frozen=True)
class AgentExplanation:
    """Why an agent gets nothing, at the moment ``now``; or ``task``, the id of the task that its next claim takes.

    ``reason`` and ``retry_after`` are those of NoClaim, None when there is a task. ``last_seen`` is when the agent last
    announced itself, None when it never did; ``lost``: it has been silent for too long since.
    """

    now: datetime
    agent: str
    task: str | None
    reason: str | None
    retry_after: float | None
    last_seen: datetime | None
    lost: bool
    held_until: datetime | None
    paused: bool
    slowdown_until: datetime | None
    types: tuple[TypeLine, ...]
