"""An open-loop client: requests leave when they are due, however slow the answers are; a process of its own.

Latency counts from the moment a request was due, so a server that stalls cannot hide who had to wait meanwhile.
Two thirds ask for one of `--hot` URLs, every third for a URL that nobody asked for before.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import json
import time
from collections import deque
from typing import cast

import uvloop

_END = b"\r\n\r\n"
_TICK = 0.001


class Load:
    """What is due, what is free, and what came of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.host = f"127.0.0.1:{options.port}".encode()
        self.free: deque[Connection] = deque()
        self.waiting: deque[int] = deque()
        self.began = 0.0
        self.next = 0
        self.sent = 0
        self.unique = 0
        self.bad = 0
        self.lost = 0
        self.latencies = {True: array.array("d"), False: array.array("d")}
        self.done = asyncio.Event()

    async def run(self) -> dict[str, object]:
        """Open the connections, send for so many seconds, wait for what is under way."""
        loop = asyncio.get_running_loop()
        for _ in range(self.options.connections):
            _, protocol = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.options.port)
            self.free.append(protocol)
        cpu, self.began = time.process_time(), time.monotonic()
        loop.call_soon(self._tick)
        await self.done.wait()
        took = time.monotonic() - self.began
        await asyncio.sleep(0.5)
        due = int(self.options.rate * self.options.seconds)
        answered = sum(map(len, self.latencies.values()))
        return {
            "due": due,
            "sent": self.sent,
            "unique": self.unique,
            "answered": answered,
            "rate": answered / took,
            "bad": self.bad,
            "lost": self.lost,
            "client_cpu": (time.process_time() - cpu) / took,
            "hits": _percentiles(self.latencies[True]),
            "misses": _percentiles(self.latencies[False]),
        }

    def _tick(self) -> None:
        elapsed = time.monotonic() - self.began
        options = self.options
        due = int(min(elapsed, options.seconds) * options.rate)
        for number in range(self.next, due):
            if self.free:
                self.send(self.free.popleft(), number)
            else:
                self.waiting.append(number)
        self.next = due
        if elapsed >= options.seconds:
            self.done.set()
            return
        asyncio.get_running_loop().call_later(_TICK, self._tick)

    def send(self, connection: Connection, number: int) -> None:
        """The request that is the `number`-th."""
        hot = number % 3 != 2
        if hot:
            path = b"/hot/%d" % ((number // 3 * 2 + number % 3) % self.options.hot)
        else:
            path = b"/unique/%d" % (self.options.seed + number)
            self.unique += 1
        connection.hot = hot
        connection.due = self.began + number / self.options.rate
        self.sent += 1
        connection.transport.write(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path, self.host))

    def answered(self, connection: Connection, status: bytes) -> None:
        """It has all of its answer."""
        self.latencies[connection.hot].append(time.monotonic() - connection.due)
        if status != b"200":
            self.bad += 1
        if self.done.is_set():
            return
        if self.waiting:
            self.send(connection, self.waiting.popleft())
        else:
            self.free.append(connection)


class Connection(asyncio.Protocol):
    """One request at a time."""

    transport: asyncio.Transport

    def __init__(self, load: Load) -> None:
        self._load = load
        self._data = b""
        self._size = 0
        self.hot = False
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._data:
            data = self._data + data
        if not self._size:
            end = data.find(_END)
            if end < 0:
                self._data = data
                return
            at = data.find(b"ontent-Length:", 0, end)
            if at < 0:
                at = data.find(b"ontent-length:", 0, end)
            if at < 0:
                raise RuntimeError(f"no length: {data[:end]!r}")
            self._size = end + 4 + int(data[at + 14 : data.find(b"\r", at)])
        if len(data) < self._size:
            self._data = data
            return
        status = data[9:12]
        self._data = b""
        self._size = 0
        self._load.answered(self, status)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop: nobody closes connections here but the other side."""
        if not self._load.done.is_set():
            self._load.lost += 1
            if self in self._load.free:
                self._load.free.remove(self)


def _percentiles(latencies: array.array[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {name: ordered[int(last * share)] for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}


def main() -> None:
    """Print what was measured, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--hot", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    async def run() -> None:
        print(json.dumps(await Load(options).run()))

    uvloop.run(run())


if __name__ == "__main__":
    main()
