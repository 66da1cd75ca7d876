"""What the parent and its processes say to each other over a socket of their own: a line of JSON each.

The first line to a process is its setup. Then come orders with a number, `{"id": 7, "do": "ask", ...}`, each answered
by a line with that number; and a process says of itself `{"up": true}`, `{"failed": why}`, `{"say": [...]}` and
`{"leaving": true}` (a signal has told it to end).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import orjson

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes; the longest are a policy, and the rows of `top`."""


class OrderLine:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, sock: socket.socket) -> OrderLine:
        """Of a connected socket, which is then its own."""
        sock.setblocking(False)
        return cls(*await asyncio.open_connection(sock=sock, limit=LONGEST_LINE))

    def say(self, data: dict[str, Any]) -> None:
        """Send a line. Where nobody reads any more, it is lost."""
        if not self._writer.is_closing():
            # Small, and only what was asked for: so it is never much that waits to be written.
            self._writer.write(orjson.dumps(data, option=orjson.OPT_APPEND_NEWLINE))

    async def hear(self) -> dict[str, Any] | None:
        """The next line; None at the end, also in the middle of one."""
        try:
            line = await self._reader.readline()
        except (OSError, ValueError):
            return None
        if not line.endswith(b"\n"):
            return None
        data: dict[str, Any] = orjson.loads(line)
        return data

    def close(self) -> None:
        """Say no more."""
        self._writer.close()

    async def aclose(self) -> None:
        """Say no more, when all was said."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
