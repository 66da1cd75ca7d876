"""What an answer of the origin does: to those who wait for it, and to the store."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from ...clock import Clock
from ...errors import AttemptTimeout, CallError, ConnectError, ConnectionLost, ConnectTimeout
from ...messages import RawFields
from ...rules.caching.cache_control import Directives
from ...rules.caching.cache_key import primary_key, variant_of
from ...rules.caching.codings import ENCODING, Choices, place_of
from ...rules.caching.cookies import may_lose_cookies, without_set_cookies
from ...rules.caching.decisions import Decision
from ...rules.caching.freshness import Freshness, freshness_of, may_serve_on_error
from ...rules.caching.http_date import format_http_date
from ...rules.caching.http_fields import FieldMap, combine, end_to_end
from ...rules.caching.invalidation import invalidated, is_unsafe
from ...rules.caching.lookup import is_for_all, is_kept_from, is_of_url
from ...rules.caching.options import CacheOptions, with_heuristic
from ...rules.caching.ranges import parse_content_range
from ...rules.caching.storing import (
    MUST_VALIDATE,
    PERSONAL,
    TOO_LARGE,
    fields_to_store,
    is_outdone,
    may_share,
    outdates,
)
from ...rules.caching.undeclared_coding import vary_and_coding
from ...rules.caching.validation import (
    head_confirms,
    merge_not_modified,
    never_less_vary,
    selects,
)
from ...rules.caching.weighing import weigh_answer
from ...rules.clock_offset import clock_offset
from ...stores.memory import MemoryStore
from ...stores.stored_response import StoredResponse
from .answers import answer_stored, answer_with, hit_fields, is_for, miss_status
from .app_clock import AppClock
from .cold_ranges import ColdRanges
from .counters import CacheCounters, count
from .flight import Delivery, Flight, FlightState, Head
from .flights import Flights
from .health import OriginHealth
from .hit_for_miss import HitForMiss, of_kind
from .partial import as_believed, fields_of_both
from .policy import NO_POLICY, PathPolicy
from .protocols import ClientReply, InboundRequest
from .under_way import answer_whole, begin_answer

_ERRORS = frozenset({500, 502, 503, 504})
_LENGTH = frozenset({b"content-length"})
_NOTHING: frozenset[bytes] = frozenset()
_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class Asker(Protocol):
    """Who asked the origin, and does what its answer makes necessary: the engine."""

    store: MemoryStore
    options: CacheOptions
    clock: Clock
    adds_date: bool
    counters: CacheCounters
    refusals: HitForMiss
    cold_ranges: ColdRanges
    health: OriginHealth
    app_clock: AppClock
    flights: Flights

    def invalidate(self, key: bytes) -> int:
        """What is stored for one URL is no longer true; how many variants there were."""
        ...

    def resend(self, flight: Flight) -> None:
        """Ask again, for all and without a condition."""
        ...

    def handle_again(self, request: InboundRequest, reply: ClientReply) -> None:
        """Answer as if the request had come now."""
        ...

    def handle_alone(self, request: InboundRequest, reply: ClientReply) -> None:
        """Ask the origin for this client alone."""
        ...

    def handle_verbatim(self, request: InboundRequest, reply: ClientReply) -> None:
        """Ask the origin for this client alone, with its own conditions and range."""
        ...


class OriginResponse:
    """The FlightJudge of all flights of one engine."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._flights = asker.flights
        self._counters = asker.counters

    # Also for answers that come by without a flight.

    def weigh(
        self, request: InboundRequest, status: int, fields: FieldMap, length: int | None
    ) -> tuple[Decision, Directives, tuple[bytes, ...]]:
        """Whether an answer to `request` may be stored, its directives, and its tags. `length`: see the rule.

        The one place that gathers the facts for `rules/caching/storing`.
        """
        policy = request.policy
        verdict, directives, tags = weigh_answer(
            request,
            status,
            fields,
            self._asker.options if policy is NO_POLICY else self._options_for(policy),
            received_wall=self._asker.clock.wall(),
            length=length,
            max_length=self._asker.store.max_object_bytes,
            bypass=policy.bypass,
            stand_in=policy.stand_in if policy is not NO_POLICY else None,
        )
        if policy.tags:
            tags += tuple(tag.encode() for tag in policy.tags)
        return verdict, directives, tags

    def _options_for(self, policy: PathPolicy) -> CacheOptions:
        longest = policy.heuristic
        return self._asker.options if longest is None else with_heuristic(self._asker.options, float(longest))

    def without_cookies(self, request: InboundRequest, status: int, fields: RawFields) -> RawFields:
        """The fields of an answer to `request` as they are where it is stored: without what the policy strips."""
        names = request.policy.strip_set_cookie
        return without_set_cookies(fields, names) if names and may_lose_cookies(request.method, status) else fields

    def invalidate(self, request: InboundRequest, status: int, fields: FieldMap) -> None:
        """Drop what the answer to an unsafe request, with `fields`, makes untrue (RFC 9111, 4.4)."""
        for uri in invalidated(request.method, status, request.scheme, request.host, request.target, fields):
            self._counters.invalidated += self._asker.invalidate(primary_key(*uri))

    # The head.

    def on_flight_head(self, flight: Flight, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        """Find out whom it is for, and whether it may be stored; or answer with what is stored."""
        asker = self._asker
        now = asker.clock.now()
        self._counters.origin_latency.add(now - flight.began)
        asker.health.answered(now)
        if now >= asker.app_clock.next_look:
            asker.app_clock.look(clock_offset(combine(fields), now - flight.began, asker.clock.wall()), now)
        # The length is that of what is sent; only the answer to HEAD has to say it without.
        without = _LENGTH if flight.request.method != b"HEAD" else _NOTHING
        head = Head(status, reason, end_to_end(fields, without), length)
        if flight.part is not None:
            self._continued(flight, flight.part, head)
        elif flight.stale is None or not self._is_answered(flight, flight.stale, head, now):
            self._land(flight, head)

    def _is_answered(self, flight: Flight, stale: StoredResponse, head: Head, now: float) -> bool:
        """Answer with what is stored, where the origin says that it still holds, or fails."""
        if head.status == 304 and flight.conditional:
            self._confirmed(flight, stale, head.fields)
            return True
        resident = now - stale.received_at
        if head.status in _ERRORS and may_serve_on_error(stale.freshness, resident, disconnected=False).allowed:
            self._stale_instead(flight, stale, resident)
            flight.discard()
            return True
        if flight.request.method == b"HEAD" and head.status == stale.status == 200:
            self._compared(flight, stale, head.fields)
        return False

    def _compared(self, flight: Flight, stale: StoredResponse, fields: RawFields) -> None:
        """Freshen what is stored for GET by the answer to HEAD, or take it for stale (RFC 9111, 4.3.5)."""
        asker = self._asker
        known, said = combine(stale.fields), combine(fields)
        known[b"content-length"] = b"%d" % len(stale.body)
        candidate = None
        if head_confirms(known, said):
            update = fields if b"date" in said else [*fields, self._date()]
            get = dataclasses.replace(flight.request, method=b"GET")
            update = self.without_cookies(get, stale.status, update)
            merged = merge_not_modified(stale.fields, update, set_cookie=asker.options.profile == "rfc")
            _, candidate = self._renew(flight, get, stale, merged)
        if candidate is None:
            asker.store.update(stale, freshness=stale.freshness._replace(lifetime=0.0))
        flight.forget_stored()

    def _land(self, flight: Flight, head: Head) -> None:
        """The answer is a new one: share it and keep it, or let the others go."""
        asker, request = self._asker, flight.sent
        combined = combine(head.fields)
        if asker.adds_date and b"date" not in combined:
            head.fields.append(self._date())
            combined = combine(head.fields)
        if is_unsafe(request.method):
            self.invalidate(request, head.status, combined)
            # Its own answer is newer than what it made invalid, and may be stored (RFC 9110, 9.3.3).
            flight.count_purges_from(asker.store.sequence())
        if flight.whole and (head.length or 0) > asker.cold_ranges.most_bytes:
            self._too_long(flight, head)
            return
        kept = head
        if request.policy.strip_set_cookie:
            kept = head._replace(fields=self.without_cookies(request, head.status, head.fields))
            combined = combine(kept.fields)
        verdict, storing = self._weigh(flight, request, kept, combined)
        if storing is None:
            # What is passed on keeps its cookies.
            self._refused(flight, head, verdict)
            return
        self._flights.settle_vary(flight, storing)
        if storing.vary:
            self._release_strangers(flight, storing)
        if storing.freshness.strangers_only:
            self._release_known(flight, storing.freshness)
        if not may_share(storing.freshness):
            # It may be stored, but each use must be confirmed, so nobody may share this one.
            self._note(flight, MUST_VALIDATE, head.status)
            self._flights.close(flight)
            self._release_followers(flight)
        flight.share(kept, storing)

    def _release_known(self, flight: Flight, freshness: Freshness) -> None:
        """Send those to the origin who say who they are: the answer is for who does not, as its leader is."""
        self._release_alone(flight.take_deliveries(lambda d: is_kept_from(freshness, d.request.fields)))

    def _continued(self, flight: Flight, part: StoredResponse, head: Head) -> None:
        """The origin was asked for what follows on `part` (RFC 9110, 15.3.7.3): make one answer of both, if it fits."""
        both = fields_of_both(part, head.fields, head.length) if head.status == 206 else None
        if both is not None:
            flight.begin_with(part.body)
            self._land(flight, Head(200, b"OK", both, part.total_length))
        elif head.status in {206, 304, 416}:
            # It answers the range, and nobody here asked for one.
            self._asker.resend(flight)
        else:
            flight.forget_stored()
            self._land(flight, head)

    def _date(self) -> tuple[bytes, bytes]:
        """The date of receipt, for what has none (RFC 9110, 6.6.1)."""
        return b"date", format_http_date(self._asker.clock.wall())

    def _weigh(
        self, flight: Flight, request: InboundRequest, head: Head, combined: FieldMap, body: bytes = b""
    ) -> tuple[Decision, StoredResponse | None]:
        """What would be stored; None, with the reason, where nothing may be."""
        status, reason, fields, length = head
        clock, app_clock = self._asker.clock, self._asker.app_clock
        verdict, directives, tags = self.weigh(request, status, combined, length)
        if not verdict.allowed:
            return verdict, None
        now, policy = clock.now(), request.policy
        options = self._asker.options if policy is NO_POLICY else self._options_for(policy)
        cut = b"age" in combined or directives.private_fields or directives.no_cache_fields
        varies = b"vary" in combined or b"content-encoding" in combined
        vary, undeclared = vary_and_coding(combined, options) if varies else ((), None)
        coding, choices = self._coding(flight, combined, undeclared) if ENCODING in vary else (None, ())
        place = parse_content_range(combined[b"content-range"]) if status == 206 else None
        return verdict, StoredResponse(
            key=flight.key,
            vary=vary,
            variant=variant_of(vary, flight.request.fields, coding) if vary else b"",
            codings=choices,
            status=status,
            reason=reason,
            fields=fields_to_store(fields, directives, options) if cut else fields,
            body=body,
            freshness=freshness_of(
                status,
                combined,
                directives,
                options,
                response_delay=now - flight.began,
                received_wall=clock.wall(),
                clock_behind=app_clock.behind if app_clock.known else None,
            ),
            received_at=now,
            tags=tags,
            sequence=flight.sequence,
            first_byte=place[0] if place is not None else 0,
            total_length=place[2] if place is not None else length,
        )

    def _coding(self, flight: Flight, fields: FieldMap, undeclared: bytes | None) -> tuple[bytes | None, Choices]:
        """As `place_of`, by what is known so far."""
        resource = self._asker.store.get(flight.key)
        known = self._flights.choices_of(flight.key) or (() if resource is None else resource.codings)
        return place_of(flight.request.fields.get(ENCODING), fields, undeclared, known)

    def _release_strangers(self, flight: Flight, answer: StoredResponse) -> None:
        """Have those answered in another way for whom `answer` is the wrong variant (RFC 9111, 4.1)."""
        if not answer.vary or flight.alone:
            return
        strangers = flight.take_deliveries(lambda d: d.collapsed and not is_for(answer, d.request))
        if answer is not flight.stale and not is_for(answer, flight.request):
            # A coding that the first client did not offer. Others like it would get it, too, one after the other.
            self._release_alone(strangers)
            return
        for delivery in strangers:
            self._asker.handle_again(delivery.request, delivery.reply)

    def _refused(self, flight: Flight, head: Head, verdict: Decision) -> None:
        self._note(flight, verdict, head.status)
        if flight.stale is not None and outdates(flight.request.method, head.status, verdict):
            self._asker.store.discard(flight.stale)
        self._flights.over(flight)
        if verdict.reason in PERSONAL:
            self._release_others(flight)
        self._release_followers(flight)
        flight.pass_to_leader(head)

    def _too_long(self, flight: Flight, head: Head) -> None:
        """Nobody fetches so much for the sake of a range: who wants one asks for it, from now on at once."""
        count(self._counters.uncacheable, TOO_LARGE.reason)
        flight.tell(TOO_LARGE.reason)
        self._asker.cold_ranges.note(flight.key, head.length, self._asker.clock.now())
        self._flights.over(flight)
        for delivery in flight.take_deliveries(lambda d: d.collapsed):
            self._asker.handle_again(delivery.request, delivery.reply)
        flight.pass_to_leader(head)

    def _release_others(self, flight: Flight) -> None:
        """What was refused for the leader's credentials says nothing of those who have none: they go together."""
        mine = of_kind(b"", flight.request.fields)
        for delivery in flight.take_deliveries(lambda d: d.collapsed and of_kind(b"", d.request.fields) != mine):
            self._asker.handle_again(delivery.request, delivery.reply)

    def _note(self, flight: Flight, verdict: Decision, status: int) -> None:
        count(self._counters.uncacheable, verdict.reason)
        flight.tell(verdict.reason)
        request, now = flight.sent, self._asker.clock.now()
        if verdict is TOO_LARGE:
            self._asker.cold_ranges.note(flight.key, None, now)
        if is_of_url(request, flight.note):
            for_all = is_for_all(request, status, flight.note, verdict)
            self._asker.refusals.note(flight.key, request.fields, now, verdict, status, for_all=for_all)

    def _release_followers(self, flight: Flight) -> None:
        """Send everybody but the first client to the origin, all at once."""
        self._release_alone(flight.take_deliveries(lambda d: d.collapsed))

    def _release_alone(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self._asker.handle_alone(delivery.request, delivery.reply)

    # A 304, and stale answers.

    def _confirmed(self, flight: Flight, stale: StoredResponse, fields: RawFields) -> None:
        """Freshen the stored response and answer with it (RFC 9111, 4.3.4)."""
        asker = self._asker
        known, said = combine(stale.fields), combine(fields)
        if not selects(known, said):
            asker.resend(flight)
            return
        self._counters.revalidated += 1
        # Before anybody is let go, so that they do not come back to this one.
        self._flights.close(flight)
        if b"date" not in said and (asker.adds_date or b"date" in known):
            # Without an own Date the stored one would make it old.
            fields.append(self._date())
        rfc = asker.options.profile == "rfc"
        kept = self.without_cookies(flight.request, stale.status, fields)
        merged = merge_not_modified(stale.fields, never_less_vary(stale.vary, kept), set_cookie=rfc)
        verdict, candidate = self._renew(flight, flight.sent, stale, merged)
        # A cookie that comes with the 304 is for the one client whose request it was.
        said_alone = [] if rfc else kept if verdict.allowed else fields
        cookies = [field for field in said_alone if field[0] == b"set-cookie"]
        if candidate is None:
            asker.store.discard(stale)
        elif candidate.freshness.strangers_only:
            # It may live by a policy that is newer than what was stored.
            self._release_known(flight, candidate.freshness)
        if candidate is not None and may_share(candidate.freshness):
            asker.refusals.forget(flight.key, flight.request.fields)
        else:
            self._note(flight, verdict if not verdict.allowed else MUST_VALIDATE, stale.status)
            self._release_followers(flight)
        self._release_strangers(flight, stale)
        for delivery in flight.take_deliveries():
            note = miss_status(flight.note, stored=verdict.allowed, collapsed=delivery.collapsed, detail=flight.detail)
            added = [note] if delivery.collapsed else [*cookies, note]
            answer_with(delivery.reply, delivery.request, stale.status, stale.reason, merged, stale.body, added, stale)
        flight.discard()

    def _stale_instead(self, flight: Flight, stale: StoredResponse, resident: float) -> None:
        self._flights.close(flight)
        self._release_strangers(flight, stale)
        for delivery in flight.take_deliveries():
            count(self._counters.stale_hits, "stale-if-error")
            added = hit_fields(stale, resident, detail="stale-if-error")
            answer_stored(delivery.reply, delivery.request, stale, added)

    # The body and the end.

    def on_flight_unkept(self, flight: Flight, why: Decision) -> None:
        """Store it not, and pass on what comes."""
        self._note(flight, why, flight.head.status)
        if flight.stale is not None and outdates(flight.request.method, flight.head.status, why):
            self._asker.store.discard(flight.stale)
        flight.stop_keeping()

    def on_flight_complete(self, flight: Flight, body: bytes) -> None:
        """Store it, unless something better has come meanwhile."""
        asker = self._asker
        self._counters.bytes_from_origin += flight.size - (len(flight.part.body) if flight.part is not None else 0)
        storing = flight.storing
        if storing is None:
            return
        storing.body = body
        if storing.status == 206:
            storing = self._as_it_came(storing)
            if storing is None:
                count(self._counters.uncacheable, "partial-mismatch")
                flight.keep_unstored("partial-mismatch")
                return
            asker.cold_ranges.note(flight.key, storing.total_length, storing.received_at)
        if asker.store.get(flight.key) is not None and self._is_outdone(storing, storing.received_at):
            flight.keep_unstored("outdone")
        elif asker.store.put(storing):
            self._counters.stored += 1
            asker.refusals.forget(flight.key, flight.request.fields)
        else:
            count(self._counters.uncacheable, "not-taken")
            flight.keep_unstored("not-taken")

    def _as_it_came(self, storing: StoredResponse) -> StoredResponse | None:
        """What to store of a 206 now that the body is there; None where it is not what it says."""
        place = parse_content_range(dict(storing.fields)[b"content-range"])
        if place is not None and place[1] - place[0] + 1 == len(storing.body):
            return storing
        return as_believed(storing) if self._asker.options.lenient_origin else None

    def _renew(
        self, flight: Flight, request: InboundRequest, stale: StoredResponse, fields: RawFields
    ) -> tuple[Decision, StoredResponse | None]:
        """Put `stale`, with `fields`, in its own place; as `_weigh`."""
        verdict, candidate = self._weigh(
            flight, request, Head(stale.status, stale.reason, fields, len(stale.body)), combine(fields), stale.body
        )
        if candidate is not None and (stale.alive or not self._is_outdone(candidate, flight.began)):
            self._asker.store.put(candidate)
        return verdict, candidate

    def _is_outdone(self, coming: StoredResponse, since: float) -> bool:
        """Whether what it would take the place of is newer than `since`, or a fresh whole instead of a part."""
        now = self._asker.clock.now()
        store = self._asker.store
        resource = store.get(coming.key)
        other = None if resource is None else resource.find(coming.vary, coming.variant)
        if other is None or store.state(other) != "valid":
            return False
        return is_outdone(coming.status, since, other.status, other.received_at, other.freshness, now)

    def on_flight_failed(self, flight: Flight, error: CallError) -> None:
        """Answer those who have had nothing with what is stored, where that is allowed, or with an error."""
        asker = self._asker
        now = asker.clock.now()
        count(self._counters.origin_failures, error.kind)
        if flight.state is not FlightState.WAITING:
            # Those who had part of it were broken off; the others have had nothing and can be told.
            self._counters.aborted += 1
        else:
            asker.health.failed(now, str(error), unreachable=isinstance(error, ConnectError))
        timed_out = isinstance(error, AttemptTimeout | ConnectTimeout)
        stale = flight.stale
        if stale is not None:
            resident = now - stale.received_at
            disconnected = isinstance(error, ConnectError | ConnectionLost)
            if may_serve_on_error(stale.freshness, resident, disconnected=disconnected).allowed:
                self._stale_instead(flight, stale, resident)
        status = 504 if timed_out else 502
        for delivery in flight.take_deliveries():
            self._counters.errors += 1
            self._answer_error(delivery.reply, status, flight.note, error.kind)

    def _answer_error(self, reply: ClientReply, status: int, why: str, kind: str) -> None:
        reason, text = (
            (b"Gateway Timeout", b"The origin did not answer in time.\n")
            if status == 504
            else (b"Bad Gateway", b"The origin could not be reached, or its answer could not be understood.\n")
        )
        note = miss_status(why, stored=False, collapsed=False, detail=kind)
        reply.respond(status, reason, [_TEXT, (b"cache-control", b"no-store"), note], text)

    def begin_answer(self, flight: Flight, delivery: Delivery) -> bool:
        """Send the head for `delivery`; False where nothing more is to be sent to it from here, or not yet."""
        return begin_answer(flight, delivery, self._asker.handle_verbatim)

    answer_whole = staticmethod(answer_whole)
