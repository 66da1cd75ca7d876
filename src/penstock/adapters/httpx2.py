"""Limits for a client of httpx2, in one line: `httpx2.AsyncClient(transport=AsyncLimit("500/min"))`."""

from __future__ import annotations

from ..errors import UsageError
from ..extras import how_to_install
from .httpx_like import AsyncTransport, BlockingTransport

try:
    import httpx2
except ImportError as error:
    raise UsageError(f"this transport needs httpx2: {how_to_install('httpx2')}") from error


class Httpx2AsyncLimit(AsyncTransport, httpx2.AsyncBaseTransport):
    """A transport that sends as the limits allow, for `httpx2.AsyncClient`; `transport` is what it sends through.

    `limit` is `"500/min"`, several, or None; `"500/min@api"` is shared with all who use the name. Limits that answers
    tell, and `Retry-After`, hold for all requests (`limit_headers="ignore"`: only the latter). A refused request is
    sent again where its body is bytes, at most `max_attempts` times within `total_timeout` seconds. Waiting for a
    permit is bounded by nothing but a cancellation, which gives the permit back.
    """

    _default = httpx2.AsyncHTTPTransport
    _bytes = httpx2.ByteStream


class Httpx2SyncLimit(BlockingTransport, httpx2.BaseTransport):
    """The same for `httpx2.Client`, and for any number of threads."""

    _default = httpx2.HTTPTransport
    _bytes = httpx2.ByteStream


AsyncLimit = Httpx2AsyncLimit
SyncLimit = Httpx2SyncLimit
