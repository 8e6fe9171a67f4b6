"""JSON as the standard has it: no NaN, no Infinity, UTF-8 only, and an error in one line."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


class NotJson(ValueError):
    """The text is not JSON; ``line`` is where, when it is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(message)


def decode(data: bytes) -> str:
    """UTF-8 bytes as text, a byte order mark dropped. Raises NotJson, naming the line."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise NotJson(f"not valid UTF-8 at byte {e.start}", line) from None


def parse(source: str | bytes, *, once: str | None = None) -> Any:
    """The value of a JSON document. Raises NotJson; a later duplicate key wins, as everywhere, save the key *once*."""
    text = decode(source) if isinstance(source, bytes) else source

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(found)
        if len(made) < len(found) and sum(name == once for name, _ in found) > 1:
            raise NotJson(f"{once} stands there twice")
        return made

    try:
        return json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=pairs if once else None
        )
    except json.JSONDecodeError as e:
        raise NotJson(f"not JSON: {e.msg} at line {e.lineno} column {e.colno}", e.lineno) from None
    except RecursionError:
        raise NotJson("nested too deeply") from None
    except NotJson:
        raise
    except ValueError:
        # Python refuses to turn thousands of digits into an int, against a slow conversion.
        raise NotJson("a number has too many digits") from None


def _no_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise NotJson(f"the number {digits[:20]} is out of range")
    return value
