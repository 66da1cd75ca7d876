"""The shared cache: who is answered from the store, who waits for whom, and what the origin is asked.

What becomes of a request is decided by `rules/caching/lookup`, what is stored by `rules/caching/storing`; here the
facts are gathered, and what they decide is done. What an answer does when it comes is in
`origin_response`. Everything here happens within one turn of the loop, so there is nothing to lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache

from ...clock import Clock, current_clock
from ...messages import RawFields
from ...rules.caching.cache_key import primary_key, variants_of
from ...rules.caching.decisions import Decision
from ...rules.caching.http_fields import FieldMap, end_to_end
from ...rules.caching.lookup import LET_GO, OWN, REFRESH, Act, Plan, ask, is_kept_from, pass_by, reuse
from ...rules.caching.options import CacheOptions
from ...rules.caching.validation import validators
from ...stores.memory import MemoryStore
from ...stores.stored_response import StoredResponse
from ...stores.variants import Resource
from .answers import answer_stored, hit_fields, part_of
from .app_clock import AppClock
from .cold_ranges import ColdRanges
from .counters import CacheCounters, count
from .flight import RANGE, Flight
from .flights import Flights
from .found import Found
from .health import OriginHealth
from .hit_for_miss import HitForMiss
from .origin_response import OriginResponse
from .partial import asking_for_rest, beginnings
from .policy import NO_POLICY, PathPolicy, Policy
from .protocols import ClientReply, InboundRequest, Origin, target_under

_CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})
_OWN = _CONDITIONS | RANGE
"""What a request that is shared goes without: an answer for everybody must not depend on what one client has."""
_NOTHING: frozenset[bytes] = frozenset()
_SWEEP_SECONDS = 1.0
_FEW = 8
_SLICE_SECONDS = 0.05
_SLICE_OBJECTS = 500
"""So many purged responses are let go of at a time: a few milliseconds, in which nobody is answered."""


class CacheEngine:
    """One cache in front of one origin, on one event loop.

    `max_refreshes` is how many stale responses may be refreshed in the background at once. `whole_ranges`: up to how
    many bytes a whole is fetched for who wants a range of it (None: what one response may have; 0: never). `adds_date`:
    answers without a Date get one (RFC 9110, 6.6.1); False where the server that sends them does that itself.
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
        whole_ranges: int | None = None,
        adds_date: bool = True,
    ) -> None:
        self.store = store
        self.origin = origin
        self.options = options or CacheOptions()
        self.policy = policy or Policy()
        self.clock = clock or current_clock()
        self.adds_date = adds_date
        self.counters = CacheCounters()
        self.refusals = HitForMiss(store, uncacheable_ttl)
        self.cold_ranges = ColdRanges(store, whole_ranges, uncacheable_ttl)
        self.health = OriginHealth()
        self.app_clock = AppClock()
        self.flights = Flights(store, max_refreshes)
        self.on_looked_up: Callable[[InboundRequest, str, StoredResponse | None], None] | None = None
        """Told of every request and what became of it at first: for `top` and the like."""
        self.on_sweep: Callable[[], None] | None = None
        """Called about once a second."""
        self.on_invalidated: Callable[[bytes], None] | None = None
        """Told of each key that an unsafe request makes untrue: it may be stored elsewhere."""
        self._now = self.clock.now
        self.judge = OriginResponse(self)
        self._sweeper: asyncio.TimerHandle | None = None
        self._collector: asyncio.TimerHandle | None = None

    def handle(self, request: InboundRequest, reply: ClientReply) -> StoredResponse | None:
        """Answer `request` to `reply`, now or later. Raises nothing: every request gets its answer.

        Returns the stored response where that, and fresh, was the answer.
        """
        self.counters.requests += 1
        if self.policy.applies:
            self.under_policy(request)
        return self.carry_out(request, reply, self.look_up(request))

    def handle_again(self, request: InboundRequest, reply: ClientReply) -> None:
        """For who waited for an answer that turned out to be another variant than its own."""
        self.carry_out(request, reply, self.look_up(request))

    def handle_alone(self, request: InboundRequest, reply: ClientReply) -> None:
        """For who waited for an answer that turned out to be for another client alone."""
        key = self.key_of(request)
        stored, _ = self.select(self.store.get(key), request)
        self._ask(request, reply, Found(LET_GO, key, self._now(), stored=stored), alone=True)

    def handle_verbatim(self, request: InboundRequest, reply: ClientReply) -> None:
        """For who can have its range from nobody but the origin: it is asked with the client's own fields."""
        self._ask(request, reply, Found(LET_GO, self.key_of(request), self._now()), alone=True)

    def look_up(self, request: InboundRequest) -> Found:
        """What is to be done with `request`, to which the policy was applied; changes nothing.

        The one place that gathers the facts for `rules/caching/lookup`.
        """
        key = primary_key(request.scheme, request.host, request.target)
        now = self._now()
        plan = pass_by(request, bypass=request.policy.bypass)
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
        whole = False
        if self.flights.plain:
            self.flights.inflate(key)
        flight_key = self.flights.key_of(request, key, stored)
        if stored is None and b"range" in request.fields:
            of_whole = self.flights.key_of(request, key, None, whole=True)
            on_its_way = self.flights.find(of_whole) is not None
            whole = self.cold_ranges.asks_for_whole(request, key, now, on_its_way=on_its_way)
            flight_key = of_whole if whole else flight_key
        flight = self.flights.find(flight_key)
        others = resource if stored is None else None
        if (flight is not None or others is not None) and _is_kept_from(request, others, flight):
            return Found(OWN, key, now, resource, stored)
        on_its_way = flight is not None
        refusal = None if on_its_way else self.refusals.look_up(key, request.fields, now)
        plan = ask(
            request.method,
            None if stored is None else stored.freshness,
            others_stored=resource is not None,
            varies=bool(self.flights.vary_hints.entries) and self.flights.varies(key),
            on_its_way=on_its_way,
            refused=None if refusal is None else refusal.verdict,
        )
        return Found(plan, key, now, resource, stored, flight_key, whole)

    def look_up_plain(self, key: bytes, target: bytes, personal: FieldMap, now: float) -> Plan | None:
        """As `look_up`, for a GET that nothing but its URL and its cookies tells from others; changes nothing.

        `personal`: what it has of the fields that tell users apart. None: `look_up` is to be asked, since something is
        stored or on its way, or the policy says something.
        """
        flights = self.flights
        if self.store.get(key) is not None or flights.find(key) is not None or key in flights.plain:
            return None
        if flights.vary_hints.entries and flights.varies(key):
            return None
        if self.policy.applies and self.policy.for_target(target) is not NO_POLICY:
            return None
        refusal = self.refusals.look_up(key, personal, now) if self.refusals.known else None
        return _plan_of_plain(None if refusal is None else refusal.verdict)

    def unfold(
        self, plain: Found, request: InboundRequest, reply: ClientReply, sequence: int, origin: Origin, *, closed: bool
    ) -> Flight:
        """The flight of a plain request that was counted and sent already: `origin` gives what was sent.

        `closed`: nobody may join any more.
        """
        alone = plain.plan.act is Act.ALONE
        flight = Flight(self.judge, self.flights, request, plain, sequence, request, alone=alone, verbatim=alone)
        if not alone and not closed:
            self.flights.open(flight, refresh=False)
        flight.join(request, reply, collapsed=False)
        flight.ask(origin, [], None)
        return flight

    def key_of(self, request: InboundRequest) -> bytes:
        """The primary key (RFC 9111, 2): scheme, host and raw target."""
        return primary_key(request.scheme, request.host, request.target)

    def key_of_owner(self, request: InboundRequest) -> bytes:
        """The key that `request` will have under the policy, to which it was not put yet."""
        target = request.target
        if self.policy.applies:
            target = target_under(self.policy.for_target(target), target)
        return primary_key(request.scheme, request.host, target)

    def select(self, resource: Resource | None, request: InboundRequest) -> tuple[StoredResponse | None, bool]:
        """The stored response that `request` selects (RFC 9111, 4.1), and whether it was purged softly."""
        if resource is None:
            return None, False
        for stored in resource.matching(lambda names: variants_of(names, request.fields, resource.codings)):
            if stored.freshness.strangers_only and is_kept_from(stored.freshness, request.fields):
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
        self.flights.close_url(key)
        self.refusals.forget_all_kinds(key)
        self.cold_ranges.forget(key)
        return self.store.expire(key) if soft else self.store.delete(key)

    def invalidate(self, key: bytes) -> int:
        """The answer to an unsafe request says that what is stored for a URL is no longer true (RFC 9111, 4.4)."""
        if self.on_invalidated is not None:
            self.on_invalidated(key)
        return self.forget_url(key)

    def purge_tag(self, tag: bytes, *, soft: bool = False) -> int:
        """Purge everything that carries `tag`; how many objects that concerned, as far as is known."""
        self.flights.close_all()
        return self.store.purge_tag(tag, soft=soft)

    def purge_all(self, *, soft: bool = False) -> int:
        """Purge everything; how many objects that concerned."""
        self.flights.close_all()
        self.refusals.clear()
        self.cold_ranges.clear()
        return self.store.purge_all(soft=soft)

    def close(self) -> None:
        """Stop the timers. What is under way ends by itself."""
        for timer in (self._sweeper, self._collector):
            if timer is not None:
                timer.cancel()

    def under_policy(self, request: InboundRequest) -> PathPolicy:
        """Make of `request` what the policy for its path makes of it."""
        policy = self.policy.for_target(request.target)
        if policy is not NO_POLICY:
            request.put_under(policy)
        return policy

    def carry_out(self, request: InboundRequest, reply: ClientReply, found: Found) -> StoredResponse | None:
        """As `handle`, for who has counted the request and looked it up."""
        act = found.plan.act
        if act is Act.FETCH:
            self._ask(request, reply, found)
        elif act is Act.HIT or act is Act.STALE:
            return self._answer(request, reply, found)
        elif act is Act.JOIN:
            self.counters.collapsed += 1
            if self.on_looked_up is not None:
                self.on_looked_up(request, "collapsed", None)
            self.flights.join(found.flight_key, request, reply)
        else:
            self._ask(request, reply, found, alone=True)
        return None

    def _answer(self, request: InboundRequest, reply: ClientReply, found: Found) -> StoredResponse | None:
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
            flight_key = self.flights.key_of(request, found.key, stored)
            if self.flights.may_refresh(flight_key):
                self.counters.refreshes += 1
                self._ask(request, None, found._replace(plan=REFRESH, flight_key=flight_key))
        return stored if fresh else None

    def _ask(self, request: InboundRequest, reply: ClientReply | None, found: Found, *, alone: bool = False) -> None:
        """A request to the origin. `alone`: nobody may join. `reply` is None for a refresh in the background."""
        stored, part = found.stored, None
        added = [] if stored is None else validators(dict(stored.fields), request.method)
        conditional = bool(added)
        out = _NOTHING if alone else _CONDITIONS
        if conditional or ((stored is not None or found.whole) and not alone):
            out = _OWN
        elif found.resource is not None and not alone:
            alive = (part for part in beginnings(found.resource, request) if self.store.state(part) != "gone")
            part = next(alive, None)
            added = [] if part is None else asking_for_rest(part)
        flight = Flight(
            self.judge,
            self.flights,
            request,
            found,
            self.store.sequence(),
            request.without(RANGE) if out is _OWN else request,
            alone=alone,
            part=part,
            conditional=conditional,
            verbatim=alone and out.isdisjoint(request.fields),
        )
        if not alone:
            self.flights.open(flight, refresh=reply is None)
        if reply is not None:
            flight.join(request, reply, collapsed=False)
            if self.on_looked_up is not None:
                self.on_looked_up(request, flight.note, None)
        count(self.counters.misses, flight.note)
        self._send(flight, end_to_end(request.raw, out) + added, reply if request.has_body else None)

    def _send(self, flight: Flight, fields: RawFields, body_of: ClientReply | None) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
        self.counters.origin_requests += 1
        flight.ask(self.origin, fields, body_of)

    def resend(self, flight: Flight) -> None:
        """Ask again, for all and without a condition: what came does not fit what is stored."""
        flight.start_over()
        self._send(flight, end_to_end(flight.request.raw, _OWN), None)

    def _sweep(self) -> None:
        # First: one look that fails must not be the last.
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
        if self.store.collecting and self._collector is None:
            self._collect()
        if self.on_sweep is not None:
            self.on_sweep()

    def _collect(self) -> None:
        self._collector = asyncio.get_running_loop().call_later(_SLICE_SECONDS, self._collect)
        self.store.collect(_SLICE_OBJECTS)
        if not self.store.collecting:
            self._collector.cancel()
            self._collector = None


@lru_cache(256)
def _plan_of_plain(refused: Decision | None) -> Plan:
    """Of a GET of which nothing is stored or on its way; remembered by all that it is made from."""
    return ask(b"GET", None, others_stored=False, varies=False, on_its_way=False, refused=refused)


def _is_kept_from(request: InboundRequest, resource: Resource | None, flight: Flight | None) -> bool:
    """Whether what is stored or on its way is there, but not for the credentials or cookies of `request`."""
    on_its_way = () if flight is None else (flight.stale, flight.part, flight.storing)
    # There may be thousands; how the URL is stored now is seen from a few.
    some = () if resource is None else resource.newest(_FEW)
    return any(each is not None and is_kept_from(each.freshness, request.fields) for each in (*on_its_way, *some))
