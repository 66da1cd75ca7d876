"""Whoever has the token is let in, however many others sit on the admin address."""

from __future__ import annotations

import asyncio

import pytest

from penstock.inbound.proxy.proxy import Proxy

from .admin_tools import TOKEN
from .real_tools import Asked, rig, run_real

pytestmark = pytest.mark.real

ASK = b"GET /stats HTTP/1.1\r\nHost: a\r\n"
PURGE = b"POST /purge HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"


async def crowded(proxy: Proxy, data: bytes) -> list[asyncio.StreamWriter]:
    """256 connections that have sent `data`, and a port to come to."""
    writers = []
    port = proxy._others._servers[0].sockets[0].getsockname()[1]
    for _ in range(256):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writers.append(writer)
    await asyncio.sleep(0.2)
    return writers


@pytest.mark.parametrize(
    "data",
    [b"", ASK[:5], ASK + b"\r\n", PURGE],
    ids=["silent", "half a head", "refused and kept", "refused before the body"],
)
def test_256_without_the_token_do_not_lock_out_who_has_it(data: bytes) -> None:
    async def main() -> None:
        async with rig(nothing) as made:
            port = await made.proxy.start_admin("127.0.0.1", 0, TOKEN)
            crowd = await crowded(made.proxy, data)
            try:
                for _ in range(3):
                    assert (await asks(port)).startswith(b"HTTP/1.1 200 ")
            finally:
                for writer in crowd:
                    writer.transport.abort()

    run_real(main)


async def asks(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASK + f"Authorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def nothing(asked: Asked) -> None:
    await asked.answer()
