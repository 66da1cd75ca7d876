"""The origin of the proxy: requests rebuilt for it, over the streaming client."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...messages import RawFields
from ...rules.caching.http_fields import nominated
from ...rules.caching.unkeyed import CLAIMS, NEVER_KEYED, OVERRIDES, trusted_key
from ...wire.server import ServerExchange
from ...wire.streams import Receiver, StreamClient, StreamExchange
from ..cache.answers import PRODUCT
from ..cache.protocols import ClientReply, InboundRequest
from .request_ids import RequestIds
from .uploads import Upload

REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""The methods of requests that may be sent again, where nothing came back (RFC 9110, 9.2.2)."""
# The wire writes these itself; Expect was met by us (RFC 9110, 10.1.1).
_OURS = frozenset({b"host", b"content-length", b"transfer-encoding", b"x-forwarded-for", b"via", b"expect"})
_NO_BODY_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})


VIA = b"Via: %b1.1 %b\r\n"
"""What Via said before, with a comma, and our name."""
WHOM = b"X-Forwarded-For: %b\r\n"
"""The address that we ask for."""
PLACE = b"X-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\n"
"""What the client asked for: scheme and host."""
SUSPECT = NEVER_KEYED | CLAIMS
"""Who sends none of these, and of whose Connection field nothing follows, need not be screened."""


def screen(request: InboundRequest, *, trust_forwarded: bool) -> None:
    """Make of `request` what the app is to see of it, so that this is what the cache goes by.

    What Connection lists stays on this side. What clients claim of where they come from, and of the place that they
    ask for, only we know: it is taken off.
    `trust_forwarded`: the client is a proxy of ours, so its scheme and host are those of the key.
    """
    request.take_off(nominated(request.fields.get(b"connection", b"close")))
    if not trust_forwarded:
        request.unkeyed = not OVERRIDES.isdisjoint(request.fields)
        request.take_off(CLAIMS)
        return
    key = trusted_key(request.fields, request.scheme, request.host)
    if key is None:
        request.unkeyed = True
        return
    request.authority = request.host
    request.scheme, request.host = key


class ProxyOrigin:
    """An Origin over HTTP. `trust_forwarded`: the client is a proxy of ours, whose X-Forwarded-For is kept.

    `uploads`: the bodies of requests that have one. `ids`: every request gets an X-Request-Id. `name` is ours in Via.
    """

    def __init__(
        self,
        client: StreamClient,
        *,
        trust_forwarded: bool = False,
        uploads: Mapping[ServerExchange, Upload] = MappingProxyType({}),
        ids: RequestIds | None = None,
        name: bytes = PRODUCT,
    ) -> None:
        self._name = name
        self._ids = ids
        self._client = client
        self._trust = trust_forwarded
        self._uploads = uploads

    def fetch(
        self, request: InboundRequest, fields: RawFields, receiver: Receiver, reply: ClientReply | None
    ) -> StreamExchange:
        """Ask the app for `request`, with `fields` in place of its own; the answer goes to `receiver`."""
        upload = self._uploads[reply] if isinstance(reply, ServerExchange) else None
        ahead = b"" if upload is None else upload.take()
        whole = upload is None or upload.complete
        length = len(ahead) if upload is None or whole else upload.length
        head = self.head(request, fields, _framing(request.method, length))
        fetch = self._client.fetch(
            head + ahead if whole else head,
            receiver,
            head_only=request.method == b"HEAD",
            repeatable=whole and request.method in REPEATABLE,
            more=not whole,
        )
        if upload is not None and not whole:
            RequestBody(upload, fetch, chunked=length is None).begin(ahead)
        return fetch

    def head(self, request: InboundRequest, fields: RawFields, framing: bytes) -> bytes:
        """The bytes of the request's head: written anew, never the ones that came."""
        lines = [
            b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (request.method, request.target, request.authority or request.host)
        ]
        forwarded_for = b""
        via = b""
        trust = self._trust
        for name, value in fields:
            if name in _OURS:
                if name == b"x-forwarded-for" and trust:
                    forwarded_for += value + b", "
                elif name == b"via":
                    via += value + b", "
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        lines.append(self._forwarding(request, forwarded_for, via))
        if self._ids is not None:
            lines.append(self._ids.line(request))
        lines.append(framing)
        return b"".join(lines)

    def _forwarding(self, request: InboundRequest, forwarded_for: bytes, via: bytes) -> bytes:
        text = VIA % (via, self._name)
        # Who comes over a Unix socket has no address, and adds none.
        addresses = (
            forwarded_for + request.client.encode("latin-1", "replace") if request.client else forwarded_for[:-2]
        )
        if addresses:
            text += WHOM % addresses
        return text if self._trust else text + PLACE % (request.scheme, request.host)


def _framing(method: bytes, length: int | None) -> bytes:
    """For a body of `length` bytes; None where only its end will tell."""
    if length is None:
        return b"Transfer-Encoding: chunked\r\n\r\n"
    # These methods say what an empty body means; for others its length is stated (RFC 9110, 8.6).
    return b"Content-Length: %d\r\n\r\n" % length if length or method not in _NO_BODY_METHODS else b"\r\n"


class RequestBody:
    """Carries the body of a client's request to the origin, as fast as the slower of the two."""

    __slots__ = ("_chunked", "_exchange", "_fetch", "_upload", "_waiting")

    def __init__(self, upload: Upload, fetch: StreamExchange, *, chunked: bool) -> None:
        self._exchange = upload.exchange
        self._fetch = fetch
        self._upload = upload
        self._chunked = chunked
        self._waiting = False

    def begin(self, ahead: bytes) -> None:
        """Send what was read ahead, and then what comes."""
        self._fetch.on_drained = self._drained
        if ahead:
            # An empty chunk would be the last one.
            self._data(ahead)
        if not self._waiting:
            self._upload.sent_ahead()
        self._exchange.receive_body(self._data, self._end)
        if not self._waiting:
            # It may have been paused until its turn came.
            self._exchange.resume_body()

    def _data(self, data: bytes) -> None:
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._fetch.send(data)
        if not self._fetch.can_send and not self._waiting:
            self._waiting = True
            self._exchange.pause_body()

    def _end(self) -> None:
        self._fetch.send(b"0\r\n\r\n" if self._chunked else b"", last=True)
        self._upload.sent()

    def _drained(self) -> None:
        self._upload.sent_ahead()
        if self._waiting:
            self._waiting = False
            self._exchange.resume_body()
