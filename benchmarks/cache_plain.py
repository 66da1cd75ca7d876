"""What a miss and a passed answer cost the proxy without the network: the short way of plain requests, and the general.

The proxy, its connections and the client to the origin are the real ones; their transports hand over bytes and nothing
else. So it is our own Python that is measured, in one process, with no system call.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import Counter
from email.utils import formatdate
from types import CodeType
from typing import Any, cast

from penstock.inbound.proxy.proxy import Proxy, ProxySettings
from penstock.wire.connection import Connection
from penstock.wire.pool import OriginPool
from penstock.wire.server.connection import ServerConnection
from penstock.wire.streams.connection import StreamConnection

from .function_counts import counting, of_penstock
from .report import Report

_ORIGIN = "http://origin.example"
_WARM = 400
_COUNTED = 9
_BODY = b"x" * 1024
_SHORT = b"GET /%d HTTP/1.1\r\nHost: shop.example\r\n\r\n"
_BROWSER = (
    b"GET /%d HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: text/html,application/xhtml+xml\r\nAccept-Language: en-GB,en;q=0.7\r\nAccept-Encoding: gzip, br\r\n"
    b"Sec-Fetch-Mode: navigate\r\nReferer: http://shop.example/%d\r\n\r\n"
)
_MISS, _PASS = b"max-age=600", b"private, no-store"


class _Transport:
    """Gives what is written to `read`."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written = data

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 50000) if name == "peername" else None

    def abort(self) -> None:
        """Nobody is there."""

    close = abort


class _Bench:
    """One proxy, one client, one connection to the origin."""

    def __init__(self, *, plain: bool, browser: bool, control: bytes) -> None:
        self.proxy = proxy = Proxy(ProxySettings(_ORIGIN, plain_path=plain))
        self._browser = browser
        self._control = control
        self._date = formatdate(usegmt=True).encode()
        self._client, self._origin = _Transport(), _Transport()
        proxy.server.handler, proxy.server.limits = proxy.handler, proxy.settings.limits
        self._front: ServerConnection = proxy.server.connection(proxy.server)
        self._front.connection_made(cast("asyncio.BaseTransport", self._client))
        self._back: StreamConnection
        proxy.client._open = self._open  # type: ignore[method-assign]  # noqa: SLF001

    async def _open(self, pool: OriginPool) -> Connection:
        self._back = StreamConnection(pool, _ORIGIN, lenient=False)
        self._back.connection_made(cast("asyncio.BaseTransport", self._origin))
        return self._back

    async def warm(self) -> None:
        """Until the origin is one whose connections are used at once, and what repeats is known."""
        for number in range(_WARM):
            asked, answer = self.pair(number)
            self._origin.written = self._client.written = b""
            self._front.data_received(asked)
            while not self._origin.written:
                await asyncio.sleep(0.001)
            self._back.data_received(answer)
            while not self._client.written:
                await asyncio.sleep(0)

    def pair(self, number: int) -> tuple[bytes, bytes]:
        """A request and its answer."""
        own = b'X-Request-Id: %08x\r\nETag: "%08x"\r\n' % (number, number * 7919) if self._browser else b""
        head = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: %b\r\nContent-Type: text/html\r\n%bCache-Control: %b\r\n" % (
            *(self._date, own, self._control),
        )
        asked = _BROWSER % (number, number) if self._browser else _SHORT % number
        return asked, head + b"Content-Length: %d\r\nConnection: keep-alive\r\n\r\n" % len(_BODY) + _BODY

    def run(self, pairs: list[tuple[bytes, bytes]]) -> float:
        """Seconds for each."""
        front, back = self._front.data_received, self._back.data_received
        began = time.perf_counter()
        for asked, answer in pairs:
            front(asked)
            back(answer)
        spent = time.perf_counter() - began
        assert b"cache-status: penstock; fwd=" in self._client.written
        return spent / len(pairs)

    async def functions(self) -> float:
        """Python functions of penstock in one of them."""
        several = []
        for number in range(_COUNTED):
            asked, answer = self.pair(90_000_000 + number)
            found: Counter[CodeType] = Counter()
            with counting(found):
                self._front.data_received(asked)
                self._back.data_received(answer)
            several.append(of_penstock(found).total)
            await asyncio.sleep(0)
        return statistics.median(several)


async def _measure(rounds: int, each: int, **options: Any) -> tuple[float, float]:
    """The best of some rounds, and the functions."""
    bench = _Bench(**options)
    await bench.warm()
    times = []
    for number in range(rounds):
        pairs = [bench.pair(1_000_000 * (number + 1) + step) for step in range(each)]
        # Little at a time: what the general way leaves for the next turn must not pile up.
        spent = 0.0
        for start in range(0, each, 50):
            part = pairs[start : start + 50]
            spent += bench.run(part) * len(part)
            await asyncio.sleep(0)
        times.append(spent / each)
    functions = await bench.functions()
    bench.proxy.engine.close()
    await bench.proxy.client.aclose()
    return min(times), functions


def main(arguments: list[str]) -> bool:
    """Measure all four kinds both ways."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_plain")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--each", type=int, default=3000)
    options = parser.parse_args(arguments)
    report = Report("cache_plain", "python -m benchmarks cache_plain")
    rows = []
    for what, browser, control, goal in (
        ("miss, equal heads", False, _MISS, 12),
        ("miss, browser, every head another", True, _MISS, 22),
        ("pass, equal heads", False, _PASS, None),
        ("pass, browser, every head another", True, _PASS, None),
    ):
        found = [
            asyncio.run(_measure(options.rounds, options.each, plain=plain, browser=browser, control=control))
            for plain in (False, True)
        ]
        (general, many), (short, few) = found
        rows.append((what, f"{general * 1e6:.1f}", f"{many:g}", f"{short * 1e6:.1f}", f"{few:g}"))
        if goal is not None:
            report.goal(what, f"at most {goal} us", f"{short * 1e6:.1f} us", short * 1e6 <= goal)
    report.table(
        f"us and Python functions of a request, in process, no network; best of {options.rounds}",
        ("", "general, us", "functions", "short way, us", "functions"),
        rows,
    )
    return report.finish()
