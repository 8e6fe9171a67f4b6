"""Each operation as data: which script, which arguments, how to read the reply. Nothing here talks to Redis."""

from .claiming import announce, claim_many, claim_once, heartbeat, heartbeat_many
from .command import ClaimLike, Command, new_request
from .ending import complete, exchange, fail, in_calls, linked, rate_limited, release, words_that_fit
from .enqueueing import Names, as_new_task, document, enqueue, enqueue_batch, key_of
from .explaining import explain, explain_agent
from .graphing import GraphPart, Way, graph
from .importing import Batch, Restored, RestoredBreaker, Stored, import_, import_breakers
from .operating import (
    cancel,
    configure,
    pause,
    reset_breaker,
    resume,
    slowdown,
    trip_breaker,
)
from .reading import agents, breakers, counts, get, list_, settings, snapshot, stats, waits
from .reviewing import (
    GroupPage,
    canary_dead,
    dead_groups,
    decisions,
    discard_dead,
    escalate_dead,
    resolve_dead,
    retry_dead,
)

__all__ = [
    "Batch",
    "ClaimLike",
    "Command",
    "GraphPart",
    "GroupPage",
    "Names",
    "Restored",
    "RestoredBreaker",
    "Stored",
    "Way",
    "agents",
    "announce",
    "as_new_task",
    "breakers",
    "canary_dead",
    "cancel",
    "claim_many",
    "claim_once",
    "complete",
    "configure",
    "counts",
    "dead_groups",
    "decisions",
    "discard_dead",
    "document",
    "enqueue",
    "enqueue_batch",
    "escalate_dead",
    "exchange",
    "explain",
    "explain_agent",
    "fail",
    "get",
    "graph",
    "heartbeat",
    "heartbeat_many",
    "import_",
    "import_breakers",
    "in_calls",
    "key_of",
    "linked",
    "list_",
    "new_request",
    "pause",
    "rate_limited",
    "release",
    "reset_breaker",
    "resolve_dead",
    "resume",
    "retry_dead",
    "settings",
    "slowdown",
    "snapshot",
    "stats",
    "trip_breaker",
    "waits",
    "words_that_fit",
]
