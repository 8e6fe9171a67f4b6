"""Plans that are too large for one call."""

from __future__ import annotations

import random
from typing import Any

import pytest

from lokiredis import DependencyCycle, Queue, TaskExists, UnknownDependency


def chain(length: int) -> list[dict[str, Any]]:
    return [
        {"id": f"t{i}", "type": "a", "payload": {"i": i}, "dependencies": [f"t{i - 1}"] if i else []}
        for i in range(length)
    ]


def test_a_large_plan_in_any_order_is_stored_whole(queue: Queue) -> None:
    """2,500 tasks that wait for each other, shuffled, are all stored; the same plan again creates nothing."""
    plan = chain(2500)
    random.Random(7).shuffle(plan)
    assert all(stored.created for stored in queue.enqueue_many(plan))
    assert queue.counts()["pending"] == 2500
    assert not any(stored.created for stored in queue.enqueue_many(plan))


@pytest.mark.parametrize(
    ("place", "change", "error"),
    [
        (2100, {"dependencies": ["nowhere"]}, UnknownDependency),
        (2100, {"id": "taken"}, TaskExists),
        (0, {"dependencies": ["t2499"]}, DependencyCycle),
    ],
)
def test_a_fault_in_the_last_part_stores_nothing_at_all(
    queue: Queue, place: int, change: dict[str, Any], error: type[Exception]
) -> None:
    """What would be refused in a later part is found before the first part is stored, and named by its place."""
    queue.enqueue(type="other", id="taken", payload={"another": True})
    plan = chain(2500)
    plan[place] |= change
    if place:
        plan[place + 1]["dependencies"] = []
    with pytest.raises(error) as raised:
        queue.enqueue_many(plan)
    if place:
        assert getattr(raised.value, "index", None) == place
    assert queue.counts()["pending"] == 1


def test_a_duplicate_in_an_early_part_stands_for_its_equal_in_a_later_one(queue: Queue) -> None:
    """A dependency on a task that turned out a duplicate waits for the task that was there."""
    queue.enqueue(type="a", id="first", payload={"same": 1})
    plan = [{"id": "again", "type": "a", "payload": {"same": 1}}]
    plan += [{"id": f"x{i}", "type": "b", "payload": {"i": i}} for i in range(1200)]
    plan.append({"id": "last", "type": "c", "dependencies": ["again", "x1199"]})
    for _ in range(2):
        stored = queue.enqueue_many(plan)
        assert stored[0].id == "first"
    assert queue.get("last").waiting_on == {"first", "x1199"}


def test_two_tasks_of_one_id_in_different_parts_store_nothing(queue: Queue) -> None:
    """No single part would see it: the plan is looked through as a whole."""
    plan = chain(1500)
    plan[1400] |= {"id": "t3", "dependencies": []}
    plan[1401]["dependencies"] = []
    with pytest.raises(TaskExists):
        queue.enqueue_many(plan)
    assert queue.counts()["pending"] == 0


def test_a_large_plan_without_keys_can_be_repeated_by_its_request(queue: Queue) -> None:
    """The same request again is recognised by its parts, also where no key could tell."""
    plan = [task | {"idempotencyKey": ""} for task in chain(1500)]
    first = queue.enqueue_many(plan, request="r")
    assert queue.enqueue_many(plan, request="r") == first
