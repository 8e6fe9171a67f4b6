"""What an export holds beside its tasks: breakers, settings, switches; in a folder also the leases of claims."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..commands import RestoredBreaker
from ..config import BreakerSettings, Settings
from ..models import ID_PATTERN, LONGEST_TIMEOUT, TYPE_PATTERN, to_ms
from ..replies import BreakerWords
from .times import optional_ms

#: In the first line of an export, and the number of its format.
MARK, FORMAT = "lokiredis", 1
_LARGEST = 64 * 1024 * 1024
_STATES, _WAITS = ("closed", "open", "half-open"), ("half", "cool", "now", "")


@dataclass(frozen=True)
class Lease:
    """Of a claim: its length in milliseconds, "" when nobody knows, and the host of its agent."""

    lease: int | str = ""
    host: str = ""


@dataclass(frozen=True)
class Aside:
    """As it was read from an export; empty for files that other tools wrote."""

    breakers: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    paused: bool = False
    paused_types: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)

    def lease_of(self, id: str) -> Lease:
        """What is told of the claim of *id*."""
        return lease_from(self.claims.get(id))


def lease_from(value: Any) -> Lease:
    """A lease as it stands in an export."""
    if not isinstance(value, Mapping):
        return Lease()
    lease, host = value.get("lease"), value.get("host")
    length: int | str = ""
    if isinstance(lease, (int, float)) and not isinstance(lease, bool) and 0 < lease <= LONGEST_TIMEOUT:
        length = to_ms(lease)
    return Lease(length, host if isinstance(host, str) and not re.search(r"\s", host) else "")


def from_json(value: Mapping[str, Any]) -> Aside:
    """Raises ValueError when it is of a format that is newer than this program."""
    if value.get("format") != FORMAT:
        raise ValueError(f"an export of the format {value.get('format')!r}; this program knows {FORMAT}")
    types = value.get("pausedTypes")
    return Aside(
        breakers=_mapping(value.get("breakers")),
        settings=_mapping(value.get("settings")),
        paused=value.get("paused") is True,
        paused_types=tuple(name for name in types if isinstance(name, str)) if isinstance(types, list) else (),
        claims=_mapping(value.get("claims")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def read_object(path: Path) -> Mapping[str, Any]:
    """A small JSON object from a file. Raises ValueError for what is none, OSError."""
    data = b""
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"larger than {_LARGEST:,} bytes")
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as e:
        raise ValueError(f"not valid UTF-8 at byte {e.start}") from None
    except json.JSONDecodeError as e:
        raise ValueError(f"not JSON: {e.msg} at line {e.lineno} column {e.colno}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, Mapping):
        raise ValueError("no JSON object")
    return found


def settings_of(settings: Settings) -> dict[str, Any]:
    """The settings that differ from the defaults, as the arguments of ``configure`` in JSON."""
    usual, found = Settings(), {}
    for name in Settings.model_fields.keys() - {"version", "breaker_defaults", "breaker_overrides"}:
        if getattr(settings, name) != getattr(usual, name):
            found[name] = getattr(settings, name)
    found["breaker_defaults"] = _breaker_json(settings.breaker_defaults)
    found["breaker_overrides"] = {
        type: _breaker_json(own) for type, own in settings.breaker_overrides.items() if own is not None
    }
    return found


def _breaker_json(breaker: BreakerSettings) -> dict[str, Any]:
    return breaker.model_dump(by_alias=True, exclude_none=True)


def breaker_json(words: BreakerWords) -> dict[str, Any]:
    """A breaker in the documented schema, and what that has no name for."""
    more = {"wait": words.wait, "probe": words.probe, "probeToken": words.probe_token, "skip": words.skip}
    return words.breaker.to_json() | {name: value for name, value in more.items() if value not in ("", None)}


def restored_breaker(type: str, value: Any) -> RestoredBreaker:
    """A breaker from a file. Raises ValueError for what is none."""
    if not re.fullmatch(TYPE_PATTERN, type):
        raise ValueError(f"circuitBreakers: {type!r} is no task type")
    if not isinstance(value, Mapping) or value.get("state") not in _STATES:
        raise ValueError(f"circuitBreakers: {type}: its state is none of {', '.join(_STATES)}")
    failures = value.get("failures", 0)
    if not isinstance(failures, int) or isinstance(failures, bool) or not 0 <= failures <= 1_000_000:
        raise ValueError(f"circuitBreakers: {type}: failures is no whole number")
    last, opened, half = (optional_ms(value.get(name)) for name in ("lastFailure", "openedAt", "halfOpenAt"))
    state, token = str(value["state"]), value.get("probeToken")
    if opened is None and state == "open":
        opened = last
    wait = value.get("wait", "half" if state == "open" else "")
    probe, skip = value.get("probe", ""), value.get("skip", "")
    known = isinstance(token, int) and not isinstance(token, bool) and token >= 0
    return RestoredBreaker(
        type=type,
        state=state,
        failures=failures,
        last_failure="" if last is None else last,
        opened="" if opened is None else opened,
        half_opened="" if half is None else half,
        wait=wait if wait in _WAITS else "half",
        probe=probe if isinstance(probe, str) and re.fullmatch(ID_PATTERN, probe) else "",
        token=token if known else "",  # type: ignore[arg-type]
        skip=skip if isinstance(skip, str) and re.fullmatch(ID_PATTERN, skip) else "",
    )
