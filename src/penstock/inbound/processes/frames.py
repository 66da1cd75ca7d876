"""What two processes of one proxy say to each other over a Unix stream, as bytes; no I/O.

A stream begins with `hello`, once in each direction. Then come frames: a head of nine bytes, and the payload. The one
who asks numbers the exchanges, and both ends name them by that number.

From who asks: REQUEST (see `request_head`), BODY and BODY_END of a request, CREDIT (so many bytes of the answer were
taken), GONE (the client left), FORGET (a URL whose answer is no longer true). From the owner: ANSWER (a piece of it),
LAST and LAST_CLOSE (the end of the answer with its last piece; after the second its connection closes), BROKEN (no
complete answer will come), CREDIT (so many more bytes of the request body may come).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..._version import __version__
from ...errors import PenstockError

_HEAD = struct.Struct("<IIB")
HEAD_BYTES = _HEAD.size
_CREDIT = struct.Struct("<I")
# The first two are the requests, over a connection in the clear and an encrypted one.
(REQUEST, REQUEST_TLS, BODY, BODY_END, CREDIT, GONE, FORGET, FORGET_ALL, ANSWER, LAST, LAST_CLOSE, BROKEN) = range(12)
_KINDS = 12
MOST_PAYLOAD = 1 << 20
"""No end sends more in one frame; a longer one is none of ours."""
WINDOW = 64 * 1024
"""Bytes of one answer, or one request body, that may be on their way before the other end has taken some of them."""
PIECE = 32 * 1024
"""Longer pieces are cut, so that others have their turn."""
_LONGEST_CLIENT = 255
_MAGIC = b"\0penstock processes 1 "


class BadFrames(PenstockError):
    """The other end does not speak as this one does: it is another version, or no process of ours."""


class ClientRequest(NamedTuple):
    """A request as it goes to its owner: the client's address, and the head of the request as bytes."""

    client: str
    raw: bytes


def hello(secret: bytes) -> bytes:
    """The first bytes of a stream: of one version, and of the processes that share `secret`."""
    name = _MAGIC + __version__.encode() + b" " + secret.hex().encode()
    return _HEAD.pack(len(name), 0, 255) + name


def frame_head(kind: int, exchange: int, size: int) -> bytes:
    """What stands before `size` bytes of payload."""
    return _HEAD.pack(size, exchange, kind)


def frame(kind: int, exchange: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return _HEAD.pack(len(payload), exchange, kind) + payload


def credit_frame(exchange: int, size: int) -> bytes:
    """`size` bytes were taken."""
    return _HEAD.pack(_CREDIT.size, exchange, CREDIT) + _CREDIT.pack(size)


def credit_in(payload: bytes) -> int:
    """The number of bytes. Raises BadFrames."""
    if len(payload) != _CREDIT.size:
        raise BadFrames("a credit has four bytes")
    size: int = _CREDIT.unpack(payload)[0]
    return size


def client_part(client: str) -> bytes:
    """How the client's address stands in a request frame; empty for one without, as over a Unix socket."""
    address = client.encode("latin-1", "replace")[:_LONGEST_CLIENT]
    return bytes((len(address),)) + address


def request_head(exchange: int, size: int, *, tls: bool) -> bytes:
    """What stands before a request: `size` bytes, of which the first are out of `client_part`, the others its head."""
    return _HEAD.pack(size, exchange, REQUEST_TLS if tls else REQUEST)


def request_in(payload: bytes) -> ClientRequest:
    """What a request frame has. Raises BadFrames."""
    if not payload or len(payload) <= payload[0] + 1:
        raise BadFrames("a request without bytes")
    end = payload[0] + 1
    return ClientRequest(payload[1:end].decode("latin-1"), payload[end:])


class FrameReader:
    """Takes what comes out of one stream, cut anywhere. `feed`, then `take` until it gives None."""

    __slots__ = ("_at", "_data", "_expected", "greeted")

    def __init__(self, expected: bytes) -> None:
        self._data = b""
        self._at = 0
        self._expected = expected
        self.greeted = False
        """The other end has said what it is."""

    def feed(self, data: bytes) -> None:
        """Add what arrived."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    @property
    def waiting(self) -> int:
        """Bytes that were fed and not taken yet."""
        return len(self._data) - self._at

    def take(self) -> tuple[int, int, bytes] | None:
        """The next frame as (kind, exchange, payload); None until it is complete. Raises BadFrames."""
        if not self.greeted and not self._greet():
            return None
        data, at = self._data, self._at
        begin = at + HEAD_BYTES
        if begin > len(data):
            return None
        size, exchange, kind = _HEAD.unpack_from(data, at)
        end = begin + size
        if kind >= _KINDS or size > MOST_PAYLOAD:
            raise BadFrames(f"no frame has kind {kind} and {size} bytes")
        if end > len(data):
            return None
        self._at = end
        return kind, exchange, data[begin:end]

    def _greet(self) -> bool:
        expected = self._expected
        came = self._data[self._at : self._at + len(expected)]
        if not expected.startswith(came):
            raise BadFrames("the other process is of another version, or of another proxy")
        if len(came) < len(expected):
            return False
        self._at += len(expected)
        self.greeted = True
        return True
