"""Reads one response after another and hands on each piece as it comes, without I/O.

What is HTTP and what is refused is decided by the reader of complete responses; this one only keeps nothing.
"""

from __future__ import annotations

from ...messages import RawFields
from ..response_reader import ResponseReader
from .receiver import Receiver

_NO_CAP = 1 << 62
_BODILESS = frozenset({204, 304})
_MAX_INTERIMS = 16


class StreamReader(ResponseReader):
    """As ResponseReader; `lenient` takes a body of an unknown transfer coding as it comes, until the peer closes.

    That is what a few old clients do. Nobody can tell what such a body holds, so it is never the default.
    """

    __slots__ = ("_interims", "_lenient", "_reported", "reason", "receiver")

    def __init__(self, peer: str, *, lenient: bool = False) -> None:
        self._lenient = lenient
        self.receiver: Receiver | None = None
        super().__init__(peer, _NO_CAP)

    def begin(self, *, head_only: bool) -> None:
        """Expect the head of an answer next; `head_only` where no body follows it."""
        super().begin(head_only=head_only)
        self.reason = b""
        self._reported = False
        self._interims = 0

    def on_status(self, text: bytes) -> None:
        """Called by httptools: the reason phrase, perhaps in pieces."""
        if not self._head_done:
            self.reason += text

    def on_headers_complete(self) -> None:
        """Called by httptools: hand on an interim response, or note the final head."""
        parser = self._parser
        assert parser is not None
        self.headers = [(name.lower(), value) for name, value in self.headers]
        status = parser.get_status_code()
        if status < 200:
            self._interim(status)
        super().on_headers_complete()

    def _interim(self, status: int) -> None:
        self.reason = b""
        self._interims += 1
        if self._interims > _MAX_INTERIMS:
            self._fail(self._error(f"sent more than {_MAX_INTERIMS} interim responses"))
        # 100 is about our own sending of the body; the others are for the client (RFC 9110, 15.2).
        if self.receiver is not None and status in {102, 103}:
            self.receiver.on_interim(status, self.headers)

    def take_head(self) -> tuple[int, bytes, RawFields, int | None] | None:
        """Status, reason, fields and length, once, as soon as they are complete."""
        if not self._head_done or self._reported:
            return None
        self._reported = True
        length = 0 if self._head_only or self.status in _BODILESS else self.declared_length
        return self.status, self.reason, self.headers, length

    def take_chunks(self) -> list[bytes]:
        """What came of the body since the last call."""
        chunks = self._chunks
        if chunks:
            self._chunks = []
        return chunks

    def _refuse_coding(self) -> None:
        if not self._lenient:
            super()._refuse_coding()
