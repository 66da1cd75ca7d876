"""A server that closes kept connections without saying so, in a process of its own.

`python -m benchmarks.closing_server`: prints its port; when its input ends, what it has counted, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
from dataclasses import dataclass, field

CLOSING = {
    "at once": ["--after", "0"],
    "at once, untold": ["--after", "0", "--untold"],
    "after 1 ms": ["--after", "0.001"],
    "after 5 ms": ["--after", "0.005"],
    "after 50 ms": ["--after", "0.05"],
    "after each 10th": ["--after", "0", "--every", "10"],
    "one of five": ["--after", "0", "--one-of", "5"],
    "idle for 0.3 s": ["--idle", "0.3"],
}
"""The options of servers that close without saying so."""

_BODY = b'{"similarity": 1.0}'


@dataclass
class Closing:
    """How connections end. A server that closes none is an honest one."""

    after: float | None = None
    """Seconds after an answer; what is asked meanwhile is not read."""
    every: int = 1
    """It does so after each answer of this number on a connection."""
    one_of: int = 1
    """It does so on one connection of so many."""
    idle: float | None = None
    """Seconds without a request after which a connection is closed."""
    told: bool = True
    """Whether it says `Connection: keep-alive`."""
    connections: int = field(default=0, init=False)
    requests: int = field(default=0, init=False)


class ClosingConnection(asyncio.Protocol):
    """Answers each request at once, as often as it likes."""

    def __init__(self, closing: Closing) -> None:
        self.closing = closing
        self.buffer = b""
        self.answered = 0
        self.deaf = False
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.transport = transport
        self.lies = self.closing.connections % self.closing.one_of == 0
        self.closing.connections += 1

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self.buffer += data
        while not self.deaf and (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            _, found, value = head.partition(b"content-length: ")
            length = int(value.partition(b"\r\n")[0]) if found else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self._answer(asked_to_close=b"connection: close" in head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if self.timer is not None:
            self.timer.cancel()

    def _answer(self, *, asked_to_close: bool) -> None:
        closing = self.closing
        closing.requests += 1
        self.answered += 1
        field_line = b"Connection: close\r\n" if asked_to_close else b"Connection: keep-alive\r\n" * closing.told
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (len(_BODY), field_line)
        self.transport.write(head + _BODY)  # type: ignore[attr-defined]
        if asked_to_close:
            self.transport.close()
        elif closing.after is not None and self.lies and self.answered % closing.every == 0:
            self.deaf = True
            self._close_in(closing.after)
        elif closing.idle is not None:
            self._close_in(closing.idle)

    def _close_in(self, seconds: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if seconds:
            self.timer = asyncio.get_running_loop().call_later(seconds, self.transport.close)
        else:
            self.transport.close()


async def serve(closing: Closing, tls: ssl.SSLContext | None) -> None:
    """Answer until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ClosingConnection(closing), "127.0.0.1", 0, ssl=tls, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps({"connections": closing.connections, "requests": closing.requests}), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--after", type=float, help="seconds after an answer at which it closes")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--one-of", type=int, default=1)
    parser.add_argument("--idle", type=float, help="seconds without a request after which it closes")
    parser.add_argument("--untold", action="store_true", help="say no Connection: keep-alive")
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    options = parser.parse_args(arguments)
    closing = Closing(options.after, options.every, options.one_of, options.idle, not options.untold)
    tls = None
    if options.tls:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*options.tls)
    asyncio.run(serve(closing, tls))


if __name__ == "__main__":
    main()
