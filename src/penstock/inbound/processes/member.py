"""One process of several: its part of the cache, the clients that it has, and its place among the others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from ...clock import current_clock
from ...wire.server import ServerExchange
from ...wire.server.exchange import OnAnswered
from ...wire.server.relaying import Relayed, RelayingConnection
from ..proxy.access_log import AccessLog
from ..proxy.own_address import refuse_itself
from ..proxy.proxy import Proxy, ProxySettings
from .division import divided
from .neighbours import Neighbours
from .owner_end import Owner
from .ownership import Ownership
from .passing import Passing, is_passed_on

_PATIENCE = 2.0
"""Seconds in which the other processes are waited for at the start."""
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Station:
    """The process `here` of `count`. `folder` has the sockets of all, `secret` and `name` (for Via) are the same."""

    here: int
    count: int
    folder: Path
    secret: bytes
    name: bytes


class CacheMember:
    """Make it within the loop that it is to run on. `settings` are those of all processes together."""

    def __init__(self, settings: ProxySettings, place: Station, *, access_log: AccessLog | None = None) -> None:
        self.place = place
        self.proxy = proxy = Proxy(divided(settings, place.count), access_log=access_log, name=place.name)
        self.ownership = Ownership(place.count, place.secret)
        self.neighbours = Neighbours(place.count, place.here, place.folder, place.secret)
        engine = proxy.engine
        self.passing = Passing(proxy.handler, engine, self.ownership, place.here, self.neighbours.peers)
        engine.on_invalidated = self.passing.untrue
        proxy.server.connection = RelayingConnection
        log = None if access_log is None else access_log.answered
        proxy.server.on_answered = None if log is None else _but_for_passed_on(log)
        self._owner = Owner(
            proxy.handler,
            proxy.settings.limits,
            self._forget,
            log,
            None if access_log is None else access_log.known,
        )

    async def listen_to_others(self) -> None:
        """First of all: so the others find it. Raises UsageError."""
        await self.neighbours.listen(self._owner)

    async def start(self, host: str, port: int, *, tls: ssl.SSLContext | None, sock: socket.socket | None) -> None:
        """Reach the others, then listen to clients. Raises UsageError."""
        proxy = self.proxy
        await self.neighbours.connect(_PATIENCE)
        await refuse_itself(proxy.client.origin, host, port, sock)
        await proxy.server.start(self.passing, host, port, tls=tls, limits=proxy.settings.limits, sock=sock)

    def owns(self, key: bytes) -> bool:
        """Whether the URL with this primary key belongs to this process."""
        return self.ownership.owner(key) == self.place.here

    async def finish_for_others(self, timeout: float) -> None:
        """Finish what the other processes have passed on, for at most `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._owner.busy:
                    await current_clock().sleep(_LOOK_SECONDS)

    async def aclose(self) -> None:
        """Close everything: the clients of the other processes have been answered."""
        await self.neighbours.aclose()
        await self.proxy.aclose(0)

    def _forget(self, key: bytes | None) -> None:
        engine = self.proxy.engine
        if key is None:
            engine.purge_all()
        else:
            engine.forget_url(key)


def _but_for_passed_on(log: OnAnswered) -> OnAnswered:
    def answered(exchange: ServerExchange | None, status: int, size: int, client: str) -> None:
        if not isinstance(exchange, Relayed) and (exchange is None or not is_passed_on(exchange)):
            log(exchange, status, size, client)

    return answered
