"""Reads requests from bytes, without I/O: feed it what arrived, then take heads and bodies as they are wanted.

llhttp in its strict mode judges each head, of which it is given exactly one at a time. What it lets through and a
shared cache must not is refused here: a missing or doubled Host, fragments, two blanks in the request line,
HTTP/0.9 and 2.0, RTSP and ICE, a Transfer-Encoding other than chunked or with HTTP/1.0, endless heads.

Fields with an underscore in their name are dropped, as nginx does: to a CGI or WSGI origin X_Forwarded_Host and
X-Forwarded-Host are one, so whoever strips or keys the one would let the other through.
One empty line before a request is skipped (RFC 9112, 2.2). Methods are those that llhttp knows; others get 501.
"""

from __future__ import annotations

import re
from typing import NoReturn

import httptools

from .limits import ServerLimits
from .rejected import RequestRejected
from .request_body import ChunkedBody, LengthBody

_END = b"\r\n\r\n"
_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+;=]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
_METHOD = re.compile(rb"[A-Z][A-Z\-]* ")
_MAX_LENGTH_DIGITS = 18
_HOST_FIELD, _LENGTH, _TRANSFER, _CONNECTION, _EXPECT, _OTHER_PARSER = range(1, 7)
_SPECIAL = {
    b"host": _HOST_FIELD,
    b"content-length": _LENGTH,
    b"transfer-encoding": _TRANSFER,
    b"connection": _CONNECTION,
    b"expect": _EXPECT,
    b"proxy-connection": _OTHER_PARSER,
    b"upgrade": _OTHER_PARSER,
}


class RequestHead:
    """The head of a request that may be answered."""

    __slots__ = (
        "chunked",
        "content_length",
        "expect_continue",
        "fields",
        "has_body",
        "host",
        "http_1_0",
        "keep_alive",
        "method",
        "target",
    )

    def __init__(self, method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], *, http_1_0: bool) -> None:
        self.method = method
        self.target = target
        """In origin-form (path and query as received), or `*`, with OPTIONS only."""
        self.host = b""
        """As received, with its port; that of an absolute target where there is one. Empty only with HTTP/1.0."""
        self.fields = fields
        """Names in lower case, in the order received, with Host (which is as `host` says)."""
        self.http_1_0 = http_1_0
        self.keep_alive = not http_1_0
        self.content_length: int | None = None
        self.chunked = False
        self.has_body = False
        """A body of at least one byte, or of chunks, follows."""
        self.expect_continue = False


class RequestReader:
    """One request after another: `take_raw`, `parse`, then `take_body` until `body` is None."""

    __slots__ = (
        "_at",
        "_data",
        "_fields",
        "_limits",
        "_parser",
        "_searched",
        "_url",
        "body",
        "buffered",
        "taken",
    )

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._data = b""
        self._at = 0
        self._searched = 0
        self.buffered = 0
        """Bytes that were fed and not taken yet."""
        self.body: LengthBody | ChunkedBody | None = None
        """What is still to be taken of the last request; None once that is all."""
        self.taken = 0
        """Bytes of bodies, of all requests so far."""
        self._parser: httptools.HttpRequestParser | None = None
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> None:
        """Add what arrived."""
        self._data = self._data[self._at :] + data if self.buffered else data
        self.buffered = len(self._data)
        self._searched = max(0, self._searched - self._at)
        self._at = 0

    @property
    def body_left(self) -> int | None:
        """Bytes of the body not taken yet; None where they are not known."""
        body = self.body
        if body is None:
            return 0
        return body.left if isinstance(body, LengthBody) else None

    def forget(self) -> None:
        """Drop all input, and break the reference cycle with the parser."""
        self._parser = None
        self._data = b""
        self._at = self._searched = self.buffered = 0

    def head(self) -> RequestHead | None:
        """The next head, None as long as it is not complete. Raises RequestRejected."""
        raw = self.take_raw()
        return None if raw is None else self.parse(raw)

    def take_raw(self) -> bytes | None:
        """The bytes of the next head, None as long as it is not complete.

        Not to be called before the body of the last request is complete. Raises RequestRejected.
        """
        if not self.buffered:
            return None
        data, at = self._data, self._at
        if data[at] == 13 and data.startswith(b"\r\n", at):
            # Not counted: a second empty line begins with CR as well and is refused below.
            at += 2
        end = data.find(_END, max(at, self._searched - 3))
        if end < 0:
            self._check_part(data, at)
            self._searched = len(data)
            return None
        if data[at] == 13:
            raise RequestRejected(400, "more than one empty line before a request")
        self._at = end + 4
        self.buffered = len(data) - self._at
        self._searched = 0
        return data[at : end + 4]

    def parse(self, raw: bytes) -> RequestHead:
        """The head whose bytes are `raw`. Raises RequestRejected."""
        limits = self._limits
        if len(raw) > limits.max_line_bytes:
            self._check_lines(raw)
        if raw.count(b"\r\n") > limits.max_fields + 2:
            raise RequestRejected(431, "too many fields")
        parser = self._parser
        if parser is None:
            parser = httptools.HttpRequestParser(self)
        # Whatever fails below leaves a parser that cannot be used again.
        self._parser = None
        fields: list[tuple[bytes, bytes]] = []
        self._fields = fields
        self._url = b""
        try:
            parser.feed_data(raw)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            _refuse(raw, error)
        head = self._begin(parser.get_method(), raw, fields)
        reusable = _read_fields(head)
        if head.has_body:
            length = head.content_length
            self.body = ChunkedBody(limits.max_trailer_bytes) if length is None else LengthBody(length)
        elif reusable:
            self._parser = parser
        if b"_" in raw:
            head.fields = [field for field in head.fields if b"_" not in field[0]]
        return head

    def take_body(self) -> bytes:
        """What is there of the body. Empty where nothing is, or its end. Raises RequestRejected."""
        body = self.body
        if body is None:
            return b""
        piece, self._at = body.take(self._data, self._at)
        self.taken += len(piece)
        if body.complete:
            self.body = None
            self._searched = 0
        self.buffered = len(self._data) - self._at
        if not self.buffered:
            self._data = b""
            self._at = 0
        return piece

    # Called by httptools, which is given whole heads: each once per field.

    def on_url(self, url: bytes) -> None:
        """The target."""
        self._url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field. llhttp keeps the blanks after its value."""
        self._fields.append((name.lower(), value.rstrip(b" \t")))

    def _begin(self, method: bytes, raw: bytes, fields: list[tuple[bytes, bytes]]) -> RequestHead:
        url = self._url
        # Put together again it must be the line that was received: so no second blank, no other protocol.
        line = method + b" " + url
        if raw.startswith(line + b" HTTP/1.1\r\n"):
            head = RequestHead(method, url, fields, http_1_0=False)
        elif raw.startswith(line + b" HTTP/1.0\r\n"):
            head = RequestHead(method, url, fields, http_1_0=True)
        else:
            _refuse_line(raw)
        if method == b"CONNECT":
            raise RequestRejected(501, "CONNECT is not served")
        return head

    def _check_part(self, data: bytes, at: int) -> None:
        limits = self._limits
        size = len(data) - at
        if not size:
            return
        if not 65 <= data[at] <= 90 and not (size == 1 and data[at] == 13):
            raise RequestRejected(400, "does not begin with a method")
        if size > limits.max_head_bytes:
            raise RequestRejected(431, "the head is too long")
        since = max(at, self._searched)
        if since > at and data[since - 1] == 13:
            since -= 1
        if data.count(b"\n", since) != data.count(b"\r\n", since):
            raise RequestRejected(400, "a line ends without CR")
        last = data.rfind(b"\r\n", at)
        if last < 0:
            if size > limits.max_line_bytes:
                raise RequestRejected(414, "the request line is too long")
        elif len(data) - last > limits.max_line_bytes + 3:
            raise RequestRejected(431, "a field is too long")

    def _check_lines(self, raw: bytes) -> None:
        limits = self._limits
        if raw.find(b"\r\n") > limits.max_line_bytes:
            raise RequestRejected(414, "the request line is too long")
        if len(raw) > limits.max_head_bytes:
            raise RequestRejected(431, "the head is too long")
        if max(map(len, raw.split(b"\r\n"))) > limits.max_line_bytes:
            raise RequestRejected(431, "a field is too long")


def _read_fields(head: RequestHead) -> bool:
    """Set what the fields say; False where llhttp may no longer take the next message (RFC 9112, 6.3 and 9.3)."""
    hosts: list[bytes] = []
    transfer: list[bytes] = []
    connection = b""
    reusable = not head.http_1_0
    for name, value in head.fields:
        kind = _SPECIAL.get(name)
        if kind is None:
            continue
        if kind == _HOST_FIELD:
            hosts.append(value)
        elif kind == _CONNECTION:
            connection = connection + b"," + value if connection else value
        elif kind == _LENGTH:
            _set_length(head, value)
        elif kind == _TRANSFER:
            transfer.append(value)
        elif kind == _EXPECT:
            _set_expectation(head, value)
        else:
            reusable = False
    if transfer:
        _set_transfer(head, transfer)
    head.has_body = head.chunked or bool(head.content_length)
    if connection and connection != b"keep-alive":
        reusable = False
    if connection:
        options = {option.strip() for option in connection.lower().split(b",")}
        head.keep_alive = b"close" not in options and (not head.http_1_0 or b"keep-alive" in options)
    _set_host(head, hosts)
    return reusable


def _set_length(head: RequestHead, value: bytes) -> None:
    if head.content_length is not None:
        raise RequestRejected(400, "more than one Content-Length")
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise RequestRejected(400, "the Content-Length is not a length")
    head.content_length = int(value)


def _set_transfer(head: RequestHead, transfer: list[bytes]) -> None:
    if head.content_length is not None:
        raise RequestRejected(400, "Content-Length and Transfer-Encoding")
    if head.http_1_0:
        raise RequestRejected(400, "Transfer-Encoding with HTTP/1.0")
    if len(transfer) > 1 or transfer[0].lower() != b"chunked":
        raise RequestRejected(501, "a transfer coding other than chunked")
    head.chunked = True


def _set_expectation(head: RequestHead, value: bytes) -> None:
    if head.http_1_0:
        return
    if value.lower() != b"100-continue":
        raise RequestRejected(417, "an expectation other than 100-continue")
    head.expect_continue = True


def _set_host(head: RequestHead, hosts: list[bytes]) -> None:
    """RFC 9112, 3.2: exactly one Host, which an absolute target overrides."""
    if len(hosts) != 1 and not (head.http_1_0 and not hosts):
        raise RequestRejected(400, "more than one Host" if hosts else "no Host")
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise RequestRejected(400, "the Host is not one")
        head.host = host
    target = head.target
    if target.startswith(b"/"):
        if b"#" in target:
            raise RequestRejected(400, "a fragment in the target")
        return
    if target == b"*":
        if head.method != b"OPTIONS":
            raise RequestRejected(400, "the target * is for OPTIONS only")
        return
    _split_absolute(head)


def _split_absolute(head: RequestHead) -> None:
    match = _ABSOLUTE.fullmatch(head.target)
    if match is None or not _HOST.fullmatch(match[1]) or b"#" in head.target:
        raise RequestRejected(400, "the target is neither a path nor a URL of http")
    head.host = match[1]
    rest = match[2]
    if not rest:
        # RFC 9112, 3.2.4.
        head.target = b"*" if head.method == b"OPTIONS" else b"/"
    else:
        head.target = rest if rest.startswith(b"/") else b"/" + rest
    fields = [field for field in head.fields if field[0] != b"host"]
    head.fields = [(b"host", head.host), *fields]


def _refuse(raw: bytes, error: httptools.HttpParserError) -> NoReturn:
    text = str(error)
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _METHOD.match(raw):
        raise RequestRejected(501, "a method that is not known") from error
    if raw.startswith(b"PRI * HTTP/2.0\r\n"):
        _refuse_line(raw)
    if "alid `Transfer-Encoding`" in text:
        raise RequestRejected(501, "a transfer coding other than chunked") from error
    raise RequestRejected(400, text) from error


def _refuse_line(raw: bytes) -> NoReturn:
    line = raw[: raw.find(b"\r\n")]
    if re.search(rb" HTTP/[0-9]\.[0-9]$", line) and not line.endswith((b" HTTP/1.1", b" HTTP/1.0")):
        raise RequestRejected(505, "a version other than HTTP/1.1 and 1.0")
    raise RequestRejected(400, "the request line is not one of HTTP/1.1")
