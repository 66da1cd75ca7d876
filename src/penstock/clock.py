"""Clock: the only file that reads time or sleeps.

Everything else is given a clock, so a test can run an hour of traffic in milliseconds: a loop that keeps time of
its own (`penstock.testing.VirtualTimeLoop`) carries the clock to use as `penstock_clock`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Seconds on a clock that never goes back (CLOCK_MONOTONIC: the same for all processes of one boot)."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, for people and for dates in headers."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let other tasks run for `seconds`."""
        ...


class SystemClock:
    """The machine's clock."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """asyncio.sleep."""
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


def current_clock() -> Clock:
    """The running loop's own clock where it keeps one (virtual time), else the machine's."""
    clock: Clock | None = getattr(asyncio.get_running_loop(), "penstock_clock", None)
    return clock if clock is not None else SYSTEM_CLOCK


def call_at(clock: Clock, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
    """Run `callback` on the running loop at `when` on `clock` (never before; late by the loop's own delay)."""
    # uvloop caches loop.time() in whole milliseconds, so the distance is taken on our own clock.
    return asyncio.get_running_loop().call_later(max(0.0, when - clock.now()), callback)


def cpu_of_process(pid: int) -> float:
    """CPU seconds of all threads of a process by now, ended ones too. Raises OSError where it has ended.

    It is read from the process's own clock, in nanoseconds; those of /proc are in hundredths of a second.
    """
    # MAKE_PROCESS_CPUCLOCK of Linux: the number of such a clock is made of that of the process.
    return time.clock_gettime((~pid << 3) | 2)
