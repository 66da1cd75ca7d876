"""A transport and a keeper without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from penstock.wire.connection import Connection
from penstock.wire.known_heads import KnownHeads


class FakeTransport:
    """Remembers what was done to it; `unsent` is what it says of its write buffer, in bytes."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False
        self.closed = False
        self.unsent = 0

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return self.unsent


class FakeKeeper:
    """Remembers what connections report."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def finished(self, connection: Connection) -> None:
        self.log.append("finished closed" if connection.closed else "finished")

    def lost(self, connection: Connection) -> None:
        self.log.append("lost")

    def made(self, connection: Connection) -> None:
        self.log.append("made")

    def gone(self, connection: Connection) -> None:
        self.log.append("gone")

    def unasked(self, connection: Connection) -> None:
        self.log.append("unasked")


class Line:
    """A connection between a fake keeper and a fake transport."""

    def __init__(self, *, max_bytes: int = 1000, open_now: bool = True) -> None:
        self.keeper = FakeKeeper()
        self.transport = FakeTransport()
        self.heads = KnownHeads()
        self.connection = Connection(self.keeper, "http://peer", self.heads, max_bytes=max_bytes, decompress=True)
        if open_now:
            self.open()

    def open(self) -> None:
        self.connection.connection_made(cast("asyncio.BaseTransport", self.transport))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test that needs a loop but no socket."""
    with asyncio.Runner() as runner:
        runner.run(_bounded(test()))


async def _bounded(test: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(5):
        await test
