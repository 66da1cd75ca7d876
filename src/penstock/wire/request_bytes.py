"""A request as bytes (RFC 9112, 3). What a Headers object contributes is encoded once and kept."""

from __future__ import annotations

import re
from collections.abc import Callable

from .._version import __version__
from ..errors import UsageError
from ..messages import Headers, Request
from .url import UrlOrigin

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The wire frames the message and keeps the connection; a second opinion is how requests are smuggled.
_FRAMING = {"content-length", "transfer-encoding", "te"}
_HOP_BY_HOP = {"keep-alive", "proxy-connection", "upgrade"}
# These methods say what an empty body means, so its length is stated (RFC 9110, 8.6).
_LENGTH_ALWAYS = {"POST", "PUT", "PATCH"}
_MAX_KEPT = 256
USER_AGENT = f"penstock/{__version__}"


class _Fields:
    """The fixed part of a request: everything between the target and the content length."""

    __slots__ = ("headers", "length_always", "method", "text")

    def __init__(self, method: str, headers: Headers, text: str) -> None:
        # Held, so that its id() in the table stays its own.
        self.headers = headers
        self.method = method
        self.text = text
        self.length_always = method in _LENGTH_ALWAYS


class RequestEncoder:
    """Encodes requests to one origin. `accept_encoding` is sent where the request does not name its own.

    Without `keep_alive` each asks for `Connection: close`. One that does so by itself ends keep-alive for all that
    follow: the peer may not answer another on its connection, and `on_close` is called.
    """

    __slots__ = ("_accept_encoding", "_authority", "_keep_alive", "_known", "on_close")

    def __init__(self, origin: UrlOrigin, accept_encoding: str, *, keep_alive: bool = True) -> None:
        self._authority = origin.authority
        self._accept_encoding = accept_encoding
        self._keep_alive = keep_alive
        self.on_close: Callable[[], None] = lambda: None
        self._known: dict[int, _Fields] = {}

    def encode(self, request: Request, target: str) -> bytes:
        """The request's bytes. `target` was checked by the caller.

        Raises UsageError for a method that is not a token, CONNECT, a field that the wire writes itself, or
        text that does not fit into latin-1.
        """
        headers = request.headers
        fields = self._known.get(id(headers))
        if fields is None or fields.method != request.method:
            fields = self._learn(request.method, headers)
        body = request.body
        if body or fields.length_always:
            head = f"{request.method} {target}{fields.text}Content-Length: {len(body)}\r\n\r\n"
            try:
                return head.encode("latin-1") + body
            except TypeError:
                raise UsageError(f"the body must be bytes, not {type(body).__name__}") from None
        return f"{request.method} {target}{fields.text}\r\n".encode("latin-1")

    def _learn(self, method: str, headers: Headers) -> _Fields:
        check_request(method, headers)
        if self._keep_alive and headers.get("connection"):
            self._keep_alive = False
            self._known.clear()
            self.on_close()
        fields = _Fields(method, headers, self._fixed_part(headers))
        if len(self._known) >= _MAX_KEPT:
            self._known.clear()
        self._known[id(headers)] = fields
        return fields

    def _fixed_part(self, headers: Headers) -> str:
        given = {name.lower() for name, _ in headers}
        lines = [" HTTP/1.1"]
        # Host comes first, as RFC 9110, 7.2 asks.
        lines.append(f"Host: {headers.get('host', self._authority)}")
        if "user-agent" not in given:
            lines.append(f"User-Agent: {USER_AGENT}")
        if "accept" not in given:
            lines.append("Accept: */*")
        if "accept-encoding" not in given:
            lines.append(f"Accept-Encoding: {self._accept_encoding}")
        if not self._keep_alive and "connection" not in given:
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in headers if name.lower() != "host"]
        return "\r\n".join(lines) + "\r\n"


def check_request(method: str, headers: Headers) -> None:
    """Raise UsageError for what must not go into a request, whichever client sends it."""
    if not isinstance(method, str) or _TOKEN.fullmatch(method) is None:
        raise UsageError(f"method {method!r} is not a token (RFC 9110, 9.1)")
    if method == "CONNECT":
        raise UsageError("CONNECT makes a tunnel, which this client does not do")
    given = {name.lower() for name, _ in headers}
    refused = sorted(given & (_FRAMING | _HOP_BY_HOP))
    if refused:
        raise UsageError(f"header {refused[0]!r} is the client's own to write: leave it out")
    if any(value.lower() != "close" for value in headers.get_all("connection")):
        raise UsageError("header 'connection' is the client's own to write, but for 'Connection: close': leave it out")
    if len(headers.get_all("host")) > 1:
        raise UsageError("a request has one Host header, not several (RFC 9112, 3.2)")
    for name, value in headers:
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise UsageError(f"header {name!r} holds a character outside latin-1: encode it first") from None
