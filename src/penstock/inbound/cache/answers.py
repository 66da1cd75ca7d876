"""Answers made of a stored response: whole, 304, part of it, or the head alone."""

from __future__ import annotations

import functools

from ...messages import RawFields
from ...rules.caching.cache_key import variants_of
from ...rules.caching.cache_status import cache_status
from ...rules.caching.freshness import generated_age
from ...rules.caching.http_fields import combine
from ...rules.caching.ranges import RangeAnswer, answer_from_part, answer_range
from ...rules.caching.request import CacheRequest
from ...rules.caching.validation import answers_not_modified, fields_of_304
from ...stores.stored_response import StoredResponse
from .protocols import ClientReply

PRODUCT = b"penstock"


def hit_fields(stored: StoredResponse, resident: float, *, detail: str | None = None) -> RawFields:
    """What is added to the fields of a stored response: Age (RFC 9111, 5.1) and Cache-Status (RFC 9211)."""
    age = generated_age(stored.freshness, resident)
    ttl = int(stored.freshness.lifetime) - age
    return [(b"age", b"%d" % age), _hit_status(ttl, detail)]


def fresh_until(stored: StoredResponse) -> float:
    """The moment, on the monotonic clock, from which `stored` is stale."""
    return stored.received_at + float(stored.freshness.lifetime - stored.freshness.initial_age)


def age_right_until(stored: StoredResponse, resident: float) -> float:
    """The moment, on the monotonic clock, at which the Age of `stored` grows by one."""
    return stored.received_at + generated_age(stored.freshness, resident) + 1 - float(stored.freshness.initial_age)


@functools.lru_cache(1024)
def _hit_status(ttl: int, detail: str | None) -> tuple[bytes, bytes]:
    return b"cache-status", cache_status(PRODUCT, hit=True, ttl=ttl, detail=detail)


@functools.lru_cache(1024)
def miss_status(forwarded: str, *, stored: bool, collapsed: bool, detail: str | None = None) -> tuple[bytes, bytes]:
    """The Cache-Status field of an answer that came from the origin."""
    return b"cache-status", cache_status(
        PRODUCT, hit=False, fwd=forwarded, stored=stored, collapsed=collapsed, detail=detail
    )


def answer_stored(reply: ClientReply, request: CacheRequest, stored: StoredResponse, added: RawFields) -> int:
    """Answer `request` from `stored`, adding the fields `added`. Returns the status sent."""
    return answer_with(reply, request, stored.status, stored.reason, stored.fields, stored.body, added, stored)


def answer_with(
    reply: ClientReply,
    request: CacheRequest,
    status: int,
    reason: bytes,
    fields: RawFields,
    body: bytes,
    added: RawFields,
    stored: StoredResponse | None = None,
) -> int:
    """Answer with a complete response, observing the request's conditions and range (RFC 9110, 13 and 14)."""
    asked = request.fields
    conditional = b"if-none-match" in asked or b"if-modified-since" in asked
    if conditional and answers_not_modified(asked, status, combine(fields)):
        reply.respond(304, b"Not Modified", fields_of_304(fields) + added, b"")
        return 304
    if b"range" in asked and request.method == b"GET":
        if status == 200:
            return _answer_range(reply, request, reason, fields, body, added)
        if status == 206 and stored is not None:
            return _answer_part(reply, request, stored, added)
    reply.respond(status, reason, fields + added, body)
    return status


def _answer_range(
    reply: ClientReply, request: CacheRequest, reason: bytes, fields: RawFields, body: bytes, added: RawFields
) -> int:
    total = len(body)
    answer = answer_range(request.fields.get(b"range"), request.fields.get(b"if-range"), total, combine(fields))
    status, reason, fields = head_of(answer, total, reason, fields)
    if answer.kind != "whole":
        body = body[answer.first : answer.last + 1] if answer.kind == "part" else b""
    reply.respond(status, reason, fields + added, body)
    return status


def head_of(answer: RangeAnswer, total: int, reason: bytes, fields: RawFields) -> tuple[int, bytes, RawFields]:
    """Status, reason and fields of what is made of a 200 with `total` bytes for who wants a part of it."""
    if answer.kind == "whole":
        return 200, reason, fields
    if answer.kind == "unsatisfiable":
        return 416, b"Range Not Satisfiable", [(b"content-range", b"bytes */%d" % total)]
    where = (b"content-range", b"bytes %d-%d/%d" % (answer.first, answer.last, total))
    return 206, b"Partial Content", [*fields, where]


def _answer_part(reply: ClientReply, request: CacheRequest, stored: StoredResponse, added: RawFields) -> int:
    """From a stored 206, for a range that lies within it; the caller has made sure of that."""
    part = part_of(request, stored)
    assert part is not None
    first, last = part
    body = stored.body[first - stored.first_byte : last + 1 - stored.first_byte]
    total = b"*" if stored.total_length is None else b"%d" % stored.total_length
    where = [(b"content-range", b"bytes %d-%d/%b" % (first, last, total))]
    others = [(name, value) for name, value in stored.fields if name != b"content-range"]
    reply.respond(206, b"Partial Content", others + where + added, body)
    return 206


def is_for(answer: StoredResponse, request: CacheRequest) -> bool:
    """Whether `answer` is the variant that `request` asks for (RFC 9111, 4.1)."""
    return answer.variant in variants_of(answer.vary, request.fields, answer.codings)


def part_of(request: CacheRequest, stored: StoredResponse) -> tuple[int, int] | None:
    """First and last byte of what `request` asks for, if the stored part (a 206) has it all."""
    wanted = request.fields.get(b"range")
    if wanted is None or b"if-range" in request.fields or request.method != b"GET":
        return None
    return answer_from_part(wanted, stored.first_byte, len(stored.body), stored.total_length)
