"""Claims and their heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .. import arguments, replies
from ..errors import LokiRedisError
from ..keys import Keys
from ..models import Claim, Heartbeat, NoClaim
from .command import ClaimLike, Command, build, host_name, scoped_request
from .ending import hand_back

#: How many characters the ids of running tasks may have together: the script takes 64 KiB with the types.
_LONGEST_RUNNING = 32_768

Given = TypeVar("Given", bound="Claim | NoClaim | list[Claim]")


def claim_once(
    keys: Keys,
    /,
    agent: str,
    types: str | Iterable[str],
    *,
    lease: float | None = None,
    request: str | None = None,
) -> Command[Claim | NoClaim]:
    """One claim without waiting."""
    return _claim(keys, agent, types, 1, lease, request, replies.one_claim)


def claim_many(
    keys: Keys,
    /,
    agent: str,
    types: str | Iterable[str],
    limit: int,
    *,
    lease: float | None = None,
    request: str | None = None,
) -> Command[list[Claim]]:
    """Lease up to *limit* (1 to 1,000) of the best ready tasks to *agent*; an empty list when there are none.

    A reply stops at 8 MiB of documents, so it may be shorter. ``lease`` is seconds, at most each task's timeout.
    """
    return _claim(keys, agent, types, limit, lease, request, replies.some_claims)


def _claim(
    keys: Keys,
    agent: str,
    types: str | Iterable[str],
    limit: int,
    lease: float | None,
    request: str | None,
    parse: Callable[[Any], Given],
) -> Command[Given]:
    names = arguments.task_types(types)
    return build(
        "claim",
        keys,
        parse,
        agent=arguments.agent(agent),
        host=host_name(),
        request=scoped_request(request, "claim", agent, *sorted(names)),
        limit=arguments.limit(limit),
        lease=arguments.lease_ms(lease),
        wanted=" ".join(names),
        # What has an id of the caller's own is asked for again by it, and must still be his then.
        undo=(lambda found: hand_back(keys, agent, found)) if request is None else None,
    )


def announce(
    keys: Keys,
    /,
    agent: str,
    types: Iterable[str] = (),
    *,
    tasks: Iterable[str] = (),
    completed: int = 0,
    failed: int = 0,
    every: float = 20,
) -> Command[int]:
    """Tell the queue that *agent* is alive, which tasks it works on, and how many it ended; ``every`` seconds again.

    For :meth:`Queue.agents`, which takes it for lost when it is silent for three times as long; 0: it leaves.
    Nothing is decided by it: leases do that. Of more than some hundreds of tasks only the first are told.
    """
    return build(
        "announce",
        keys,
        int,
        agent=arguments.agent(agent),
        host=host_name(),
        names=" ".join(arguments.task_types(types)),
        running=_as_many_as_fit(arguments.texts(tasks, "tasks")),
        done=arguments.count(completed, "completed"),
        failed=arguments.count(failed, "failed"),
        every=arguments.ms(every, "every"),
    )


def _as_many_as_fit(ids: Iterable[str]) -> str:
    """Between blanks. Refused for its length, the word of a worker with a thousand tasks would make it a lost one."""
    text = " ".join(ids)
    return text if len(text) <= _LONGEST_RUNNING else text[: text.rindex(" ", 0, _LONGEST_RUNNING + 1)]


def heartbeat(keys: Keys, /, claim: ClaimLike, *, checkpoint: Any = None, progress: Any = None) -> Command[Heartbeat]:
    """Renew a claim by its lease; store a checkpoint (for the next claimant) or progress (for people), both JSON.

    Returns Heartbeat(deadline, cancelled): after a cancel ``deadline`` is None and ``cancelled`` True.
    Raises StaleClaim when the claim has ended otherwise, TaskNotFound, InvalidTask (more than 1 MiB).
    """
    words = [
        *arguments.proof(claim),
        arguments.optional_json(checkpoint, "checkpoint"),
        arguments.optional_json(progress, "progress"),
    ]
    return build("heartbeat", keys, replies.one_heartbeat, words)


def heartbeat_many(keys: Keys, /, claims: Iterable[ClaimLike]) -> Command[list[Heartbeat | LokiRedisError]]:
    """Renew many claims in one call; each gets its Heartbeat, or the error that it would have raised."""
    words = [word for proof in arguments.proofs(claims) for word in (*proof, "", "")]
    return build("heartbeat", keys, replies.heartbeats, words)
