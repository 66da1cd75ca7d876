"""The app behind the cache of the demo, a process of its own: it counts what reaches it where a kill cannot reach.

`/page/N` is what everybody asks for: fresh for two seconds, tagged `pages`. `/new/N` is what only one client asks for.
`POST /edit` changes all pages. It shares no code with the proxy, which it is to judge.
"""

from __future__ import annotations

import argparse
import asyncio
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

MAX_AGE = 2
DELAY = 0.005
"""Seconds that it takes for an answer."""
_SHAPE = struct.Struct("<3Q")
_SHARED = f"Cache-Control: public, max-age={MAX_AGE}, stale-if-error=300\r\nSurrogate-Key: pages\r\n"
_NEW = "Cache-Control: public, max-age=60\r\n"


@dataclass(frozen=True, slots=True)
class Counts:
    """What the app has seen: how often its pages were changed, and requests."""

    edits: int = 0
    pages: int = 0
    new: int = 0


def read_counts(path: Path) -> Counts:
    """The counts in `path` now; zeros where there is no such file yet."""
    try:
        return Counts(*_SHAPE.unpack(path.read_bytes()))
    except FileNotFoundError:
        return Counts()


class App:
    """What all connections share. The counts are a file in memory: they outlive the process, however that ends."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_SHAPE.size))
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), _SHAPE.size)

    def answer(self, method: str, target: str) -> bytes:
        """Count one request; the bytes of its answer."""
        edits, pages, new = _SHAPE.unpack(self._map)
        fields = "Cache-Control: no-store\r\n"
        if target.startswith("/page/"):
            pages += 1
            fields = _SHARED
        elif target.startswith("/new/"):
            new += 1
            fields = _NEW
        elif method == "POST":
            edits += 1
        self._map[:] = _SHAPE.pack(edits, pages, new)
        body = str(edits)
        return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{fields}\r\n{body}".encode()

    def close(self) -> None:
        """Let the file go."""
        self._map.close()
        self._file.close()


class AppConnection(asyncio.Protocol):
    """One request after another, without bodies."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._data += data
        if not self._data.endswith(b"\r\n\r\n") or self._transport is None:
            return
        method, target = self._data.decode("latin-1").split(" ", 2)[:2]
        self._data = b""
        answer = self._app.answer(method, target)
        asyncio.get_running_loop().call_later(DELAY, self._transport.write, answer)


async def serve(port: int, path: Path) -> None:
    """Until it is killed."""
    app = App(path)
    server = await asyncio.get_running_loop().create_server(lambda: AppConnection(app), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m penstock.cli.demo.cache_app --port 8000 --counts FILE`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--counts", type=Path, required=True)
    options = parser.parse_args(arguments)
    asyncio.run(serve(options.port, options.counts))


if __name__ == "__main__":
    main()
