"""Several processes of one proxy within one loop, which talk over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from penstock.inbound.processes.member import CacheMember, Station
from penstock.inbound.proxy.proxy import ProxySettings

from ..proxy.real_tools import Asked, Client, RealOrigin

SECRET = b"a secret of all "


class Crew:
    """`members` by number; a client is connected to the one that it asks for."""

    def __init__(self, origin: RealOrigin, members: list[CacheMember], settings: ProxySettings) -> None:
        self.origin = origin
        self.members = members
        self.settings = settings
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, number: int, tls: ssl.SSLContext | None = None, **more: Any) -> Client:
        if tls is not None:
            more |= {"ssl": tls, "server_hostname": "shop.test"}
        port = self.members[number].proxy.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **more)
        self._writers.append(writer)
        return Client(reader, writer)

    def target_of(self, owner: int, prefix: str = "/", scheme: str = "http") -> str:
        """A target, with the host that `Client` sends, which belongs to `owner`."""
        for number in range(1000):
            target = f"{prefix}{number}"
            if self.members[0].ownership.owner(f"{scheme}://shop{target}".encode()) == owner:
                return target
        raise AssertionError

    async def kill(self, number: int) -> None:
        """As a process that ends at once: all its sockets are closed, and nothing is said."""
        member = self.members[number]
        await member.neighbours.aclose()
        for end in tuple(member._owner.ends):
            if end._transport is not None:
                end._transport.abort()
        await member.proxy.aclose(0)

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


async def started(
    settings: ProxySettings, folder: Path, count: int, tls: ssl.SSLContext | None, log: Any
) -> list[CacheMember]:
    members = [
        CacheMember(settings, Station(here, count, folder, SECRET, b"penstock-test"), access_log=log)
        for here in range(count)
    ]
    for member in members:
        await member.listen_to_others()
    await asyncio.gather(*(member.start("127.0.0.1", 0, tls=tls, sock=None) for member in members))
    return members


@contextlib.asynccontextmanager
async def crew(
    script: Callable[[Asked], Awaitable[None]],
    count: int = 2,
    *,
    tls: ssl.SSLContext | None = None,
    access_log: Any = None,
    **settings: Any,
) -> AsyncIterator[Crew]:
    origin = RealOrigin(script)
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0, backlog=1000)
    port = server.sockets[0].getsockname()[1]
    made = ProxySettings(f"http://127.0.0.1:{port}", **settings)
    with tempfile.TemporaryDirectory() as folder:
        members = await started(made, Path(folder), count, tls, access_log)
        crew = Crew(origin, members, made)
        try:
            yield crew
        finally:
            crew.close()
            for member in members:
                await member.aclose()
            server.close()
            await origin.left_alone()
