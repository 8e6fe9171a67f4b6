"""The review of dead letters: what a person decides about them, their groups, and the decisions that were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import arguments, replies
from ..keys import Keys
from ..models import Cancelled, Outcome, from_epoch
from ..review import DeadLetter, Decision
from .command import Command, build, scoped_request


def retry_dead(
    keys: Keys,
    /,
    id: str,
    *,
    delay: float = 0,
    force: bool = False,
    by: str | None = None,
    reason: str = "",
    request: str | None = None,
) -> Command[Outcome]:
    """Make a dead letter pending again, with no retries charged, after ``delay`` seconds.

    ``by`` (None: this user on this machine) and ``reason`` go into the record of decisions, here and below. Raises
    DuplicateTask when an equal task is waiting, running or done, unless ``force``; TaskNotFound, InvalidState.
    """
    return build(
        "retry_dead",
        keys,
        replies.outcome,
        id=arguments.word(id, "id"),
        request=scoped_request(request, "retry_dead", id),
        delay=arguments.ms(delay, "delay"),
        force="force" if arguments.flag(force, "force") else "",
        by=arguments.person(by),
        why=arguments.text(reason),
    )


def resolve_dead(
    keys: Keys,
    /,
    id: str,
    result: Mapping[str, Any],
    *,
    by: str | None = None,
    reason: str | None = None,
    request: str | None = None,
) -> Command[Outcome]:
    """Complete a dead letter that a person has done; ``result`` needs a decisionReport as for complete.

    ``reason`` is the report's ``why`` when it is not given. Raises DecisionReportMissing, TaskNotFound, InvalidState,
    InvalidTask.
    """
    report, body = arguments.result(None, None, result)
    told = result.get("decisionReport") if isinstance(result, Mapping) else None
    why = reason if reason is not None else told.get("why", "") if isinstance(told, Mapping) else ""
    return build(
        "resolve_dead",
        keys,
        replies.outcome,
        id=arguments.word(id, "id"),
        request=scoped_request(request, "resolve_dead", id),
        report=report,
        body=body,
        by=arguments.person(by),
        why=arguments.text(why),
    )


def discard_dead(
    keys: Keys, /, id: str, reason: str = "", *, by: str | None = None, request: str | None = None
) -> Command[Cancelled]:
    """Remove a dead letter for good; what waits for it is cancelled, and counted. Raises TaskNotFound, InvalidState."""
    named: dict[str, Any] = {"id": arguments.word(id, "id"), "reason": arguments.text(reason)}
    named["by"] = arguments.person(by)
    return build("discard_dead", keys, replies.cancelled, request=scoped_request(request, "discard_dead", id), **named)


def escalate_dead(
    keys: Keys, /, id: str, note: str, *, by: str | None = None, request: str | None = None
) -> Command[None]:
    """Note on a dead letter that it needs a human decision. Raises TaskNotFound, InvalidState."""
    named: dict[str, Any] = {"id": arguments.word(id, "id"), "note": arguments.text(note)}
    named["by"] = arguments.person(by)
    asked = scoped_request(request, "escalate_dead", id)
    return build("escalate_dead", keys, lambda reply: None, request=asked, **named)


def canary_dead(
    keys: Keys,
    /,
    id: str,
    others: Sequence[str],
    *,
    count: int,
    go: bool,
    force: bool = False,
    by: str | None = None,
    reason: str = "",
    request: str | None = None,
) -> Command[int]:
    """One call of :func:`lokiredis.steps.canary_dead`: link up to 1,000 *others* to the canary, and *go*: retry it."""
    named: dict[str, Any] = {"id": arguments.word(id, "id"), "by": arguments.person(by)}
    return build(
        "canary_dead",
        keys,
        int,
        [arguments.word(other, "others") for other in others],
        request=scoped_request(request, "canary_dead", id, *others),
        why=arguments.text(reason),
        detail=f"canary of {count:,} others",
        force="force" if arguments.flag(force, "force") else "",
        go="go" if go else "",
        **named,
    )


@dataclass(frozen=True)
class GroupPage:
    """Some dead letters, and the patterns of their groups; None is the end."""

    letters: list[DeadLetter]
    patterns: Mapping[str, str]
    cursor: str | None


def dead_groups(keys: Keys, /, type: str | None = None, *, cursor: str | None = None) -> Command[GroupPage]:
    """A page of the dead letters with their groups, for :func:`lokiredis.steps.dead_groups`."""

    def parse(reply: Any) -> GroupPage:
        following, patterns, rows = reply
        letters = [
            DeadLetter(
                id=replies.text(row[0]),
                type=replies.text(row[1]),
                sequence=int(row[2]),
                died_at=from_epoch(int(row[3])),
                group=replies.text(row[4]),
                canary=replies.text(row[5]) if row[5] else None,
            )
            for row in rows
        ]
        return GroupPage(letters, replies.pairs(patterns), replies.text(following) if following else None)

    chosen = "" if type is None else arguments.task_type(type)
    return build("dead_groups", keys, parse, type=chosen, cursor="" if cursor is None else cursor)


def decisions(keys: Keys, /, since: str | None = None, *, limit: int = 1000) -> Command[list[Decision]]:
    """What was decided about dead letters, oldest first, after the decision with the cursor *since*; *limit* at most.

    About 20,000 are kept. Raises InvalidTask.
    """
    after = "" if since is None else arguments.entry(since, "since")
    return build("decisions", keys, _decisions, since=after, limit=arguments.limit(limit))


def _decisions(reply: Iterable[Any]) -> list[Decision]:
    found = []
    for entry, words in reply:
        said = replies.pairs(words)
        found.append(
            Decision(
                cursor=replies.text(entry),
                at=from_epoch(int(said["at"])),
                action=said["action"],
                id=said["id"],
                type=said["type"],
                by=said["by"],
                why=said["why"],
                pattern=said["pattern"],
                detail=said["detail"],
            )
        )
    return found
