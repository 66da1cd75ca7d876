"""Stored parts: which one a request can be completed from, what comes of two, and what a wrong 206 is taken for."""

from __future__ import annotations

from ...messages import RawFields
from ...rules.caching.cache_key import variants_of
from ...rules.caching.http_fields import combine
from ...rules.caching.ranges import believed_range, may_combine, missing_part, parse_content_range
from ...rules.caching.validation import merge_not_modified
from ...stores.stored_response import StoredResponse
from ...stores.variants import Resource
from .protocols import InboundRequest


def beginnings(resource: Resource, request: InboundRequest) -> list[StoredResponse]:
    """Stored 206 responses that hold the first bytes of what `request`, a plain GET, asks for (RFC 9111, 3.4)."""
    if request.method != b"GET" or b"range" in request.fields:
        return []
    return [
        stored
        for stored in resource.matching(lambda names: variants_of(names, request.fields, resource.codings))
        if stored.status == 206 and missing_part(stored.first_byte, len(stored.body), stored.total_length) is not None
    ]


def asking_for_rest(part: StoredResponse) -> RawFields:
    """The fields that ask for what follows on `part`: nothing but that, if it is still the same (RFC 9110, 13.1.5)."""
    missing = missing_part(part.first_byte, len(part.body), part.total_length)
    assert missing is not None
    asked = [(b"range", missing)]
    tag = dict(part.fields).get(b"etag", b"")
    if tag.startswith(b'"'):
        asked.append((b"if-range", tag))
    return asked


def fields_of_both(part: StoredResponse, fields: RawFields, length: int | None) -> RawFields | None:
    """The fields of the 200 that `part` and a 206 with `fields` make (RFC 9110, 15.3.7.3); None where they make none.

    `length` is that of the body of the 206, which must be known, because the answer's own is stated before it came.
    """
    combined = combine(fields)
    total = part.total_length
    here = len(part.body)
    if total is None or length != total - here or not may_combine(combine(part.fields), combined):
        return None
    if parse_content_range(combined.get(b"content-range", b"")) != (here, total - 1, total):
        return None
    merged = merge_not_modified(part.fields, fields, set_cookie=True)
    return [field for field in merged if field[0] != b"content-range"]


def as_believed(storing: StoredResponse) -> StoredResponse | None:
    """`storing`, a complete 206, as a lenient cache takes it: by the length of its body. None where that is nothing."""
    place = parse_content_range(dict(storing.fields).get(b"content-range", b""))
    if place is None or not storing.body:
        return None
    first, last, total = believed_range(*place, len(storing.body))
    if total is not None and last >= total:
        return None
    of = b"*" if total is None else b"%d" % total
    where = (b"content-range", b"bytes %d-%d/%b" % (first, last, of))
    return StoredResponse(
        key=storing.key,
        vary=storing.vary,
        variant=storing.variant,
        codings=storing.codings,
        status=206,
        reason=storing.reason,
        fields=[where if field[0] == b"content-range" else field for field in storing.fields],
        body=storing.body,
        freshness=storing.freshness,
        received_at=storing.received_at,
        tags=storing.tags,
        sequence=storing.sequence,
        first_byte=first,
        total_length=total,
    )
