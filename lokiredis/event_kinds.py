"""What kinds of event there are, and which of them somebody should hear of."""

from __future__ import annotations

#: Not written by the queue, but by whoever reads: entries are gone that were not read in time.
GAP = "gap"

#: As the scripts write them, and the reader's own; a test holds this list against lua/.
KINDS = (
    "enqueued", "imported", "claimed", "completed", "incomplete", "released", "failed", "expired", "dead", "cancelled",
    "retried", "resolved", "discarded", "escalated", "removed", "held", "slowdown", "slowdown-lifted", "paused",
    "resumed", "dependency-met", "breaker-open", "breaker-half-open", "breaker-closed", "configured", GAP,
)  # fmt: skip

#: A dead letter, a breaker that opened, an agent that was lost, an escalation; and a gap, which may hide any of them.
ALERTS = frozenset({"dead", "breaker-open", "expired", "escalated", GAP})
