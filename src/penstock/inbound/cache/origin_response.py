"""What an answer of the origin does: to those who wait for it, and to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ...errors import AttemptTimeout, CallError, ConnectError, ConnectionLost, ConnectTimeout
from ...messages import RawFields
from ...rules.caching.cache_key import variant_of, vary_names
from ...rules.caching.decisions import Decision
from ...rules.caching.freshness import freshness_of, may_serve_on_error
from ...rules.caching.http_date import format_http_date
from ...rules.caching.http_fields import combine, end_to_end
from ...rules.caching.invalidation import is_unsafe
from ...rules.caching.lookup import SHAREABLE, is_for_all
from ...rules.caching.ranges import parse_content_range
from ...rules.caching.storing import MUST_VALIDATE, PERSONAL, fields_to_store, is_outdone, may_keep, may_share, outdates
from ...rules.caching.validation import (
    answers_not_modified,
    fields_of_304,
    head_confirms,
    merge_not_modified,
    never_less_vary,
    selects,
)
from ...stores.stored_response import StoredResponse
from .answers import answer_stored, answer_with, hit_fields, miss_status
from .counters import count
from .flight import Delivery, Flight, State
from .hit_for_miss import of_kind
from .partial import as_believed, fields_of_both
from .protocols import InboundRequest, Reply

if TYPE_CHECKING:
    from .engine import CacheEngine

_ERRORS = frozenset({500, 502, 503, 504})
_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class OriginResponse:
    """The engine's second half: a Judge of flights."""

    def __init__(self, engine: CacheEngine) -> None:
        self._engine = engine
        self._counters = engine.counters

    # The head.

    def on_flight_head(self, flight: Flight, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        """See Judge."""
        engine = self._engine
        now = engine.clock.now()
        self._counters.origin_latency.add(now - flight.began)
        engine.health.answered()
        kept = end_to_end(fields)
        if flight.request.method != b"HEAD":
            # The length is that of what is sent; only the answer to HEAD has to say it without.
            kept = [field for field in kept if field[0] != b"content-length"]
        if flight.request.policy.strip_set_cookie:
            kept = [field for field in kept if field[0] != b"set-cookie"]
        stale = flight.stale
        if flight.part is not None:
            self._continued(flight, flight.part, status, reason, kept, length)
            return
        if status == 304 and flight.conditional and stale is not None:
            self._confirmed(flight, stale, kept)
            return
        if stale is not None and status in _ERRORS:
            allowed = may_serve_on_error(stale.freshness, now - stale.received_at, failure="status")
            if allowed.allowed:
                self._stale_instead(flight, stale, "stale-if-error")
                flight.discard()
                return
        if stale is not None and flight.request.method == b"HEAD" and status == stale.status == 200:
            self._compared(flight, stale, kept)
        self._land(flight, status, reason, kept, length)

    def _compared(self, flight: Flight, stale: StoredResponse, fields: RawFields) -> None:
        """Freshen what is stored for GET by the answer to HEAD, or take it for stale (RFC 9111, 4.3.5)."""
        engine = self._engine
        known = combine(stale.fields)
        known[b"content-length"] = b"%d" % len(stale.body)
        candidate = None
        if head_confirms(known, combine(fields)):
            strip = engine.options.profile != "rfc"
            merged = merge_not_modified(stale.fields, self._dated(fields), set_cookie=not strip)
            asked = flight.request
            get = InboundRequest(b"GET", asked.scheme, asked.host, asked.target, asked.fields, asked.raw)
            get.policy = asked.policy
            _, candidate = self._weigh(flight, get, 200, stale.reason, merged, combine(merged), len(stale.body))
        if candidate is not None:
            self._renew(flight, stale, candidate)
        else:
            engine.store.update(stale, freshness=stale.freshness._replace(lifetime=0.0))
        flight.stale = None

    def _land(self, flight: Flight, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        request = flight.request
        combined = combine(self._dated(fields) if self._engine.adds_date else fields)
        flight.status, flight.reason, flight.fields, flight.length = status, reason, fields, length
        if is_unsafe(request.method):
            self._engine.invalidate(request, status, combined)
            # Its own answer is newer than what it made invalid, and may be stored (RFC 9110, 9.3.3).
            flight.sequence = self._engine.store.sequence()
        verdict, candidate = self._weigh(flight, request, status, reason, fields, combined, length)
        if candidate is None:
            self._refused(flight, status, verdict)
            return
        storing = candidate
        self._settle_vary(flight, storing)
        if not may_share(storing.freshness):
            # It may be stored, but each use must be confirmed, so nobody may share this one.
            self._note(flight, MUST_VALIDATE, status)
            self._close(flight)
            self._release_followers(flight)
        flight.share(storing)

    def _continued(
        self, flight: Flight, part: StoredResponse, status: int, reason: bytes, fields: RawFields, length: int | None
    ) -> None:
        """The origin was asked for what follows on `part` (RFC 9110, 15.3.7.3): make one answer of both, if it fits."""
        both = fields_of_both(part, fields, length) if status == 206 else None
        if both is not None:
            flight.begin_with(part.body)
            self._land(flight, 200, b"OK", both, part.total_length)
        elif status in {206, 304, 416}:
            # It answers the range, and nobody here asked for one.
            self._engine.resend(flight)
        else:
            flight.part = None
            self._land(flight, status, reason, fields, length)

    def _dated(self, fields: RawFields) -> RawFields:
        """`fields`, with the date of receipt where they have none (RFC 9110, 6.6.1)."""
        if b"date" not in dict(fields):
            fields.append((b"date", format_http_date(self._engine.clock.wall())))
        return fields

    def _weigh(
        self,
        flight: Flight,
        request: InboundRequest,
        status: int,
        reason: bytes,
        fields: RawFields,
        combined: dict[bytes, bytes],
        length: int | None,
    ) -> tuple[Decision, StoredResponse | None]:
        """What would be stored, still without its body; None, with the reason, where nothing may be."""
        engine = self._engine
        verdict, directives, tags = engine.weigh(request, status, combined, length)
        if not verdict.allowed:
            return verdict, None
        if request.policy.tags:
            tags += tuple(tag.encode() for tag in request.policy.tags)
        now = engine.clock.now()
        freshness = freshness_of(
            status,
            combined,
            directives,
            engine.options,
            response_delay=now - flight.began,
            received_wall=engine.clock.wall(),
        )
        vary = vary_names(combined) or ()
        place = parse_content_range(combined[b"content-range"]) if status == 206 else None
        stored = StoredResponse(
            key=flight.key,
            vary=vary,
            variant=variant_of(vary, request.fields) if vary else b"",
            status=status,
            reason=reason,
            # Each answer from here says its own age.
            fields=[field for field in fields_to_store(fields, directives, engine.options) if field[0] != b"age"]
            if b"age" in combined or directives.private_fields or directives.no_cache_fields
            else fields,
            body=b"",
            freshness=freshness,
            received_at=now,
            tags=tags,
            sequence=flight.sequence,
            first_byte=place[0] if place is not None else 0,
            total_length=place[2] if place is not None else length,
        )
        return verdict, stored

    def _settle_vary(self, flight: Flight, storing: StoredResponse) -> None:
        """Now that it is known what the answer depends on: let those go for whom it is not."""
        engine = self._engine
        hints = engine.vary_hints
        known = hints.get(flight.key, ())
        if known != storing.vary:
            hints.pop(flight.key, None)
            if storing.vary:
                hints[flight.key] = storing.vary
                if len(hints) > 65_536:
                    del hints[next(iter(hints))]
        if flight.alone:
            return
        # One that a purge has closed stays closed: who comes now must not get what was asked for before.
        if self._close(flight):
            flight.flight_key = engine.flight_key(flight.request, flight.key, flight.stale)
            engine.flights.setdefault(flight.flight_key, flight)
        if storing.vary:
            self._release_strangers(flight, storing)

    def _close(self, flight: Flight) -> bool:
        """Let nobody join any more; False where nobody could."""
        flights = self._engine.flights
        if flights.get(flight.flight_key) is not flight:
            return False
        del flights[flight.flight_key]
        return True

    def _release_strangers(self, flight: Flight, answer: StoredResponse) -> None:
        """Have those answered in another way for whom `answer` is the wrong variant (RFC 9111, 4.1)."""
        vary = answer.vary
        if not vary or flight.alone:
            return
        for delivery in flight.take_deliveries(lambda d: variant_of(vary, d.request.fields) != answer.variant):
            self._engine.handle_again(delivery.request, delivery.reply)

    def _refused(self, flight: Flight, status: int, verdict: Decision) -> None:
        engine = self._engine
        self._note(flight, verdict, status)
        stale = flight.stale
        if stale is not None and outdates(flight.request.method, status, verdict):
            engine.store.discard(stale)
        self.on_flight_over(flight)
        if verdict.reason in PERSONAL:
            self._release_others(flight)
        self._release_followers(flight)
        flight.pass_to_leader()

    def _release_others(self, flight: Flight) -> None:
        """What was refused for the leader's credentials says nothing of those who have none: they go together."""
        mine = of_kind(b"", flight.request.fields)
        for delivery in flight.take_deliveries(lambda d: d.collapsed and of_kind(b"", d.request.fields) != mine):
            self._engine.handle_again(delivery.request, delivery.reply)

    def _note(self, flight: Flight, verdict: Decision, status: int) -> None:
        count(self._counters.uncacheable, verdict.reason)
        request = flight.request
        if is_for_all(request, status, flight.note, verdict):
            self._engine.refusals.note(flight.key, request.fields, self._engine.clock.now(), verdict, status)

    def _release_followers(self, flight: Flight) -> None:
        """Send everybody but the first client to the origin, all at once."""
        self.answer_elsewhere(flight.take_deliveries(lambda d: d.collapsed))

    def answer_elsewhere(self, deliveries: list[Delivery]) -> None:
        """See Judge."""
        for delivery in deliveries:
            self._engine.handle_alone(delivery.request, delivery.reply)

    # A 304, and stale answers.

    def _confirmed(self, flight: Flight, stale: StoredResponse, fields: RawFields) -> None:
        """Freshen the stored response and answer with it (RFC 9111, 4.3.4)."""
        engine = self._engine
        if not selects(combine(stale.fields), combine(fields)):
            engine.resend(flight)
            return
        self._counters.revalidated += 1
        # Before anybody is let go, so that they do not come back to this one.
        self._close(flight)
        profile = engine.options.profile
        # Without an own Date the stored one, if there is one, would make it old.
        dated = self._engine.adds_date or any(name == b"date" for name, _ in stale.fields)
        update = self._dated(fields) if dated else fields
        merged = merge_not_modified(stale.fields, never_less_vary(stale.vary, update), set_cookie=profile == "rfc")
        # A cookie that comes with the 304 is for the one client whose request it was.
        cookies = [field for field in fields if field[0] == b"set-cookie"] if profile != "rfc" else []
        combined = combine(merged)
        verdict, candidate = self._weigh(
            flight, flight.request, stale.status, stale.reason, merged, combined, len(stale.body)
        )
        shared = candidate is not None and may_share(candidate.freshness)
        if candidate is not None:
            self._renew(flight, stale, candidate)
        else:
            engine.store.discard(stale)
        if shared:
            engine.refusals.forget(flight.key, flight.request.fields)
        else:
            self._note(flight, verdict if not verdict.allowed else MUST_VALIDATE, stale.status)
            self._release_followers(flight)
        self._release_strangers(flight, stale)
        for delivery in flight.take_deliveries():
            note = miss_status(flight.note, stored=verdict.allowed, collapsed=delivery.collapsed)
            added = [note] if delivery.collapsed else [*cookies, note]
            answer_with(delivery.reply, delivery.request, stale.status, stale.reason, merged, stale.body, added, stale)
        flight.discard()

    def _stale_instead(self, flight: Flight, stale: StoredResponse, why: str) -> None:
        self._close(flight)
        self._release_strangers(flight, stale)
        resident = self._engine.clock.now() - stale.received_at
        for delivery in flight.take_deliveries():
            count(self._counters.stale_hits, why)
            answer_stored(delivery.reply, delivery.request, stale, hit_fields(stale, resident, detail=why))

    # The body and the end.

    def on_flight_body(self, flight: Flight, size: int) -> None:
        """See Judge."""
        engine = self._engine
        flight.counted += size
        engine.held += size
        verdict = may_keep(
            flight.size,
            engine.store.max_object_bytes,
            held_by_others=engine.held - flight.counted,
            most_held=engine.most_held,
        )
        if verdict is not None:
            self._note(flight, verdict, flight.status)
            if flight.stale is not None and outdates(flight.request.method, flight.status, verdict):
                engine.store.discard(flight.stale)
            flight.stop_keeping()

    def on_flight_complete(self, flight: Flight) -> None:
        """See Judge."""
        self._counters.bytes_from_origin += flight.size - (len(flight.part.body) if flight.part is not None else 0)
        if flight.storing is None:
            return
        flight.storing.body = flight.body()
        storing = self._as_it_came(flight.storing)
        if storing is None:
            count(self._counters.uncacheable, "partial-mismatch")
            return
        engine = self._engine
        if self._is_outdone(storing, storing.received_at):
            return
        if engine.store.put(storing):
            self._counters.stored += 1
            engine.refusals.forget(flight.key, flight.request.fields)

    def _as_it_came(self, storing: StoredResponse) -> StoredResponse | None:
        """What to store now that the body is there; None where a 206 is not what it says."""
        if storing.status != 206:
            return storing
        place = parse_content_range(dict(storing.fields)[b"content-range"])
        if place is not None and place[1] - place[0] + 1 == len(storing.body):
            return storing
        return as_believed(storing) if self._engine.options.lenient_origin else None

    def _renew(self, flight: Flight, stale: StoredResponse, candidate: StoredResponse) -> None:
        candidate.body = stale.body
        if stale.alive or not self._is_outdone(candidate, flight.began):
            self._engine.store.put(candidate)

    def _is_outdone(self, coming: StoredResponse, since: float) -> bool:
        """Whether what it would take the place of is newer than `since`, or a fresh whole instead of a part."""
        now = self._engine.clock.now()
        store = self._engine.store
        for other in store.get(coming.key) or ():
            if (other.vary, other.variant) != (coming.vary, coming.variant) or store.state(other) != "valid":
                continue
            return is_outdone(coming.status, since, other.status, other.received_at, other.freshness, now)
        return False

    def on_flight_over(self, flight: Flight) -> None:
        """See Judge."""
        engine = self._engine
        self._close(flight)
        engine.held -= flight.counted
        flight.counted = 0
        if flight.refresh:
            flight.refresh = False
            engine.refreshing -= 1

    def on_flight_failed(self, flight: Flight, error: CallError) -> None:
        """See Judge."""
        engine = self._engine
        now = engine.clock.now()
        count(self._counters.origin_failures, error.kind)
        if flight.state is not State.WAITING:
            # Those who had part of it were broken off; the others have had nothing and can be told.
            self._counters.aborted += 1
        else:
            engine.health.failed(now)
        timed_out = isinstance(error, AttemptTimeout | ConnectTimeout)
        stale = flight.stale
        if stale is not None:
            resident = now - stale.received_at
            failure: Literal["timeout", "disconnected", "status"] = "status"
            if isinstance(error, ConnectError | ConnectionLost):
                failure = "disconnected"
            elif timed_out:
                failure = "timeout"
            if may_serve_on_error(stale.freshness, resident, failure=failure).allowed:
                self._stale_instead(flight, stale, "stale-if-error")
        status = 504 if timed_out else 502
        for delivery in flight.take_deliveries():
            self._counters.errors += 1
            self._answer_error(delivery.reply, status, flight.note, error.kind)

    def _answer_error(self, reply: Reply, status: int, why: str, kind: str) -> None:
        reason, text = (
            (b"Gateway Timeout", b"The origin did not answer in time.\n")
            if status == 504
            else (b"Bad Gateway", b"The origin could not be reached, or its answer could not be understood.\n")
        )
        note = miss_status(why, stored=False, collapsed=False, detail=kind)
        reply.respond(status, reason, [_TEXT, (b"cache-control", b"no-store"), note], text)

    def begin_answer(self, flight: Flight, delivery: Delivery) -> bool:
        """See Judge."""
        request = delivery.request
        if flight.state is State.SHARED and not flight.verbatim:
            if b"range" in request.fields and flight.status == 200 and flight.keeping:
                delivery.waits_for_all = True
                return False
            shareable = request.method in SHAREABLE
            if shareable and answers_not_modified(request.fields, flight.status, combine(flight.fields)):
                added = [self._note_of(flight, delivery)]
                delivery.release()
                delivery.reply.respond(304, b"Not Modified", fields_of_304(flight.fields) + added, b"")
                return False
        fields = [*flight.fields, self._note_of(flight, delivery)]
        delivery.reply.start(flight.status, flight.reason, fields, flight.length)
        return True

    def answer_whole(self, flight: Flight, delivery: Delivery, body: bytes) -> None:
        """See Judge."""
        note = self._note_of(flight, delivery)
        as_it_came = flight.state is State.PASSING or flight.verbatim or delivery.request.method not in SHAREABLE
        if as_it_came or flight.status == 206:
            # A 206 is shared only by those who asked for the same range, in the same words.
            delivery.reply.respond(flight.status, flight.reason, [*flight.fields, note], body)
            return
        answer_with(delivery.reply, delivery.request, flight.status, flight.reason, flight.fields, body, [note])

    def _note_of(self, flight: Flight, delivery: Delivery) -> tuple[bytes, bytes]:
        return miss_status(flight.note, stored=flight.storing is not None, collapsed=delivery.collapsed)
