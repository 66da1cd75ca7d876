"""The shared cache: who is answered from the store, who waits for whom, and what the origin is asked.

What becomes of a request is decided by `rules/caching/lookup`, what is stored by `rules/caching/storing`; here the
facts are gathered, and what they decide is done. What an answer does when it comes is in
`origin_response`. Everything here happens within one turn of the loop, so there is nothing to lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from ...clock import Clock, current_clock
from ...messages import RawFields
from ...rules.caching.cache_control import Directives, parse_cache_control
from ...rules.caching.cache_key import drop_parameters, primary_key, variant_of
from ...rules.caching.decisions import Decision
from ...rules.caching.http_fields import FieldMap
from ...rules.caching.invalidation import invalidated
from ...rules.caching.lookup import LET_GO, REFRESH, SHAREABLE, Act, Plan, ask, pass_by, reuse
from ...rules.caching.options import CacheOptions
from ...rules.caching.storing import may_store
from ...rules.caching.surrogate_tags import tags_of
from ...rules.caching.targeted import response_directives
from ...rules.caching.validation import validators
from ...stores.memory import MemoryStore
from ...stores.stored_response import Resource, StoredResponse
from .answers import answer_stored, hit_fields, part_of
from .counters import CacheCounters, count
from .flight import Flight
from .forwarding import origin_fields, to_leave_out
from .health import OriginHealth
from .hit_for_miss import HitForMiss
from .origin_response import OriginResponse
from .partial import asking_for_rest, beginnings
from .policy import NO_POLICY, PathPolicy, Policy, without_cookies
from .protocols import InboundRequest, Origin, Reply

_SWEEP_SECONDS = 1.0
_SWEEP_OBJECTS = 10_000


class Found(NamedTuple):
    """The plan for a request, and what it was made from; what it did not need is empty."""

    plan: Plan
    key: bytes
    now: float
    resource: Resource | None = None
    stored: StoredResponse | None = None
    """Of `resource`, what the request selects."""
    flight_key: bytes = b""


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
        self.counters = CacheCounters()
        self.refusals = HitForMiss(uncacheable_ttl)
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
        self._origin_response = OriginResponse(self)
        self._sweeper: asyncio.TimerHandle | None = None

    def handle(self, request: InboundRequest, reply: Reply, found: Found | None = None) -> StoredResponse | None:
        """Answer `request` to `reply`, now or later. Raises nothing: every request gets its answer.

        `found` is what `look_up` said, where the caller has asked already. Returns the stored response where that, and
        fresh, was the answer.
        """
        self.counters.requests += 1
        if found is None:
            self.under_policy(request)
            found = self.look_up(request)
        return self._carry_out(request, reply, found)

    def handle_again(self, request: InboundRequest, reply: Reply) -> None:
        """For who waited for an answer that turned out to be another variant than its own."""
        self._carry_out(request, reply, self.look_up(request))

    def handle_alone(self, request: InboundRequest, reply: Reply) -> None:
        """For who waited for an answer that turned out to be for another client alone."""
        key = self.key_of(request)
        stored, _ = self.select(self.store.get(key), request)
        self._forward(request, reply, Found(LET_GO, key, self._now(), stored=stored))

    def look_up(self, request: InboundRequest, *, barred: bool = False) -> Found:
        """What is to be done with `request`, to which the policy was applied; changes nothing. `barred`: see the rule.

        The one place that gathers the facts for `rules/caching/lookup`.
        """
        key = primary_key(request.scheme, request.host, request.target)
        now = self._now()
        plan = pass_by(request, bypass=request.policy.bypass, barred=barred)
        if plan is not None:
            return Found(plan, key, now)
        resource = self.store.get(key)
        stored, soft = (None, False) if resource is None else self.select(resource, request)
        if stored is not None:
            resident = now - stored.received_at
            down = self.health.failures > 0 and self.health.is_down(now)
            plan = reuse(request.method, stored.freshness, resident, soft_purged=soft, origin_down=down)
            if plan is not None:
                return Found(plan, key, now, resource, stored)
        flight_key = self.flight_key(request, key, stored)
        on_its_way = flight_key in self.flights
        refusal = None if on_its_way else self.refusals.look_up(key, request.fields, now)
        plan = ask(
            request.method,
            None if stored is None else stored.freshness,
            others_stored=resource is not None,
            varies=key in self.vary_hints,
            on_its_way=on_its_way,
            refused=None if refusal is None else refusal.verdict,
        )
        return Found(plan, key, now, resource, stored, flight_key)

    def weigh(
        self, request: InboundRequest, status: int, fields: FieldMap, length: int | None
    ) -> tuple[Decision, Directives, tuple[bytes, ...]]:
        """Whether an answer to `request` may be stored, its directives, and its tags. `length`: see the rule.

        The one place that gathers the facts for `rules/caching/storing`.
        """
        options = self.options
        directives = self.directives_of(request, fields)
        tags = tags_of(fields, max_tags=options.max_tags, max_bytes=options.max_tag_bytes)
        verdict = may_store(
            request,
            status,
            fields,
            directives,
            options,
            received_wall=self.clock.wall(),
            bypass=request.policy.bypass,
            length=length,
            max_length=self.store.max_object_bytes,
            tags=tags,
        )
        return verdict, directives, tags or ()

    def key_of(self, request: InboundRequest) -> bytes:
        """The primary key (RFC 9111, 2): scheme, host and raw target."""
        return primary_key(request.scheme, request.host, request.target)

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
        if not self.policy.paths:
            return NO_POLICY
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

    def _carry_out(self, request: InboundRequest, reply: Reply, found: Found) -> StoredResponse | None:
        act = found.plan.act
        if act is Act.FETCH:
            self._launch(request, reply, found)
        elif act is Act.HIT or act is Act.STALE:
            return self._answer(request, reply, found)
        elif act is Act.JOIN:
            self.counters.collapsed += 1
            if self.on_looked_up is not None:
                self.on_looked_up(request, "collapsed", None)
            self.flights[found.flight_key].join(request, reply, collapsed=True)
        else:
            self._forward(request, reply, found)
        return None

    def _answer(self, request: InboundRequest, reply: Reply, found: Found) -> StoredResponse | None:
        """From the store; returns what is fresh."""
        plan, stored = found.plan, found.stored
        assert stored is not None
        fresh = plan.act is Act.HIT
        if fresh:
            self.counters.hits += 1
        else:
            count(self.counters.stale_hits, plan.word)
        self.store.touch(stored)
        if self.on_looked_up is not None:
            self.on_looked_up(request, plan.act.value, stored)
        added = hit_fields(stored, found.now - stored.received_at, detail=None if fresh else plan.word)
        if answer_stored(reply, request, stored, added) == 304:
            self.counters.not_modified += 1
        if plan.refresh:
            self._refresh(request, found)
        return stored if fresh else None

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

    def _launch(self, request: InboundRequest, reply: Reply | None, found: Found) -> None:
        """A request to the origin that others may join. `reply` is None for a refresh in the background."""
        stored = found.stored
        flight = self._new_flight(request, found, alone=False)
        self.flights[flight.flight_key] = flight
        if reply is not None:
            flight.join(request, reply, collapsed=False)
        else:
            flight.refresh = True
            self.refreshing += 1
        if stored is None and found.resource is not None:
            alive = (part for part in beginnings(found.resource, request) if self.store.state(part) != "gone")
            flight.part = next(alive, None)
        self._send(flight, request, to_leave_out(request, conditions=True, ranges=stored is not None), None)

    def _forward(self, request: InboundRequest, reply: Reply, found: Found) -> None:
        """A request to the origin that is this client's alone."""
        stored = found.stored
        flight = self._new_flight(request, found, alone=True)
        flight.join(request, reply, collapsed=False)
        conditional = stored is not None and bool(self._validators(request, stored))
        out = to_leave_out(request, conditions=conditional, ranges=conditional)
        flight.verbatim = not out
        self._send(flight, request, out, reply if request.has_body else None)

    def _new_flight(self, request: InboundRequest, found: Found, *, alone: bool) -> Flight:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
        return Flight(
            self._origin_response,
            request,
            found.key,
            found.flight_key,
            alone=alone,
            note=found.plan.word,
            began=found.now,
            sequence=self.store.sequence(),
            stale=found.stored,
        )

    def _send(self, flight: Flight, request: InboundRequest, out: frozenset[bytes], body_of: Reply | None) -> None:
        added: RawFields = []
        if flight.part is not None:
            added = asking_for_rest(flight.part)
        elif flight.stale is not None:
            added = self._validators(request, flight.stale)
            flight.conditional = bool(added)
        if self.on_looked_up is not None and flight.deliveries:
            self.on_looked_up(request, flight.note, None)
        count(self.counters.misses, flight.note)
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

    def _validators(self, request: InboundRequest, stored: StoredResponse) -> RawFields:
        return validators(dict(stored.fields), request.method)

    def _refresh(self, request: InboundRequest, found: Found) -> None:
        flight_key = self.flight_key(request, found.key, found.stored)
        if flight_key in self.flights or self.refreshing >= self._max_refreshes:
            return
        self.counters.refreshes += 1
        self._launch(request, None, found._replace(plan=REFRESH, flight_key=flight_key))

    def _sweep(self) -> None:
        if self.store.collecting:
            self.store.collect(_SWEEP_OBJECTS)
        if self.on_sweep is not None:
            self.on_sweep()
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
