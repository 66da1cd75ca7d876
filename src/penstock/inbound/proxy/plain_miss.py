"""A plain request under way to the origin: one object in place of an exchange, a flight and a fetch.

It ends in one of two ways. One whole plain answer comes at once, of which the rules say the same as of others of its
kind: then it is counted, stored and sent from here. Or it becomes the general objects, as they would be by now
(`inflate`), and the general code goes on.
"""

from __future__ import annotations

from typing import Protocol

from ...errors import CallError
from ...messages import RawFields
from ...rules.caching.http_fields import FieldMap
from ...rules.caching.lookup import Plan
from ...rules.caching.verdicts import KindVerdict
from ...stores.stored_response import StoredResponse
from ...wire.plain_heads import PlainHead
from ...wire.server import ServerExchange
from ...wire.server.plain_connection import PlainServerConnection
from ...wire.streams import Receiver, StreamClient, StreamExchange
from ...wire.streams.connection import StreamConnection
from ..cache.answers import miss_status
from ..cache.counters import count
from ..cache.engine import CacheEngine
from ..cache.found import Found
from ..cache.plain_verdicts import PlainVerdicts
from ..cache.protocols import ClientReply, InboundRequest

LONGEST = 64 * 1024
"""Bytes of an answer: to put the head and the body of a longer one together costs more than two writes."""
_END_OF_HEAD = b"\r\n\r\n"
_END = len(_END_OF_HEAD)


class PlainHandler(Protocol):
    """What becomes of a request in general."""

    def plain_request(self, exchange: ServerExchange, host: bytes) -> InboundRequest:
        """The request of `exchange`, which is plain, for `host` in the form of keys."""
        ...


class PlainMeans(Protocol):
    """What all plain requests have in common."""

    engine: CacheEngine
    client: StreamClient
    verdicts: PlainVerdicts
    answered: int
    """Requests that ended here."""
    inflated: int
    """Requests that went on in the general way."""

    @property
    def handler(self) -> PlainHandler:
        """Who makes the general request."""
        ...


class PlainMiss:
    """A PlainExchange for the client's connection, a PlainFetch for that to the origin, a PlainFlight for the cache.

    And, once it is to be inflated, the Origin of its flight. `personal`: what its request has of the fields that tell
    users apart.
    """

    __slots__ = (
        "_became",
        "_began",
        "_client",
        "_host",
        "_key",
        "_personal",
        "_plan",
        "_raw",
        "_sequence",
        "_way",
        "asked",
        "sent",
        "touched",
    )
    paused = False
    """Nobody lets the origin wait before its answer has begun."""

    def __init__(
        self,
        way: PlainMeans,
        client: PlainServerConnection,
        raw: bytes,
        host: bytes,
        key: bytes,
        personal: FieldMap,
        plan: Plan,
        began: float,
    ) -> None:
        self._way = way
        self._client = client
        self._raw = raw
        self._host = host
        self._key = key
        self._personal = personal
        self._plan = plan
        self._began = began
        self._sequence = way.engine.store.sequence()
        self._became: StreamExchange | None = None
        self.asked: StreamConnection
        """Where the request went."""
        self.sent = b""
        """The request as it went there."""
        self.touched = 0.0
        """When the origin was sent the request; seconds on the loop's clock."""

    # From the origin's connection.

    def answered(self, data: bytes) -> bool:
        """See PlainOwner."""
        end = data.find(_END_OF_HEAD) + _END
        verdicts = self._way.verdicts
        if end >= _END and len(data) <= LONGEST:
            head = verdicts.head(data, end)
            if head is not None and len(data) - end == head.length and head.date is not None and self.asked.all_sent:
                verdict = verdicts.of(head, cookie=bool(self._personal))
                if verdict is not None and self._land(head, verdict, data[end:]):
                    return True
        self.inflate()
        return False

    def fail(self, error: CallError) -> None:
        """See Timed."""
        self.inflate().fail(error)

    # The general way.

    def inflate(self) -> StreamExchange:
        """Become what the general code would have made of the request by now; returns the exchange with the origin.

        Once only: who has held on to this one meanwhile means what it has become.
        """
        if self._became is None:
            self._unfold()
        assert self._became is not None
        return self._became

    def _unfold(self) -> None:
        way = self._way
        way.inflated += 1
        plain = way.engine.flights.plain
        closed = plain.get(self._key) is not self
        if not closed:
            del plain[self._key]
        exchange = self._client.unfold(self._raw)
        request = way.handler.plain_request(exchange, self._host)
        found = Found(self._plan, self._key, self._began, flight_key=self._key)
        way.engine.unfold(found, request, exchange, self._sequence, self, closed=closed)

    def fetch(
        self, request: InboundRequest, fields: RawFields, receiver: Receiver, reply: ClientReply | None
    ) -> StreamExchange:
        """As an Origin: the request was sent already, and `receiver` is told of the rest."""
        self._became = self._way.client.unfold(self, self.asked, self.sent, receiver)
        return self._became

    # The plain way.

    def _land(self, head: PlainHead, verdict: KindVerdict, body: bytes) -> bool:
        """Do with the answer what the rules say of its kind; False, and nothing is done, where more is to be done."""
        way = self._way
        engine = way.engine
        now = engine.clock.now()
        if now >= engine.app_clock.next_look:
            return False
        stored = None
        if verdict.freshness is not None:
            stored = self._to_store(head, verdict, body, now)
            if stored is None:
                return False
        counters = engine.counters
        counters.origin_latency.add(now - self._began)
        counters.bytes_from_origin += head.length
        if engine.health.failures:
            engine.health.answered(now)
        way.client.finish_plain(self, self.asked, head.keep_alive_seconds)
        detail = self._refuse(head, verdict, now) if stored is None else self._store(stored)
        if engine.flights.plain.get(self._key) is self:
            del engine.flights.plain[self._key]
        note = miss_status(self._plan.word, stored=detail is None, collapsed=False, detail=detail)
        way.answered += 1
        self._client.answer_plain(
            b"HTTP/1.1 %d %b\r\n%b%b: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (head.status, head.reason, head.packed, *note, head.length, body)
        )
        return True

    def _to_store(self, head: PlainHead, verdict: KindVerdict, body: bytes, now: float) -> StoredResponse | None:
        """What is to be stored; None where what is stored, on its way or known of the key has a say in it."""
        engine, key = self._way.engine, self._key
        flights = engine.flights
        if (
            engine.store.get(key) is not None
            or flights.is_full()
            or (flights.vary_hints.entries and flights.varies(key))
        ):
            return None
        return self._way.verdicts.to_store(
            verdict,
            head,
            body,
            key=key,
            sequence=self._sequence,
            began=self._began,
            now=now,
            wall=engine.clock.wall(),
            app_clock=engine.app_clock,
        )

    def _store(self, stored: StoredResponse) -> str | None:
        """Store it; why not, where it was not taken."""
        engine = self._way.engine
        if not engine.store.put(stored):
            count(engine.counters.uncacheable, "not-taken")
            return "not-taken"
        engine.counters.stored += 1
        engine.refusals.forget(self._key, self._personal)
        return None

    def _refuse(self, head: PlainHead, verdict: KindVerdict, now: float) -> str:
        """Remember why it is not stored."""
        engine, decision = self._way.engine, verdict.decision
        count(engine.counters.uncacheable, decision.reason)
        engine.refusals.note(self._key, self._personal, now, decision, head.status, for_all=verdict.for_all)
        return decision.reason
