"""The origin over real sockets: section 3, "on the wire"."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from .origin_state import Answer, OriginState, now_date

IDLE_SECONDS = 5.0
"""A connection without a request for so long is closed."""

_FIRST_REQUEST_SECONDS = 60.0
_INTERIM_PHRASES = {102: "Processing", 103: "Early Hints"}


class Origin:
    """Serves registered runs on a port of loopback while it is entered; `port` is 0 until then if none was chosen."""

    def __init__(self, port: int = 0, state: OriginState | None = None) -> None:
        self.port = port
        self.state = state if state is not None else OriginState()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            patience = _FIRST_REQUEST_SECONDS
            while await self._one(reader, writer, patience):
                patience = IDLE_SECONDS
        except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError):
            pass  # a client that goes away, stays idle or speaks something else loses its connection, that is all
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float) -> bool:
        """Serve one request; whether the connection stays open."""
        async with asyncio.timeout(patience):
            head = await reader.readuntil(b"\r\n\r\n")
        method, target, version, headers = parse_request_head(head)
        await _drop_body(reader, headers)
        answer = await self.state.answer(method, target, headers)
        for interim in answer.interim:
            lines = [f"HTTP/1.1 {interim.status} {_INTERIM_PHRASES[interim.status]}"]
            lines += [f"{name}: {value}" for name, value in interim.headers]
            writer.write("\r\n".join([*lines, "", ""]).encode())
        if answer.disconnect:
            return False
        stays = version != "HTTP/1.0" and "close" not in headers.get("connection", "").lower()
        writer.write(answer_bytes(answer, method, old=version == "HTTP/1.0", stays=stays))
        await writer.drain()
        return stays and "close" not in answer.value("connection").lower()


def answer_bytes(answer: Answer, method: str, *, old: bool, stays: bool) -> bytes:
    """The final response as it goes over the wire; `old` for an HTTP/1.0 request."""
    lines = [f"HTTP/1.1 {answer.status} {answer.phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if not answer.has("date"):
        lines.append(f"Date: {now_date()}")
    if not answer.has("connection"):
        lines.append(f"Connection: {'keep-alive' if stays else 'close'}")
        if stays and not answer.has("keep-alive"):
            lines.append(f"Keep-Alive: timeout={IDLE_SECONDS:.0f}")
    bodiless = answer.status in (204, 304) or method == "HEAD"
    if not (bodiless or old or answer.has("content-length") or answer.has("transfer-encoding")):
        lines.append(f"Content-Length: {len(answer.body)}")
    # In UTF-8, as the suite's own origin does: section 8.
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if bodiless else answer.body)


def parse_request_head(head: bytes) -> tuple[str, str, str, dict[str, str]]:
    """Method, target, version and headers (lower case, repeated lines joined); ValueError for what is no request."""
    first, *rest = head.decode("latin-1").split("\r\n")[:-2]
    method, target, version = first.split(" ")
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"no header: {line!r}")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return method, target, version, headers


async def _drop_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> None:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            await reader.readexactly(size + 2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
    elif length := int(headers.get("content-length", "0")):
        await reader.readexactly(length)
