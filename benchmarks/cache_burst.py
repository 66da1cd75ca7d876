"""Many clients that ask at the same moment, over connections that were opened before; a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import cast

import uvloop


class Client(asyncio.Protocol):
    """One request; `answered` has the moment when its answer was complete, and its status."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answered: asyncio.Future[tuple[float, bytes]] | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes) -> asyncio.Future[tuple[float, bytes]]:
        """Send it."""
        self.answered = asyncio.get_running_loop().create_future()
        self._data = b""
        if self.transport is None or self.transport.is_closing():
            self.answered.set_result((time.monotonic(), b"closed"))
        else:
            self.transport.write(request)
        return self.answered

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._data += data
        head, blank, body = self._data.partition(b"\r\n\r\n")
        if not blank:
            return
        at = head.lower().find(b"content-length:")
        chunked = at < 0 and b"chunked" in head.lower()
        complete = body.endswith(b"0\r\n\r\n") if chunked else len(body) >= int(head[at + 15 :].split(b"\r", 1)[0])
        if complete:
            self._settle(head[9:12])

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._settle(b"closed")

    def _settle(self, status: bytes) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_result((time.monotonic(), status))


async def bursts(options: argparse.Namespace) -> list[dict[str, float]]:
    """For each path: seconds until the first and the last answer, and how many were not 200."""
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(options.clients):
        _, client = await loop.create_connection(Client, "127.0.0.1", options.port)
        clients.append(client)
    await asyncio.sleep(0.3)
    found = []
    for path in options.path:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{options.port}\r\n\r\n".encode()
        began = time.monotonic()
        waiting = [client.ask(request) for client in clients]
        await asyncio.wait(waiting, timeout=options.timeout)
        done = [future.result() for future in waiting if future.done()]
        times = [moment - began for moment, _ in done] or [options.timeout]
        wrong = len(waiting) - sum(status == b"200" for _, status in done)
        found.append({"first": min(times), "slowest": max(times), "wrong": wrong})
        await asyncio.sleep(0.3)
    return found


def main() -> None:
    """Print what was measured, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--timeout", type=float, default=30.0)
    parser.add_argument("--path", action="append", required=True, help="One burst each, one after the other.")
    options = parser.parse_args()

    async def run() -> None:
        print(json.dumps(await bursts(options)))

    uvloop.run(run())


if __name__ == "__main__":
    main()
