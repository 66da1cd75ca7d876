"""The owner's end of one exchange: the answer goes in pieces to who has the client, the body comes from there.

A window bounds what is on its way: an answer whose client is slow takes its window, and nobody else's.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ...wire.server import RequestRejected, ServerExchange
from .frames import ANSWER, BROKEN, LAST, LAST_CLOSE, PIECE, WINDOW, credit_frame, frame, frame_head

_log = logging.getLogger(__name__)


class Say(Protocol):
    """The stream that the channel is a part of."""

    full: bool

    def put(self, *parts: bytes) -> None:
        """Say something."""
        ...

    def over(self, channel: FrameChannel) -> None:
        """Nothing more comes from or goes to it."""
        ...


class FrameChannel:
    """A Channel of `wire/server/exchange` that is no socket."""

    def __init__(self, stream: Say, number: int, client: str, *, tls: bool) -> None:
        self.client = client
        self.tls = tls
        self.number = number
        self.exchange: ServerExchange
        self.paused = False
        """The client does not take what it is sent."""
        self._stream = stream
        self._window = WINDOW
        self._unsent: deque[memoryview] = deque()
        self._end: int | None = None
        """What kind the last frame will be, once that is known."""
        self._body: deque[bytes] = deque()
        self._body_ended = False
        self._granted = False
        self._handing_over = False

    # For the exchange.

    def send(self, data: bytes) -> None:
        """Write."""
        self.send_parts(data)

    def send_parts(self, *parts: bytes) -> int:
        """Write; returns how many bytes that are."""
        size = 0
        for part in parts:
            if part:
                size += len(part)
                self._unsent.append(memoryview(part))
        self._push()
        return size

    def must_close(self, exchange: ServerExchange) -> bool:
        """Whether no request can follow this one, as far as the request says; the rest is known where the client is."""
        return not exchange.head.keep_alive

    def pump(self) -> None:
        """Hand over what there is of the request body, and have more sent."""
        exchange = self.exchange
        if not self._granted and exchange.on_data is not None:
            self._granted = True
            self._stream.put(credit_frame(self.number, WINDOW))
        if self._handing_over:
            return
        self._handing_over = True
        try:
            self._guard(self._hand_over)
        finally:
            self._handing_over = False

    def finished(self, exchange: ServerExchange, *, close: bool) -> None:
        """The answer was written."""
        if self._end is None:
            self._end = LAST_CLOSE if close else LAST
            self._push()

    def abort(self) -> None:
        """No complete answer will come."""
        if self._end is None:
            self._end = BROKEN
            self._unsent.clear()
            self._stream.put(frame(BROKEN, self.number))
            self._stream.over(self)

    # For the stream.

    def on_credit(self, size: int) -> None:
        """The client has taken some of the answer."""
        self._window += size
        self.on_room()

    def on_room(self) -> None:
        """Whether more can be sent now."""
        was = self.paused
        self._push()
        if was and not self.paused and self._end is None and self.exchange.on_resumed is not None:
            self._guard(self.exchange.on_resumed)

    def on_body(self, data: bytes) -> None:
        """A piece of the request body."""
        self._body.append(data)
        self.pump()

    def on_body_end(self) -> None:
        """There is no more of it."""
        self._body_ended = True
        self.pump()

    def on_gone(self) -> None:
        """The client has gone, or the process that had it."""
        self._unsent.clear()
        exchange = self.exchange
        on_closed = None
        if self._end is None:
            self._end = BROKEN
            exchange.lost()
            on_closed, exchange.on_closed = exchange.on_closed, None
        self._stream.over(self)
        if on_closed is not None:
            self._guard(on_closed)

    def _push(self) -> None:
        unsent, stream = self._unsent, self._stream
        while unsent and self._window > 0 and not stream.full:
            piece = unsent[0][: min(PIECE, self._window)]
            if len(piece) == len(unsent[0]):
                unsent.popleft()
            else:
                unsent[0] = unsent[0][len(piece) :]
            if not unsent and self._end is not None:
                stream.put(frame_head(self._end, self.number, len(piece)), bytes(piece))
                stream.over(self)
                return
            self._window -= len(piece)
            stream.put(frame_head(ANSWER, self.number, len(piece)), bytes(piece))
        self.paused = bool(unsent) or self._window <= 0
        if self._end is not None and not unsent:
            stream.put(frame(self._end, self.number))
            stream.over(self)

    def _hand_over(self) -> None:
        exchange = self.exchange
        while self._body and exchange.on_data is not None and not exchange.body_paused and not exchange.done:
            piece = self._body.popleft()
            exchange.on_data(piece)
            self._stream.put(credit_frame(self.number, len(piece)))
        if exchange.done:
            self._body.clear()
        elif self._body_ended and not self._body and exchange.on_data is not None and not exchange.body_paused:
            exchange.body_ended()

    def _guard(self, callback: Callable[[], None]) -> None:
        exchange = self.exchange
        try:
            callback()
        except RequestRejected as error:
            exchange.fail(error.status, error.reason)
        except Exception:  # noqa: BLE001 - whatever a handler raises, the others go on
            _log.exception("the handler failed at %r", exchange.head.target)
            if not exchange.done:
                exchange.fail(500, "the server failed")
