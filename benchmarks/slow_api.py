"""The 100/min API that takes 8 to 30 s an answer: who uses how much of the limit, who gets refused (virtual time)."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from penstock.errors import Throttled
from penstock.testing import SimulatedApi, VirtualTimeLoop, most_in_any_window, uniform

from .report import Report

LIMIT, WINDOW = 100, 60.0
Way = Callable[[SimulatedApi, int], Awaitable[int]]
"""(API, items) -> how many items got their answer."""


class GrainedLoop(VirtualTimeLoop):
    """Virtual time with timers no finer than epoll's.

    Where time is exact, aiolimiter's timer comes back in the very moment it was set in, for ever: rounding leaves it a
    hair short of capacity, and only the clock's own progress gets it out of that.
    """

    def call_at(  # type: ignore[override]  # the stubs disagree on TypeVarTuple here
        self, when: float, *arguments: Any, **options: Any
    ) -> asyncio.TimerHandle:
        """At `when`, but at least a millisecond from now."""
        return super().call_at(max(when, self.time() + 0.001), *arguments, **options)


async def _try(api: SimulatedApi, item: int) -> bool:
    try:
        await api(item)
    except Throttled:
        return False
    return True


async def penstock_auto(api: SimulatedApi, items: int) -> int:
    """penstock.run, all defaults but the timeout, which must be above the API's slowest answer."""
    import penstock

    done = 0
    async with penstock.run(api, range(items), retry_on="safe", limit=f"{LIMIT}/min", attempt_timeout=60.0) as outcomes:
        async for outcome in outcomes:
            done += outcome.ok
    return done


async def one_by_one(api: SimulatedApi, items: int) -> int:
    """`for item in items: await call(item)`."""
    return sum([await _try(api, item) for item in range(items)])


async def gather_all(api: SimulatedApi, items: int) -> int:
    """All at once."""
    return sum(await asyncio.gather(*(_try(api, item) for item in range(items))))


async def semaphore(api: SimulatedApi, items: int) -> int:
    """Semaphore(10) and gather."""
    gate = asyncio.Semaphore(10)

    async def one(item: int) -> bool:
        async with gate:
            return await _try(api, item)

    return sum(await asyncio.gather(*(one(item) for item in range(items))))


async def aiolimiter_gather(api: SimulatedApi, items: int) -> int:
    """The most downloaded limiter, and gather."""
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(LIMIT, WINDOW)

    async def one(item: int) -> bool:
        async with limiter:
            return await _try(api, item)

    return sum(await asyncio.gather(*(one(item) for item in range(items))))


async def five_workers(api: SimulatedApi, items: int) -> int:
    """Five workers on one iterator."""
    rest = iter(range(items))

    async def work() -> int:
        return sum([await _try(api, item) for item in rest])

    return sum(await asyncio.gather(*(work() for _ in range(5))))


WAYS: dict[str, Way] = {
    "penstock.run, in flight auto": penstock_auto,
    "one by one": one_by_one,
    "5 workers": five_workers,
    "Semaphore(10) + gather": semaphore,
    "gather(all)": gather_all,
    "aiolimiter AsyncLimiter(100, 60) + gather": aiolimiter_gather,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the API saw of one way."""

    done: int
    seconds: float
    share: float
    refused: int
    most: int
    in_flight: int


def see(way: Way, items: int, seed: int) -> Seen:
    """Run one way in virtual time."""

    async def play() -> Seen:
        api = SimulatedApi(f"{LIMIT}/min", latency=uniform(8, 30), seed=seed)
        done = await way(api, items)
        times = api.admitted
        span = times[-1] - times[0]
        share = (len(times) - 1) / (span * LIMIT / WINDOW) if span > 0 else 0.0
        most = most_in_any_window(api.arrivals, WINDOW)
        now = asyncio.get_running_loop().time()
        return Seen(done, now, share, api.violations, most, api.max_in_flight)

    with asyncio.Runner(loop_factory=GrainedLoop) as runner:
        return runner.run(play())


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks slow_api", description=__doc__)
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    report = Report("slow_api", f"python -m benchmarks slow_api --items {options.items}")
    seen: dict[str, Seen] = {}
    rows: list[list[object]] = []
    for name, way in WAYS.items():
        try:
            each = seen[name] = see(way, options.items, options.seed)
        except ImportError as missing:
            rows.append([name, f"not measured: pip install {missing.name}", *[""] * 5])
            continue
        share = "(all in one moment)" if each.share == 0 else f"{each.share:.1%}"
        hours = f"{each.seconds / 3600:.2f} h" if each.seconds > 3600 else f"{each.seconds / 60:.1f} min"
        rows.append([name, share, f"{each.done:,}", f"{each.refused:,}", hours, each.most, each.in_flight])
    report.table(
        f"{options.items:,} items, {LIMIT} per {WINDOW:g} s kept by a sliding log, 8 to 30 s an answer, virtual time",
        ("way", "limit used", "answered", "refused (429)", "time", "most sent in any 60 s", "most in flight"),
        rows,
    )
    report.note(
        "Limit used: (admitted - 1) / (seconds from the first to the last admitted call x limit). Only penstock tries "
        "again what is refused; it had nothing to. Whoever sends above the limit risks more than a 429."
    )
    ours = seen["penstock.run, in flight auto"]
    report.goal("limit used with auto", "at least 99 %", f"{ours.share:.2%}", ours.share >= 0.99)
    report.goal("refused", "0", ours.refused, ours.refused == 0)
    report.goal("most in any 60 s", f"at most {LIMIT}", ours.most, ours.most <= LIMIT)
    report.goal("answered", f"{options.items:,}", f"{ours.done:,}", ours.done == options.items)
    return report.finish()
