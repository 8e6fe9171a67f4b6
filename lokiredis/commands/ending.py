"""How a claim ends: complete, fail, release, a rate limit; and exchange, which ends many and claims anew."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import arguments, replies
from ..errors import InvalidTask
from ..keys import Keys
from ..models import Claim, Exchange, Failed, Finished, Hold, NoClaim, Outcome, Released
from .command import ClaimLike, Command, build, host_name, scoped_request

#: How many endings a call is sent. The engine takes 1,000, but those of tasks that failed twenty times, with a KiB of
#: error each, take it 0.2 ms apiece, and no call may take more than 50 (design rule 16).
MOST_ENDINGS = 100


def complete(
    keys: Keys,
    /,
    claim: ClaimLike,
    *,
    output: Any = None,
    decision_report: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
) -> Command[Outcome]:
    """End a claim with success; what depends on the task may go on.

    Give ``output`` and ``decision_report``, or the whole ``result``. Raises DecisionReportMissing without a non-empty
    report (design rule 14: the claim stays), StaleClaim, TaskNotFound, InvalidTask.
    """
    report, body = arguments.result(output, decision_report, result)
    id, token = arguments.proof(claim)
    return build("complete", keys, replies.outcome, id=id, token=token, report=report, body=body)


def fail(keys: Keys, /, claim: ClaimLike, error: object, *, retry: bool = True) -> Command[Outcome]:
    """End a claim with a charge: a retry after the backoff (design rule 10), or the dead-letter queue.

    ``retry=False`` sends the task there at once. Raises StaleClaim, TaskNotFound.
    """
    id, token = arguments.proof(claim)
    return build(
        "fail",
        keys,
        replies.outcome,
        id=id,
        token=token,
        text=arguments.text(error),
        retry="retry" if arguments.flag(retry, "retry") else "final",
        spread=random.random(),
    )


def release(keys: Keys, /, claim: ClaimLike, *, delay: float = 0, reason: str = "") -> Command[Outcome]:
    """Hand a task back without a charge, to be claimed after ``delay`` seconds.

    Raises StaleClaim, TaskNotFound, InvalidTask.
    """
    id, token = arguments.proof(claim)
    return build(
        "release",
        keys,
        replies.outcome,
        id=id,
        token=token,
        delay=arguments.ms(delay, "delay"),
        reason=arguments.text(reason),
    )


def rate_limited(
    keys: Keys,
    /,
    claim: ClaimLike,
    error: object,
    *,
    retry_after: float | None = None,
    checkpoint: Any = None,
    release: bool = False,
    request: str | None = None,
) -> Command[Hold]:
    """Hold the claim's agent and slow the fleet down (design rule 15). Costs no attempt.

    Without ``retry_after`` seconds they are read from *error*, else they back off. The claim is kept until the hold
    ends, unless ``release`` is set or the wait is longer than the longest hold.
    Raises StaleClaim, TaskNotFound, InvalidTask.
    """
    if retry_after is None:
        from ..ratelimit import retry_after as read

        retry_after = read(error)
    id, token = arguments.proof(claim)
    return build(
        "rate_limited",
        keys,
        replies.hold,
        id=id,
        token=token,
        request=scoped_request(request, "rate_limited", id, str(token)),
        text=arguments.text(error),
        wait="" if retry_after is None else arguments.wait_ms(retry_after, "retryAfter"),
        spread=random.random(),
        checkpoint=arguments.optional_json(checkpoint, "checkpoint"),
        give="release" if arguments.flag(release, "release") else "",
    )


def exchange(
    keys: Keys,
    /,
    agent: str,
    types: str | Iterable[str],
    words: Sequence[Any] = (),
    *,
    limit: int,
    lease: float | None = None,
    request: str | None = None,
) -> Command[Exchange]:
    """One call of :meth:`Queue.exchange`, with the *words* of its endings (:func:`in_calls`).

    The engine takes 1,000 endings and claims together, save that 100 claims may always be taken.
    """
    names = arguments.task_types(types)
    if arguments.limit(limit, 0) and not names:
        raise InvalidTask("a claim names 1 to 100 types", field="types")
    return build(
        "exchange",
        keys,
        replies.exchange,
        words,
        agent=arguments.agent(agent),
        host=host_name(),
        request=scoped_request(request, "exchange", agent, *sorted(names)),
        limit=arguments.limit(limit, 0),
        lease=arguments.lease_ms(lease),
        wanted=" ".join(names),
        undo=(lambda found: hand_back(keys, agent, found.claims)) if request is None else None,
    )


def words_that_fit(endings: Sequence[Finished | Failed | Released]) -> tuple[list[Any], int]:
    """The words of the first endings, of as many as one call is sent, and how many these are: one at least."""
    words: list[Any] = []
    size = 0
    for count, ending in enumerate(endings[:MOST_ENDINGS]):
        found = _ending(ending)
        size += len(found[3] if found[0] == "fail" else found[4])
        if size > arguments.MOST_BYTES and count:
            return words, count
        words += found
    return words, min(len(endings), MOST_ENDINGS)


def in_calls(endings: Sequence[Finished | Failed | Released]) -> Iterator[list[Any]]:
    """The words of these endings, call by call: of one call at least."""
    while True:
        words, count = words_that_fit(endings)
        yield words
        endings = endings[count:]
        if not endings:
            return


def linked(calls: Sequence[Command[Exchange]]) -> list[Command[Exchange]]:
    """The same calls, so that who gives up in the middle still makes those that follow."""
    found = [calls[-1]]
    for call in reversed(calls[:-1]):
        found.append(replace(call, undo=lambda _, rest=found[-1]: rest))  # type: ignore[misc]
    return found[::-1]


def hand_back(keys: Keys, /, agent: str, found: Claim | NoClaim | Sequence[Claim]) -> Command[Exchange] | None:
    """Release what was found for an agent that does not know of it; None when that is nothing."""
    if isinstance(found, NoClaim) or not found:
        return None
    claims = [found] if isinstance(found, Claim) else found
    released = [Released(claim, reason="the call that claimed it was interrupted") for claim in claims]
    return linked([exchange(keys, agent, (), words, limit=0) for words in in_calls(released)])[0]


def _ending(ending: Finished | Failed | Released) -> list[Any]:
    if isinstance(ending, Finished):
        report, body = arguments.result(ending.output, ending.decision_report, ending.result)
        return ["complete", *arguments.proof(ending.claim), report, body, ""]
    if isinstance(ending, Failed):
        retry = "retry" if arguments.flag(ending.retry, "retry") else "final"
        return ["fail", *arguments.proof(ending.claim), arguments.text(ending.error), retry, random.random()]
    if isinstance(ending, Released):
        words = arguments.ms(ending.delay, "delay"), arguments.text(ending.reason), ""
        return ["release", *arguments.proof(ending.claim), *words]
    raise InvalidTask("an ending is Finished, Failed or Released", field="finished")
