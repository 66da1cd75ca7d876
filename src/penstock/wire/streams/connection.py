"""A connection to the origin that hands on an answer while it arrives."""

from __future__ import annotations

from typing import Protocol

from ...errors import CallError, ConnectionLost, Sent
from ..connection import Connection, ConnectionKeeper
from ..known_heads import KnownHeads
from ..response_reader import GOODBYE
from .receiver import Receiver
from .stream_reader import StreamReader

_NO_HEADS = KnownHeads()
_NO_HEADS.table = None


class StreamConnection(Connection):
    """One exchange at a time. `owner` is told what arrives; the pool, when the connection is free again."""

    __slots__ = ("_head_only", "_owner", "_plain", "_stream", "writable")

    def __init__(self, keeper: ConnectionKeeper, peer: str, *, lenient: bool) -> None:
        super().__init__(keeper, peer, _NO_HEADS, max_bytes=0, decompress=False)
        self._stream = StreamReader(peer, lenient=lenient)
        self._owner: StreamOwner | None = None
        self._plain: PlainOwner | None = None
        self._head_only = False
        self.writable = True

    def __repr__(self) -> str:
        waits = "asked" if self._unanswered else "answering"
        state = "closed" if self.closed else "idle" if self._owner is None and self._plain is None else waits
        return f"<StreamConnection {self.peer} {state}, {self.exchanges} exchanges>"

    def begin(self, data: bytes, owner: StreamOwner, *, head_only: bool) -> None:
        """Write the head of a request (perhaps with its body) and expect the answer to it."""
        transport = self._transport
        assert transport is not None
        self._owner = owner
        self._unanswered = True
        self.exchanges += 1
        self._head_only = head_only
        transport.write(data)

    def begin_plain(self, data: bytes, plain: PlainOwner) -> None:
        """As `begin`, for an answer that is most likely plain: nobody owns the exchange until that turns out wrong."""
        transport = self._transport
        assert transport is not None
        self._plain = plain
        self._unanswered = True
        self.exchanges += 1
        self._head_only = False
        transport.write(data)

    def take_over(self, owner: StreamOwner) -> None:
        """What was begun as a plain one is `owner`'s from now on."""
        self._plain = None
        self._owner = owner

    def finish_plain(self, keep_alive_seconds: float | None) -> None:
        """All of a plain answer has come, and nothing else. For how long the peer says that it keeps the connection."""
        self._plain = None
        self._unanswered = False
        self.keep_alive_seconds = keep_alive_seconds
        self._keeper.finished(self)

    @property
    def all_sent(self) -> bool:
        """Whether the kernel has all of the request."""
        return self._transport is not None and not self._transport.get_write_buffer_size()

    def send(self, data: bytes) -> None:
        """Write more of the request's body."""
        if self._transport is not None and not self.closed:
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Leave what the origin sends in the kernel, which slows the origin down."""
        if self._transport is not None and not self.closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on after pause_reading."""
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()

    def cancel(self) -> None:
        """Nobody wants the answer any more: close, and give the slot back."""
        if self._owner is not None:
            self._owner = None
            self.abort()
            self._keeper.finished(self)

    def pause_writing(self) -> None:
        """Called by the loop."""
        self.writable = False

    def resume_writing(self) -> None:
        """Called by the loop."""
        self.writable = True
        if self._owner is not None:
            self._owner.on_writable()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._plain is not None and self._plain.answered(data):
            return
        owner = self._owner
        if owner is None:
            self._drop_unasked(data)
            return
        reader = self._stream
        if self._unanswered:
            self._unanswered = False
            reader.begin(head_only=self._head_only)
            reader.receiver = owner.receiver
        try:
            complete = reader.feed(data)
        except CallError as error:
            # What was complete before the fault was received, and may be an answer that only its framing spoils.
            self._fail_stream(error)
            return
        self._hand_on(owner, complete=complete)

    def eof_received(self) -> None:
        """Called by the loop: the peer has closed."""
        self._inflate()
        owner = self._owner
        if owner is not None and not self._unanswered and self._stream.feed_eof():
            self.abort()
            self._hand_on(owner, complete=True)
        else:
            self._lose(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._inflate()
        self._stream.receiver = None
        self._stream.forget_parser()
        super().connection_lost(exc)

    def _inflate(self) -> None:
        if self._plain is not None:
            self._plain.inflate()

    def _hand_on(self, owner: StreamOwner, *, complete: bool) -> None:
        reader = self._stream
        head = reader.take_head()
        if head is not None and head[0] == GOODBYE and owner.repeatable and self._is_goodbye(reader):
            self.stale = True
            self._fail_stream(ConnectionLost(f"{self.peer}: said goodbye before any answer", sent=Sent.UNKNOWN))
            return
        receiver = owner.receiver
        if not complete:
            owner.on_progress()
        if head is not None:
            receiver.on_head(*head)
        # The receiver may cancel within any of these calls; then it wants to hear no more.
        for chunk in reader.take_chunks():
            if self._owner is not owner:
                return
            receiver.on_body(chunk)
        if complete and self._owner is owner:
            self._finish(owner)

    def _finish(self, owner: StreamOwner) -> None:
        reader = self._stream
        reader.receiver = None
        self.keep_alive_seconds = reader.keep_alive_seconds
        transport = self._transport
        unsent = transport is not None and transport.get_write_buffer_size() > 0
        if reader.surplus or not reader.keep_alive or unsent or not owner.sent_all:
            self._spent(reader)
        self._owner = None
        owner.on_settled()
        self._keeper.finished(self)
        owner.receiver.on_end()

    def _fail_stream(self, error: CallError) -> None:
        owner = self._owner
        self._owner = None
        self._stream.receiver = None
        self.abort()
        self._keeper.finished(self)
        if owner is not None:
            owner.on_lost(error, stale=self.stale)

    def _lose(self, exc: Exception | None) -> None:
        if self._owner is None:
            self._drop_idle()
        else:
            self._fail_stream(self._loss(exc))


class PlainOwner(Protocol):
    """Whom a StreamConnection tells what becomes of an exchange that was begun as a plain one."""

    def answered(self, data: bytes) -> bool:
        """The first bytes of the answer. Whether they were all of it, and `finish_plain` was called; else `take_over`.

        In that case the new owner is told of the bytes.
        """
        ...

    def inflate(self) -> object:
        """Something else has happened: call `take_over`."""
        ...


class StreamOwner(Protocol):
    """Whom a StreamConnection tells what becomes of an exchange."""

    receiver: Receiver
    sent_all: bool
    """Whether the whole request was handed to the transport: only then can the connection be used again."""
    repeatable: bool
    """Whether the request may be sent once more where the connection was stale."""

    def on_progress(self) -> None:
        """Bytes came."""
        ...

    def on_settled(self) -> None:
        """The answer is complete."""
        ...

    def on_lost(self, error: CallError, *, stale: bool) -> None:
        """The exchange failed; `stale` where the connection looks closed before the request came."""
        ...

    def on_writable(self) -> None:
        """The transport takes more of the body."""
        ...
