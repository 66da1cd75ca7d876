"""How many at once: up while there is room, down once an episode, never on the word of noise."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.in_flight.adaptive_limit import CUT, START, AdaptiveLimit
from penstock.rules.in_flight.adaptive_rate import EVIDENCE, AdaptiveRate
from penstock.rules.in_flight.limit import Ending

GOOD, REFUSED, OVERLOAD = Ending.GOOD, Ending.REFUSED, Ending.OVERLOAD


def serve(limit: AdaptiveLimit, *, seconds: float, begin: float, workers: float, service: float) -> float:
    """A server that queues without end, and as many calls as `limit` says; returns the time at the end."""
    now = begin
    while now < begin + seconds:
        in_flight = limit.now
        latency = service * max(1.0, in_flight / workers)
        now += latency / in_flight
        limit.on_end(now, in_flight, latency=latency, ending=GOOD)
    return now


def test_it_finds_what_a_queueing_server_works_on() -> None:
    """From 4 to the number of workers and a short queue, however many they are."""
    for workers in (1, 3, 20, 100, 700):
        limit = AdaptiveLimit(cap=4000)
        serve(limit, seconds=120.0 / workers + 30.0, begin=0.0, workers=workers, service=0.1)
        # At this very moment it may be looking at the base, from below.
        assert 0.6 * workers <= limit.now <= 2 * workers + 1


def test_it_follows_the_number_of_workers() -> None:
    """Halved, then doubled twice: found again within a minute each."""
    limit = AdaptiveLimit(cap=4000)
    now = 0.0
    for workers in (40, 20, 40, 80):
        now = serve(limit, seconds=60.0, begin=now, workers=workers, service=0.1)
        assert 0.9 * workers <= limit.now <= 2 * workers


def test_it_follows_when_the_server_itself_becomes_slower() -> None:
    """Latency that does not fall with the number in flight is the server's own: the number must not shrink for it."""
    limit = AdaptiveLimit(cap=4000)
    now = serve(limit, seconds=30.0, begin=0.0, workers=40, service=0.1)
    serve(limit, seconds=60.0, begin=now, workers=80, service=0.2)
    assert limit.base > 0.19
    assert 80 <= limit.now <= 160


def test_it_grows_no_further_than_the_cap() -> None:
    """A server without any bound takes all that is allowed."""
    limit = AdaptiveLimit(cap=50)
    serve(limit, seconds=30.0, begin=0.0, workers=math.inf, service=0.1)
    assert limit.now > 25
    assert limit.now <= 50


def test_it_does_not_grow_while_something_else_holds_the_traffic_back() -> None:
    """Successes with few in flight are no reason for more."""
    limit = AdaptiveLimit(cap=64, now=10)
    for number in range(10_000):
        limit.on_end(number * 0.1, 3, latency=0.1, ending=GOOD)
    assert limit.now == 10


def test_a_few_failures_among_successes_cut_nothing() -> None:
    """One in twenty is an API's normal noise, and says nothing about how much it can take."""
    limit = AdaptiveLimit(cap=100, now=100, by_latency=False)
    for number in range(10_000):
        limit.on_end(number * 0.01, 100, latency=0.1, ending=OVERLOAD if number % 20 == 0 else GOOD)
    assert limit.now == 100


def test_overload_cuts_once_an_episode() -> None:
    """Calls that were in flight together fail together: one cut for all of them."""
    limit = AdaptiveLimit(cap=100, now=100, by_latency=False)
    for _ in range(100):
        limit.on_end(10.0, 100, latency=0.1, ending=OVERLOAD)
    assert limit.now == int(100 * CUT)


def test_a_cut_counts_from_what_was_really_in_flight() -> None:
    """A number far above the traffic is brought down to it, or the cut would change nothing."""
    limit = AdaptiveLimit(cap=1000, now=1000, by_latency=False)
    for _ in range(100):
        limit.on_end(10.0, 50, latency=0.1, ending=OVERLOAD)
    assert limit.now == int(50 * CUT)


def test_a_single_call_that_fails_cuts_nothing() -> None:
    """With one in flight it was not too many at once: a probe of a host that is down."""
    limit = AdaptiveLimit(cap=100, now=100, by_latency=False)
    for number in range(50):
        limit.on_end(float(number), 1, latency=0.1, ending=OVERLOAD)
    assert limit.now == 100


def test_it_is_never_stuck_at_one() -> None:
    """After the worst of overloads it finds its way back (as go-concurrency-limits' Vegas does not)."""
    limit = AdaptiveLimit(cap=4000, now=64)
    now = 0.0
    for number in range(3000):
        now += 0.1
        limit.on_end(now, max(2, limit.now), latency=0.05, ending=GOOD if number % 2 else OVERLOAD)
    assert limit.now == 1
    serve(limit, seconds=60.0, begin=now, workers=30, service=0.1)
    assert limit.now >= 27


def test_latency_alone_cuts_nothing_under_a_limit() -> None:
    """There the limit is to be filled, however slow the API becomes."""
    limit = AdaptiveLimit(cap=1000, now=1000, by_latency=False)
    now = 0.0
    for number in range(20_000):
        now += 0.01
        limit.on_end(now, 1000, latency=0.1 + number * 0.01, ending=GOOD)
    assert limit.now == 1000


def test_it_comes_back_under_a_limit_when_the_overload_is_over() -> None:
    """Up to the cap again, step by step beyond where it was refused."""
    limit = AdaptiveLimit(cap=64, now=64, by_latency=False)
    now = 0.0
    for _ in range(40):
        now += 0.2
        limit.on_end(now, limit.now, latency=0.1, ending=OVERLOAD)
    assert limit.now < 64
    for _ in range(20_000):
        now += 0.01
        limit.on_end(now, limit.now, latency=0.1, ending=GOOD)
    assert limit.now == 64


def test_a_refusal_is_a_matter_of_pace_where_there_is_one() -> None:
    """429 leaves the number in flight as it is and gives a pace; without a pace it counts as overload."""
    limit = AdaptiveLimit(cap=100, now=20, rate=AdaptiveRate())
    paces = [limit.pace]
    for number in range(EVIDENCE):
        limit.on_end(9.5 + 0.1 * number, 10, latency=0.01, ending=GOOD)
    limit.on_end(10.0, 20, latency=0.01, ending=REFUSED)
    paces.append(limit.pace)
    assert [pace is not None for pace in paces] == [False, True]
    assert limit.now == 20
    plain = AdaptiveLimit(cap=100, now=100, by_latency=False)
    for _ in range(100):
        plain.on_end(10.0, 100, latency=0.1, ending=REFUSED)
    assert plain.now < 100


ENDS = st.lists(
    st.tuples(
        st.floats(-1e6, 1e6),
        st.integers(1, 5000),
        st.sampled_from([0.0, 1e-9, 0.1, 30.0, 1e6, -1.0]),
        st.sampled_from([GOOD, GOOD, GOOD, REFUSED, OVERLOAD]),
        st.integers(1, 40),
    ),
    max_size=60,
)


@given(cap=st.integers(1, 1000), by_latency=st.booleans(), ends=ENDS)
def test_it_stays_between_one_and_the_cap(
    cap: int, by_latency: bool, ends: list[tuple[float, int, float, Ending, int]]
) -> None:
    """Whatever happens: a clock that jumps, latencies of nothing or below it, more in flight than allowed."""
    limit = AdaptiveLimit(cap=cap, now=START, rate=AdaptiveRate() if by_latency else None, by_latency=by_latency)
    for now, in_flight, latency, ending, times in ends:
        for step in range(times):
            limit.on_end(now + 0.05 * step, in_flight, latency=latency, ending=ending)
            assert 1 <= limit.now <= cap
            assert 0.0 <= limit.share <= 1.0
            assert limit.base > 0.0
