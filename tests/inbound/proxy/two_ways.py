"""A proxy without a socket, whose clients and origin are moved by hand: one story with the short way and without.

Transports keep what is written to them and hand on what the other side sends, as long as they are read from.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from penstock.inbound.proxy.proxy import Proxy, ProxySettings
from penstock.wire.connection import Connection
from penstock.wire.pool import OriginPool
from penstock.wire.server.connection import ServerConnection
from penstock.wire.streams.connection import StreamConnection

_TURNS_TO_OPEN = 3
ORIGIN = "http://origin.example:8000"


class HandTransport:
    """What a connection sees of the network."""

    def __init__(self, protocol: asyncio.Protocol, *, address: str = "", tls: bool = False) -> None:
        self.protocol = protocol
        self.written = b""
        self.unsent = 0
        self.ended = False
        """Nothing more is written."""
        self.lost = False
        self._coming: deque[Callable[[], object]] = deque()
        self._reading = True
        self._extra = {"peername": (address, 50000) if address else "", "sslcontext": object() if tls else None}

    # Called by the connection.

    def get_extra_info(self, name: str) -> Any:
        return self._extra.get(name)

    def write(self, data: bytes) -> None:
        assert not self.ended, "written after the end"
        if not self.lost:
            self.written += data

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self.write(b"".join(parts))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def can_write_eof(self) -> bool:
        return self._extra["sslcontext"] is None

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.lost

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As real ones have it."""

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._hand_on()

    def abort(self) -> None:
        self._lose(None)

    close = abort

    # Called by the test.

    def feed(self, data: bytes) -> None:
        self._coming.append(lambda: None if self.lost else self.protocol.data_received(data))
        self._hand_on()

    def eof(self) -> None:
        def end() -> None:
            if not self.lost and not self.protocol.eof_received():
                self.close()

        self._coming.append(end)
        self._hand_on()

    def reset(self) -> None:
        self._lose(ConnectionResetError(104, "reset"))

    def _hand_on(self) -> None:
        while self._coming and self._reading:
            self._coming.popleft()()

    def _lose(self, why: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, why)


class End:
    """One end of a connection, and what has been read of what came out of it."""

    def __init__(self, connection: asyncio.Protocol, **options: Any) -> None:
        self.connection = connection
        self.transport = HandTransport(connection, **options)
        self.seen = 0
        self.rest: list[bytes] = []
        """Pieces of the answer that are still to come."""
        self.asked: list[bytes] = []
        connection.connection_made(cast("asyncio.BaseTransport", self.transport))

    @property
    def waits(self) -> bool:
        """For an answer: something was written that was not answered."""
        return not self.transport.lost and not self.rest and len(self.transport.written) > self.seen

    def take(self) -> bytes:
        """What was written since the last look."""
        new = self.transport.written[self.seen :]
        self.seen = len(self.transport.written)
        return new


class World:
    """One proxy, `kept` connections to whose origin are open, and trusted."""

    def __init__(self, *, plain: bool, kept: int = 3, tls: bool = False, **settings: Any) -> None:
        self.proxy = Proxy(ProxySettings(ORIGIN, plain_path=plain, **settings))
        self.plain = plain
        self._tls = tls
        self._kept = kept
        self.origins: list[End] = []
        self.clients: list[End] = []
        server = self.proxy.server
        server.handler, server.limits = self.proxy.handler, self.proxy.settings.limits
        self.proxy.client._open = self._open  # type: ignore[method-assign]

    async def open(self, next_look: float) -> None:
        """`next_look`: when an answer is looked at for the clock of the app, which is seen to in the general way."""
        self.proxy.engine.app_clock.next_look = next_look
        pool = self.proxy.client._start()
        pool.keep_alive._rest = 0.0
        pool._careful = False
        opened = [await pool.acquire_new() for _ in range(self._kept)]
        for connection in opened:
            pool.unused(connection)
        # A connection is kept after an answer only, and whoever first asked for one has begun to sweep.
        self.proxy.engine._sweep()

    async def _open(self, pool: OriginPool) -> Connection:
        # Turns and no time: timers of one moment come in any order.
        for _ in range(_TURNS_TO_OPEN):
            await asyncio.sleep(0)
        end = End(StreamConnection(pool, ORIGIN, lenient=False))
        self.origins.append(end)
        return cast("Connection", end.connection)

    def connect(self, address: str = "192.0.2.1") -> End:
        end = End(self.proxy.server.connection(self.proxy.server), address=address, tls=self._tls)
        self.clients.append(end)
        return end

    async def close(self) -> None:
        for client in self.clients:
            client.transport.abort()
        await asyncio.sleep(0)
        await self.proxy.aclose(0.1)
        self.proxy.engine.close()

    def state(self) -> dict[str, Any]:
        """All that the two ways have to agree on, at any moment."""
        proxy, engine = self.proxy, self.proxy.engine
        pool = proxy.client._pool
        assert pool is not None
        counters = {each.name: getattr(engine.counters, each.name) for each in dataclasses.fields(engine.counters)}
        counters["origin_latency"] = engine.counters.origin_latency.as_json()
        refusals = engine.refusals
        return {
            "answers": [self._neutral(client.transport.written) for client in self.clients],
            "clients": [_of_client(client) for client in self.clients],
            "asked": [requests_in(self._neutral(origin.transport.written)) for origin in self.origins],
            "origins": [(origin.transport.lost, origin.transport.ended) for origin in self.origins],
            "pool": (pool.in_use, pool.idle, pool.opened, pool.waiting, pool.unasked_answers),
            "usable": [getattr(origin.connection, "usable_until", 0) for origin in self.origins],
            "exchanges": [getattr(origin.connection, "exchanges", 0) for origin in self.origins],
            "watched": (len(proxy.client._silent), len(proxy.client._reading)),
            "silent": [each.touched for each in proxy.client._silent],
            "counters": counters,
            "store": {key: _of_resource(found) for key, found in engine.store._resources.by_key.items()},
            "used": (engine.store.bytes_used, engine.store.objects, engine.store.rejected),
            "order": _of_sieve(engine.store._sieve),
            "refusals": [dict(table.entries) for table in (refusals._refusals, refusals._told)],
            "hints": dict(engine.flights.vary_hints.entries),
            "flights": (len(engine.flights), engine.flights.held, engine.flights.refreshing),
            "health": (engine.health.failures, engine.app_clock.behind, engine.app_clock.known),
            "busy": (proxy.server.busy, proxy.server.connections),
        }

    def _neutral(self, data: bytes) -> bytes:
        return data.replace(self.proxy.handler.name, b"NAME")


def _of_client(client: End) -> tuple[Any, ...]:
    connection = cast("ServerConnection", client.connection)
    transport = client.transport
    return (
        connection._phase,
        connection._idle,
        connection.requests,
        connection.busy,
        connection.draining,
        connection._reader.buffered,
        (transport.lost, transport.ended, transport._reading),
    )


def _of_resource(resource: Any) -> list[tuple[Any, ...]]:
    return [
        (
            *(each.status, each.reason, each.packed_fields, each.body, each.freshness, each.received_at),
            *(each.sequence, each.tags, each.vary, each.variant, each.size, each.alive, each.valid_at, each.hits),
        )
        for each in resource
    ]


def _of_sieve(sieve: Any) -> list[bytes]:
    keys, each = [], sieve.oldest
    while each is not None:
        keys.append(each.key)
        each = each.newer
    return keys


def requests_in(data: bytes) -> list[tuple[bytes, list[tuple[bytes, bytes]]]]:
    """The heads in `data`, names in lower case and values without the blanks round them: what HTTP reads."""
    heads = []
    for text in data.split(b"\r\n\r\n"):
        first, *lines = text.split(b"\r\n")
        pairs = [line.partition(b":") for line in lines]
        heads.append((first, [(name.lower(), value.strip(b" \t")) for name, _, value in pairs]))
    return heads
