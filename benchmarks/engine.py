"""CPU an item of `penstock.run` around a call that does nothing, and of what else runs a call over a stream."""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from .processes import CLIENT_CORE, run, scratch
from .report import Report, megabytes

GOAL_US = 20.0
_ENGINE = ("penstock.run", "penstock.run, limit 10,000,000/s", "penstock.run, two limits")


async def nothing(item: int) -> int:
    """The call."""
    return item


async def _penstock(count: int, limit: Any) -> int:
    import penstock

    seen = 0
    async with penstock.run(nothing, range(count), retry_on="none", limit=limit, max_in_flight=64) as outcomes:
        async for outcome in outcomes:
            seen += outcome.ok
    return seen


async def _gather(count: int) -> int:
    semaphore = asyncio.Semaphore(64)

    async def one(item: int) -> int:
        async with semaphore:
            return await nothing(item)

    seen = 0
    for start in range(0, count, 1000):
        seen += len(await asyncio.gather(*(one(item) for item in range(start, min(start + 1000, count)))))
    return seen


async def _workers(count: int) -> int:
    queue: asyncio.Queue[int] = asyncio.Queue(1000)
    seen = 0

    async def work() -> None:
        nonlocal seen
        while True:
            await nothing(await queue.get())
            seen += 1
            queue.task_done()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for _ in range(64)]
        for item in range(count):
            await queue.put(item)
        await queue.join()
        for task in tasks:
            task.cancel()
    return seen


async def _aiometer(count: int) -> int:
    import aiometer

    seen = 0
    for start in range(0, count, 1000):
        jobs = [functools.partial(nothing, item) for item in range(start, min(start + 1000, count))]
        seen += len(await aiometer.run_all(jobs, max_at_once=64))
    return seen


RUNS: dict[str, tuple[Callable[[int], Any], float]] = {
    "penstock.run": (lambda count: _penstock(count, None), 1.0),
    "penstock.run, limit 10,000,000/s": (lambda count: _penstock(count, "10000000/s"), 1.0),
    "penstock.run, two limits": (lambda count: _penstock(count, ["10000000/s", "500000000/min"]), 1.0),
    "Semaphore(64) + gather, chunks of 1,000": (_gather, 0.4),
    "asyncio.Queue + 64 workers": (_workers, 0.4),
    "aiometer, chunks of 1,000": (_aiometer, 0.1),
}
"""How to run each, and its share of the items."""


def _child(name: str, count: int) -> dict[str, float]:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        cpu, wall = time.process_time(), time.perf_counter()
        seen = runner.run(RUNS[name][0](count))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if seen != count:
        raise RuntimeError(f"{name}: {seen} of {count} items came back")
    return {"items": count, "cpu": cpu, "seconds": wall}


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks engine", description=__doc__)
    parser.add_argument("--items", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    report = Report("engine", f"python -m benchmarks engine --items {options.items} --rounds {options.rounds}")
    cpu: dict[str, list[float]] = {name: [] for name in RUNS}
    peak: dict[str, int] = dict.fromkeys(RUNS, 0)
    with scratch() as folder:
        for _ in range(options.rounds):
            for name, (_, share) in RUNS.items():
                argv = [sys.executable, "-m", "benchmarks.engine", name, str(int(options.items * share))]
                ended = run(argv, folder=folder, timeout=180.0)
                said = ended.json()
                cpu[name].append(said["cpu"] / said["items"] * 1e6)
                peak[name] = max(peak[name], ended.peak_rss)
    medians = {name: statistics.median(each) for name, each in cpu.items()}
    base = medians["penstock.run"]
    rows = []
    for name, us in medians.items():
        spread = f"{min(cpu[name]):.2f} to {max(cpu[name]):.2f}"
        rows.append((name, f"{us:.2f}", spread, f"{1e6 / us:,.0f}", f"{us / base:.2f}x", megabytes(peak[name])))
    report.table(
        f"A call that does nothing, uvloop, 64 in flight, core {CLIENT_CORE}, {options.items:,} items "
        f"(the last three fewer), median of {options.rounds} rounds",
        ("what", "CPU us an item", "range", "items/s of one core", "vs penstock.run", "peak MB"),
        rows,
    )
    report.note(
        "penstock.run has retries, a verdict, an attempt timeout, latency histograms and one outcome an item; the "
        "others only call. CPU is user + system of the process while it runs, start and imports excluded."
    )
    for name in _ENGINE:
        report.goal(name, f"at most {GOAL_US:g} us of CPU an item", f"{medians[name]:.2f} us", medians[name] <= GOAL_US)
    return report.finish()


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], int(sys.argv[2]))))
