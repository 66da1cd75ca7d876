"""The fields of a request to the origin: what of the client's goes along, and what is ours."""

from __future__ import annotations

from ...messages import RawFields
from ...rules.caching.http_fields import end_to_end
from .protocols import InboundRequest

CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})
RANGES = frozenset({b"range", b"if-range"})
_NOTHING: frozenset[bytes] = frozenset()


def origin_fields(request: InboundRequest, without: frozenset[bytes], added: RawFields) -> RawFields:
    """The end-to-end fields of `request` but for those of `without`, and `added` after them."""
    fields = end_to_end(request.raw, without)
    return fields + added if added else fields


def to_leave_out(request: InboundRequest, *, conditions: bool, ranges: bool) -> frozenset[bytes]:
    """Which fields a shared request goes without: an answer for everybody must not depend on what one client has."""
    out = _NOTHING
    asked = request.fields
    if conditions and (b"if-none-match" in asked or b"if-modified-since" in asked):
        out = CONDITIONS
    if ranges and b"range" in asked:
        out |= RANGES
    return out
