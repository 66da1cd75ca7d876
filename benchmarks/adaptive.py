"""Unknown limits: how much of what a server can take is found, held and followed, by whom (virtual time)."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import penstock
from penstock.clock import current_clock
from penstock.rules.in_flight.limit import InFlightLimit
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

from .controllers import Aimd, Gradient2, Inspect, Vegas
from .report import Report

SPEEDS = {"5 ms": (0.005, 300.0), "100 ms": (0.1, 150.0), "2 s": (2.0, 20.0)}
"""Median service time in seconds, and about how many calls a second the server can take."""

SIGMA, MEAN = 0.5, 1.1331
"""Of the lognormal service times; their mean as a multiple of their median."""

NETWORK = 0.001
Controller = Callable[[], InFlightLimit | int | Literal["auto"]]

CONTROLLERS: dict[str, Controller] = {
    "penstock": lambda: "auto",
    "AIMD": Aimd,
    "Gradient2": Gradient2,
    "Vegas": Vegas,
    "as inspect_ai": Inspect,
    "8 in flight": lambda: 8,
    "32 in flight": lambda: 32,
    "128 in flight": lambda: 128,
}


@dataclass(frozen=True, slots=True)
class Served:
    """A server, what it can take, and how to change that."""

    server: SimulatedServer
    capacity: float
    scale: Callable[[float], None]


def _refuses(make: Callable[[int], Any], service: float, capacity: float, seed: int, *, tells: bool) -> Served:
    latency = lognormal(service, SIGMA)
    server = RateServer(
        make(round(capacity)), latency, tells=tells, network=NETWORK, failures=server_noise.share, seed=seed
    )

    def scale(factor: float) -> None:
        server.limiter = make(round(factor * capacity))

    return Served(server, round(capacity), scale)


def _queues(service: float, capacity: float, seed: int, *, bounded: bool) -> Served:
    workers = max(2, round(capacity * service * MEAN))
    queue = max(1, workers // 4) if bounded else None
    latency = lognormal(service, SIGMA)
    server = WorkerServer(workers, latency, queue=queue, network=NETWORK, failures=server_noise.share, seed=seed)

    def scale(factor: float) -> None:
        server.workers = max(1, round(factor * workers))

    return Served(server, workers / (service * MEAN), scale)


def _shares(service: float, capacity: float, seed: int) -> Served:
    cores = max(2, round(capacity * service * MEAN))
    latency = lognormal(service, SIGMA)
    server = SharingServer(cores, latency, network=NETWORK, failures=server_noise.share, seed=seed)

    def scale(factor: float) -> None:
        server.cores = factor * cores

    return Served(server, cores / (service * MEAN), scale)


@dataclass
class _Noise:
    share: float = 0.01


server_noise = _Noise()
"""The share of 500s that have nothing to do with how much is sent."""

SERVERS: dict[str, Callable[[float, float, int], Served]] = {
    "429, sliding second": lambda service, capacity, seed: _refuses(
        lambda count: SlidingLog(count, 1.0), service, capacity, seed, tells=False
    ),
    "429, fixed second, Retry-After": lambda service, capacity, seed: _refuses(
        lambda count: FixedWindow(count, 1.0, 0.3), service, capacity, seed, tells=True
    ),
    "429, bucket of 5 s": lambda service, capacity, seed: _refuses(
        lambda count: Gcra(count, 1.0, 5 * count), service, capacity, seed, tells=False
    ),
    "workers, endless queue": lambda service, capacity, seed: _queues(service, capacity, seed, bounded=False),
    "workers, short queue, 503": lambda service, capacity, seed: _queues(service, capacity, seed, bounded=True),
    "shared processor": _shares,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one controller got out of one server."""

    found: float
    """Share of the capacity that was delivered from second 30 on, before anything changed."""
    refused: float
    """429 and 503, as a share of the answers, in the same time."""
    inflation: float
    """Mean latency in the same time, as a multiple of the unloaded one."""
    halved: float
    """Seconds after a halving until it holds again; inf if not within the phase."""
    doubled: float


def see(make: Controller, kind: str, speed: str, *, phase: float, seed: int) -> Seen:
    """Run one controller on one server: `phase` seconds as it is, as long at half the capacity, as long again."""
    service, capacity = SPEEDS[speed]

    async def play() -> Seen:
        served = SERVERS[kind](service, capacity, seed)
        latencies: list[float] = []
        clock = current_clock()
        changes = asyncio.create_task(_change(served, phase))
        run = penstock.run(
            served.server,
            itertools.count(),
            retry_on="transient",
            max_in_flight=make(),
            attempt_timeout=600.0,
            total_timeout=None,
        )
        async with run as outcomes:
            async for outcome in outcomes:
                now = clock.now()
                if outcome.ok and 30.0 <= now < phase:
                    latencies.append(outcome.service)
                if now >= 3 * phase:
                    break
        changes.cancel()
        unloaded = service * MEAN + NETWORK
        return _judge(served, phase, statistics.fmean(latencies or [0.0]) / unloaded, width=20.0 if service > 1 else 10)

    return run_virtual(play())


async def _change(served: Served, phase: float) -> None:
    for factor in (0.5, 1.0):
        await current_clock().sleep(phase)
        served.scale(factor)


def _judge(served: Served, phase: float, inflation: float, *, width: float) -> Seen:
    server = served.server
    delivered = rate_between(server.answered, 30.0, phase)
    refused = rate_between(server.refused, 30.0, phase)

    def holds_again(begin: float, capacity: float) -> float:
        for second in range(int(phase - width) + 1):
            since = begin + second
            good = rate_between(server.answered, since, since + width)
            bad = rate_between(server.refused, since, since + width)
            rest = rate_between(server.answered, since, begin + phase)
            if min(good, rest) >= 0.9 * capacity and bad <= 0.05 * good:
                return float(second)
        return float("inf")

    return Seen(
        delivered / served.capacity,
        refused / max(1e-9, delivered + refused),
        inflation,
        holds_again(phase, served.capacity / 2),
        holds_again(2 * phase, served.capacity),
    )


def _seconds(seconds: float, phase: float) -> str:
    return f"{seconds:.0f} s" if seconds < phase else "not"


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks adaptive", description=__doc__)
    parser.add_argument("--phase", type=float, default=75.0, help="seconds of virtual time before each change")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--noise", type=float, default=0.01, help="share of 500s that mean nothing")
    parser.add_argument("--full", action="store_true", help="all controllers at all speeds, not only at 100 ms")
    parser.add_argument("--only", choices=list(CONTROLLERS), help="only this one, at all speeds")
    options = parser.parse_args(arguments)
    server_noise.share = options.noise
    report = Report("adaptive", "python -m benchmarks adaptive" + (" --full" if options.full else ""))
    ours: list[tuple[str, Seen]] = []
    for speed in SPEEDS:
        rows: list[list[object]] = []
        for kind, (name, make) in itertools.product(SERVERS, CONTROLLERS.items()):
            if (options.only or "penstock") != name and (options.only or not (options.full or speed == "100 ms")):
                continue
            for seed in range(1, options.seeds + 1):
                seen = see(make, kind, speed, phase=options.phase, seed=seed)
                rows.append([kind, name, *_cells(seen, options.phase)])
                if name == "penstock":
                    ours.append((f"{kind}, {speed}", seen))
        report.table(
            f"Service time {speed}, about {SPEEDS[speed][1]:g} calls a second, {options.noise:.0%} random 500s",
            ("server", "controller", "delivered", "refused", "latency", "after halving", "after doubling"),
            rows,
        )
    report.note(
        f"Delivered: share of the true capacity from second 30 to {options.phase:g}; refused: 429 and 503 among the "
        "answers then; latency: mean, as a multiple of the unloaded one. After halving, after doubling: seconds until "
        "90 % of the new capacity is delivered, and at most 5 % refused, over 10 s (at 2 s service over 20 s) and on "
        "average to the end of the phase."
    )
    if ours:
        _goals(report, ours)
    return report.finish()


def _cells(seen: Seen, phase: float) -> list[object]:
    return [
        f"{seen.found:.1%}",
        f"{seen.refused:.2%}",
        f"{seen.inflation:.2f}x",
        _seconds(seen.halved, phase),
        _seconds(seen.doubled, phase),
    ]


def _goals(report: Report, ours: list[tuple[str, Seen]]) -> None:
    def worst(value: Callable[[Seen], float], *, highest: bool) -> tuple[str, float]:
        name, seen = (max if highest else min)(ours, key=lambda each: value(each[1]))
        return name, value(seen)

    name, found = worst(lambda seen: seen.found, highest=False)
    report.goal("of the capacity after 30 s, worst server", "at least 90 %", f"{found:.1%} ({name})", found >= 0.9)
    name, refused = worst(lambda seen: seen.refused, highest=True)
    report.goal("refused in steady state, worst", "at most 1 %", f"{refused:.2%} ({name})", refused <= 0.01)
    name, inflation = worst(lambda seen: seen.inflation, highest=True)
    report.goal("latency, worst", "at most 2x", f"{inflation:.2f}x ({name})", inflation <= 2.0)
    name, halved = worst(lambda seen: seen.halved, highest=True)
    report.goal("again after a halving, worst", "within 60 s", f"{halved:.0f} s ({name})", halved <= 60.0)
    name, doubled = worst(lambda seen: seen.doubled, highest=True)
    report.goal("again after a doubling, worst", "within 60 s", f"{doubled:.0f} s ({name})", doubled <= 60.0)


if __name__ == "__main__":
    main()
