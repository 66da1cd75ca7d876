"""Many GETs at a limit, with penstock.run and penstock.Client.

Run it: python examples/bulk_get.py [URL [COUNT]]

COUNT requests go to URL/0, URL/1, ... Without a URL a limited and faulty server is started in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter

import penstock
from penstock.testing import FaultPlan, FaultServer, SlidingLog

LIMIT = "200/s"


async def bulk_get(url: str, count: int) -> Counter[str]:
    """Get `count` pages below `url`; returns how many ended how."""
    # A generator: items are made when they are needed, so their number costs no memory.
    requests = (penstock.Request("GET", f"{url}/{number}") for number in range(count))
    ends: Counter[str] = Counter()
    async with (
        penstock.Client() as client,
        # A GET may be repeated without harm, so "safe" covers timeouts, resets and 5xx too.
        penstock.run(client, requests, limit=LIMIT, retry_on="safe", attempt_timeout=10) as outcomes,
    ):
        async for outcome in outcomes:
            ends["ok" if outcome.ok else outcome.kind] += 1
        service = outcomes.counters.service.percentiles_ms()
        print(f"{outcomes.counters.attempts} calls, at most {outcomes.counters.in_flight_peak} at once")
    print(f"service p50 {service['p50']:.1f} ms, p99 {service['p99']:.1f} ms")
    return ends


async def main() -> None:
    """Take the URL from the command line, or start a server."""
    arguments = sys.argv[1:]
    count = int(arguments[1]) if len(arguments) > 1 else 400
    async with contextlib.AsyncExitStack() as stack:
        if arguments:
            url = arguments[0].rstrip("/")
        else:
            plan = FaultPlan(seed=1, rates={"503": 0.03, "reset": 0.02}, lasting={"404": 0.01})
            server = FaultServer(limiter=SlidingLog(200, 1.0), faults=plan)
            url = (await stack.enter_async_context(server)).url
        print(dict(await bulk_get(url, count)))
        if not arguments:
            print(f"refused for being over the limit, says the server: {server.statistics().limit_violations}")


if __name__ == "__main__":
    asyncio.run(main())
