"""Clients that never finish their request, a process of its own: half a head, then a byte every few seconds.

Who is cut off comes back at once, so that the number stays. Prints a line of JSON a second: how many are open, how
often they were cut off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import cast

import uvloop

_PER_ADDRESS = 500
_PART = b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


class Herd:
    """All of them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.open: dict[Slow, None] = {}
        self.cut = 0
        self.failed = 0
        self._cursor = 0
        self._lacking: list[int] = []

    async def run(self) -> None:
        """Open all, then go on until killed."""
        self._lacking = list(range(self.options.clients))
        loop = asyncio.get_running_loop()
        refill = loop.create_task(self._refill())
        tick, elapsed = 0.05, 0.0
        while True:
            await asyncio.sleep(tick)
            elapsed += tick
            herd = list(self.open)
            share = max(1, int(len(herd) * tick / self.options.every))
            for slow in (herd[(self._cursor + number) % len(herd)] for number in range(share if herd else 0)):
                slow.transport.write(b"x")
            self._cursor += share
            if self._lacking and refill.done():
                refill = loop.create_task(self._refill())
            if elapsed >= 1:
                elapsed = 0.0
                print(json.dumps({"open": len(self.open), "cut": self.cut, "failed": self.failed}), flush=True)

    async def _refill(self) -> None:
        while self._lacking:
            batch, self._lacking = self._lacking[:200], self._lacking[200:]
            await asyncio.gather(*map(self._connect, batch))

    async def _connect(self, number: int) -> None:
        source = (f"127.0.1.{number // _PER_ADDRESS + 1}", 0)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: Slow(self, number), "127.0.0.1", self.options.port, local_addr=source
            )
        except OSError:
            self.failed += 1
            self._lacking.append(number)

    def lost(self, slow: Slow) -> None:
        """It was cut off."""
        self.open.pop(slow, None)
        self.cut += 1
        self._lacking.append(slow.number)


class Slow(asyncio.Protocol):
    """One of them."""

    transport: asyncio.Transport

    def __init__(self, herd: Herd, number: int) -> None:
        self.number = number
        self._herd = herd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.transport = cast("asyncio.Transport", transport)
        self._herd.open[self] = None
        self.transport.write(_PART)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._herd.lost(self)


def main() -> None:
    """Go on until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--every", type=float, default=5.0, help="Seconds between two bytes of one client.")
    options = parser.parse_args()
    uvloop.run(Herd(options).run())


if __name__ == "__main__":
    main()
