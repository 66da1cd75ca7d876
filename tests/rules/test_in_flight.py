"""How many may be in flight: down at overload, once an episode, and up again when it is calm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.in_flight import CUT, EPISODE_SECONDS, Ceiling, Ending

GOOD, OVERLOAD = Ending.GOOD, Ending.OVERLOAD


def test_a_few_failures_among_successes_cut_nothing() -> None:
    """One in ten is an API's normal noise."""
    ceiling = Ceiling(cap=100, now=100)
    for number in range(10_000):
        ceiling.on_end(number * 0.01, 100, latency=0.1, ending=OVERLOAD if number % 10 == 0 else GOOD)
    assert ceiling.now == 100


def test_overload_cuts_once_an_episode() -> None:
    """Calls that were in flight together fail together: one cut for all of them."""
    ceiling = Ceiling(cap=100, now=100)
    for _ in range(1000):
        ceiling.on_end(10.0, 100, latency=0.1, ending=OVERLOAD)
    assert ceiling.now == int(100 * CUT)
    ceiling.on_end(10.0 + EPISODE_SECONDS, 80, latency=0.1, ending=OVERLOAD)
    assert ceiling.now == int(int(100 * CUT) * CUT)


def test_a_cut_counts_from_what_was_really_in_flight() -> None:
    """A ceiling far above the traffic is brought down to it, or the cut would change nothing."""
    ceiling = Ceiling(cap=1000, now=1000)
    for _ in range(100):
        ceiling.on_end(10.0, 50, latency=0.1, ending=OVERLOAD)
    assert ceiling.now == 40


def test_calm_brings_it_back_to_the_cap() -> None:
    """After the overload the ceiling grows with the successes, as far as it is what holds the traffic back."""
    ceiling = Ceiling(cap=64, now=64)
    now = 0.0
    for _ in range(2000):
        now += 0.1
        ceiling.on_end(now, ceiling.now, latency=0.1, ending=OVERLOAD)
    assert ceiling.now == 1
    for _ in range(500):
        now += 0.1
        ceiling.on_end(now, ceiling.now, latency=0.1, ending=GOOD)
    assert ceiling.now == 64


def test_it_does_not_grow_while_something_else_holds_the_traffic_back() -> None:
    """Successes with few in flight are no reason for more."""
    ceiling = Ceiling(cap=64, now=10)
    for number in range(1000):
        ceiling.on_end(float(number), 3, latency=0.1, ending=GOOD)
    assert ceiling.now == 10


@given(
    cap=st.integers(1, 1000),
    ends=st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 2000), st.booleans()), max_size=300),
)
def test_it_stays_between_one_and_the_cap(cap: int, ends: list[tuple[float, int, bool]]) -> None:
    """Whatever happens, also with a clock that jumps back and forth."""
    ceiling = Ceiling(cap=cap, now=cap)
    for now, in_flight, overload in ends:
        ceiling.on_end(now, in_flight, latency=0.1, ending=OVERLOAD if overload else GOOD)
        assert 1 <= ceiling.now <= cap
        assert 0.0 <= ceiling.share <= 1.0
