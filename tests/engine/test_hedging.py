"""Second calls in a run: they cut the tail, cost little, keep the limit, and stay away where they would do harm."""

from __future__ import annotations

import random
from array import array
from typing import Any

import pytest

import penstock
from penstock.clock import current_clock
from penstock.testing import ScriptedCall, most_in_any_window, run_virtual

from .engine_tools import collect


class Tailed:
    """Answers in 50 ms, but one answer in a hundred takes two seconds."""

    def __init__(self, slow: float = 0.01, *, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._slow = slow
        self.arrivals: array[float] = array("d")
        self.in_flight = 0
        self.max_in_flight = 0

    async def __call__(self, item: Any) -> Any:
        self.arrivals.append(current_clock().now())
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            seconds = 2.0 if self._random.random() < self._slow else self._random.uniform(0.04, 0.06)
            await current_clock().sleep(seconds)
        finally:
            self.in_flight -= 1
        return item


async def arriving(count: int, seconds: float) -> Any:
    """Items that come one after the other, so that nothing is full."""
    for item in range(count):
        await current_clock().sleep(seconds)
        yield item


def measured(call: Tailed, items: Any, **options: Any) -> tuple[float, Any]:
    """(the 99th percentile of the time from the send to the answer, the counters)."""
    engine = penstock.run(call, items, **{"retry_on": "none", "idempotent": True, **options})
    outcomes = run_virtual(collect(engine))
    assert all(outcome.ok for outcome in outcomes)
    service = sorted(outcome.service for outcome in outcomes)
    return service[int(0.99 * len(service))], engine.counters


def test_one_slow_answer_in_a_hundred_is_hidden_for_two_calls_in_a_hundred() -> None:
    """The 99th percentile is at most half of what it was, for at most 2 % more calls."""
    plain, _ = measured(Tailed(0.012), arriving(20_000, 0.01))
    call = Tailed(0.012)
    hedged, counters = measured(call, arriving(20_000, 0.01), hedge=0.95)
    assert plain == pytest.approx(2.0)
    assert hedged <= 0.5 * plain
    assert 20_000 < len(call.arrivals) == counters.attempts <= 1.02 * 20_000
    assert counters.hedges == counters.attempts - 20_000
    assert counters.in_flight == 0
    assert call.max_in_flight == counters.in_flight_peak


def test_second_calls_pay_for_the_limit() -> None:
    """With room under the limit they are made, and the limit holds all the same."""
    call = Tailed()
    _, counters = measured(call, arriving(3000, 0.05), hedge=0.95, limit="25/s")
    assert counters.hedges > 10
    assert most_in_any_window(call.arrivals, 1.0) <= 25


def test_where_the_limit_is_full_there_are_none() -> None:
    """A permit that somebody waits for is never spent on a second call."""
    call = Tailed()
    _, counters = measured(call, range(3000), hedge=0.95, limit="50/s")
    assert counters.hedges == 0


def test_where_the_slots_are_full_there_are_none() -> None:
    """A number in flight that the user gave is not exceeded."""
    call = Tailed()
    _, counters = measured(call, range(3000), hedge=0.95, max_in_flight=8)
    assert counters.hedges == 0
    assert call.max_in_flight == 8


@pytest.mark.parametrize(
    ("item", "idempotent", "hedged"),
    [
        (penstock.Request("GET", "http://a/"), False, True),
        (penstock.Request("POST", "http://a/"), False, False),
        (penstock.Request("POST", "http://a/", {"Idempotency-Key": "1"}), False, True),
        (penstock.Request("POST", "http://a/"), True, True),
        ("anything", False, False),
        ("anything", True, True),
    ],
)
def test_only_what_may_be_repeated_is(item: Any, idempotent: bool, hedged: bool) -> None:
    """A request says it of itself; for anything else the user has to."""

    async def items() -> Any:
        async for _ in arriving(2000, 0.01):
            yield item

    _, counters = measured(Tailed(), items(), hedge=0.95, idempotent=idempotent)
    assert (counters.hedges > 0) == hedged


def test_when_everything_becomes_slow_the_traffic_is_not_doubled() -> None:
    """A peer that is slow altogether gets two calls more in a hundred and not a hundred."""

    async def call(item: int) -> int:
        calls.append(item)
        await current_clock().sleep(0.05 if item < 1000 else 1.0)
        return item

    calls: list[int] = []
    engine = penstock.run(call, arriving(3000, 0.01), retry_on="none", idempotent=True, hedge=0.95)
    run_virtual(collect(engine))
    assert len(calls) <= 1.02 * 3000


def test_an_attempt_timeout_ends_both_calls() -> None:
    """Both belong to one attempt: its timeout ends it, however many calls it is."""
    under_way: set[object] = set()

    async def call(item: int) -> int:
        token = object()
        under_way.add(token)
        try:
            await current_clock().sleep(0.05 if item < 200 else 1e6)
        finally:
            under_way.discard(token)
        return item

    options: dict[str, Any] = {"idempotent": True, "hedge": 0.95, "attempt_timeout": 3.0, "max_outage": 0.0}
    engine = penstock.run(call, arriving(210, 0.1), retry_on="none", **options)
    outcomes = run_virtual(collect(engine))
    failed = [outcome for outcome in outcomes if not outcome.ok]
    assert {(outcome.kind, outcome.attempts, round(outcome.service, 3)) for outcome in failed} == {("timeout", 1, 3.0)}
    assert len(failed) == 10
    assert engine.counters.hedges >= 1
    assert not under_way
    assert engine.counters.in_flight == 0


@pytest.mark.parametrize("hedge", [0.0, 0.4, 1.0, 95, float("nan")])
def test_a_quantile_that_makes_no_sense_is_refused(hedge: float) -> None:
    """A UsageError when the run is made."""
    with pytest.raises(penstock.UsageError):
        penstock.run(ScriptedCall([]), [1], retry_on="none", hedge=hedge)
