"""The shared cache: who is answered from the store, who waits for whom, and what the origin is asked.

What may be stored, reused or served stale is decided in `rules/caching`; what an answer does when it lands, in
`landing`. Everything here happens within one turn of the loop, so there is nothing to lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..clock import Clock, current_clock
from ..messages import RawFields
from ..rules.caching.cache_control import Directives, parse_cache_control
from ..rules.caching.cache_key import drop_parameters, primary_key, variant_of
from ..rules.caching.freshness import Use, may_serve_on_error, use_of
from ..rules.caching.http_fields import FieldMap
from ..rules.caching.invalidation import invalidated
from ..rules.caching.options import CacheOptions
from ..rules.caching.targeted import response_directives
from ..rules.caching.validation import must_forward, validators
from ..stores.memory import MemoryStore
from ..stores.stored_response import Resource, StoredResponse
from .answers import answer_stored, hit_fields, part_of
from .counters import Counters, count
from .flight import Flight
from .forwarding import origin_fields, to_leave_out
from .health import OriginHealth
from .landing import Landing
from .memory_of_misses import MemoryOfMisses, of_kind
from .parts import asking_for_rest, beginnings
from .policy import NO_POLICY, PathPolicy, Policy, without_cookies
from .ports import SHAREABLE, InboundRequest, Origin, Reply

_SWEEP_SECONDS = 1.0
_SWEEP_OBJECTS = 10_000


class CacheEngine:
    """One cache in front of one origin, on one event loop.

    `max_refreshes` is how many stale responses may be refreshed in the background at once. `adds_date`: answers without
    a Date get one (RFC 9110, 6.6.1); False where the server that sends them does that itself.
    """

    def __init__(
        self,
        store: MemoryStore,
        origin: Origin,
        *,
        options: CacheOptions | None = None,
        policy: Policy | None = None,
        clock: Clock | None = None,
        max_refreshes: int = 32,
        uncacheable_ttl: float = 120.0,
        adds_date: bool = True,
    ) -> None:
        self.store = store
        self.origin = origin
        self.options = options or CacheOptions()
        self.policy = policy or Policy()
        self.clock = clock or current_clock()
        self.adds_date = adds_date
        self.counters = Counters()
        self.refusals = MemoryOfMisses(uncacheable_ttl)
        self.health = OriginHealth()
        self.vary_hints: dict[bytes, tuple[bytes, ...]] = {}
        """What the answers for a key depended on when one was last seen, so that only equals wait for each other."""
        self.flights: dict[bytes, Flight] = {}
        """Those that may be joined, by what they answer."""
        self.refreshing = 0
        self.held = 0
        """Bytes of bodies on their way that are kept to be stored."""
        self.most_held = store.max_bytes // 4
        """More than that, and one more body is not kept."""
        self.on_looked_up: Callable[[InboundRequest, str, StoredResponse | None], None] | None = None
        """Told of every request and what became of it at first: for `top` and the like."""
        self.on_sweep: Callable[[], None] | None = None
        """Called about once a second."""
        self._max_refreshes = max_refreshes
        self._now = self.clock.now
        self._landing = Landing(self)
        self._sweeper: asyncio.TimerHandle | None = None

    def handle(self, request: InboundRequest, reply: Reply) -> StoredResponse | None:
        """Answer `request` to `reply`, now or later. Raises nothing: every request gets its answer.

        Returns the stored response where that, and fresh, was the answer.
        """
        self.counters.requests += 1
        policy = self.under_policy(request)
        shareable = request.method in SHAREABLE and not request.has_body and not policy.bypass
        if shareable and not must_forward(request.fields):
            return self._look_up(request, reply)
        why = "bypass" if policy.bypass else "method" if request.method not in SHAREABLE else "request"
        self._forward(request, reply, self.key_of(request), None, why)
        return None

    def handle_again(self, request: InboundRequest, reply: Reply) -> None:
        """For who waited for an answer that turned out to be another variant than its own."""
        self._look_up(request, reply)

    def handle_alone(self, request: InboundRequest, reply: Reply) -> None:
        """For who waited for an answer that turned out to be for another client alone."""
        key = self.key_of(request)
        stored, _ = self.select(self.store.get(key), request)
        self._forward(request, reply, key, stored, "miss")

    def key_of(self, request: InboundRequest) -> bytes:
        """The primary key (RFC 9111, 2): scheme, host and raw target."""
        return primary_key(request.scheme, request.host, request.target)

    def refusal_key(self, request: InboundRequest, key: bytes) -> bytes:
        """What hit-for-miss is remembered by."""
        return of_kind(key, request.fields)

    def select(self, resource: Resource | None, request: InboundRequest) -> tuple[StoredResponse | None, bool]:
        """The stored response that `request` selects (RFC 9111, 4.1), and whether it was purged softly."""
        if resource is None:
            return None, False
        for stored in resource:
            if stored.vary and variant_of(stored.vary, request.fields) != stored.variant:
                continue
            state = self.store.state(stored)
            if state == "gone" or (stored.status == 206 and part_of(request, stored) is None):
                continue
            return stored, state == "soft"
        return None, False

    def forget_url(self, key: bytes, *, soft: bool = False) -> int:
        """Purge or invalidate one URL with all its variants; how many there were.

        An answer that is on its way now was asked for before, so it is not stored, and nobody joins it any more.
        """
        for flight_key in [k for k, flight in self.flights.items() if flight.key == key]:
            del self.flights[flight_key]
        self.refusals.forget_all_kinds(key)
        return self.store.expire(key) if soft else self.store.delete(key)

    def invalidate(self, request: InboundRequest, status: int, fields: FieldMap) -> None:
        """Drop what the answer to an unsafe request, with `fields`, makes untrue (RFC 9111, 4.4)."""
        for scheme, host, target in invalidated(
            request.method, status, request.scheme, request.host, request.target, fields
        ):
            self.counters.invalidated += self.forget_url(primary_key(scheme, host, target))

    def directives_of(self, request: InboundRequest, fields: FieldMap) -> Directives:
        """What governs a response with `fields`: what it says, or else the policy for its path."""
        directives, source = response_directives(fields, self.options.targeted)
        if source == b"cache-control" and b"cache-control" not in fields and b"expires" not in fields:
            stand_in = request.policy.cache_control()
            if stand_in is not None:
                return parse_cache_control(stand_in)
        return directives

    def purge_tag(self, tag: bytes, *, soft: bool = False) -> int:
        """Purge everything that carries `tag`; how many objects that concerned, as far as is known."""
        self.flights.clear()
        return self.store.purge_tag(tag, soft=soft)

    def purge_all(self, *, soft: bool = False) -> int:
        """Purge everything; how many objects that concerned."""
        self.flights.clear()
        self.refusals.clear()
        return self.store.purge_all(soft=soft)

    def close(self) -> None:
        """Stop the timer. What is under way ends by itself."""
        if self._sweeper is not None:
            self._sweeper.cancel()

    def under_policy(self, request: InboundRequest) -> PathPolicy:
        """Make of `request` what the policy for its path makes of it."""
        policy = self.policy.for_target(request.target)
        if policy is not NO_POLICY:
            self._apply(policy, request)
        return policy

    def _apply(self, policy: PathPolicy, request: InboundRequest) -> None:
        request.policy = policy
        if policy.drop_query and b"?" in request.target:
            request.target = drop_parameters(request.target, tuple(p.encode() for p in policy.drop_query))
        cookie = request.fields.get(b"cookie")
        if policy.ignore_cookies and cookie is not None and request.method in SHAREABLE:
            left = without_cookies(cookie, policy.ignore_cookies)
            request.raw = [field for field in request.raw if field[0] != b"cookie"]
            del request.fields[b"cookie"]
            if left:
                request.raw.append((b"cookie", left))
                request.fields[b"cookie"] = left

    def _look_up(self, request: InboundRequest, reply: Reply) -> StoredResponse | None:
        key = self.key_of(request)
        now = self._now()
        stored, soft = self.select(self.store.get(key), request)
        if stored is None:
            self._ask(request, reply, key, None, now)
            return None
        resident = now - stored.received_at
        use = use_of(stored.freshness, resident, soft_purged=soft)
        if use is Use.FRESH:
            self.counters.hits += 1
            self.store.touch(stored)
            if self.on_looked_up is not None:
                self.on_looked_up(request, "hit", stored)
            if answer_stored(reply, request, stored, hit_fields(stored, resident)) == 304:
                self.counters.not_modified += 1
            return stored
        if use is Use.STALE_WHILE_REVALIDATE:
            self._answer_stale(request, reply, stored, resident, "stale-while-revalidate")
            self._refresh(request, key, stored)
        elif (
            self.health.is_down(now) and may_serve_on_error(stored.freshness, resident, failure="disconnected").allowed
        ):
            # Waiting for an origin that is known to be down would only make the client wait.
            self._answer_stale(request, reply, stored, resident, "origin-down")
            self._refresh(request, key, stored)
        else:
            self._ask(request, reply, key, stored, now)
        return None

    def _answer_stale(
        self, request: InboundRequest, reply: Reply, stored: StoredResponse, resident: float, why: str
    ) -> None:
        count(self.counters.stale_hits, why)
        self.store.touch(stored)
        if self.on_looked_up is not None:
            self.on_looked_up(request, "stale", stored)
        if answer_stored(reply, request, stored, hit_fields(stored, resident, detail=why)) == 304:
            self.counters.not_modified += 1

    def _ask(
        self, request: InboundRequest, reply: Reply, key: bytes, stored: StoredResponse | None, now: float
    ) -> None:
        """Wait for an answer that is on its way, or send for one."""
        why = "stale" if stored is not None else "vary-miss" if key in self.vary_hints else "uri-miss"
        flight_key = self.flight_key(request, key, stored)
        flight = self.flights.get(flight_key)
        if request.method == b"HEAD":
            self._forward(request, reply, key, stored, why)
        elif flight is not None:
            self.counters.collapsed += 1
            if self.on_looked_up is not None:
                self.on_looked_up(request, "collapsed", None)
            flight.join(request, reply, collapsed=True)
        elif self.refusals.look_up(self.refusal_key(request, key), now) is not None:
            self._forward(request, reply, key, stored, "miss")
        else:
            self._launch(request, reply, key, stored, flight_key, why)

    def flight_key(self, request: InboundRequest, key: bytes, stored: StoredResponse | None) -> bytes:
        """Equal for requests that one answer can serve, as far as that is known beforehand."""
        names = self.vary_hints.get(key)
        if names:
            key = key + b"\0v" + variant_of(names, request.fields)
        if stored is None and b"range" in request.fields:
            # With nothing stored the range goes to the origin as it is, and its answer fits only the same range.
            key = b"%b\0r%b\0%b" % (key, request.fields[b"range"], request.fields.get(b"if-range", b""))
        elif stored is not None and stored.status == 206:
            # What confirms a part is no answer for who wants the whole.
            key += b"\0p"
        return key

    def _launch(
        self,
        request: InboundRequest,
        reply: Reply | None,
        key: bytes,
        stored: StoredResponse | None,
        flight_key: bytes,
        why: str,
    ) -> None:
        """A request to the origin that others may join. `reply` is None for a refresh in the background."""
        flight = self._new_flight(request, key, flight_key, stored, alone=False)
        flight.note = why
        self.flights[flight_key] = flight
        if reply is not None:
            flight.join(request, reply, collapsed=False)
        else:
            flight.refresh = True
            self.refreshing += 1
        if stored is None:
            alive = (part for part in beginnings(self.store.get(key), request) if self.store.state(part) != "gone")
            flight.part = next(alive, None)
        out = to_leave_out(request, conditions=True, ranges=stored is not None)
        self._send(flight, request, out, None, why)

    def _forward(
        self, request: InboundRequest, reply: Reply, key: bytes, stored: StoredResponse | None, why: str
    ) -> None:
        """A request to the origin that is this client's alone."""
        if request.method not in SHAREABLE:
            stored = None
        flight = self._new_flight(request, key, key, stored, alone=True)
        flight.note = why
        flight.join(request, reply, collapsed=False)
        conditional = stored is not None and request.method == b"GET" and bool(self._validators(stored))
        out = to_leave_out(request, conditions=conditional, ranges=conditional)
        flight.verbatim = not out
        self._send(flight, request, out, reply if request.has_body else None, why)

    def _new_flight(
        self, request: InboundRequest, key: bytes, flight_key: bytes, stored: StoredResponse | None, *, alone: bool
    ) -> Flight:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
        return Flight(
            self._landing,
            request,
            key,
            flight_key,
            alone=alone,
            began=self._now(),
            sequence=self.store.sequence(),
            stale=stored,
        )

    def _send(
        self, flight: Flight, request: InboundRequest, out: frozenset[bytes], body_of: Reply | None, why: str
    ) -> None:
        added: RawFields = []
        if flight.part is not None:
            added = asking_for_rest(flight.part)
        elif flight.stale is not None and request.method == b"GET":
            added = self._validators(flight.stale)
            flight.conditional = bool(added)
        if self.on_looked_up is not None and flight.deliveries:
            self.on_looked_up(request, why, None)
        count(self.counters.misses, why)
        self._fetch(flight, origin_fields(request, out, added), body_of)

    def _fetch(self, flight: Flight, fields: RawFields, body_of: Reply | None) -> None:
        self.counters.origin_requests += 1
        flight.fetch = self.origin.fetch(flight.request, fields, flight, body_of)

    def resend(self, flight: Flight) -> None:
        """Ask again, for all and without a condition: what came does not fit what is stored."""
        flight.stale = flight.part = None
        flight.conditional = flight.verbatim = False
        if flight.fetch is not None:
            # The rest of the answer that is being read now is nobody's.
            flight.fetch.cancel()
        request = flight.request
        self._fetch(flight, origin_fields(request, to_leave_out(request, conditions=True, ranges=True), []), None)

    def _validators(self, stored: StoredResponse) -> RawFields:
        return validators(dict(stored.fields))

    def _refresh(self, request: InboundRequest, key: bytes, stored: StoredResponse) -> None:
        flight_key = self.flight_key(request, key, stored)
        if flight_key in self.flights or self.refreshing >= self._max_refreshes or request.method != b"GET":
            return
        self.counters.refreshes += 1
        self._launch(request, None, key, stored, flight_key, "stale")

    def _sweep(self) -> None:
        if self.store.collecting:
            self.store.collect(_SWEEP_OBJECTS)
        if self.on_sweep is not None:
            self.on_sweep()
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
