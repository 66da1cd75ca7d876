"""The cache as a reverse proxy: a server on one side, the streaming client on the other, the engine between them."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...clock import Clock, current_clock
from ...rules.caching.cache_key import normalise_host
from ...rules.caching.http_fields import ONE_HOP, combine
from ...rules.caching.options import CacheOptions
from ...stores.memory import MemoryStore
from ...stores.stored_response import StoredResponse
from ...wire.server import Server, ServerExchange, ServerLimits
from ...wire.server.answer_bytes import answer_head
from ...wire.streams import StreamClient
from ..cache.answers import PRODUCT, age_right_until, fresh_until, hit_fields
from ..cache.engine import CacheEngine
from ..cache.plain_verdicts import PlainVerdicts
from ..cache.policy import Policy
from ..cache.protocols import InboundRequest
from ..cache.purging import purge
from .access_log import AccessLog, Visit
from .collector import StoreCollector
from .known_hits import KnownHits
from .origin import SUSPECT, ProxyOrigin, screen
from .other_addresses import OtherAddresses
from .own_address import refuse_itself
from .plain_path import PlainPath, may_be_plain
from .request_ids import FIELD, RequestIds
from .snapshot import Watched
from .top_urls import TopUrls, reserve_keys
from .upload_turns import UploadTurns
from .uploads import Uploads

_FORWARDED_FOR = b"x-forwarded-for"
_PERSONAL = (b"range", b"if-none-match", b"if-modified-since")
_MOST_TURNS = 8
"""A chain of so many caches of ours is none: one of them is its own origin."""
_CIRCLE = b"""\
This request has come back to the proxy that sent it on: what its --origin leads to sends requests back to it.
"""
_TEXT = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]


@dataclass(frozen=True)
class ProxySettings:
    """How one proxy runs. Times are seconds, sizes bytes.

    `hosts`: which Host fields are answered; empty means all. `trust_forwarded`: the clients are proxies of ours, whose
    X-Forwarded fields are passed on instead of replaced. `request_buffer`: of a body, before the origin is asked.
    `whole_ranges`: see `CacheEngine`. `plain_path`: whether plain requests may go the short way (see `PlainPath`).
    """

    origin: str
    memory: int = 256 * 1024 * 1024
    options: CacheOptions = field(default_factory=CacheOptions)
    policy: Policy = field(default_factory=Policy)
    limits: ServerLimits = field(default_factory=ServerLimits)
    max_object: int | None = None
    max_variants_bytes: int | None = None
    whole_ranges: int | None = None
    max_refreshes: int = 32
    uncacheable_ttl: float = 120.0
    hosts: tuple[str, ...] = ()
    trust_forwarded: bool = False
    origin_connections: int = 1024
    request_buffer: int = 64 * 1024
    plain_path: bool = False
    connect_timeout: float = 3.0
    first_byte_timeout: float = 60.0
    between_bytes_timeout: float = 30.0


class Proxy:
    """One cache in front of one origin. Make it within the loop that it is to run on. `name`: see `new_name`."""

    def __init__(
        self,
        settings: ProxySettings,
        *,
        clock: Clock | None = None,
        access_log: AccessLog | None = None,
        origin_tls: ssl.SSLContext | None = None,
        name: bytes = b"",
    ) -> None:
        self.settings = settings
        trust = settings.trust_forwarded
        self.store = _store(settings)
        self.client = _client(settings, origin_tls)
        name = name or new_name()
        # An id that no log knows finds nothing.
        ids = None if access_log is None else RequestIds(trust_forwarded=trust)
        self.uploads = _uploads(settings, self.store)
        origin = ProxyOrigin(self.client, uploads=self.uploads.under_way, ids=ids, name=name, trust_forwarded=trust)
        self.engine = _engine(settings, self.store, origin, clock or current_clock())
        self.handler = ProxyHandler(
            self.engine,
            self.uploads,
            self.client.origin.authority.encode(),
            settings.hosts,
            name,
            trust_forwarded=trust,
            log=access_log,
            ids=ids,
        )
        self._others = OtherAddresses()
        self.plain = self._plain_path(name, access_log)
        self.server = _server(access_log, self.plain)
        self._top: TopUrls | None = None

    def _plain_path(self, name: bytes, log: AccessLog | None) -> PlainPath | None:
        """None where the settings say no, or want something of each request that the short way has not."""
        settings = self.settings
        if log is not None or not settings.plain_path or settings.trust_forwarded or not may_be_plain(settings.limits):
            return None
        verdicts = PlainVerdicts(self.store, settings.options)
        return PlainPath(self.engine, self.client, self.handler, verdicts, settings.limits.max_fields, name)

    async def start(
        self, host: str, port: int, *, tls: ssl.SSLContext | None = None, sock: socket.socket | None = None
    ) -> None:
        """Listen. Raises UsageError where the address cannot be had, or is that of the origin."""
        await refuse_itself(self.client.origin, host, port, sock)
        await self.server.start(self.handler, host, port, tls=tls, limits=self.settings.limits, sock=sock)

    async def start_admin(self, host: str, port: int, token: str) -> int:
        """Listen for who has `token` (see `AdminHandler`) on an address of its own; returns the port.

        Raises UsageError where the address cannot be had, and for a token that is too short or cannot be sent.
        """
        return await self._others.start_admin(self.watched(), host, port, token)

    async def start_metrics(self, host: str, port: int) -> int:
        """Serve /metrics to anybody on an address of its own; returns the port.

        Raises UsageError where the address cannot be had or prometheus_client is missing.
        """
        return await self._others.start_metrics(self.watched(), host, port)

    def watched(self) -> Watched:
        """For who wants to see what it does; from the first call on URLs are counted."""
        if self._top is None:
            engine = self.engine
            self._top = TopUrls(engine.counters, engine.key_of, engine.clock.now, reserve_keys(self.store))
            self.engine.on_looked_up = self._top.looked_up
            self.handler.known_hits.on_sample = self._top.sample
            if self.plain is not None:
                self.plain.on_missed = self._top.missed
        return Watched(self.engine, server=self.server, client=self.client, top=self._top)

    def purge(
        self, *, urls: Sequence[str] = (), tags: Sequence[str] = (), everything: bool = False, soft: bool = False
    ) -> int:
        """See `purging.purge`. To be called on the loop's own thread."""
        return purge(self.engine, urls=urls, tags=tags, everything=everything, soft=soft)

    async def close_others(self) -> None:
        """Close the admin and metrics addresses, so that a successor can have them."""
        await self._others.close()

    def keep_collector_away(self) -> None:
        """Let a StoreCollector see to garbage: for a process whose only business is the cache."""
        collector = StoreCollector(self.store)
        drop_dead = self.handler.known_hits.drop_dead

        def sweep() -> None:
            drop_dead()
            collector.tick()

        self.engine.on_sweep = sweep

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    def replace_policy(self, policy: Policy) -> None:
        """Go on with another policy. What is stored stays; hits are looked at anew."""
        self.engine.policy = policy
        self.handler.known_hits.clear()

    async def aclose(self, timeout: float = 30.0) -> None:
        """Drain: finish what is under way for at most `timeout` seconds, then close everything."""
        await self.server.drain(timeout)
        # These go last: how far the draining is can be seen, and a purge is still taken.
        await self._others.close()
        self.engine.close()
        await self.client.aclose()


def _client(settings: ProxySettings, tls: ssl.SSLContext | None) -> StreamClient:
    return StreamClient(
        settings.origin,
        max_connections=settings.origin_connections,
        connect_timeout=settings.connect_timeout,
        first_byte_timeout=settings.first_byte_timeout,
        between_bytes_timeout=settings.between_bytes_timeout,
        lenient=settings.options.lenient_origin,
        tls=tls,
    )


class ProxyHandler:
    """What the server asks: a Handler."""

    def __init__(
        self,
        engine: CacheEngine,
        uploads: Uploads,
        default_host: bytes,
        hosts: tuple[str, ...],
        name: bytes,
        *,
        trust_forwarded: bool = False,
        log: AccessLog | None = None,
        ids: RequestIds | None = None,
    ) -> None:
        self._engine = engine
        self._uploads = uploads
        self._default_host = default_host
        self._trust = trust_forwarded
        self.name = name
        """What Via calls us: a word of this process alone."""
        self.on_loop: Callable[[], None] | None = None
        """Told of each request that has come back to who sent it."""
        self._hosts = frozenset(host.lower().encode() for host in hosts)
        self.known_hits = KnownHits(engine.store, engine.counters, engine.clock.now, ready_answer)
        engine.on_sweep = self.known_hits.drop_dead
        self.pass_on: Callable[[InboundRequest, ServerExchange], bool] | None = None
        """Asked before anything is looked up: True where another process answers."""
        # Called for all that arrives on an idle connection.
        self.known: Callable[[bytes], bytes | None] = self.known_hits.answer
        self._log = log
        self._ids = ids

    def begin(self, exchange: ServerExchange) -> None:
        """Answer for the hosts that are ours, through the engine; 421 for others."""
        visit = None if self._log is None else self._log.begin(exchange)
        head = exchange.head
        scheme = b"https" if exchange.tls else b"http"
        host = self.host_of(head.host or self._default_host, scheme)
        if host is None:
            exchange.respond(421, b"Misdirected Request", _TEXT, b"This server does not answer for that host.\n")
            return
        fields = combine(head.fields)
        if b"via" in fields and self._goes_round(fields[b"via"]):
            exchange.respond(508, b"Loop Detected", _TEXT, _CIRCLE)
            return
        request = self._request(exchange, scheme, host, fields)
        if self.pass_on is not None and self.pass_on(request, exchange):
            return
        whose = self._from(request, exchange.client)
        if self._ids is not None:
            self._ids.take(request)
        if visit is not None:
            visit.request, visit.client = request, whose
        if head.has_body:
            self._uploads.read(exchange, whose, lambda: self._handle(request, exchange, visit))
            return
        stored = self._engine.handle(request, exchange)
        if stored is not None and exchange.raw is not None:
            self._learn(exchange.raw, request, stored)

    def host_of(self, said: bytes, scheme: bytes) -> bytes | None:
        """The host of a request in the form of keys; None where it is none, or none of ours."""
        host = normalise_host(said, scheme)
        if host is None or (self._hosts and host.rpartition(b":")[0] not in self._hosts and host not in self._hosts):
            return None
        return host

    def plain_request(self, exchange: ServerExchange, host: bytes) -> InboundRequest:
        """The request of `exchange`, which is plain, for `host` as `host_of` gave it."""
        scheme = b"https" if exchange.tls else b"http"
        request = self._request(exchange, scheme, host, combine(exchange.head.fields))
        self._from(request, exchange.client)
        return request

    def _request(
        self, exchange: ServerExchange, scheme: bytes, host: bytes, fields: dict[bytes, bytes]
    ) -> InboundRequest:
        """What the client asks, as the app is to see it."""
        head, client = exchange.head, exchange.client
        request = InboundRequest(
            head.method, scheme, host, head.target, fields, head.fields, has_body=head.has_body, client=client
        )
        if not SUSPECT.isdisjoint(fields) or fields.get(b"connection", b"close") not in ONE_HOP:
            screen(request, trust_forwarded=self._trust)
        return request

    def _from(self, request: InboundRequest, client: str) -> str:
        """Say in X-Forwarded-For from where it comes; returns the address of who asks.

        What goes out is what an answer may vary with.
        """
        fields = request.fields
        said = fields.get(_FORWARDED_FOR) if self._trust else None
        if client:
            address = client.encode("latin-1", "replace")
            fields[_FORWARDED_FOR] = address if said is None else b"%b, %b" % (said, address)
        elif said is None:
            fields.pop(_FORWARDED_FOR, None)
        return client if said is None else last_member(said)

    def _handle(self, request: InboundRequest, exchange: ServerExchange, visit: Visit | None) -> None:
        """Of its body enough has come."""
        if visit is not None:
            visit.ready()
        self._engine.handle(request, exchange)

    def _goes_round(self, via: bytes) -> bool:
        """To be asked before anything is looked up: it would wait for the answer to itself."""
        if self.name not in via and via.count(b" penstock") < _MOST_TURNS:
            return False
        if self.on_loop is not None:
            self.on_loop()
        return True

    def _learn(self, raw: bytes, request: InboundRequest, stored: StoredResponse) -> None:
        fields = request.fields
        if request.method != b"GET" or stored.status == 206 or any(name in fields for name in _PERSONAL):
            return
        resource = self._engine.store.get(stored.key)
        if resource is None:
            return
        apart = resource is not stored or stored.vary
        # The bytes of a request do not say from which address it comes, or which id it will get.
        if not apart or not any(_FORWARDED_FOR in names or FIELD in names for names in resource.vary_lists):
            by_cookie = bool(request.policy.bypass_cookies) or stored.freshness.strangers_only
            self.known_hits.learn(raw, resource, stored, fresh_until(stored), by_cookie=by_cookie)


def _server(log: AccessLog | None, plain: PlainPath | None) -> Server:
    return Server(plain=plain) if log is None else Server(log.answered, log.known)


def _engine(settings: ProxySettings, store: MemoryStore, origin: ProxyOrigin, clock: Clock) -> CacheEngine:
    return CacheEngine(
        store,
        origin,
        options=settings.options,
        policy=settings.policy,
        clock=clock,
        max_refreshes=settings.max_refreshes,
        uncacheable_ttl=settings.uncacheable_ttl,
        whole_ranges=settings.whole_ranges,
    )


def _store(settings: ProxySettings) -> MemoryStore:
    most, most_of_key = settings.max_object, settings.max_variants_bytes
    return MemoryStore(settings.memory, max_object_bytes=most, max_variants_bytes=most_of_key)


def _uploads(settings: ProxySettings, store: MemoryStore) -> Uploads:
    turns = UploadTurns(settings.origin_connections)
    return Uploads(store, settings.request_buffer, turns, settings.first_byte_timeout)


def new_name() -> bytes:
    """What Via is to call one proxy alone: by it the proxy sees that what it has sent comes back (RFC 9110, 7.6.3)."""
    return b"%b-%b" % (PRODUCT, os.urandom(4).hex().encode())


def last_member(value: bytes) -> str:
    """Of a list in a field: in X-Forwarded-For the address that the proxy before us has seen itself."""
    return value.rpartition(b",")[2].strip().decode("latin-1")


def ready_answer(stored: StoredResponse, now: float) -> tuple[bytes, float]:
    """The answer to a plain GET from `stored` at the moment `now`, and until when its Age is right."""
    resident = now - stored.received_at
    fields = [*stored.fields, *hit_fields(stored, resident)]
    # A 204 has no length, and a 304 is not made from what is stored here (RFC 9110, 8.6).
    framing = b"" if stored.status == 204 else b"Content-Length: %d\r\n" % len(stored.body)
    return answer_head(stored.status, stored.reason, fields, framing) + stored.body, age_right_until(stored, resident)
