"""A number in flight that somebody chose stays what it is."""

from __future__ import annotations

import pytest

from penstock.rules.in_flight.adaptive_limit import AdaptiveLimit
from penstock.rules.in_flight.limit import Ending, FixedInFlight, InFlightLimit


@pytest.mark.parametrize("ending", list(Ending))
def test_a_chosen_number_stays(ending: Ending) -> None:
    """Whatever happens: who gives a number wants that number."""
    fixed = FixedInFlight(7)
    for number in range(1000):
        fixed.on_end(float(number), 7, latency=1.0, ending=ending)
    assert fixed.now == 7
    assert fixed.pace is None


def test_both_are_what_the_engine_asks_for() -> None:
    """`penstock.run(max_in_flight=...)` tells them from a number by this."""
    assert isinstance(FixedInFlight(7), InFlightLimit)
    assert isinstance(AdaptiveLimit(cap=7), InFlightLimit)
    assert not isinstance(7, InFlightLimit)
