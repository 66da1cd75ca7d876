"""`penstock.run` without a limit, beside servers that do not tell what they can take (virtual time)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

import penstock
from penstock.clock import current_clock
from penstock.testing import (
    FixedWindow,
    Gcra,
    RateServer,
    SharingServer,
    SimulatedServer,
    SlidingLog,
    WorkerServer,
    lognormal,
    rate_between,
    run_virtual,
)

SERVICE = lognormal(0.1, 0.5)
MEAN = 0.1 * 1.1331

SERVERS: dict[str, tuple[Callable[[], SimulatedServer], float]] = {
    "sliding second": (lambda: RateServer(SlidingLog(100, 1.0), SERVICE), 100.0),
    "fixed second, Retry-After": (lambda: RateServer(FixedWindow(100, 1.0), SERVICE, tells=True), 100.0),
    "bucket": (lambda: RateServer(Gcra(100, 1.0, 300), SERVICE, failures=0.01), 100.0),
    "queue": (lambda: WorkerServer(12, SERVICE, failures=0.01), 12 / MEAN),
    "short queue": (lambda: WorkerServer(12, SERVICE, queue=4), 12 / MEAN),
    "shared processor": (lambda: SharingServer(12, SERVICE), 12 / MEAN),
}


async def flow(server: SimulatedServer, seconds: float, changes: dict[float, Callable[[], None]]) -> float:
    """Run `seconds` of endless items; returns the mean latency of the last 20 s."""
    clock = current_clock()

    async def change() -> None:
        for when, make in changes.items():
            await clock.sleep(when - clock.now())
            make()

    changing = asyncio.create_task(change())
    latencies = []
    async with penstock.run(server, itertools.count(), retry_on="transient", total_timeout=None) as outcomes:
        async for outcome in outcomes:
            assert outcome.ok or outcome.kind != "throttled"
            if clock.now() >= seconds - 20 and outcome.ok:
                latencies.append(outcome.service)
            if clock.now() >= seconds:
                break
    changing.cancel()
    return sum(latencies) / len(latencies)


@pytest.mark.parametrize("kind", SERVERS)
def test_it_finds_and_holds_what_the_server_can_take(kind: str) -> None:
    """From second 30 on at least 90 % of it, at most 1 % refused, and no long queue."""
    make, capacity = SERVERS[kind]
    server = make()
    latency = run_virtual(flow(server, 60.0, {}))
    assert rate_between(server.answered, 30.0, 60.0) >= 0.9 * capacity
    assert rate_between(server.refused, 30.0, 60.0) <= 0.01 * capacity
    assert latency <= 2 * (MEAN + server.network)


def test_a_told_pause_is_followed_at_the_found_pace() -> None:
    """Answers take 2 s here: whoever waited for one after each refusal would stand still for as long."""
    server = RateServer(FixedWindow(20, 1.0, 0.3), lognormal(2.0, 0.5), tells=True)
    run_virtual(flow(server, 90.0, {}))
    assert rate_between(server.answered, 30.0, 90.0) >= 0.9 * 20


@pytest.mark.parametrize("seed", [1, 3, 4])
def test_the_first_refusal_makes_nobody_wait_for_an_answer(seed: int) -> None:
    """It asked for a probe before there was a pace; the probe was refused too, and all stood still for ten seconds."""
    server = RateServer(SlidingLog(20, 1.0), lognormal(2.0, 0.5), failures=0.01, seed=seed)
    run_virtual(flow(server, 25.0, {}))
    assert rate_between(server.answered, 12.0, 25.0) >= 0.8 * 20


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_it_follows_a_rate_that_changes(factor: float) -> None:
    """A minute after a halving or doubling, 90 % of what is allowed then, at most 1 % refused."""
    server = RateServer(SlidingLog(100, 1.0), SERVICE)

    def change() -> None:
        server.limiter = SlidingLog(int(100 * factor), 1.0)

    run_virtual(flow(server, 140.0, {40.0: change}))
    assert rate_between(server.answered, 100.0, 140.0) >= 0.9 * 100 * factor
    assert rate_between(server.refused, 100.0, 140.0) <= 0.01 * 100 * factor


@pytest.mark.parametrize("workers", [6, 24])
def test_it_follows_a_number_of_workers_that_changes(workers: int) -> None:
    """A minute after, 90 % of what they can do, without a long queue."""
    server = WorkerServer(12, SERVICE)
    latency = run_virtual(flow(server, 130.0, {40.0: lambda: setattr(server, "workers", workers)}))
    assert rate_between(server.answered, 100.0, 130.0) >= 0.9 * workers / MEAN
    assert latency <= 2 * MEAN


def test_it_follows_a_latency_that_is_the_servers_own() -> None:
    """The way there becomes longer, so more must be in flight for the same rate."""
    server = WorkerServer(12, SERVICE)
    run_virtual(flow(server, 130.0, {40.0: lambda: setattr(server, "network", 0.15)}))
    assert rate_between(server.answered, 100.0, 130.0) >= 0.9 * 12 / MEAN


def test_items_that_were_refused_while_it_was_learning_are_not_failed() -> None:
    """A refusal is the server's word on the pace, not on the item."""
    server = RateServer(SlidingLog(20, 1.0), SERVICE)

    async def main() -> list[bool]:
        async with penstock.run(server, range(300), retry_on="safe") as outcomes:
            return [outcome.ok async for outcome in outcomes]

    assert run_virtual(main()) == [True] * 300
    assert len(server.refused) > 0


def test_a_number_of_ones_own_is_kept() -> None:
    """An InFlightLimit can be given in place of a number."""
    from penstock.rules.in_flight.limit import FixedInFlight

    server = WorkerServer(50, SERVICE)

    async def main() -> None:
        async with penstock.run(server, range(200), retry_on="none", max_in_flight=FixedInFlight(3)) as outcomes:
            async for _ in outcomes:
                pass

    run_virtual(main())
    assert server.max_in_flight == 3
