"""A host that is down costs a few probes and no item; what fails for reasons of its own ends as it always did."""

from __future__ import annotations

import asyncio
import random
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

import penstock
from penstock.clock import current_clock
from penstock.engine.counters import RunCounters
from penstock.testing import ScriptedCall, most_in_any_window, run_virtual

from .engine_tools import PairedCall, collect, run_all

HOUR = 3600.0
LATENCY = 0.2
REFUSED = penstock.ConnectError("refused")
BROKEN = penstock.StatusError("HTTP 500", status=500)


class Host:
    """A call to a host that is down from time to time, and then fails in one way."""

    def __init__(self, down: Sequence[tuple[float, float]], how: str) -> None:
        self._down = down
        self._how = how
        self.arrivals: array[float] = array("d")

    async def __call__(self, item: int) -> int:
        clock = current_clock()
        now = clock.now()
        self.arrivals.append(now)
        if any(begin <= now < end for begin, end in self._down):
            await self._fail(clock)
        await clock.sleep(LATENCY)
        return item

    async def _fail(self, clock: Any) -> None:
        if self._how == "connect":
            raise REFUSED
        if self._how == "throttled":
            raise penstock.Throttled("too many")
        if self._how == "timeout":
            await clock.sleep(1e9)
        await clock.sleep(LATENCY)
        if self._how == "http_503":
            raise penstock.StatusError("HTTP 503", status=503)
        raise BROKEN if self._how == "http_5xx" else penstock.ConnectionLost("reset")

    def within(self, begin: float, end: float) -> int:
        """How many calls came between."""
        return sum(begin <= each < end for each in self.arrivals)

    def full_rate_after(self, when: float, rate: int) -> float:
        """Seconds from `when` to the first second with at least 95 % of `rate`."""
        for step in range(1000):
            begin = when + step * 0.1
            if self.within(begin, begin + 1.0) >= 0.95 * rate:
                return step * 0.1
        raise AssertionError("the rate never came back")


async def drive(host: Any, items: Any, **options: Any) -> tuple[Counter[str], RunCounters]:
    """All kinds of outcomes, by their number, and the counters."""
    kinds: Counter[str] = Counter()
    async with penstock.run(host, items, **{"retry_on": "transient", **options}) as outcomes:
        while some := await outcomes.some():
            kinds.update(outcome.kind for outcome in some)
    return kinds, outcomes.counters


@pytest.mark.parametrize("how", ["connect", "http_5xx", "reset", "timeout"])
def test_an_hour_in_the_middle_costs_few_attempts_and_no_item(how: str) -> None:
    """Attempts at most 1.2 an item, nothing lost, full rate within 5 s of recovery, the limit kept all the while."""
    host = Host([(100.0, 100.0 + HOUR)], how)
    kinds, counters = run_virtual(drive(host, range(20_000), limit="100/s"))
    assert kinds == {"": 20_000}
    assert counters.attempts == len(host.arrivals) <= 1.2 * 20_000
    assert counters.outages == 1
    assert 1000 <= counters.probes <= 1600
    assert counters.parked == 0
    assert counters.outage_since is None
    assert not counters.outage_reason
    assert host.full_rate_after(100.0 + HOUR, 100) <= 5.0
    assert most_in_any_window(host.arrivals, 1.0) <= 100


def test_an_hour_of_429_costs_few_attempts_and_no_item() -> None:
    """A peer that refuses everybody for longer than an item's total timeout is down as well."""
    host = Host([(100.0, 100.0 + HOUR)], "throttled")
    kinds, counters = run_virtual(drive(host, range(15_000), limit="100/s"))
    assert kinds == {"": 15_000}
    assert counters.attempts <= 15_500


@pytest.mark.parametrize("how", ["connect", "timeout"])
def test_a_host_that_is_down_from_the_first_item_on(how: str) -> None:
    """Nothing was ever answered before, and nothing is lost."""
    host = Host([(0.0, 600.0)], how)
    kinds, counters = run_virtual(drive(host, range(8000), limit="100/s"))
    assert kinds == {"": 8000}
    assert counters.attempts <= 1.2 * 8000
    assert host.full_rate_after(600.0, 100) <= 5.0


def test_a_host_that_comes_and_goes() -> None:
    """Fifteen seconds up, fifteen down, over and over: every item gets its answer in the end."""
    host = Host([(30.0 * each, 30.0 * each + 15.0) for each in range(20)], "connect")
    kinds, counters = run_virtual(drive(host, range(20_000), limit="100/s", one_host=True))
    assert kinds == {"": 20_000}
    assert counters.outages >= 10
    assert counters.attempts <= 1.2 * 20_000


@pytest.mark.parametrize("how", ["connect", "http_503"])
@pytest.mark.parametrize("items", [1, 3])
def test_few_items_wait_for_the_only_host_there_is(how: str, items: int) -> None:
    """One page after the other, say: that nobody is there cannot be the fault of an item."""
    host = Host([(0.0, HOUR)], how)
    kinds, counters = run_virtual(drive(host, range(items), max_in_flight=1, one_host=True, max_attempts=8))
    assert kinds == {"": items}
    assert counters.outages == 1
    assert host.arrivals[-1] >= HOUR


def test_few_items_that_fail_for_reasons_of_their_own_do_not() -> None:
    """500 may be the item's own; it ends after its attempts also where there is one host."""
    host = Host([(0.0, HOUR)], "http_5xx")
    kinds, counters = run_virtual(drive(host, range(3), max_in_flight=1, one_host=True, max_attempts=4))
    assert (kinds, counters.outages) == ({"http_5xx": 3}, 0)


def test_without_a_limit_the_traffic_comes_back_in_steps() -> None:
    """The first moment after an outage has a few calls in flight, not all that there may be."""
    host = Host([(10.0, 100.0)], "connect")
    kinds, _ = run_virtual(drive(host, range(30_000), max_in_flight=200))
    assert kinds == {"": 30_000}
    back = min(each for each in host.arrivals if each >= 100.0)
    assert host.within(back, back + 0.5 * LATENCY) == 1
    assert host.within(back + LATENCY, back + 2 * LATENCY) <= 8
    assert host.within(back + 5.0, back + 6.0) >= 0.95 * 200 / LATENCY


def test_half_of_all_attempts_failing_is_no_outage() -> None:
    """The budget makes retries wait, the run goes on, and few items use up all their attempts."""
    generator = random.Random(1)
    parked: list[int] = []
    engines: list[Any] = []

    async def call(item: int) -> int:
        parked.append(engines[0].counters.parked)
        await current_clock().sleep(LATENCY)
        if generator.random() < 0.5:
            raise BROKEN
        return item

    async def main() -> Counter[str]:
        options: dict[str, Any] = {"limit": "100/s", "max_attempts": 20, "max_in_flight": 50}
        engines.append(penstock.run(call, range(3000), retry_on="transient", **options))
        return Counter(outcome.kind for outcome in await collect(engines[0]))

    assert run_virtual(main()) == {"": 3000}
    assert engines[0].counters.outages == 0
    assert max(parked) > 100


def test_what_waits_for_the_budget_does_not_run_out_of_time() -> None:
    """Parked for longer than its total timeout by our own rule, an item still has its time."""
    tried: set[int] = set()

    async def call(item: int) -> int:
        times.append(current_clock().now())
        if item % 2 and item not in tried:
            tried.add(item)
            raise BROKEN
        return item

    times: list[float] = []
    options: dict[str, Any] = {"limit": "20/s", "total_timeout": 60.0, "max_in_flight": 5}
    kinds, counters = run_virtual(drive(call, range(1000), retry_budget=0.0, **options))
    assert kinds == {"": 1000}
    assert counters.outages == 0
    assert max(times) > 400.0


@pytest.mark.parametrize("items", [1, 5, 19])
@pytest.mark.parametrize("limit", [None, "10/s"])
def test_a_few_items_that_fail_end_by_their_own_attempts(items: int, limit: str | None) -> None:
    """Too few to show that it is the host: each has its outcome after all its attempts, as ever."""
    call = ScriptedCall([REFUSED], repeat_last=True)
    outcomes = run_virtual(run_all(call, range(items), retry_on="safe", limit=limit, max_attempts=5))
    assert [outcome.kind for outcome in outcomes] == ["connect"] * items
    assert {outcome.attempts for outcome in outcomes} == {5}


def test_items_that_fail_on_a_host_that_answers_end_by_their_own_attempts() -> None:
    """Three in a hundred always fail: at the end only they are left, and that is no outage."""

    async def call(item: int) -> int:
        await current_clock().sleep(LATENCY)
        if item % 33 == 7:
            raise BROKEN
        return item

    kinds, counters = run_virtual(drive(call, range(5000), limit="100/s"))
    bad = len(range(7, 5000, 33))
    assert kinds == {"": 5000 - bad, "http_5xx": bad}
    assert counters.outages == 0


def test_a_row_of_items_that_fail_is_got_past() -> None:
    """A hundred bad records in a row look like an outage; a probe with another record shows that it is none."""

    async def call(item: int) -> int:
        times.append(current_clock().now())
        await current_clock().sleep(LATENCY)
        if 1000 <= item < 1100:
            raise BROKEN
        return item

    times: list[float] = []
    options: dict[str, Any] = {"limit": "100/s", "max_attempts": 3}
    kinds, _ = run_virtual(drive(call, range(20_000), **options))
    assert kinds == {"": 19_900, "http_5xx": 100}
    assert max(times) < 20_000 / 100 + 400


def test_what_may_not_be_repeated_fails_one_probe_at_a_time() -> None:
    """POST under "safe": what was in flight and the probes fail, the rest waits for the host."""
    host = Host([(10.0, 10.0 + HOUR)], "http_5xx")
    kinds, counters = run_virtual(drive(host, range(10_000), limit="100/s", retry_on="safe"))
    assert kinds.total() == 10_000
    assert kinds["http_5xx"] <= counters.probes + 50
    assert counters.probes <= 1600


def test_attempts_while_the_host_is_down_do_not_count() -> None:
    """With two attempts an item, and many more outages than that, nothing is lost."""
    host = Host([(20.0 * each, 20.0 * each + 10.0) for each in range(1, 30)], "reset")
    kinds, _ = run_virtual(drive(host, range(5000), limit="20/s", max_attempts=2))
    assert kinds == {"": 5000}


def test_probes_connect_and_send_nothing_where_that_is_enough() -> None:
    """A host that cannot be reached is asked for a connection; not one request is sent while it is down."""

    async def connect(item: int) -> None:
        if 1.0 <= current_clock().now() < 1000.0:
            raise REFUSED

    async def answer(item: int) -> int:
        sent.append(current_clock().now())
        await current_clock().sleep(LATENCY)
        return item

    sent: list[float] = []
    call = PairedCall(connect, answer)
    kinds, counters = run_virtual(drive(call, range(2000), limit="100/s"))
    assert kinds == {"": 2000}
    assert not [each for each in sent if 1.0 < each < 1000.0]
    assert call.open == 0
    assert counters.probes >= 200


def test_an_outage_that_lasts_too_long_ends_the_run_after_all_outcomes() -> None:
    """Outage is raised when `max_outage` is over; what came before it was handed out, and no item failed."""
    host = Host([(10.0, 1e9)], "connect")

    async def main() -> tuple[int, float, penstock.Outage]:
        seen = 0
        engine = penstock.run(host, range(5000), retry_on="safe", limit="100/s", max_outage=600.0)
        try:
            async with engine as outcomes:
                async for outcome in outcomes:
                    assert outcome.ok
                    seen += 1
        except penstock.Outage as outage:
            assert not engine.complete
            return seen, current_clock().now(), outage
        raise AssertionError("the run waited for ever")

    seen, ended, outage = run_virtual(main())
    assert 980 <= seen <= 1000
    assert 609.0 <= ended <= 615.0
    assert outage.seconds >= 600.0
    assert "refused" in str(outage)


def test_without_a_max_outage_no_host_is_taken_to_be_down() -> None:
    """0 means that every item ends by its own attempts."""
    call = ScriptedCall([REFUSED], repeat_last=True)
    outcomes = run_virtual(run_all(call, range(100), retry_on="safe", max_outage=0.0, max_attempts=3))
    assert {outcome.attempts for outcome in outcomes} == {3}


@pytest.mark.parametrize("how", ["connect", "http_5xx"])
def test_stop_during_an_outage_ends_at_once(how: str) -> None:
    """Nothing is waited for but the probe that is under way."""
    host = Host([(5.0, 1e9)], how)

    async def main() -> float:
        engine = penstock.run(host, range(5000), retry_on="transient", limit="100/s")
        async with engine as outcomes:
            asyncio.get_running_loop().call_later(100.0, engine.stop)
            async for outcome in outcomes:
                assert outcome.ok
        return current_clock().now()

    assert run_virtual(main()) <= 100.0 + LATENCY + 0.01


def test_leaving_during_an_outage_leaves_nothing_behind() -> None:
    """Timers and tasks end with the context."""
    host = Host([(5.0, 1e9)], "timeout")

    async def main() -> None:
        engine = penstock.run(host, range(5000), retry_on="transient", limit="100/s")
        async with engine:
            await current_clock().sleep(200.0)
            assert engine.counters.outage_since is not None
            assert engine.counters.outage_reason.startswith("timeout: ")
            assert engine.counters.parked > 0
        arrivals = len(host.arrivals)
        await current_clock().sleep(1000.0)
        assert len(host.arrivals) == arrivals
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_the_counters_show_an_outage_while_it_lasts_and_survive_a_restart() -> None:
    """Parked and outage_since are of now; outages and probes are kept, also where an older version saved none."""
    host = Host([(10.0, 500.0)], "connect")
    seen: list[dict[str, Any]] = []

    async def main() -> None:
        engine = penstock.run(host, range(2000), retry_on="safe", limit="100/s")
        async with engine as outcomes:
            wall = current_clock().wall()
            asyncio.get_running_loop().call_later(100.0, lambda: seen.append(engine.counters.as_json(100.0)))
            async for _ in outcomes:
                pass
        assert seen[0]["outage_since"] == pytest.approx(wall + 10.0, abs=0.5)

    run_virtual(main())
    assert seen[0]["parked"] >= 20
    counters = RunCounters()
    counters.restore(seen[0])
    assert (counters.outages, counters.probes) == (1, seen[0]["probes"])
    assert (counters.parked, counters.outage_since) == (0, None)
    for name in ("parked", "outages", "outage_since", "probes", "hedges"):
        del seen[0][name]
    counters.restore(seen[0])
    assert counters.outages == 0


@pytest.mark.parametrize(
    "options", [{"retry_budget": -0.1}, {"retry_budget": float("nan")}, {"max_outage": -1.0}], ids=str
)
def test_numbers_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """Wrong numbers are a UsageError when the run is made."""
    with pytest.raises(penstock.UsageError):
        penstock.run(ScriptedCall([]), [1], retry_on="none", **options)
