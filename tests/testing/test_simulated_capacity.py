"""Servers that can take only so much: they deliver what they can, and no more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.errors import StatusError, Throttled
from penstock.testing import (
    RateServer,
    SharingServer,
    SimulatedServer,
    SlidingLog,
    WorkerServer,
    constant,
    rate_between,
    run_virtual,
)


async def drive(server: SimulatedServer, *, at_once: int, seconds: float) -> list[float]:
    """`at_once` loops of calls for `seconds`; the latency of each good answer."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []

    async def work() -> None:
        while True:
            began = loop.time()
            try:
                await server(None)
            except (Throttled, StatusError):
                continue
            latencies.append(loop.time() - began)

    tasks = [asyncio.create_task(work()) for _ in range(at_once)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert server.in_flight == 0
    return latencies


def play(server: SimulatedServer, *, at_once: int, seconds: float = 10.0) -> list[float]:
    """`drive` in virtual time."""
    return run_virtual(drive(server, at_once=at_once, seconds=seconds))


def test_a_rate_server_refuses_what_comes_too_fast() -> None:
    """100 a second pass, the rest has a 429, with Retry-After only if told to."""
    server = RateServer(SlidingLog(100, 1.0), constant(0.01))
    play(server, at_once=8)
    assert rate_between(server.answered, 1.0, 9.0) == pytest.approx(100, rel=0.02)
    assert len(server.refused) > 1000
    for tells in (False, True):
        strict = RateServer(SlidingLog(1, 60.0), constant(0), tells=tells)

        async def twice(strict: RateServer = strict) -> float | None:
            await strict(1)
            with pytest.raises(Throttled) as caught:
                await strict(2)
            return caught.value.retry_after

        assert (run_virtual(twice()) is not None) is tells


def test_workers_let_the_rest_queue() -> None:
    """Four workers of 100 ms deliver 40 a second; with eight at once each waits as long as it is worked on."""
    server = WorkerServer(4, constant(0.1), network=0.0)
    latencies = play(server, at_once=8)
    assert rate_between(server.answered, 1.0, 9.0) == pytest.approx(40, rel=0.02)
    assert latencies[-1] == pytest.approx(0.2)
    assert not server.refused


def test_a_full_queue_refuses() -> None:
    """Four at work, two waiting: the seventh has a 503, and the others are served all the same."""
    server = WorkerServer(4, constant(0.1), queue=2)
    play(server, at_once=7)
    assert len(server.refused) > 100
    assert rate_between(server.answered, 1.0, 9.0) == pytest.approx(40, rel=0.02)
    calm = WorkerServer(4, constant(0.1), queue=2)
    play(calm, at_once=6)
    assert not calm.refused


def test_shared_cores_make_each_call_slower() -> None:
    """Two cores: two calls at full speed, eight at a quarter of it."""
    server = SharingServer(2, constant(0.1), network=0.0)
    assert play(server, at_once=2)[-1] == pytest.approx(0.1)
    server = SharingServer(2, constant(0.1), network=0.0)
    assert play(server, at_once=8)[-1] == pytest.approx(0.4)
    assert rate_between(server.answered, 1.0, 9.0) == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("kind", ["workers", "cores"])
def test_they_can_change_while_traffic_flows(kind: str) -> None:
    """Twice the workers, twice the answers; and half of them again."""
    server: Any = (WorkerServer if kind == "workers" else SharingServer)(2, constant(0.1), network=0.0)

    async def main() -> None:
        driving = asyncio.create_task(drive(server, at_once=16, seconds=30.0))
        await asyncio.sleep(10)
        setattr(server, kind, 4)
        await asyncio.sleep(10)
        setattr(server, kind, 1)
        await driving

    run_virtual(main())
    for begin, rate in ((1, 20), (12, 40), (23, 10)):
        assert rate_between(server.answered, begin, begin + 6) == pytest.approx(rate, rel=0.08)


def test_noise_is_a_share_of_all_calls() -> None:
    """Some are 500s, whatever is sent."""
    server = WorkerServer(10, constant(0.01), failures=0.1)
    play(server, at_once=5)
    share = len(server.failed) / (len(server.failed) + len(server.answered))
    assert 0.07 < share < 0.13


@pytest.mark.parametrize("server", [WorkerServer(1, constant(1.0)), SharingServer(1, constant(1.0))])
def test_a_caller_that_gives_up_leaves_nothing_behind(server: SimulatedServer) -> None:
    """Neither its place in the queue nor its share of the processor."""

    async def main() -> float:
        calls = [asyncio.create_task(server(number)) for number in range(5)]
        await asyncio.sleep(0.1)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        began = asyncio.get_running_loop().time()
        await server(None)
        return asyncio.get_running_loop().time() - began

    assert run_virtual(main()) == pytest.approx(1.001)


def test_a_rate_needs_a_span() -> None:
    """No division by nothing."""
    server = WorkerServer(1, constant(1.0))
    with pytest.raises(ValueError, match="longer than 0"):
        rate_between(server.answered, 5.0, 5.0)
