"""An origin on loopback whose answers a test scripts byte by byte, and a client that hides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from penstock.inbound.proxy.access_log import AccessLog
from penstock.inbound.proxy.proxy import Proxy, ProxySettings

PLAIN_PATH = True
"""What a proxy is told that was told nothing of it."""


class Asked:
    """One request as the origin read it, and the connection to answer on."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, nth: int) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ")
        self.lines = [line.partition(": ")[::2] for line in lines[1:] if line]
        self.fields = {name.lower(): value for name, value in self.lines}
        self.reader = reader
        self.writer = writer
        self.nth = nth
        """Of its connection, from 1."""

    async def body(self) -> bytes:
        """The request's body, without its framing."""
        if "content-length" in self.fields:
            return await self.reader.readexactly(int(self.fields["content-length"]))
        whole = b""
        while size := int(await self.reader.readline(), 16):
            whole += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return whole

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *lines: str, status: str = "200 OK", body: bytes = b"body") -> None:
        """A whole answer with a length."""
        await self.send(head(*lines, f"Content-Length: {len(body)}", status=status) + body)


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines]).encode() + b"\r\n\r\n"


class RealOrigin:
    """`script` answers each request; `asked` are all that came."""

    def __init__(self, script: Callable[[Asked], Awaitable[None]]) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            await self._serve(reader, writer)
        finally:
            self.open -= 1

    async def left_alone(self) -> None:
        """Its connections are closed, as far as its scripts let them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while self.open:
                    await asyncio.sleep(0.001)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            nth = 0
            while True:
                nth += 1
                asked = Asked(await _head(reader), reader, writer, nth)
                self.asked.append(asked)
                await self.script(asked)
                if writer.is_closing():
                    break
        writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    return (await reader.readuntil(b"\r\n\r\n"))[:-4]


class Client:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, target: str = "/", *lines: str, method: str = "GET", body: bytes = b"") -> None:
        self.writer.write(
            "\r\n".join([f"{method} {target} HTTP/1.1", "Host: shop", *lines]).encode() + b"\r\n\r\n" + body
        )
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await _head(self.reader)).decode("latin-1").split("\r\n")
        return int(lines[0].split()[1]), {n.lower(): v for n, _, v in (line.partition(": ") for line in lines[1:])}

    async def chunk(self) -> bytes:
        """One piece of a chunked body; empty at its end."""
        data = await self.reader.readexactly(int(await self.reader.readline(), 16))
        await self.reader.readline()
        return data

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """A whole answer. Raises IncompleteReadError or ConnectionResetError where it breaks off."""
        status, fields = await self.head()
        if "content-length" in fields:
            return status, fields, await self.reader.readexactly(int(fields["content-length"]))
        body = b""
        while piece := await self.chunk():
            body += piece
        return status, fields, body

    async def get(self, target: str = "/", *lines: str) -> tuple[int, dict[str, str], bytes]:
        await self.send(target, *lines)
        return await self.answer()


class Rig:
    """A proxy between `origin` and clients that `connect` makes."""

    def __init__(self, origin: RealOrigin, proxy: Proxy) -> None:
        self.origin = origin
        self.proxy = proxy
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, tls: ssl.SSLContext | None = None, **more: Any) -> Client:
        if tls is not None:
            more |= {"ssl": tls, "server_hostname": "shop.test"}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port, **more)
        self._writers.append(writer)
        return Client(reader, writer)

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def rig(
    script: Callable[[Asked], Awaitable[None]],
    *,
    tls: ssl.SSLContext | None = None,
    access_log: AccessLog | None = None,
    **settings: Any,
) -> AsyncIterator[Rig]:
    origin = RealOrigin(script)
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0, backlog=1000)
    port = server.sockets[0].getsockname()[1]
    settings = {"plain_path": PLAIN_PATH} | settings
    proxy = Proxy(ProxySettings(f"http://127.0.0.1:{port}", **settings), access_log=access_log)
    await proxy.start("127.0.0.1", 0, tls=tls)
    made = Rig(origin, proxy)
    try:
        yield made
    finally:
        made.close()
        await proxy.aclose(1.0)
        server.close()
        await origin.left_alone()


def run_real(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on the real loop; what hangs fails after a while."""

    async def bounded() -> None:
        async with asyncio.timeout(100):
            await main()

    asyncio.run(bounded())
