"""lokiredis: a task queue for fleets of AI agents on many machines, on one Redis."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import BreakerSettings, Settings
    from .errors import (
        DecisionReportMissing,
        DependencyCycle,
        DuplicateTask,
        InvalidState,
        InvalidTask,
        LokiRedisError,
        NoServer,
        QueueFull,
        QueueUnavailable,
        SchemaMismatch,
        StaleClaim,
        TaskExists,
        TaskNotFound,
        UnknownDependency,
        UnsupportedServer,
    )
    from .explanation import AgentExplanation, Explanation, Root
    from .files.report import Exported, Imported, Told
    from .models import (
        Attempt,
        Breaker,
        Cancelled,
        Claim,
        Enqueued,
        Event,
        Exchange,
        Failed,
        Finished,
        Heartbeat,
        Hold,
        NewTask,
        NoClaim,
        Outcome,
        Page,
        Released,
        Signal,
        State,
        Stats,
        Task,
        TypeStats,
        Wait,
    )
    from .queue import AsyncQueue, Queue
    from .review import DeadGroup, DeadLetter, Decision

__version__ = "0.1.0"

__all__ = [
    "AgentExplanation",
    "AsyncQueue",
    "Attempt",
    "Breaker",
    "BreakerSettings",
    "Cancelled",
    "Claim",
    "DeadGroup",
    "DeadLetter",
    "Decision",
    "DecisionReportMissing",
    "DependencyCycle",
    "DuplicateTask",
    "Enqueued",
    "Event",
    "Exchange",
    "Explanation",
    "Exported",
    "Failed",
    "Finished",
    "Heartbeat",
    "Hold",
    "Imported",
    "InvalidState",
    "InvalidTask",
    "LokiRedisError",
    "NewTask",
    "NoClaim",
    "NoServer",
    "Outcome",
    "Page",
    "Queue",
    "QueueFull",
    "QueueUnavailable",
    "Released",
    "Root",
    "SchemaMismatch",
    "Settings",
    "Signal",
    "StaleClaim",
    "State",
    "Stats",
    "Task",
    "TaskExists",
    "TaskNotFound",
    "Told",
    "TypeStats",
    "UnknownDependency",
    "UnsupportedServer",
    "Wait",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used.

    ``lokiredis --help`` needs none of them: redis-py and pydantic take longer to import than it may take as a whole.
    """
    if name in __all__:
        for module in ("errors", "config", "models", "explanation", "review", "files.report", "queue"):
            home = import_module(f".{module}", __name__)
            if name in vars(home):
                return vars(home)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
