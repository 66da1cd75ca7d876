"""How one client of a flight is answered while, or when, the origin's answer comes: whole, a part, or a 304."""

from __future__ import annotations

from collections.abc import Callable

from ...rules.caching.http_fields import FieldMap, combine
from ...rules.caching.lookup import SHAREABLE
from ...rules.caching.ranges import WHOLE, RangeAnswer, answer_on_its_way
from ...rules.caching.validation import answers_not_modified, fields_of_304
from ...rules.range_reach import LOOK_SECONDS, Reach, reach
from .answers import answer_with, head_of, miss_status
from .flight import Delivery, Flight, FlightState
from .protocols import ClientReply, InboundRequest

_TIMER_SECONDS = 0.002
"""A timer may come too early by the resolution of its clock."""
Field = tuple[bytes, bytes]


def begin_answer(flight: Flight, delivery: Delivery, apart: Callable[[InboundRequest, ClientReply], None]) -> bool:
    """Send the head for `delivery`: that of the answer, of a 304 or of a part.

    False where nothing more is to be sent to it from here, or not yet. `apart` asks the origin for a range by itself.
    """
    request, reply = delivery.request, delivery.reply
    status, reason, fields, length = flight.head
    note = _note(flight, delivery)
    if flight.owes_range or (flight.state is FlightState.SHARED and not flight.verbatim):
        if request.method in SHAREABLE and answers_not_modified(request.fields, status, combine(fields)):
            flight.finish(delivery)
            reply.respond(304, b"Not Modified", [*fields_of_304(fields), note], b"")
            return False
        if b"range" in request.fields and status == 200 and request.method == b"GET":
            return _begin_range(flight, delivery, note, apart)
    reply.start(status, reason, [*fields, note], length)
    return True


def _note(flight: Flight, delivery: Delivery) -> Field:
    stored = flight.storing is not None
    return miss_status(flight.note, stored=stored, collapsed=delivery.collapsed, detail=flight.detail)


def _begin_range(
    flight: Flight, delivery: Delivery, note: Field, apart: Callable[[InboundRequest, ClientReply], None]
) -> bool:
    """Begin with the range that was asked for of a whole that is on its way (RFC 9110, 14.2)."""
    request, reply, length = delivery.request, delivery.reply, flight.head.length
    said = combine(flight.head.fields)
    answer = answer_on_its_way(request.fields[b"range"], request.fields.get(b"if-range"), length, said)
    way = _reach(flight, answer, said)
    if way is Reach.LATER:
        flight.look_again(delivery, LOOK_SECONDS + _TIMER_SECONDS)
        return False
    if way is Reach.APART:
        flight.let_go(delivery)
        apart(request, reply)
        return False
    if way is Reach.WHOLE:
        answer = WHOLE
    status, reason, fields = head_of(answer, length or 0, flight.head.reason, flight.head.fields)
    if answer.kind == "unsatisfiable":
        flight.finish(delivery)
        reply.respond(status, reason, [*fields, note], b"")
        return False
    if answer.kind == "part":
        delivery.cut(answer.first, answer.last)
        length = answer.last - answer.first + 1
    reply.start(status, reason, [*fields, note], length)
    return True


def _reach(flight: Flight, answer: RangeAnswer, said: FieldMap) -> Reach:
    if answer.kind != "part":
        return Reach.NOW
    ranges = said.get(b"accept-ranges")
    return reach(answer.first, flight.size, flight.streamed_for(), kept=flight.keeping, ranges=ranges)


def answer_whole(flight: Flight, delivery: Delivery, body: bytes) -> None:
    """Send all at once: as it came, or the 304 or the range that was asked for."""
    request, reply = delivery.request, delivery.reply
    status, reason, fields, _ = flight.head
    note = _note(flight, delivery)
    passing = flight.state is FlightState.PASSING and not flight.owes_range
    if passing or flight.verbatim or request.method not in SHAREABLE or status == 206:
        # A 206 is shared only by those who asked for the same range, in the same words.
        reply.respond(status, reason, [*fields, note], body)
    else:
        answer_with(reply, request, status, reason, fields, body, [note])
