"""An origin that takes its time, a process of its own: `--delay` seconds an answer, for as many at once as come.

`/private/...` may not be shared, `/short/...` may be served stale for two seconds, `/must/...` never, everything else
is as `--fields` says. `/_count` says how many requests there were, without itself.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

import uvloop

_END = b"\r\n\r\n"
_BODY = b"x" * 1024


class Origin:
    """What all connections share."""

    def __init__(self, delay: float, fields: str) -> None:
        self.delay = delay
        self.count = 0
        self.shared = _answer(fields.encode())
        self.others = {
            b"private": _answer(b"Cache-Control: private, max-age=60"),
            b"short": _answer(b"Cache-Control: public, max-age=1, stale-if-error=2"),
            b"must": _answer(b"Cache-Control: public, max-age=1, must-revalidate"),
        }


class Connection(asyncio.Protocol):
    """One request at a time, GET only."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._data += data
        if not self._data.endswith(_END):
            return
        target = self._data.split(b" ", 2)[1]
        self._data = b""
        origin, transport = self._origin, self._transport
        assert transport is not None
        if target == b"/_count":
            text = b"%d" % origin.count
            transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nCache-Control: no-store\r\n\r\n" % len(text) + text
            )
            return
        origin.count += 1
        answer = origin.others.get(target.split(b"/", 2)[1], origin.shared)
        if origin.delay:
            asyncio.get_running_loop().call_later(origin.delay, transport.write, answer)
        else:
            transport.write(answer)


def _answer(fields: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n%b\r\n\r\n%b" % (fields, _BODY)


def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.5)
    parser.add_argument("--fields", default="Cache-Control: public, max-age=60")
    options = parser.parse_args()

    async def run() -> None:
        origin = Origin(options.delay, options.fields)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(origin), "127.0.0.1", options.port, backlog=4096)
        await server.serve_forever()

    uvloop.run(run())


if __name__ == "__main__":
    main()
