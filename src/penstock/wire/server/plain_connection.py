"""A client's connection on which a plain request takes a shorter way, as long as nothing else happens to it.

While such a request is under way there is no ServerExchange. Whatever the connection is told meanwhile (bytes, the end,
the loss, that it is to drain) makes one first, and goes on as always; so all that is not the plain case has one
implementation.
"""

from __future__ import annotations

import math
from typing import Protocol

from .connection import BUSY, IDLE, ServerConnection
from .exchange import ServerExchange
from .keeper import ServerKeeper


class PlainExchange(Protocol):
    """A plain request that is under way."""

    def inflate(self) -> object:
        """Make it a general one, by `PlainServerConnection.unfold`."""
        ...


class PlainWay(Protocol):
    """Who knows the shorter way."""

    def take(self, connection: PlainServerConnection, data: bytes) -> bool:
        """Whether `data`, which arrived on an idle connection and is unknown, is under way from here on.

        Then `begin_plain` was called, and `answer_plain` or `unfold` will be. Otherwise nothing has happened.
        """
        ...


class PlainServerConnection(ServerConnection):
    """Made for the loop's create_server, for a handler that has a PlainWay."""

    __slots__ = ("_plain", "_take")

    def __init__(self, keeper: ServerKeeper[ServerConnection], way: PlainWay) -> None:
        super().__init__(keeper)
        self._take = way.take
        self._plain: PlainExchange | None = None

    # Called by the loop.

    def data_received(self, data: bytes) -> None:
        """Called by the loop: known bytes are answered, plain ones go the short way, others are parsed."""
        if self._idle:
            answer = self._known(data)
            if answer is not None:
                self.requests += 1
                self.send(answer)
            elif not self._take(self, data):
                self._reader.feed(data)
                self._next(data)
        else:
            self._inflate()
            self._receive(data)

    def eof_received(self) -> bool:
        """Called by the loop: the client sends no more."""
        self._inflate()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop: the transport is closed."""
        self._inflate()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Called by the loop: the client does not take what it is sent."""
        # Who takes more again is asked for its next request, unless an exchange is under way.
        self._inflate()
        super().pause_writing()

    # Called by the server.

    def drain(self, *, last: bool = False) -> None:
        """Close now if idle, or else after the answer."""
        self._inflate()
        super().drain(last=last)

    # Called by the PlainWay.

    def begin_plain(self, plain: PlainExchange) -> None:
        """The request that has just arrived is `plain`: nothing was fed to the reader."""
        self._plain = plain
        self.requests += 1
        self._idle = False
        self._phase = BUSY
        self._due = math.inf
        self._rate = None

    def unfold(self, raw: bytes) -> ServerExchange:
        """The exchange of the request whose bytes are `raw`, as if it had been one from the first."""
        self._plain = None
        exchange = ServerExchange(self, self._reader.parse(raw), raw)
        self._exchange = exchange
        return exchange

    def answer_plain(self, answer: bytes) -> None:
        """Send all of the answer; the connection waits for the next request."""
        self._plain = None
        self.send(answer)
        # What was closed meanwhile stays so; and within that call it may have been asked to write no more.
        if self._phase == BUSY:
            self._phase = IDLE
            self._idle = not self.paused

    def _inflate(self) -> None:
        if self._plain is not None:
            self._plain.inflate()
