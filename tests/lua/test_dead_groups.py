"""lua/dead_groups.lua: dead letters by what their failures have in common."""

from __future__ import annotations

import pytest

from lokiredis import InvalidTask

from ..clock import ClockedQueue
from .moves import add, let_pass, moment, raw, take


def _bury(queue: ClockedQueue, id: str, error: str, type: str = "a") -> None:
    add(queue, id, type)
    queue.fail(take(queue, type), error, retry=False)


@pytest.fixture
def clocked(clocked: ClockedQueue) -> ClockedQueue:
    """A breaker that bears many dead letters."""
    clocked.configure(breaker_defaults={"failure_threshold": 100_000})
    return clocked


@pytest.mark.parametrize(
    ("errors", "pattern"),
    [
        (["connect to 10.0.0.1:5432 failed after 30s", "connect to 10.9.8.7:5433 failed after 5s"],
         "connect to <n> failed after <n>"),
        (["task api-001: no such file '/srv/a/x.py'", "task web-17: no such file '/home/y'"],
         "task <id>: no such file '<path>'"),
        (["cannot read /srv/a/x.py (line 12)", "cannot read C:\\b\\y.py (line 7)"], "cannot read <path> (line <n>)"),
        (["user=7f3c1b2a-1111-4222-8333-944445555666 refused", "user=00000000-aaaa-4222-8333-9bbbbbbbbbbb refused"],
         "user=<id> refused"),
        (["exit code 1\n\n  in step\t3", "exit code 137 in step 4"], "exit code <n> in step <n>"),
        (["commit deadbeef12 is broken,", "commit deadbeef is broken,"], "commit <id> is broken,"),
        (["", ""], "(no error text)"),
    ],
)  # fmt: skip
def test_numbers_ids_and_paths_do_not_matter(errors: list[str], pattern: str, clocked: ClockedQueue) -> None:
    """Errors that differ in nothing else are one group, with a pattern that people can read."""
    for number, error in enumerate(errors):
        _bury(clocked, f"x{number}", error)
    groups = clocked.dead_groups()
    assert [(group.pattern, [letter.id for letter in group.letters]) for group in groups] == [(pattern, ["x0", "x1"])]
    assert len(groups[0].group) == 8


def test_its_own_id_does_not_matter(clocked: ClockedQueue) -> None:
    """The queue puts it into its errors, and it may be a plain word."""
    for id in ("deploy", "audit"):
        _bury(clocked, id, f"the result was refused: {id}: a completed task needs a report")
    (group,) = clocked.dead_groups()
    assert group.pattern == "the result was refused: <id>: a completed task needs a report"
    assert [letter.id for letter in group.letters] == ["deploy", "audit"]


def test_lost_agents_are_one_group(clocked: ClockedQueue) -> None:
    """The queue's own error names agent and machine, which is no kind of failure."""
    for number in range(2):
        add(clocked, f"x{number}", max_retries=1, timeout=20)
        take(clocked, agent=f"host/{'ab'[number]}")
        let_pass(clocked, 100)
        assert not clocked.claim("me", "a")
    assert [group.pattern for group in clocked.dead_groups()] == ["timeout: <agent> took longer than <n> s"]


def test_the_largest_group_first(clocked: ClockedQueue) -> None:
    """Each with its letters in the order in which the tasks were made; of one type when asked."""
    for id, error in (("x", "no disk"), ("y", "no network"), ("z", "no network")):
        _bury(clocked, id, error)
    _bury(clocked, "w", "no disk", "b")
    clocked.clock.advance(5)
    _bury(clocked, "v", "no network", "b")
    groups = clocked.dead_groups()
    assert [(group.pattern, [letter.id for letter in group.letters]) for group in groups] == [
        ("no network", ["y", "z", "v"]), ("no disk", ["x", "w"]),
    ]  # fmt: skip
    last = groups[0].letters[-1]
    assert (last.type, last.died_at, last.group, last.canary) == ("b", moment(clocked), groups[0].group, None)
    assert [len(group.letters) for group in clocked.dead_groups("b")] == [1, 1]
    assert clocked.dead_groups("c") == []


def test_many_pages(clocked: ClockedQueue) -> None:
    """More than one call reads, all of which died at the same moment."""
    clocked.enqueue_many([{"id": f"x{n}", "type": "a", "idempotencyKey": ""} for n in range(700)])
    for claim in clocked.claim_many("me", "a", 1000):
        clocked.fail(claim, f"error {claim.id}", retry=False)
    [group] = clocked.dead_groups()
    assert [letter.id for letter in group.letters] == [f"x{n}" for n in range(700)]


def test_a_bad_cursor(clocked: ClockedQueue) -> None:
    """Refused."""
    for cursor in ("x", "1e5:x", "9" * 17 + ":x"):
        with pytest.raises(InvalidTask):
            raw(clocked, "dead_groups", "", cursor)
