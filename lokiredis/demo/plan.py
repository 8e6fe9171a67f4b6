"""Who works on what, and what is meant to go wrong. Changes of the story are made here and in ``expectations``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The todo application: 26 tasks of 13 types that depend on each other.
PLAN_FILE = Path(__file__).with_name("todo-app-plan.json")


@dataclass(frozen=True)
class Role:
    """One agent, a ``lokiredis worker``: its name in the queue, and the task types that it claims."""

    name: str
    types: tuple[str, ...]


#: Every type has at least two agents: one of the seven is killed, and its types must not die with it.
FLEET = (
    Role("architect", ("orch-planner", "eng-api", "eng-database", "eng-frontend", "prod-techwriter")),
    Role("backend-1", ("eng-backend", "eng-database", "eng-api", "ops-devops")),
    Role("backend-2", ("eng-backend", "eng-qa", "review-code", "ops-security")),
    Role("frontend-1", ("eng-frontend", "prod-techwriter", "biz-marketing")),
    Role("frontend-2", ("eng-frontend", "eng-qa", "review-business", "biz-marketing")),
    Role("reviewer", ("review-code", "review-security", "review-business", "ops-security")),
    Role("operator", ("ops-devops", "ops-security", "review-security", "orch-planner")),
)

#: A field of the task's own tells the agent what to act; the queue keeps it and knows nothing of it.
PART = "demoPart"

FLAKY, HOPELESS, DOOMED, LIMITED = "qa-003", "infra-003", "fe-001", "rev-001"
PARTS = {FLAKY: "flaky", HOPELESS: "hopeless", DOOMED: "doomed", LIMITED: "limited"}

#: Added when the breaker has opened: the task that probes whether the type works again.
PROBE: dict[str, Any] = {
    "id": "infra-004",
    "type": "ops-devops",
    "priority": 6,
    "dependencies": [],
    "payload": {
        "action": "check",
        "target": "deploy/registry.txt",
        "params": {},
        "goal": "The image registry answers again, so that staging can be deployed by hand",
        "constraints": ["Read only"],
        "context": {"relatedFiles": [], "architectureDecisions": []},
    },
}

#: Seconds. The plan itself sets maxRetries 2 and a backoff of 1 s for the hopeless task.
BACKOFF = 1.0
LEASE = 2.0
#: What runs when the demo is stopped may go on for so long.
GRACE = 1.0
RATE_LIMIT = 3.0
HALF_OPEN_AFTER = 2.0
#: One breaker opens at the first dead letter, since the plan has only one to offer.
BREAKERS = {PROBE["type"]: {"failureThreshold": 1, "halfOpenAfter": HALF_OPEN_AFTER}}

#: What an agent goes through, each taking so long: it stands in for the minutes that a model takes.
STEPS = ("read", "draft", "write", "check")
STEP_SECONDS = 0.25

#: After that everything is ended, and the demo has failed.
TIME_LIMIT = 60.0


def planned() -> list[dict[str, Any]]:
    """The tasks of the plan as they are in its file."""
    tasks: list[dict[str, Any]] = json.loads(PLAN_FILE.read_text(encoding="utf-8"))["tasks"]
    return tasks


def cast() -> list[dict[str, Any]]:
    """The tasks to enqueue: those of the plan, four of them with a part in what goes wrong."""
    return [task | _part(task["id"]) for task in planned()]


def _part(id: str) -> dict[str, Any]:
    part = {PART: PARTS[id]} if id in PARTS else {}
    return part | ({"backoffSeconds": BACKOFF} if id == FLAKY else {})
