"""A process that sends as fast as a shared limit allows: `python -m tests.faults.limited_process LIMIT LOG WORKERS`."""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from penstock import RateLimiter
from penstock.testing import ArrivalsLog


async def send(limit: str, path: str, workers: int) -> None:
    """Write the moment of each send into the log at `path`, until killed."""
    limiter = RateLimiter([limit])

    async def work() -> None:
        while True:
            await limiter.acquire()
            times.append(time.monotonic())
            # At once: it may be killed at any moment, and what it sent counts.
            times.flush()
            await asyncio.sleep(0)

    with ArrivalsLog(path) as times:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())


if __name__ == "__main__":
    uvloop.run(send(sys.argv[1], sys.argv[2], int(sys.argv[3])))
