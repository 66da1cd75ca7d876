"""Response heads that were parsed before.

A service that answers many small calls repeats itself: for a second at a time (until Date changes) the heads
of equal-sized answers are the same bytes. What strict parsing made of those bytes is the same too, so it is
looked up instead of done again; that is a fifth of what a call costs.
"""

from __future__ import annotations

from .response_reader import END_OF_HEAD, ResponseReader

_MAX_HEADS = 256
_MAX_HEAD_BYTES = 4096
_BODILESS = frozenset({204, 304})


class KnownHead:
    """What a head says. Only heads that frame the body by its length and keep the connection are known."""

    __slots__ = ("coding", "headers", "keep_alive_seconds", "length", "status")

    def __init__(self, reader: ResponseReader, length: int) -> None:
        self.status = reader.status
        self.headers = reader.headers
        self.coding = reader.coding
        self.keep_alive_seconds = reader.keep_alive_seconds
        self.length = length
        """Of the body, in bytes, as it is on the wire."""


class KnownHeads:
    """A bounded table from a head's bytes to what it says."""

    __slots__ = ("_hits_when_cleared", "hits", "table")

    def __init__(self) -> None:
        self.table: dict[bytes, KnownHead] | None = {}
        """None once it is clear that this peer's heads do not repeat."""
        self.hits = 0
        self._hits_when_cleared = 0

    def learn(self, data: bytes, reader: ResponseReader) -> None:
        """Remember the head of `data`, which `reader` has just read as exactly one complete response."""
        length = reader.declared_length
        if self.table is None or length is None or reader.status in _BODILESS or not reader.keep_alive:
            return
        end = data.find(END_OF_HEAD) + len(END_OF_HEAD)
        # Not equal where an interim response came first, or the response in pieces.
        if end > _MAX_HEAD_BYTES or len(data) - end != length:
            return
        if len(self.table) >= _MAX_HEADS:
            self._start_over()
        if self.table is not None:
            self.table[data[:end]] = KnownHead(reader, length)

    def _start_over(self) -> None:
        # A field that is new with each answer (a request id) makes the table useless: then it only costs.
        worthwhile = self.hits - self._hits_when_cleared > _MAX_HEADS
        self._hits_when_cleared = self.hits
        self.table = {} if worthwhile else None
