"""Single settings by name, as ``lokiredis config`` knows them: ``keepSeconds``, ``defaults.failureThreshold`` …"""

from __future__ import annotations

import re
from typing import Any

from pydantic.alias_generators import to_camel

from .config import BreakerSettings, Settings
from .errors import InvalidTask
from .models import TYPE_PATTERN

#: camelCase name -> field, of the settings that are no breaker's.
PLAIN = {
    to_camel(name): name
    for name in Settings.model_fields
    if name not in ("breaker_defaults", "breaker_overrides", "version")
}
_BREAKER = {to_camel(name): name for name in BreakerSettings.model_fields}
#: Settings in seconds, which also take durations such as 30m.
SECONDS = frozenset(
    {"keepSeconds", "tombstoneSeconds", "longestHold", "longestSlowdown", "cooldownSeconds", "halfOpenAfter"}
)


def flat(settings: Settings) -> dict[str, Any]:
    """Every setting with its value, by name."""
    found: dict[str, Any] = {}
    for key, name in _BREAKER.items():
        found[f"defaults.{key}"] = getattr(settings.breaker_defaults, name)
    for type, own in settings.breaker_overrides.items():
        for key, name in _BREAKER.items():
            if own is not None and getattr(own, name) is not None:
                found[f"overrides.{type}.{key}"] = getattr(own, name)
    for key, name in PLAIN.items():
        value = getattr(settings, name)
        found[key] = list(value) if isinstance(value, tuple) else value
    # 300, not 300.0.
    return {key: int(one) if isinstance(one, float) and one.is_integer() else one for key, one in found.items()}


def breakers_of(settings: Settings) -> dict[str, Any]:
    """The circuit breakers' settings with the documented names."""
    overrides = {type: own for type, own in settings.breaker_overrides.items() if own is not None}
    return {
        "defaults": settings.breaker_defaults.model_dump(by_alias=True),
        "overrides": {type: own.model_dump(by_alias=True, exclude_none=True) for type, own in overrides.items()},
    }


def last_word(key: str) -> str:
    """What the value is about: ``cooldownSeconds`` of ``overrides.ops.cooldownSeconds``."""
    return key.rpartition(".")[2]


def change(settings: Settings, key: str, value: Any) -> dict[str, Any]:
    """What :meth:`Queue.configure` is given to set one of them; None takes its default again. Raises InvalidTask."""
    if key in PLAIN:
        return {PLAIN[key]: value}
    head, _, rest = key.partition(".")
    type, _, word = rest.rpartition(".")
    if word not in _BREAKER or head not in ("defaults", "overrides") or (head == "defaults") != (type == ""):
        raise InvalidTask(
            f"there is no such setting: {', '.join([*PLAIN, 'defaults.KEY', 'overrides.TYPE.KEY'])}", field=key
        )
    if head == "defaults":
        return {"breaker_defaults": _with(settings.breaker_defaults, word, value)}
    if not re.fullmatch(TYPE_PATTERN, type):
        raise InvalidTask("not a task type", field=key)
    own = _with(settings.breaker_overrides.get(type) or BreakerSettings(), word, value)
    return {"breaker_overrides": {type: own or None}}


def _with(breaker: BreakerSettings, word: str, value: Any) -> dict[str, Any]:
    found = {name: getattr(breaker, name) for name in _BREAKER.values()} | {_BREAKER[word]: value}
    return {name: one for name, one in found.items() if one is not None}
