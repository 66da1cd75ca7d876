"""Where a request body ends (RFC 9112, 6 and 7.1), without I/O.

This is not left to llhttp: it reads on into the next request without saying where the first one ended,
and takes a request that asks for an upgrade to have no body.
"""

from __future__ import annotations

import re

from .rejected import RequestRejected

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e]+)?")
_TRAILER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t\x20-\x7e\x80-\xff]*")
_NOT_IN_TRAILERS = frozenset({b"content-length", b"transfer-encoding", b"host"})
_MAX_SIZE_LINE = 4 * 1024
_MAX_EXCESS = 16 * 1024
_FREE_PER_CHUNK = 16
_MAX_CHUNK = 2**62

_SIZE, _DATA, _AFTER, _TRAILERS = range(4)


class LengthBody:
    """A body of `length` bytes, which is at least 1."""

    __slots__ = ("complete", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.complete = False

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        """What of the body is in `data` from `at` on, and the position after it."""
        piece = data[at : at + self.left]
        self.left -= len(piece)
        self.complete = not self.left
        return piece, at + len(piece)


class ChunkedBody:
    """A body in chunks. Extensions are dropped, and so are trailers; both are checked and bounded."""

    __slots__ = ("_excess", "_max_trailer_bytes", "_state", "_trailer_bytes", "complete", "left")

    def __init__(self, max_trailer_bytes: int) -> None:
        self._max_trailer_bytes = max_trailer_bytes
        self._state = _SIZE
        self._excess = 0
        self._trailer_bytes = 0
        self.left = 0
        """Bytes of the chunk that is being read."""
        self.complete = False

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        """What of the body is in `data` from `at` on, and the position after what was used up.

        The rest, less than a line, must be there again in the next call. Raises RequestRejected.
        """
        pieces: list[bytes] = []
        size = len(data)
        while at < size and not self.complete:
            before = at
            if self._state == _DATA:
                piece = data[at : at + self.left]
                pieces.append(piece)
                at += len(piece)
                self.left -= len(piece)
                if not self.left:
                    self._state = _AFTER
            elif self._state == _AFTER:
                at = self._end_of_chunk(data, at)
            else:
                at = self._line(data, at)
            if at == before:
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), at

    def _end_of_chunk(self, data: bytes, at: int) -> int:
        end = data[at : at + 2]
        if end == b"\r\n":
            self._state = _SIZE
            return at + 2
        if end != b"\r":
            raise RequestRejected(400, "a chunk is longer than it says")
        return at

    def _line(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at)
        sizes = self._state == _SIZE
        most = _MAX_SIZE_LINE if sizes else self._max_trailer_bytes - self._trailer_bytes
        if (len(data) if end < 0 else end) - at > most:
            raise RequestRejected(400, "a chunk extension is too long") if sizes else _trailers_too_long()
        if end < 0:
            if data.find(b"\n", at) >= 0 or data.find(b"\r", at, len(data) - 1) >= 0:
                raise RequestRejected(400, "a line of a chunked body does not end with CRLF")
            return at
        if sizes:
            self._read_size(data[at:end])
        else:
            self._read_trailer(data[at:end])
        return end + 2

    def _read_size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise RequestRejected(400, "the size of a chunk is not one")
        self.left = int(match[1], 16)
        if self.left > _MAX_CHUNK:
            raise RequestRejected(400, "a chunk is too large")
        # Extensions may grow with what they are sent with, not without (as in CVE-2023-39326 of Go).
        self._excess = max(0, self._excess + len(line) - _FREE_PER_CHUNK - self.left)
        if self._excess > _MAX_EXCESS:
            raise RequestRejected(400, "more chunk extensions than content")
        self._state = _DATA if self.left else _TRAILERS

    def _read_trailer(self, line: bytes) -> None:
        if not line:
            self.complete = True
            return
        self._trailer_bytes += len(line) + 2
        match = _TRAILER.fullmatch(line)
        if match is None:
            raise RequestRejected(400, "a trailer is not a field")
        if match[1].lower() in _NOT_IN_TRAILERS:
            raise RequestRejected(400, "a trailer would change where the request ends or goes")
        if self._trailer_bytes > self._max_trailer_bytes:
            raise _trailers_too_long()


def _trailers_too_long() -> RequestRejected:
    return RequestRejected(431, "the trailers are too long")
