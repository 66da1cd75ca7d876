"""A handler that stays sync and makes ten calls to an API that takes 10 ms: CPU and time with requests and with Http.

And what the limiter costs inside the clients of others, a call.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from .processes import CLIENT_CORE, scratch
from .report import Report
from .servers import fault_server

CALLS = 10
_UNREACHED = "1000000/s"


@dataclass
class Way:
    """One way to make the calls, and what it cost in each round."""

    name: str
    once: Callable[[], object]
    cpu: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def measure(self, repeats: int) -> None:
        """So often; CPU of the whole process, all threads of it."""
        cpu, began = time.process_time(), time.perf_counter()
        for _ in range(repeats):
            self.once()
        self.cpu.append((time.process_time() - cpu) / repeats)
        self.seconds.append((time.perf_counter() - began) / repeats)


@contextmanager
def fan_out(url: str) -> Iterator[list[Way]]:
    """The ways of a handler; the connections of each stay open."""
    import requests

    import penstock

    with ExitStack() as stack:
        session = stack.enter_context(requests.Session())
        pool = stack.enter_context(ThreadPoolExecutor(CALLS))
        http = stack.enter_context(penstock.Http(url))
        loop = stack.enter_context(asyncio.Runner(loop_factory=_uvloop())).get_loop()
        paths = [f"/{number}" for number in range(CALLS)]
        whole = [url + path for path in paths]
        yield [
            Way("requests, one by one", lambda: [session.get(each).content for each in whole]),
            Way("requests, ten threads", lambda: list(pool.map(lambda each: session.get(each).content, whole))),
            Way("Http, one by one", lambda: [http.get(each) for each in paths]),
            Way("Http, gather", lambda: http.gather(paths)),
            Way("Http.aio, gather", lambda: loop.run_until_complete(http.aio.gather(paths))),
        ]


@contextmanager
def clients(url: str) -> Iterator[list[Way]]:
    """Clients of others, without and with the limiter."""
    import httpx2
    import requests

    from penstock.adapters.httpx2 import AsyncLimit, SyncLimit
    from penstock.adapters.requests import LimitAdapter

    with ExitStack() as stack:
        plain, limited = stack.enter_context(requests.Session()), stack.enter_context(requests.Session())
        limited.mount("http://", LimitAdapter(_UNREACHED))
        sync = [stack.enter_context(httpx2.Client(transport=each)) for each in (None, SyncLimit(_UNREACHED))]
        loop = stack.enter_context(asyncio.Runner(loop_factory=_uvloop())).get_loop()
        both = [httpx2.AsyncClient(transport=each) for each in (None, AsyncLimit(_UNREACHED))]

        async def ask(client: Any) -> None:
            for _ in range(CALLS):
                await client.get(url)

        def each_of(session: Any) -> Callable[[], object]:
            return lambda: [session.get(url).content for _ in range(CALLS)]

        yield [
            Way("requests", each_of(plain)),
            Way("requests, LimitAdapter", each_of(limited)),
            Way("httpx2", each_of(sync[0])),
            Way("httpx2, SyncLimit", each_of(sync[1])),
            Way("httpx2 async", lambda: loop.run_until_complete(ask(both[0]))),
            Way("httpx2 async, AsyncLimit", lambda: loop.run_until_complete(ask(both[1]))),
        ]
        for client in both:
            loop.run_until_complete(client.aclose())


def _uvloop() -> Any:
    import uvloop

    return uvloop.new_event_loop


def measured(ways: list[Way], rounds: int, repeats: int) -> dict[str, Way]:
    """Interleaved, so that a noise that lasts hits all."""
    for way in ways:
        way.once()
    for _ in range(rounds):
        for way in ways:
            way.measure(repeats)
    return {way.name: way for way in ways}


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks http_faces", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args(arguments)
    report = Report("http_faces", "python -m benchmarks http_faces")
    os.sched_setaffinity(0, {CLIENT_CORE})
    with scratch() as folder, fault_server(folder, "--latency", "0.01") as server, fan_out(server.url) as ways:
        found = measured(ways, options.rounds, options.repeats)
    fan_out_goals(report, found)
    with scratch() as folder, fault_server(folder) as server, clients(server.url) as ways:
        found = measured(ways, options.rounds, 5 * options.repeats)
    rows = [(way.name, f"{1e6 * statistics.median(way.cpu) / CALLS:.0f}") for way in found.values()]
    report.table(
        "What the limiter costs inside other clients, an API that answers at once", ("client", "CPU us a call"), rows
    )
    return report.finish()


def fan_out_goals(report: Report, found: dict[str, Way]) -> None:
    """The table, and each way beside requests, in the same round."""
    usual = found["requests, one by one"]

    def share(name: str, what: str) -> float:
        pairs = zip(getattr(found[name], what), getattr(usual, what), strict=True)
        return float(statistics.median(one / other for one, other in pairs))

    header = ("way", "CPU ms", "of requests", "time ms", "of requests")
    rows = [
        (
            way.name,
            f"{1e3 * statistics.median(way.cpu):.2f}",
            f"{share(way.name, 'cpu'):.2f}",
            f"{1e3 * statistics.median(way.seconds):.1f}",
            f"{share(way.name, 'seconds'):.2f}",
        )
        for way in found.values()
    ]
    report.table(f"{CALLS} calls to an API that takes 10 ms", header, rows)
    for name, what, most in (
        ("Http, one by one", "cpu", 1 / 3),
        ("Http, gather", "cpu", 1 / 6),
        ("Http, gather", "seconds", 0.15),
    ):
        value = share(name, what)
        report.goal(f"{name}: {what} of requests", f"at most {most:.2f}", f"{value:.3f}", value <= most)
