"""The engine under whatever comes together: random limits, keys, failures, refusals, outages, stops (virtual time)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

import penstock
from penstock.clock import current_clock
from penstock.engine.engine import Engine
from penstock.engine.work import MOST_DELAYED
from penstock.errors import ConnectError, StatusError
from penstock.testing import most_in_any_window, run_virtual

from .engine_tools import PairedCall

Piece = tuple[int, int]
"""(position, key)"""


class Peer:
    """An API that fails, refuses, hangs and goes away as `chance` has it; it knows when it was called too early."""

    def __init__(self, chance: random.Random, *, keyed: bool) -> None:
        self.calls: dict[int, list[float]] = defaultdict(list)
        self.too_early: list[tuple[float, float]] = []
        self.in_flight = 0
        self._chance = chance
        self._keyed = keyed
        self._pauses: dict[int, tuple[float, float]] = {}
        self._latency = chance.choice([0.0, 0.01, 0.2, 3.0])
        self._failing = chance.choice([0.0, 0.0, 0.05, 0.3, 0.9])
        self._refusing = chance.choice([0.0, 0.0, 0.02, 0.2])
        self._hanging = chance.choice([0.0, 0.0, 0.02])
        begins = [chance.uniform(0, 60) for _ in range(chance.choice([0, 0, 1, 2]))]
        self._outages = [(begin, begin + chance.choice([1, 20, 200])) for begin in begins]

    def _is_down(self) -> bool:
        return any(begin <= current_clock().now() < end for begin, end in self._outages)

    async def connect(self, item: Piece) -> None:
        """Takes up to a second, or fails."""
        await asyncio.sleep(self._chance.choice([0.0, 0.05, 1.0]) * self._chance.random())
        if self._is_down():
            raise ConnectError("nobody there")

    async def __call__(self, item: Piece) -> int:
        """The position of the item."""
        key = item[1] if self._keyed else 0
        now = current_clock().now()
        self.calls[key].append(now)
        since, until = self._pauses.get(key, (0.0, 0.0))
        if since < now < until - 1e-6:
            self.too_early.append((now, until))
        self.in_flight += 1
        try:
            await self._answer(key)
        finally:
            self.in_flight -= 1
        return item[0]

    async def _answer(self, key: int) -> None:
        chance = self._chance
        if self._is_down():
            raise ConnectError("nobody there")
        await asyncio.sleep(self._latency * chance.choice([0.5, 1, 1, 2]))
        if chance.random() < self._hanging:
            await asyncio.sleep(1000)
        if chance.random() < self._refusing:
            retry_after = chance.choice([None, 0.0, 0.5, 5.0])
            if retry_after:
                now = current_clock().now()
                self._pauses[key] = (now, max(self._pauses.get(key, (0.0, 0.0))[1], now + retry_after))
            raise StatusError(status=429, retry_after=retry_after)
        if chance.random() < self._failing:
            raise StatusError(status=chance.choice([500, 503, 404]))


def choose_options(chance: random.Random, limits: list[str], *, keyed: bool) -> dict[str, Any]:
    """What a run is given, but for the call and the items."""
    options: dict[str, Any] = {
        "limit": limits,
        "retry_on": chance.choice(["safe", "transient", "none"]),
        "idempotent": chance.random() < 0.5,
        "max_attempts": chance.choice([1, 3, 5]),
        "attempt_timeout": 5.0,
        "total_timeout": chance.choice([10.0, 60.0, 600.0]),
        "max_results": chance.choice([1, 5, 1000]),
        "max_result_bytes": chance.choice([1, 100, 16 << 20]),
        "max_in_flight": chance.choice([1, 3, 50, "auto"]),
        "one_host": chance.random() < 0.5,
        "retry_budget": chance.choice([0.2, 0.05, None]),
        "max_outage": chance.choice([0, float("inf"), float("inf")]),
    }
    if keyed:
        options["limit_by"] = lambda item: item[1]
    elif chance.random() < 0.3:
        options["hedge"] = 0.9
    elif chance.random() < 0.4:
        options |= {"cost_limit": "200/s", "cost": lambda item: 1 + item[0] % 20}
        options["actual_cost"] = lambda answer: 1 + answer % 7
    return options


async def feed(items: list[Piece], chance: random.Random) -> AsyncIterator[Piece]:
    """Now and then it keeps one waiting."""
    for item in items:
        if chance.random() < 0.1:
            await asyncio.sleep(chance.choice([0.0, 0.05, 2.0]))
        yield item


async def play(engine: Engine[Any, Any], stop_at: float | None) -> Counter[int]:
    """How many outcomes there were for each position; stopped gently at `stop_at`."""
    seen: Counter[int] = Counter()

    async def stop() -> None:
        if stop_at is not None:
            await asyncio.sleep(stop_at)
            engine.stop()

    stopping = asyncio.create_task(stop())
    async with engine as outcomes:
        async for outcome in outcomes:
            seen[outcome.position] += 1
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    assert len(asyncio.all_tasks()) == 1
    return seen


def is_at_rest(engine: Engine[Any, Any]) -> bool:
    """Whether every count of the engine is what it was before it began."""
    slots, work, counters = engine._slots, engine._work, engine.counters
    counts = (slots.seeking, slots.waiting, work.room, counters.parked, counters.in_flight, engine._outages._probes)
    return counts == (0, 0, MOST_DELAYED, 0, 0, 0)


@pytest.mark.parametrize("seed", range(150))
def test_every_item_has_one_outcome_and_every_limit_is_kept(seed: int) -> None:
    """Nobody hangs, nothing is left behind, no call comes inside a Retry-After, no count drifts."""
    chance = random.Random(seed)
    random.seed(seed)
    keyed = chance.random() < 0.6
    count, seconds = chance.choice([1, 3, 10, 40]), chance.choice([0.5, 1.0, 5.0])
    limits = {seconds: count}
    if chance.random() < 0.3:
        limits[5 * seconds] = 3 * count
    peer = Peer(chance, keyed=keyed)
    call: Any = PairedCall(peer.connect, peer) if chance.random() < 0.6 else peer
    items = [(position, chance.randrange(chance.choice([1, 2, 5, 50]))) for position in range(chance.randint(1, 300))]
    options = choose_options(chance, [f"{most}/{window:g}s" for window, most in limits.items()], keyed=keyed)
    engine = penstock.run(call, feed(items, chance) if chance.random() < 0.5 else items, **options)
    stop_at = chance.choice([None, None, chance.uniform(0, 30)])
    seen = run_virtual(play(engine, stop_at))
    assert max(seen.values(), default=1) == 1
    assert stop_at is not None or len(seen) == len(items)
    for calls in peer.calls.values():
        for window, most in limits.items():
            assert most_in_any_window(calls, window - 1e-9) <= most
    assert peer.too_early == []
    assert peer.in_flight == 0
    assert call is peer or call.open == 0
    assert is_at_rest(engine)
