"""From what a handler returned or raised to how its claim ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models import Claim, Failed, Finished, Released

Ending = Finished | Failed | Released

#: Of an error's text this much goes to the queue; it keeps the last 16 KiB anyway.
_LONGEST_TEXT = 16_384


class HandBack(Exception):
    """Raised by a handler: the task goes back without a charge, to be claimed after ``delay`` seconds."""

    def __init__(self, reason: str = "", *, delay: float = 0) -> None:
        super().__init__(reason)
        self.delay = delay


class GiveUp(Exception):
    """Raised by a handler: the attempt failed and no other one can help, so the task goes to the dead-letter queue."""


class AttemptFailed(Exception):
    """The attempt failed, and its text is what lastError shall say."""


def ended(claim: Claim, value: Any) -> Ending:
    """The ending for what a handler returned: the whole result, with ``decisionReport`` and what else belongs in it.

    None is a result without a report, which the queue takes only where its rule of reports is off (design rule 14).
    """
    if value is None:
        return Finished(claim, result={})
    if isinstance(value, Mapping):
        return Finished(claim, result=value)
    return Failed(
        claim, f"the handler returned {type(value).__name__}, not a result: a JSON object with decisionReport"
    )


def raised(claim: Claim, error: BaseException) -> Ending:
    """The ending for what a handler raised."""
    if isinstance(error, HandBack):
        return Released(claim, delay=error.delay, reason=text_of(error))
    text = text_of(error)[-_LONGEST_TEXT:]
    if isinstance(error, AttemptFailed):
        return Failed(claim, text)
    if isinstance(error, GiveUp):
        return Failed(claim, text, retry=False)
    return Failed(claim, f"{type(error).__name__}: {text}" if text else type(error).__name__)


def text_of(error: BaseException) -> str:
    """What it says; "" when that raises in turn, which would end nobody's attempt."""
    try:
        return str(error)
    except Exception:
        return ""


def told(ending: Ending) -> str:
    """What a line of the log says of it."""
    if isinstance(ending, Released):
        return f"is handed back: {ending.reason}"
    if isinstance(ending, Failed):
        return f"failed: {str(ending.error).splitlines()[-1] if str(ending.error) else 'without a word'}"
    return "is done"
