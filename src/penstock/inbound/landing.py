"""What an answer of the origin does: to those who wait for it, and to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..errors import AttemptTimeout, CallError, ConnectTimeout
from ..messages import RawFields
from ..rules.caching.cache_control import Directives, parse_cache_control
from ..rules.caching.cache_key import primary_key, variant_of, vary_names
from ..rules.caching.decisions import Decision
from ..rules.caching.freshness import Use, freshness_of, may_serve_on_error, use_of
from ..rules.caching.http_date import format_http_date
from ..rules.caching.http_fields import combine, end_to_end
from ..rules.caching.invalidation import invalidated, is_unsafe
from ..rules.caching.ranges import parse_content_range
from ..rules.caching.storing import may_store
from ..rules.caching.surrogate_tags import tags_of
from ..rules.caching.targeted import response_directives
from ..rules.caching.validation import answers_not_modified, fields_of_304, merge_not_modified, selects
from ..stores.stored_response import StoredResponse
from .answers import answer_stored, answer_with, hit_fields, miss_status
from .counters import count
from .flight import Delivery, Flight, State
from .ports import InboundRequest, Reply
from .reasons import BYPASS, EVENT_STREAM, MUST_VALIDATE, TOO_LARGE, TOO_MANY_TAGS

if TYPE_CHECKING:
    from .engine import CacheEngine

_ERRORS = frozenset({500, 502, 503, 504})
_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class Landing:
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
        stale = flight.stale
        if status == 304 and flight.conditional and stale is not None:
            self._confirmed(flight, stale, kept)
            return
        if stale is not None and status in _ERRORS:
            allowed = may_serve_on_error(stale.freshness, now - stale.received_at, failure="status")
            if allowed.allowed:
                self._stale_instead(flight, stale, "stale-if-error")
                flight.discard()
                return
        self._land(flight, status, reason, kept, length)

    def _land(self, flight: Flight, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        request = flight.request
        if request.policy.strip_set_cookie:
            fields = [field for field in fields if field[0] != b"set-cookie"]
        combined = combine(self._dated(fields) if self._engine.adds_date else fields)
        flight.status, flight.reason, flight.fields, flight.length = status, reason, fields, length
        if is_unsafe(request.method):
            self._invalidate(request, status, combined)
        verdict, candidate = self._weigh(flight, status, reason, fields, combined, length)
        if candidate is None:
            self._refused(flight, status, verdict)
            return
        storing = candidate
        self._settle_vary(flight, storing)
        if use_of(storing.freshness, 0.0) is Use.VALIDATE:
            # It may be stored, but each use must be confirmed, so nobody may share this one.
            self._note(flight, MUST_VALIDATE, status)
            self._release_followers(flight)
        flight.share(storing)

    def _dated(self, fields: RawFields) -> RawFields:
        """`fields`, with the date of receipt where they have none (RFC 9110, 6.6.1)."""
        if all(name != b"date" for name, _ in fields):
            fields.append((b"date", format_http_date(self._engine.clock.wall())))
        return fields

    def _weigh(
        self,
        flight: Flight,
        status: int,
        reason: bytes,
        fields: RawFields,
        combined: dict[bytes, bytes],
        length: int | None,
    ) -> tuple[Decision, StoredResponse | None]:
        """What would be stored, still without its body; None, with the reason, where nothing may be."""
        engine, request = self._engine, flight.request
        directives = self._directives(request, combined)
        wall = engine.clock.wall()
        verdict = self._by_circumstance(flight, status, combined, length) or may_store(
            request, status, combined, directives, engine.options, received_wall=wall
        )
        if not verdict.allowed:
            return verdict, None
        tags = tags_of(combined, max_tags=engine.options.max_tags, max_bytes=engine.options.max_tag_bytes)
        if tags is None:
            return TOO_MANY_TAGS, None
        now = engine.clock.now()
        freshness = freshness_of(
            status,
            combined,
            directives,
            engine.options,
            response_delay=now - flight.began,
            received_wall=wall,
        )
        vary = vary_names(combined) or ()
        place = parse_content_range(combined[b"content-range"]) if status == 206 else None
        stored = StoredResponse(
            key=flight.key,
            vary=vary,
            variant=variant_of(vary, request.fields) if vary else b"",
            status=status,
            reason=reason,
            fields=fields,
            body=b"",
            freshness=freshness,
            received_at=now,
            tags=(*tags, *(tag.encode() for tag in request.policy.tags)),
            sequence=flight.sequence,
            first_byte=place[0] if place is not None else 0,
            total_length=place[2] if place is not None else length,
        )
        return verdict, stored

    def _by_circumstance(
        self, flight: Flight, status: int, combined: dict[bytes, bytes], length: int | None
    ) -> Decision | None:
        if flight.request.policy.bypass:
            return BYPASS
        if combined.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
            return EVENT_STREAM
        if length is not None and length > self._engine.store.max_object_bytes:
            return TOO_LARGE
        return None

    def _directives(self, request: InboundRequest, combined: dict[bytes, bytes]) -> Directives:
        directives, source = response_directives(combined, self._engine.options.targeted)
        if source == b"cache-control" and b"cache-control" not in combined and b"expires" not in combined:
            stand_in = request.policy.cache_control()
            if stand_in is not None:
                return parse_cache_control(stand_in)
        return directives

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
        if engine.flights.get(flight.flight_key) is flight:
            del engine.flights[flight.flight_key]
        flight.flight_key = engine.flight_key(flight.request, flight.key, flight.stale)
        engine.flights.setdefault(flight.flight_key, flight)
        if not storing.vary:
            return
        strangers = [d for d in flight.deliveries if variant_of(storing.vary, d.request.fields) != storing.variant]
        for delivery in strangers:
            del flight.deliveries[delivery]
            delivery.release()
        for delivery in strangers:
            engine.handle_again(delivery.request, delivery.reply)

    def _refused(self, flight: Flight, status: int, verdict: Decision) -> None:
        engine = self._engine
        self._note(flight, verdict, status)
        stale = flight.stale
        if stale is not None and status < 500 and status != 304:
            # There is a newer answer, and it says not to be stored: the older one no longer speaks for the resource.
            engine.store.discard(stale)
        self.on_flight_over(flight)
        self._release_followers(flight)
        flight.pass_to_leader()

    def _note(self, flight: Flight, verdict: Decision, status: int) -> None:
        count(self._counters.uncacheable, verdict.reason)
        if flight.request.method == b"GET":
            key = self._engine.refusal_key(flight.request, flight.key)
            self._engine.refusals.note(key, self._engine.clock.now(), verdict.reason, verdict.clause, status)

    def _release_followers(self, flight: Flight) -> None:
        """Send everybody but the first client to the origin, all at once."""
        followers = [d for d in flight.deliveries if d.collapsed]
        for delivery in followers:
            del flight.deliveries[delivery]
            delivery.release()
        for delivery in followers:
            self._engine.handle_alone(delivery.request, delivery.reply)

    # A 304, and stale answers.

    def _confirmed(self, flight: Flight, stale: StoredResponse, fields: RawFields) -> None:
        """Freshen the stored response and answer with it (RFC 9111, 4.3.4)."""
        engine = self._engine
        if not selects(combine(stale.fields), combine(fields)):
            engine.resend(flight)
            return
        self._counters.revalidated += 1
        # Without an own Date the stored one, if there is one, would make it old.
        dated = self._engine.adds_date or any(name == b"date" for name, _ in stale.fields)
        update = self._dated(fields) if dated else fields
        merged = merge_not_modified(stale.fields, update, set_cookie=engine.options.profile == "rfc")
        # A cookie that comes with the 304 is for the one client whose request it was.
        cookies = [field for field in fields if field[0] == b"set-cookie"] if engine.options.profile != "rfc" else []
        combined = combine(merged)
        verdict, candidate = self._weigh(flight, stale.status, stale.reason, merged, combined, len(stale.body))
        shared = candidate is not None and use_of(candidate.freshness, 0.0) is not Use.VALIDATE
        if candidate is not None:
            candidate.body = stale.body
            engine.store.put(candidate)
        else:
            engine.store.discard(stale)
        if shared:
            engine.refusals.forget(engine.refusal_key(flight.request, flight.key))
        else:
            self._note(flight, verdict if not verdict.allowed else MUST_VALIDATE, stale.status)
            self.on_flight_over(flight)
            self._release_followers(flight)
        for delivery in flight.take_deliveries():
            note = miss_status(flight.note, stored=verdict.allowed, collapsed=delivery.collapsed)
            added = [note] if delivery.collapsed else [*cookies, note]
            answer_with(delivery.reply, delivery.request, stale.status, stale.reason, merged, stale.body, added, stale)
        flight.discard()

    def _stale_instead(self, flight: Flight, stale: StoredResponse, why: str) -> None:
        resident = self._engine.clock.now() - stale.received_at
        for delivery in flight.take_deliveries():
            count(self._counters.stale_hits, why)
            answer_stored(delivery.reply, delivery.request, stale, hit_fields(stale, resident, detail=why))

    # The body and the end.

    def on_flight_body(self, flight: Flight) -> None:
        """See Judge."""
        if flight.size > self._engine.store.max_object_bytes:
            count(self._counters.uncacheable, "too-large")
            flight.stop_keeping()

    def on_flight_complete(self, flight: Flight) -> None:
        """See Judge."""
        self._counters.bytes_from_origin += flight.size
        storing = flight.storing
        if storing is None:
            return
        storing.body = flight.body() if flight.request.method != b"HEAD" else b""
        if not self._is_whole(storing):
            count(self._counters.uncacheable, "partial-mismatch")
            return
        engine = self._engine
        if engine.store.put(storing):
            self._counters.stored += 1
            engine.refusals.forget(engine.refusal_key(flight.request, flight.key))

    def _is_whole(self, storing: StoredResponse) -> bool:
        if storing.status != 206 or self._engine.options.lenient_origin:
            return True
        place = parse_content_range(dict(storing.fields)[b"content-range"])
        return place is not None and place[1] - place[0] + 1 == len(storing.body)

    def on_flight_over(self, flight: Flight) -> None:
        """See Judge."""
        engine = self._engine
        if engine.flights.get(flight.flight_key) is flight:
            del engine.flights[flight.flight_key]
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
            failure: Literal["timeout", "disconnected"] = "timeout" if timed_out else "disconnected"
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
        if flight.state is State.SHARED:
            if b"range" in request.fields and flight.status == 200:
                delivery.waits_for_all = True
                return False
            if answers_not_modified(request.fields, flight.status, combine(flight.fields)):
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
        if flight.state is State.PASSING or flight.alone:
            delivery.reply.respond(flight.status, flight.reason, [*flight.fields, note], body)
            return
        stored = flight.storing if flight.status == 206 and delivery.collapsed else None
        answer_with(delivery.reply, delivery.request, flight.status, flight.reason, flight.fields, body, [note], stored)

    def _note_of(self, flight: Flight, delivery: Delivery) -> tuple[bytes, bytes]:
        return miss_status(flight.note, stored=flight.storing is not None, collapsed=delivery.collapsed)

    # Unsafe methods.

    def _invalidate(self, request: InboundRequest, status: int, combined: dict[bytes, bytes]) -> None:
        engine = self._engine
        for scheme, host, target in invalidated(
            request.method, status, request.host, request.scheme, request.target, combined
        ):
            self._counters.invalidated += engine.forget_url(primary_key(scheme, host, target))
