"""The circuit breaker of a type (rule 11)."""

from __future__ import annotations

from .world import ModelBreaker, World


def setting(world: World, type: str, name: str) -> object:
    """The type's own value, else the default."""
    return world.overrides.get(type, {}).get(name, getattr(world.config, name))


def due(world: World, type: str) -> int:
    """From when an open breaker lets a probe through."""
    breaker = world.breakers[type]
    assert breaker.opened is not None
    if breaker.wait == "now":
        return breaker.opened
    return breaker.opened + int(str(setting(world, type, "half" if breaker.wait == "half" else "cooldown")))


def gate(world: World, type: str) -> str:
    """open, probe (one task), or what stops the type: paused, breaker."""
    if type in world.paused_types:
        return "paused"
    breaker = world.breakers.get(type)
    if breaker is None or breaker.state == "closed":
        return "open"
    if breaker.state == "open" and due(world, type) <= world.now:
        return "probe"
    return "breaker"


def _open(world: World, breaker: ModelBreaker, wait: str) -> None:
    breaker.state, breaker.opened, breaker.wait, breaker.probe = "open", world.now, wait, None


def _is_probe(breaker: ModelBreaker, id: str, token: int | None) -> bool:
    return breaker.state == "half-open" and breaker.probe == (id, token)


def success(world: World, type: str, id: str, token: int | None) -> None:
    breaker = world.breakers.get(type)
    if breaker is None:
        return
    if breaker.state == "closed":
        breaker.failures = 0
    elif _is_probe(breaker, id, token):
        breaker.state, breaker.failures, breaker.probe, breaker.gives_way = "closed", 0, None, None


def failure(world: World, type: str, id: str, token: int | None, *, died: bool) -> None:
    breaker = world.breakers.get(type, ModelBreaker())
    if breaker.state == "closed":
        if not died and setting(world, type, "count_on") != "attempt":
            return
        breaker.failures += 1
        breaker.last_failure = world.now
        world.breakers[type] = breaker
        if breaker.failures >= int(str(setting(world, type, "threshold"))):
            _open(world, breaker, "half")
    elif _is_probe(breaker, id, token):
        # Silent: a failed probe counts as one more failure.
        breaker.failures += 1
        breaker.last_failure = world.now
        breaker.gives_way = id
        _open(world, breaker, "cool")


def give_back(world: World, type: str, id: str, token: int | None) -> None:
    """The probe was released, cancelled or rate limited: open and due at once."""
    breaker = world.breakers.get(type)
    if breaker is not None and _is_probe(breaker, id, token):
        # Silent: nothing was learned, so openedAt stays; openedAt + halfOpenAfter has passed as it had before.
        breaker.state, breaker.wait, breaker.probe = "open", "now", None


def half_open(world: World, type: str, id: str, token: int | None) -> None:
    breaker = world.breakers[type]
    assert token is not None
    breaker.state, breaker.half_opened, breaker.probe = "half-open", world.now, (id, token)


def reset(world: World, type: str) -> None:
    """Silent: a reset leaves the times of the past to be seen."""
    breaker = world.breakers.get(type)
    if breaker is not None:
        breaker.state, breaker.failures, breaker.probe, breaker.gives_way = "closed", 0, None, None


def trip(world: World, type: str) -> None:
    breaker = world.breakers.setdefault(type, ModelBreaker())
    breaker.gives_way = None
    _open(world, breaker, "half")
