"""What the random histories are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lokiredis.canonical import default_key
from lokiredis.models import NewTask

from .enqueue import New

TYPES = ("alpha", "beta", "gamma")
AGENTS = ("one", "two/2", "three")
IDS = tuple(f"t{n}" for n in range(16))
Report = dict[str, Any] | None
REPORTS: tuple[Report, ...] = ({"why": "so", "what": "that"}, {"why": "so"}, {}, None)


@dataclass(frozen=True)
class Held:
    """A claim that was given at some time."""

    id: str
    token: int


@dataclass(frozen=True)
class Pick:
    """Which claim is meant: one that runs, or now and then any earlier one."""

    number: int
    stale: bool


@dataclass(frozen=True)
class Ending:
    """How a claim shall end; only the words that go with `kind` count."""

    kind: str
    pick: Pick
    report: Report = None
    retry: bool = True
    delay: int = 0
    text: str = ""


@dataclass(frozen=True)
class Wanted:
    """A task to enqueue: its names are numbers, so that a history can name what is there."""

    id: int
    unused: bool
    type: str
    priority: int
    depends: tuple[int, ...]
    key: str | None
    max_retries: int
    timeout: int
    backoff: float
    delay: int | None
    n: int

    def name(self, taken: set[str]) -> str:
        """Mostly an id that nobody has."""
        free = [id for id in IDS if id not in taken] if self.unused else []
        pool = free or list(IDS)
        return pool[self.id % len(pool)]

    def made(self, id: str, names: tuple[str, ...]) -> tuple[NewTask, New]:
        """The same task for both worlds."""
        payload: dict[str, Any] = {"n": self.n}
        task = NewTask(
            id=id,
            type=self.type,
            priority=self.priority,
            dependencies=names,
            idempotency_key=self.key,
            max_retries=self.max_retries,
            timeout=self.timeout,
            backoff_seconds=self.backoff,
            delay=self.delay,
            payload=payload,
        )
        new = New(
            id=id,
            type=self.type,
            priority=self.priority,
            depends=names,
            key=default_key(self.type, payload, names, {}) if self.key is None else self.key,
            max_retries=self.max_retries,
            timeout=self.timeout * 1000,
            base=round(self.backoff * 1000),
            delay=None if self.delay is None else self.delay * 1000,
            payload=payload,
        )
        return task, new


types = st.sampled_from(TYPES)
type_sets = st.lists(types, min_size=1, max_size=3, unique=True)
agents = st.sampled_from(AGENTS)
leases: SearchStrategy[int | None] = st.sampled_from([None, None, 10, 60, 5000])
texts = st.sampled_from(["", "broken", "two\nlines \\ and ünïcode"])
repeated = st.sampled_from([False, False, True])
numbers = st.integers(0, 15)
picks = st.builds(Pick, numbers, st.sampled_from([False] * 7 + [True]))

wanted = st.builds(
    Wanted,
    id=numbers,
    unused=st.sampled_from([True] * 5 + [False]),
    type=types,
    priority=st.sampled_from([5, 5, 5, 1, 10]),
    depends=st.lists(numbers, max_size=2).map(tuple),
    key=st.sampled_from(["", "", "", "", "k1", "k2", None]),
    max_retries=st.sampled_from([0, 1, 1, 2, 3]),
    timeout=st.sampled_from([3600, 3600, 30, 100]),
    backoff=st.sampled_from([60, 0, 0, 1.5]),
    delay=st.sampled_from([None, None, None, 0, 5, 90]),
    n=st.integers(0, 3),
)

reports = st.sampled_from((REPORTS[0], REPORTS[0], REPORTS[0], *REPORTS[1:]))
finishes = st.builds(Ending, st.just("finish"), picks, report=reports)
failures = st.builds(Ending, st.just("fail"), picks, retry=st.sampled_from([True, True, False]), text=texts)
releases = st.builds(Ending, st.just("release"), picks, delay=st.sampled_from([0, 0, 20]), text=texts)
all_endings = st.one_of(finishes, finishes, failures, failures, releases)
