"""Limits for each key in a whole run: exact for each, none waits for another, and nobody asks in vain."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Hashable
from typing import Any

import pytest

import penstock
from penstock import KeyedLimiter, UsageError
from penstock.clock import current_clock
from penstock.errors import ConnectError, StatusError
from penstock.testing import cancel_everywhere, most_in_any_window, run_virtual

from .engine_tools import PairedCall, collect, kinds, run_all


class Hosts:
    """Answers (key, number) after `latency` seconds; keeps the times of the calls of each key."""

    def __init__(self, latency: float = 0.05) -> None:
        self.latency = latency
        self.calls: dict[str, list[float]] = defaultdict(list)
        self.down = False

    async def __call__(self, item: tuple[str, int]) -> int:
        """The number. Raises ConnectError while `down`."""
        self.calls[item[0]].append(current_clock().now())
        if self.down:
            raise ConnectError("nobody there")
        await current_clock().sleep(self.latency)
        return item[1]


def by_host(item: tuple[str, int]) -> str:
    return item[0]


def numbered(**counts: int) -> list[tuple[str, int]]:
    """Items of hosts, the hosts mixed as far as that is possible."""
    left = Counter(counts)
    items = []
    while left:
        for host in sorted(left):
            items.append((host, left[host]))
        left -= Counter(dict.fromkeys(left, 1))
    return items


def test_each_host_has_the_limit_for_itself() -> None:
    """Three hosts at 10/s each: none above it, each used in full, so the run takes as long as the busiest."""
    hosts = Hosts()

    async def main() -> float:
        outcomes = await run_all(hosts, numbered(a=300, b=300, c=20), limit="10/s", limit_by=by_host)
        assert kinds(outcomes) == {"": 620}
        return current_clock().now()

    run_virtual(main())
    for calls in hosts.calls.values():
        assert most_in_any_window(calls, 1.0) <= 10
    for host in "ab":
        assert hosts.calls[host][-1] - hosts.calls[host][0] == pytest.approx(299 * 0.1015, rel=0.01)
    assert hosts.calls["c"][-1] < 3.0


@pytest.mark.parametrize("connect", [0.0, 0.3])
def test_slow_connects_break_no_limit_and_cost_little(connect: float) -> None:
    """A handshake of 0.3 to 0.9 s between each turn and its send: at most 10 in any second, and 7/8 of that."""
    hosts = Hosts()

    async def opens(item: Any) -> None:
        await current_clock().sleep(connect * (1 + item[1] % 3))

    call = PairedCall(opens, hosts)
    outcomes = run_virtual(run_all(call, numbered(a=200, b=100), limit="10/s", limit_by=by_host))
    assert kinds(outcomes) == {"": 300}
    assert call.open == 0
    for calls in hosts.calls.values():
        assert most_in_any_window(calls, 1.0) <= 10
    assert hosts.calls["a"][-1] - hosts.calls["a"][0] <= 199 * 0.1015 * 8 / 7


def test_a_refusal_pauses_its_host_alone() -> None:
    """Retry-After of one host: no call there until it ends, then one ahead of the others; the other host goes on."""
    hosts = Hosts()

    async def call(item: tuple[str, int]) -> int:
        value = await hosts(item)
        if item[0] == "a" and len(hosts.calls["a"]) == 5:
            raise StatusError(status=429, retry_after=7.0)
        return value

    outcomes = run_virtual(run_all(call, numbered(a=50, b=100), limit="10/s", limit_by=by_host, retry_on="safe"))
    assert kinds(outcomes) == {"": 150}
    refused = hosts.calls["a"][4] + hosts.latency
    inside = [time for time in hosts.calls["a"] if refused < time < refused + 7.0 - 1e-6]
    assert inside == []
    after = [time for time in hosts.calls["a"] if time >= refused + 7.0 - 1e-6]
    assert after[1] - after[0] >= hosts.latency
    assert sum(refused < time < refused + 7.0 for time in hosts.calls["b"]) >= 65


def test_nobody_asks_in_vain_again_and_again() -> None:
    """A line of a thousand has one that is called at a time, so the limiter is asked a few times an item."""
    asked = 0

    class Counting(KeyedLimiter):
        def turn(self, key: Hashable, now: float, *, waited: bool = False) -> float:
            nonlocal asked
            asked += 1
            return super().turn(key, now, waited=waited)

    outcomes = run_virtual(run_all(Hosts(), numbered(a=1000), limit=Counting(["100/s"]), limit_by=by_host))
    assert kinds(outcomes) == {"": 1000}
    assert asked <= 5000


def test_a_run_that_is_stopped_sends_nothing_more() -> None:
    """Neither those in lines nor those whose turn comes when a pause is over."""
    hosts = Hosts(latency=1.0)

    async def main() -> tuple[int, int]:
        engine = penstock.run(hosts, numbered(a=100, b=100), limit="10/s", limit_by=by_host, retry_on="none")
        async with engine as outcomes:
            async for _ in outcomes:
                engine.stop()
                before = sum(map(len, hosts.calls.values()))
                break
            rest = [outcome async for outcome in outcomes]
            assert all(outcome.ok for outcome in rest)
            await asyncio.sleep(30.0)
        return before, sum(map(len, hosts.calls.values()))

    before, after = run_virtual(main())
    assert after == before


def test_an_answer_after_the_stop_calls_nobody() -> None:
    """The probe after a pause is answered when the run has been told to stop: those behind it stay where they are."""
    hosts = Hosts(latency=0.5)

    async def call(item: tuple[str, int]) -> int:
        value = await hosts(item)
        if len(hosts.calls["a"]) <= 3:
            raise StatusError(status=429, retry_after=1.0)
        return value

    async def main() -> None:
        engine = penstock.run(call, numbered(a=100), limit="10/s", limit_by=by_host, retry_on="safe")
        async with engine as outcomes:
            while len(hosts.calls["a"]) < 7:
                await asyncio.sleep(0.01)
            engine.stop()
            before = len(hosts.calls["a"])
            assert [outcome async for outcome in outcomes]
            assert len(hosts.calls["a"]) == before

    run_virtual(main())


def test_no_item_is_lost_when_all_hosts_are_down_for_a_while() -> None:
    """The circuit parks those whose turn it is and those in lines; all come to a good end."""
    hosts = Hosts()

    async def main() -> list[Any]:
        engine = penstock.run(
            hosts, numbered(a=400, b=400, c=30), limit="20/s", limit_by=by_host, retry_on="transient", max_attempts=3
        )

        async def outage() -> None:
            await asyncio.sleep(3.0)
            hosts.down = True
            await asyncio.sleep(600.0)
            hosts.down = False

        async with asyncio.TaskGroup() as group:
            group.create_task(outage())
            return await collect(engine)

    outcomes = run_virtual(main())
    assert kinds(outcomes) == {"": 830}
    for calls in hosts.calls.values():
        assert most_in_any_window(calls, 1.0) <= 20
    assert sum(map(len, hosts.calls.values())) <= 830 * 1.2 + 600 / 3


def test_many_keys_with_one_item_each_do_not_wait() -> None:
    """Ten thousand customers at one call a minute each: nobody is in anybody's way."""
    hosts = Hosts(latency=0.01)

    async def main() -> float:
        items = [(f"customer {number}", number) for number in range(10_000)]
        outcomes = await run_all(hosts, items, limit="1/min", limit_by=by_host, max_in_flight=100)
        assert kinds(outcomes) == {"": 10_000}
        return current_clock().now()

    assert run_virtual(main()) < 30.0


def test_an_item_without_a_key_fails_alone() -> None:
    """A key that is no key, or a function that raises, is a fact about that item."""

    def key(item: Any) -> Any:
        return [] if item[1] == 3 else by_host(item)

    outcomes = run_virtual(run_all(Hosts(), numbered(a=5), limit="10/s", limit_by=key))
    assert kinds(outcomes) == {"": 4, "bad_record": 1}


def test_it_can_be_cancelled_everywhere() -> None:
    """Wherever it is cut, nothing stays in flight."""

    async def opens(item: Any) -> None:
        await current_clock().sleep(0.01)

    call = PairedCall(opens, Hosts())

    async def main() -> None:
        await run_all(call, numbered(a=6, b=3), limit="5/s", limit_by=by_host)

    def check() -> None:
        assert (call.open, call.in_flight) == (0, 0)

    assert cancel_everywhere(main, check).cancelled > 5


@pytest.mark.parametrize(
    "options",
    [
        {"limit_by": by_host},
        {"limit_by": "host", "limit": "10/s"},
        {"limit_by": by_host, "limit": "auto"},
        {"limit_by": by_host, "limit": "10/s@shared"},
        {"limit_by": by_host, "limit": "10/s", "hedge": 0.95},
        {"limit_by": by_host, "limit": "10/s", "cost_limit": "10/s", "cost": 1.0},
        {"limit_by": by_host, "limit": penstock.RateLimiter(["10/s"])},
        {"limit": KeyedLimiter(["10/s"])},
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any]) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError):
        penstock.run(Hosts(), [], retry_on="none", **options)
