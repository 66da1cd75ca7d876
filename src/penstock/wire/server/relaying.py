"""A connection some of whose requests another server answers, which are known by their bytes and so not parsed here."""

from __future__ import annotations

import math
from typing import Protocol

from .connection import BUSY, IDLE, ServerConnection
from .exchange import _STARTED, Handler, ServerExchange
from .rejected import RequestRejected
from .request_reader import RequestHead

_PLAIN = RequestHead(b"GET", b"/", [], http_1_0=False)
"""Stands for the head of each: it has no body, and keeps the connection."""


class Answerer(Protocol):
    """Who answers in place of this server."""

    def ask(self, relayed: Relayed, client: str, raw: bytes, *, tls: bool) -> int:
        """Have the request `raw` answered to `relayed`; a number of its own, or 0 where that is not possible now."""
        ...

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        ...

    def taken(self, number: int, size: int) -> None:
        """The client has taken `size` bytes of an answer that is not complete."""
        ...


class RelayHandler(Handler, Protocol):
    """A Handler who knows what others answer."""

    def answerer(self, data: bytes) -> Answerer | None:
        """Who answers the request whose bytes are `data`, if that was seen before."""
        ...

    def answerer_of_plain(self, data: bytes) -> Answerer | None:
        """The same, where a request like it was seen before; slower."""
        ...

    def returned(self, exchange: ServerExchange) -> None:
        """Answer here what was asked for in vain elsewhere."""
        ...


class Relayed(ServerExchange):
    """A request that is answered elsewhere: the bytes come ready, and are sent as they are."""

    __slots__ = ("_connection", "_owed", "answerer", "number")

    def __init__(self, connection: RelayingConnection, raw: bytes, answerer: Answerer) -> None:
        # Not the parent's: most of what it sets is never looked at.
        self._connection = connection
        self.raw = raw
        self.answerer = answerer
        self.number = 0
        self._owed = 0
        self.head = _PLAIN
        self.on_data = self.on_closed = self.on_resumed = None
        self.body_paused = self.closed = False
        self.continued = True
        self.status = self.bytes_sent = 0
        self._state = _STARTED

    # From who answers.

    def answer(self, data: bytes) -> None:
        """A piece of the answer, which goes on."""
        connection = self._connection
        self.bytes_sent += len(data)
        connection.send(data)
        self._owed += len(data)
        if connection.paused:
            self.on_resumed = self._settle
        else:
            self._settle()

    def last(self, data: bytes, *, close: bool) -> None:
        """The last piece."""
        connection = self._connection
        if data:
            connection.send(data)
        if close or connection.draining:
            connection.finished(self, close=True)
        else:
            connection.relay_over(self)

    def broken(self) -> None:
        """No complete answer will come."""
        self._connection.abort()

    def owner_lost(self) -> None:
        """Nobody is there any more who could answer."""
        if self.closed:
            return
        if self.bytes_sent:
            self._connection.abort()
        else:
            self._connection.take_back(self)

    def credit(self, size: int) -> None:
        """Of a body that it does not have."""

    # From the connection.

    def lost(self) -> None:
        """The connection is gone."""
        self.closed = True
        self.answerer.forget(self.number)

    def _settle(self) -> None:
        owed, self._owed = self._owed, 0
        self.on_resumed = None
        self.answerer.taken(self.number, owed)


class RelayingConnection(ServerConnection):
    """Its handler is a RelayHandler."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Called by the loop: who answers these bytes? Or else as any connection."""
        if not self._idle:
            self._receive(data)
            return
        handler: RelayHandler = self._keeper.handler  # type: ignore[assignment]
        answerer = handler.answerer(data)
        if answerer is None:
            answer = self._known(data)
            if answer is not None:
                self.requests += 1
                self.send(answer)
                return
            answerer = handler.answerer_of_plain(data)
        if answerer is None or not self._relay(data, answerer):
            self._reader.feed(data)
            self._next(data)

    def _relay(self, data: bytes, answerer: Answerer) -> bool:
        relayed = Relayed(self, data, answerer)
        relayed.number = answerer.ask(relayed, self.client, data, tls=self.tls)
        if not relayed.number:
            return False
        self.requests += 1
        self._exchange = relayed
        self._phase = BUSY
        self._idle = False
        self._due = math.inf
        self._rate = None
        return True

    def relay_over(self, relayed: Relayed) -> None:
        """The answer to `relayed` was written; the connection goes on."""
        if self._reader.buffered or self.paused or self._eof or self._scheduled or self._exchange is not relayed:
            self.finished(relayed, close=False)
            return
        # What `finished` comes to where nothing else has happened.
        self._exchange = None
        self._phase = IDLE
        self._idle = True

    def take_back(self, relayed: Relayed) -> None:
        """Answer here what was passed on."""
        assert relayed.raw is not None
        self._exchange = None
        try:
            head = self._reader.parse(relayed.raw)
        except RequestRejected as error:
            # It was passed on by what its bytes say, and nobody has parsed it yet.
            self._refuse(error.status, error.reason)
            return
        exchange = ServerExchange(self, head, relayed.raw)
        exchange.continued = self._reader.buffered > 0
        self._exchange = exchange
        handler: RelayHandler = self._keeper.handler  # type: ignore[assignment]
        try:
            handler.returned(exchange)
        except Exception:  # noqa: BLE001 - whatever a handler raises, the server goes on
            self._failed(exchange)
