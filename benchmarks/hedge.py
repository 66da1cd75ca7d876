"""A server with one slow answer in a hundred: what a second call takes off the 99th percentile, and what it costs."""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from penstock.clock import current_clock
from penstock.testing import run_virtual

from .processes import scratch
from .report import Report
from .servers import fault_server

RATE = 200
SLOW_SHARE = 0.012
SLOW_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Ran:
    """One run."""

    name: str
    calls: int
    """As the server counted them."""
    p50: float
    p99: float
    p999: float


async def arriving(items: list[Any]) -> AsyncIterator[Any]:
    """Items that come at their own pace, as requests do that somebody waits for."""
    clock = current_clock()
    began = clock.now()
    for number, item in enumerate(items):
        await clock.sleep(max(0.0, began + number / RATE - clock.now()))
        yield item


async def latencies(call: Any, items: list[Any], hedge: float | None) -> list[float]:
    """Seconds from each item's send to its answer, sorted."""
    import penstock

    options: dict[str, Any] = {"retry_on": "safe", "idempotent": True, "hedge": hedge}
    async with penstock.run(call, arriving(items), **options) as outcomes:
        seconds = [outcome.service async for outcome in outcomes if outcome.ok]
    if len(seconds) != len(items):
        raise RuntimeError(f"{len(items) - len(seconds)} items failed")
    return sorted(seconds)


def ran(name: str, calls: int, seconds: list[float]) -> Ran:
    """The percentiles."""
    return Ran(name, calls, *(seconds[int(share * len(seconds))] for share in (0.5, 0.99, 0.999)))


def in_virtual_time(items: int, hedge: float | None) -> Ran:
    """Answers in 40 to 60 ms, one in eighty takes a second."""
    generator = random.Random(1)
    calls = 0

    async def call(item: int) -> int:
        nonlocal calls
        calls += 1
        slow = generator.random() < SLOW_SHARE
        await current_clock().sleep(SLOW_SECONDS if slow else generator.uniform(0.04, 0.06))
        return item

    seconds = run_virtual(latencies(call, list(range(items)), hedge))
    return ran(f"virtual time, {'hedge p95' if hedge else 'plain'}", calls, seconds)


def for_real(items: int, hedge: float | None) -> Ran:
    """The wire's client against a fault server, on a loop of its own."""
    import uvloop

    import penstock

    async def main(url: str) -> list[float]:
        requests = [penstock.Request("GET", f"{url}/{number}") for number in range(items)]
        async with penstock.Client() as client:
            return await latencies(client, requests, hedge)

    name = "hedged" if hedge else "plain"
    options = ["--latency", "uniform:0.04:0.06", "--fault", f"slow_body={SLOW_SHARE}"]
    options += ["--slow-body-seconds", str(SLOW_SECONDS)]
    module = "benchmarks.slow_tail_server"
    with scratch() as folder, fault_server(folder, *options, name=name, module=module) as server:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            seconds = runner.run(main(server.url))
        calls = server.end()["requests"]
    return ran(f"for real, {'hedge p95' if hedge else 'plain'}", calls, seconds)


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks hedge", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000, help="in virtual time")
    parser.add_argument("--real-items", type=int, default=6_000)
    options = parser.parse_args(arguments)
    report = Report("hedge", f"python -m benchmarks hedge --items {options.items} --real-items {options.real_items}")
    pairs = [
        (options.items, in_virtual_time(options.items, None), in_virtual_time(options.items, 0.95)),
        (options.real_items, for_real(options.real_items, None), for_real(options.real_items, 0.95)),
    ]
    rows = [
        (
            each.name,
            f"{items:,}",
            f"{each.calls:,}",
            *(f"{1e3 * value:.0f}" for value in (each.p50, each.p99, each.p999)),
        )
        for items, *both in pairs
        for each in both
    ]
    header = ("what", "items", "calls", "p50 ms", "p99 ms", "p99.9 ms")
    report.table(
        f"{RATE}/s, answers in 40 to 60 ms, {SLOW_SHARE:.1%} of them in {SLOW_SECONDS:g} s or more", header, rows
    )
    for items, plain, hedged in pairs:
        where = plain.name.partition(",")[0]
        share, more = hedged.p99 / plain.p99, hedged.calls / items - 1
        report.goal(f"p99, {where}", "at most half", f"{share:.0%} of {1e3 * plain.p99:.0f} ms", share <= 0.5)
        report.goal(f"calls, {where}", "at most 2 % more", f"{more:.2%} more", more <= 0.02)
    return report.finish()
