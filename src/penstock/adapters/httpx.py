"""Limits for a client of httpx, in one line: `httpx.AsyncClient(transport=AsyncLimit("500/min"))`."""

from __future__ import annotations

from ..errors import UsageError
from ..extras import how_to_install
from .httpx_like import AsyncTransport, BlockingTransport

try:
    import httpx
except ImportError as error:
    raise UsageError(f"this transport needs httpx: {how_to_install('httpx')}") from error


class HttpxAsyncLimit(AsyncTransport, httpx.AsyncBaseTransport):
    """A transport that sends as the limits allow, for `httpx.AsyncClient`; `transport` is what it sends through.

    `limit` is `"500/min"`, several, or None; `"500/min@api"` is shared with all who use the name. Limits that answers
    tell, and `Retry-After`, hold for all requests (`limit_headers="ignore"`: only the latter). A refused request is
    sent again where its body is bytes, at most `max_attempts` times within `total_timeout` seconds. Waiting for a
    permit is bounded by nothing but a cancellation, which gives the permit back.
    """

    _default = httpx.AsyncHTTPTransport
    _bytes = httpx.ByteStream


class HttpxSyncLimit(BlockingTransport, httpx.BaseTransport):
    """The same for `httpx.Client`, and for any number of threads."""

    _default = httpx.HTTPTransport
    _bytes = httpx.ByteStream


AsyncLimit = HttpxAsyncLimit
SyncLimit = HttpxSyncLimit
