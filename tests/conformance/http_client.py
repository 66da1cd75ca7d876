"""The runner's own HTTP/1.1 client: section 4, "connections" and "the response". It never repeats a request."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from .exchange import RunnerRequest, RunnerResponse, TransportError, decoded, response_headers
from .suite import Interim

IDLE_SECONDS = 4.0
"""How long a connection without a request is used again."""


class _Connection(asyncio.Protocol):
    """A connection whose received bytes can be looked at without waiting."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = False
        self.idle_since = 0.0
        self.transport: asyncio.Transport | None = None
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()

    def eof_received(self) -> None:
        self.ended = True
        self._news.set()

    def connection_lost(self, _error: Exception | None) -> None:
        self.ended = True
        self._news.set()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def _more(self) -> None:
        """Wait for bytes; TransportError where no more will come."""
        if self.ended:
            raise TransportError("the connection was closed")
        self._news.clear()
        await self._news.wait()

    async def until(self, mark: bytes) -> bytes:
        """All up to and without the mark, which is taken too."""
        while (at := self.received.find(mark)) < 0:
            if self.ended or len(self.received) > 1 << 20:
                raise TransportError("the connection was closed, or the line does not end")
            await self._more()
        found = bytes(self.received[:at])
        del self.received[: at + len(mark)]
        return found

    async def exactly(self, length: int) -> bytes:
        """So many bytes."""
        while len(self.received) < length:
            await self._more()
        found = bytes(self.received[:length])
        del self.received[:length]
        return found

    async def to_the_end(self) -> bytes:
        """All that comes until the connection is closed."""
        while not self.ended:
            await self._more()
        return bytes(self.received)


class HttpClient:
    """A Transport over sockets to one address."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[_Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._idle:
            connection.close()

    async def exchange(self, request: RunnerRequest, limit: float) -> RunnerResponse:
        """As in Transport."""
        deadline = asyncio.get_running_loop().time() + limit
        async with asyncio.timeout_at(deadline):
            connection = await self._connect()
        try:
            response, stays = await self._exchange(connection, request, deadline)
        except BaseException:
            connection.close()
            raise
        if stays and not connection.received and not connection.ended:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.close()
        return response

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            if not connection.ended and not connection.received and loop.time() - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.close()
        try:
            return (await loop.create_connection(_Connection, self._host, self._port))[1]
        except OSError as error:
            raise TransportError(f"no connection: {error}") from error

    async def _exchange(
        self, connection: _Connection, request: RunnerRequest, deadline: float
    ) -> tuple[RunnerResponse, bool]:
        """The response, and whether the connection may be used again."""
        async with asyncio.timeout_at(deadline):
            assert connection.transport is not None
            connection.transport.write(request_bytes(request, f"{self._host}:{self._port}"))
            interim: list[Interim] = []
            while True:
                version, status, lines = parse_response_head(await connection.until(b"\r\n\r\n"))
                if status >= 200:
                    break
                interim.append(Interim(status, tuple(lines)))
        response = RunnerResponse(status, response_headers(lines), interim)
        try:
            async with asyncio.timeout_at(deadline):
                raw, framed = await _read_body(connection, request.method, response)
            response.body = decoded(raw, response.headers.get("content-encoding", ""))
        except (TransportError, TimeoutError) as error:
            response.body_problem = error
            return response, False
        options = response.headers.get("connection", "").lower()
        stays = framed and request.method != "HEAD" and "close" not in options
        return response, stays and (version == "HTTP/1.1" or "keep-alive" in options)


def request_bytes(request: RunnerRequest, host: str) -> bytes:
    """The request as it goes over the wire."""
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {host}", "Connection: keep-alive"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    if request.body is not None:
        lines.append(f"Content-Length: {len(request.body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (request.body or b"")


def parse_response_head(head: bytes) -> tuple[str, int, list[tuple[str, str]]]:
    """Version, status and header lines. Raises TransportError."""
    first, *rest = head.decode("latin-1").split("\r\n")
    version, _, after = first.partition(" ")
    code = after.partition(" ")[0]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (code.isascii() and code.isdigit() and 100 <= int(code) <= 999):
        raise TransportError(f"no status line: {first!r}")
    lines = []
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise TransportError(f"no header: {line!r}")
        lines.append((name, value.strip(" \t")))
    return version, int(code), lines


async def _read_body(connection: _Connection, method: str, response: RunnerResponse) -> tuple[bytes, bool]:
    """The body before any decoding, and whether its end is known without the end of the connection."""
    if method == "HEAD" or response.status in (204, 304):
        return b"", True
    transfer = response.headers.get("transfer-encoding")
    if transfer is not None:
        if transfer.lower().rpartition(",")[2].strip() == "chunked":
            return await _read_chunks(connection), True
        return await connection.to_the_end(), False
    length = response.headers.get("content-length")
    if length is None:
        return await connection.to_the_end(), False
    if not (length.isascii() and length.isdigit()):
        raise TransportError(f"no length: {length!r}")
    return await connection.exactly(int(length)), True


async def _read_chunks(connection: _Connection) -> bytes:
    body = bytearray()
    while True:
        size = (await connection.until(b"\r\n")).partition(b";")[0].strip()
        try:
            length = int(size, 16)
        except ValueError:
            raise TransportError(f"no length of a chunk: {size!r}") from None
        if length <= 0:
            break
        body += await connection.exactly(length)
        if await connection.exactly(2) != b"\r\n":
            raise TransportError("a chunk is longer than it says")
    while await connection.until(b"\r\n"):
        pass
    return bytes(body)
