"""A figure knows which side of its target it is on: an exit code hangs on it."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("rounds", "at_least", "missed"),
    [((9.0, 10.0, 11.0), False, False), ((9.0, 10.1, 11.0), False, True), ((9.9,), True, True), ((10.0,), True, False)],
)
def test_the_median_counts(bench: None, rounds: tuple[float, ...], at_least: bool, missed: bool) -> None:
    """At most, or at least: the median of the rounds must be on the right side of it, or just there."""
    from figures import Figure, target_table

    figure = Figure("load", "name", "×", rounds, 10.0, at_least)
    assert figure.missed is missed
    assert (figure.to_json()["met"], figure.to_json()["atLeast"]) == (not missed, at_least)
    (line,) = target_table([figure]).splitlines()[2:]
    assert ("at least 10.0 ×" if at_least else "at most 10.0 ×") in line
    assert line.endswith("MISSED" if missed else "met")


def test_without_a_target_nothing_is_missed(bench: None) -> None:
    """It is shown only, and stands in no table of targets."""
    from figures import Figure, target_table

    figure = Figure("load", "name", "µs", (1e9,))
    assert not figure.missed
    assert len(target_table([figure]).splitlines()) == 2
