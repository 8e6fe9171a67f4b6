"""The ledger of attempts: from the list in a file to the lines that the engine keeps (lua/lib/ledger.lua)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..models import AGENT_PATTERN
from .times import optional_ms

_OUTCOMES = frozenset({"completed", "failed", "expired", "released", "cancelled"})
_KEPT, _ERROR_BYTES, _LARGEST = 20, 1024, 2**52
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\\": "\\\\"}


@dataclass(frozen=True)
class Past:
    """A claim that ended; times in milliseconds."""

    token: int
    agent: str
    host: str
    claimed: int
    ended: int
    outcome: str
    error: str

    def line(self) -> str:
        """As it is stored. What the ending was answered isn't in a file: to a repeated one it is a stale claim."""
        error = self.error.encode("utf-8", "backslashreplace")[:_ERROR_BYTES].decode("utf-8", "ignore")
        escaped = re.sub(r"[\n\r\\]", lambda found: _ESCAPES[found[0]], error)
        return (
            f"{self.token} {self.agent} {self.host or '-'} {self.claimed} {self.ended} {self.outcome} - - 0 - {escaped}"
        )


def read(value: object) -> list[Past] | None:
    """The newest attempts of a task; None for what is no such list."""
    if not isinstance(value, list):
        return None
    found = [_past(each) for each in value[-_KEPT:]]
    known = [past for past in found if past is not None]
    return known if len(known) == len(found) else None


def _past(value: Any) -> Past | None:
    if not isinstance(value, Mapping):
        return None
    token, agent, host, error = (value.get(name) for name in ("token", "agent", "host", "error"))
    claimed, ended, outcome = (
        optional_ms(value.get("claimedAt")),
        optional_ms(value.get("endedAt")),
        value.get("outcome"),
    )
    if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token <= _LARGEST:
        return None
    if not isinstance(agent, str) or not re.fullmatch(AGENT_PATTERN, agent) or outcome not in _OUTCOMES:
        return None
    if not isinstance(host, (str, type(None))) or not isinstance(error, (str, type(None))) or claimed is None:
        return None
    if ended is None or re.search(r"\s", host or ""):
        return None
    return Past(token, agent, host or "", claimed, ended, str(outcome), error or "")


def lost(token: int, agent: str, claimed: int | None, now: int) -> Past:
    """The end of a claim whose agent nobody waits for any more. It costs no retry: nobody knows whether it failed."""
    began = now if claimed is None else claimed
    return Past(token, agent, "", began, now, "released", "its agent was gone when the task was imported")


def is_synthesized(attempts: list[Past], token: int | None, agent: str, claimed: int | None, ended: int | None) -> bool:
    """Is the whole ledger what the engine makes of a task completed at its first attempt, without storing it?"""
    if len(attempts) != 1 or not agent:
        return False
    [only] = attempts
    told = (only.token, only.agent, only.claimed, only.ended, only.outcome, only.error)
    return told == (token, agent, claimed, ended, "completed", "")
