"""The short way of plain requests of which nothing is stored: to the origin as they came.

It is optimistic. A request that matches the pattern of plain ones, and of which nothing is stored, known or on its way,
goes out on a kept connection without having been parsed; a PlainMiss stands for it. The moment anything else happens
than one whole plain answer, that becomes the general objects (`PlainMiss.inflate`), and the general code goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, Protocol

from ...rules.caching.cache_key import primary_key
from ...rules.caching.lookup import Act, Plan
from ...wire.server import ServerLimits
from ...wire.server.plain_connection import PlainServerConnection
from ...wire.streams import StreamClient
from ..cache.engine import CacheEngine
from ..cache.plain_verdicts import PlainVerdicts
from .known_hits import MAX_REQUEST, KnownHits
from .origin import PLACE, VIA, WHOM
from .plain_miss import PlainHandler, PlainMiss

_CONNECTION = re.compile(rb"^Connection: keep-alive\r\n", re.MULTILINE)
_LONGEST_HOST = 300
_PLACES = 1024
_COOKIE = MappingProxyType({b"cookie": b""})
_NO_COOKIE: MappingProxyType[bytes, bytes] = MappingProxyType({})


class KnowingHandler(PlainHandler, Protocol):
    """Who answers in general."""

    known_hits: KnownHits

    def host_of(self, said: bytes, scheme: bytes) -> bytes | None:
        """The host of a request in the form of keys; None where it is none, or none of ours."""
        ...


class _Place(NamedTuple):
    """What the Host line of a request means: the start of keys, and what the origin is told."""

    host: bytes
    prefix: bytes
    host_line: bytes
    lines: bytes


def may_be_plain(limits: ServerLimits) -> bool:
    """Whether the server takes all that the pattern of plain requests does; the number of lines is counted."""
    return min(limits.max_line_bytes, limits.max_head_bytes) >= MAX_REQUEST and (
        limits.max_requests_per_connection is None
    )


class PlainPath:
    """A PlainWay. `most_fields` of a request; `name` is ours in Via."""

    def __init__(
        self,
        engine: CacheEngine,
        client: StreamClient,
        handler: KnowingHandler,
        verdicts: PlainVerdicts,
        most_fields: int,
        name: bytes,
    ) -> None:
        self.engine = engine
        self.client = client
        self.handler = handler
        self.verdicts = verdicts
        self.on_missed: Callable[[bytes, str], None] | None = None
        """Told of each request that went to the origin: its key, and why."""
        self.answered = self.inflated = 0
        self._hits = handler.known_hits
        self._now = engine.clock.now
        self._most_lines = most_fields + 2
        self._via = VIA % (b"", name)
        self._place = lru_cache(_PLACES)(self._read_place)

    def take(self, connection: PlainServerConnection, data: bytes) -> bool:
        """See PlainWay. `data` is what the known hits were just asked for."""
        match = self._hits.unknown
        # With Host first the other lines are in the order in which the general way sends them.
        if match is None or match.string is not data or match.start(2) != match.end(1):
            return False
        place = self._place(match[2], connection.tls)
        if place is None or data.count(b"\n") > self._most_lines:
            return False
        target = match[1][4:-11]
        key = place.prefix + target
        personal = _COOKIE if b"\nCookie:" in data else _NO_COOKIE
        now = self._now()
        plan = self.engine.look_up_plain(key, target, personal, now)
        if plan is None:
            return False
        miss = PlainMiss(self, connection, data, place.host, key, personal, plan, now)
        rest = data[match.end(2) : -2]
        if b"Connection: " in rest:
            rest = _CONNECTION.sub(b"", rest)
        client = connection.client
        whom = WHOM % client.encode("latin-1", "replace") if client else b""
        # What `ProxyOrigin.head` writes, but for the case of names and the blanks round values.
        sent = b"".join((match[1], place.host_line, rest, self._via, whom, place.lines))
        asked = self.client.begin_plain(sent, miss)
        if asked is None:
            return False
        miss.asked, miss.sent = asked, sent
        connection.begin_plain(miss)
        self._count(key, plan)
        if plan.act is Act.FETCH:
            self.engine.flights.plain[key] = miss
        return True

    def _count(self, key: bytes, plan: Plan) -> None:
        counters = self.engine.counters
        counters.requests += 1
        counters.origin_requests += 1
        misses = counters.misses
        misses[plan.word] = misses.get(plan.word, 0) + 1
        if self.on_missed is not None:
            self.on_missed(key, plan.word)

    def _read_place(self, line: bytes, tls: bool) -> _Place | None:
        scheme = b"https" if tls else b"http"
        host = self.handler.host_of(line[6:-2].strip(b" \t"), scheme) if len(line) <= _LONGEST_HOST else None
        if host is None:
            return None
        lines = PLACE % (scheme, host) + b"\r\n"
        return _Place(host, primary_key(scheme, host, b"/")[:-1], b"Host: %b\r\n" % host, lines)
