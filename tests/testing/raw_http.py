"""As little of an HTTP client as the fault server's tests need: it hides nothing that happens on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

from penstock.testing import FaultServer


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def post(body: bytes, target: str = "/search", *more: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: api", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: api\r\n\r\n".encode()


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> Answer:
        """Read one. Raises IncompleteReadError or ConnectionResetError where the server ends it first."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(head[0].split()[1]), headers, body)

    async def ask(self, request: bytes) -> Answer:
        self.send(request)
        return await self.answer()


@contextlib.asynccontextmanager
async def connect(server: FaultServer, ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=ssl_context)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()
        # The transport's end comes a step later; before that its socket would leak.
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask_once(server: FaultServer, request: bytes) -> Answer | str:
    """Return the answer on a connection of its own, or the name of what ended it."""
    async with connect(server) as connection:
        try:
            return await connection.ask(request)
        except asyncio.IncompleteReadError as error:
            return "truncated" if error.partial or error.expected else "close"
        except ConnectionResetError:
            return "reset"
