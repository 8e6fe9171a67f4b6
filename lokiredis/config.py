"""The settings of a queue: stored in Redis, so that every machine acts alike. The defaults: lua/lib/setting.lua."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from .arguments import LARGEST_DOCUMENT, word
from .errors import InvalidTask
from .models import TYPE_PATTERN, from_ms, to_ms

_MIB = 1024 * 1024


class BreakerSettings(BaseModel):
    """Thresholds of a circuit breaker, with the names of ``circuit-breakers.yaml``. None: the default's value."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True)

    failure_threshold: int | None = Field(None, ge=1, le=1_000_000)
    cooldown_seconds: float | None = Field(None, ge=0, le=30 * 86400, allow_inf_nan=False)
    half_open_after: float | None = Field(None, ge=0, le=30 * 86400, allow_inf_nan=False)
    count_on: Literal["dead-letter", "attempt"] | None = None


class Settings(BaseModel):
    """Every setting of a queue, in seconds and bytes. ``version`` counts the changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    breaker_defaults: BreakerSettings = BreakerSettings()
    breaker_overrides: dict[str, BreakerSettings | None] = Field(default_factory=dict)
    payload_bytes: int = Field(_MIB, ge=1, le=LARGEST_DOCUMENT)
    checkpoint_bytes: int = Field(_MIB, ge=1, le=LARGEST_DOCUMENT)
    result_bytes: int = Field(_MIB, ge=1, le=LARGEST_DOCUMENT)
    document_bytes: int = Field(2 * _MIB, ge=1, le=LARGEST_DOCUMENT)
    keep_seconds: float = Field(7 * 86400, ge=600, le=3650 * 86400, allow_inf_nan=False)
    keep_count: int = Field(100_000, ge=0, le=100_000_000)
    tombstone_seconds: float = Field(30 * 86400, ge=600, le=3650 * 86400, allow_inf_nan=False)
    longest_hold: float = Field(6 * 3600, ge=0, le=30 * 86400, allow_inf_nan=False)
    longest_slowdown: float = Field(1800, ge=0, le=86400, allow_inf_nan=False)
    decision_report: bool = True
    decision_report_keys: tuple[str, ...] = ()
    backoff_jitter: float = Field(0, ge=0, le=0.1, allow_inf_nan=False)
    version: int = 0

    if not TYPE_CHECKING:

        def __init__(self, **data: Any) -> None:
            try:
                super().__init__(**data)
            except ValidationError as e:
                first = e.errors(include_url=False, include_context=False, include_input=False)[0]
                raise InvalidTask(first["msg"], field=".".join(str(part) for part in first["loc"])) from None


#: A setting's name in Redis, where durations are milliseconds.
_STORED = {
    "keep_seconds": "keep_ms",
    "tombstone_seconds": "tombstone_ms",
    "longest_hold": "longest_hold_ms",
    "longest_slowdown": "longest_slowdown_ms",
}
_NAMES = {stored: name for name, stored in _STORED.items()}
_BREAKER = ("failure_threshold", "cooldown_seconds", "half_open_after", "count_on")


def to_stored(changes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Changes as names and values for ``lua/configure.lua``; None becomes "", the default again. Raises InvalidTask."""
    unknown = changes.keys() - (Settings.model_fields.keys() - {"version"})
    if unknown:
        raise InvalidTask("there is no such setting", field=sorted(unknown)[0])
    given = {name: value for name, value in changes.items() if value is not None}
    for name in ("breaker_defaults", "breaker_overrides"):
        if name in given:
            given[name] = _breakers(name, given[name])
    if "decision_report_keys" in given:
        given["decision_report_keys"] = _keys(given["decision_report_keys"])
    checked = Settings(**given)
    stored: list[tuple[str, str]] = []
    for name in changes:
        value = getattr(checked, name) if name in given else None
        stored.extend(_stored(name, value))
    return stored


def changes_nothing(settings: Settings, changes: Mapping[str, Any]) -> bool:
    """Whether *settings* are like that already. Raises InvalidTask as configure."""
    names = Settings.model_fields.keys() - {"version"}
    now, usual = (dict(to_stored({name: getattr(one, name) for name in names})) for one in (settings, Settings()))
    return all(now.get(name, "") == (value or usual.get(name, "")) for name, value in to_stored(changes))


def _keys(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise InvalidTask("a list of keys", field="decision_report_keys")
    return tuple(word(key, "decision_report_keys") for key in value)


def _breakers(name: str, value: Any) -> Any:
    """Plain dicts become BreakerSettings here, where both the documented and the Python names are taken."""
    if name == "breaker_defaults":
        return _one_breaker(value, name)
    if not isinstance(value, Mapping):
        raise InvalidTask("types with their settings", field=name)
    for type in value:
        if not isinstance(type, str) or not re.fullmatch(TYPE_PATTERN, type):
            raise InvalidTask("not a task type", field=f"{name}.{type}")
    return {type: None if own is None else _one_breaker(own, f"{name}.{type}") for type, own in value.items()}


def _one_breaker(value: Any, field: str) -> BreakerSettings:
    if isinstance(value, BreakerSettings):
        return value
    if not isinstance(value, Mapping):
        raise InvalidTask("names and values", field=field)
    try:
        return BreakerSettings.model_validate(dict(value))
    except ValidationError as e:
        first = e.errors(include_url=False, include_context=False, include_input=False)[0]
        raise InvalidTask(first["msg"], field=".".join([field, *(str(part) for part in first["loc"])])) from None


def _stored(name: str, value: Any) -> list[tuple[str, str]]:
    if name == "breaker_defaults":
        return [("breaker", "" if value is None else _breaker_words(value, _DEFAULT_BREAKER))]
    if name == "breaker_overrides":
        own = value or {}
        return [(f"breaker:{type}", "" if b is None else _breaker_words(b, None)) for type, b in own.items()]
    if value is None:
        return [(_STORED.get(name, name), "")]
    if name == "decision_report":
        return [(name, "required" if value else "off")]
    if name == "decision_report_keys":
        for key in value:
            if not key or "\n" in key:
                raise InvalidTask("a key is one line of text", field=name)
        return [(name, "\n".join(value))]
    return [(_STORED.get(name, name), str(to_ms(value)) if name in _STORED else str(value))]


_DEFAULT_BREAKER = BreakerSettings(
    failure_threshold=5, cooldown_seconds=300, half_open_after=60, count_on="dead-letter"
)


def _breaker_words(breaker: BreakerSettings, default: BreakerSettings | None) -> str:
    words = []
    for field in _BREAKER:
        value = getattr(breaker, field)
        if value is None and default is not None:
            value = getattr(default, field)
        if value is not None and field in ("cooldown_seconds", "half_open_after"):
            value = to_ms(value)
        words.append("-" if value is None else str(value))
    return " ".join(words)


def from_stored(stored: Mapping[str, str]) -> Settings:
    """The settings as ``lua/settings.lua`` tells them."""
    found: dict[str, Any] = {}
    overrides: dict[str, BreakerSettings | None] = {}
    for name, text in stored.items():
        if name == "breaker":
            found["breaker_defaults"] = _from_words(text)
        elif name.startswith("breaker:"):
            overrides[name.removeprefix("breaker:")] = _from_words(text)
        elif name == "decision_report":
            found[name] = text == "required"
        elif name == "decision_report_keys":
            found[name] = tuple(text.split("\n")) if text else ()
        elif name in _NAMES:
            found[_NAMES[name]] = from_ms(int(text))
        elif name in Settings.model_fields:
            found[name] = float(text) if name == "backoff_jitter" else int(text)
    return Settings(breaker_overrides=dict(sorted(overrides.items())), **found)


def _from_words(words: str) -> BreakerSettings:
    threshold, cooldown, half, count = words.split(" ")
    return BreakerSettings.model_validate(
        {
            "failure_threshold": None if threshold == "-" else int(threshold),
            "cooldown_seconds": None if cooldown == "-" else from_ms(int(cooldown)),
            "half_open_after": None if half == "-" else from_ms(int(half)),
            "count_on": None if count == "-" else count,
        }
    )
