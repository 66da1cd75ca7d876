"""Where an owner is asked by one other process: requests come in frames, and are answered as on a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ...wire.server import Handler, RequestReader, RequestRejected, ServerExchange, ServerLimits
from ...wire.server.answer_bytes import plain_answer
from ...wire.server.exchange import OnAnswered, OnKnown
from .channel import FrameChannel
from .frames import (
    BODY,
    BODY_END,
    CREDIT,
    FORGET,
    FORGET_ALL,
    GONE,
    LAST,
    LAST_CLOSE,
    REQUEST_TLS,
    BadFrames,
    credit_in,
    frame,
    frame_head,
    request_in,
)
from .stream import FrameStream

_log = logging.getLogger(__name__)


class OwnedExchange(ServerExchange):
    """Of a client that another process has: it is never passed on once more."""

    __slots__ = ()


class Owner:
    """What the ends need of this process. `forget` is told of a URL whose answer is untrue; None means all."""

    def __init__(
        self,
        handler: Handler,
        limits: ServerLimits,
        forget: Callable[[bytes | None], None],
        on_answered: OnAnswered | None = None,
        on_known: OnKnown | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.forget = forget
        self.on_answered = on_answered
        self.on_known = on_known
        self.ends: set[OwnerEnd] = set()

    @property
    def busy(self) -> bool:
        """Whether another process waits for an answer."""
        return any(end.channels for end in self.ends)


class OwnerEnd(FrameStream):
    """Made for the loop's create_unix_server."""

    holds_back = True

    def __init__(self, owner: Owner, greeting: bytes) -> None:
        super().__init__(greeting)
        self._owner = owner
        self._heads = RequestReader(owner.limits)
        self.channels: dict[int, FrameChannel] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        super().connection_made(transport)
        self._owner.ends.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop: all clients of the other process are gone."""
        super().connection_lost(exc)
        self._owner.ends.discard(self)
        for channel in tuple(self.channels.values()):
            channel.on_gone()

    def on_frame(self, kind: int, exchange: int, payload: bytes) -> None:
        """A frame has come. Raises BadFrames for one that cannot be."""
        if kind <= REQUEST_TLS:
            self._begin(exchange, payload, tls=kind == REQUEST_TLS)
        elif kind == FORGET:
            self._owner.forget(payload)
        elif kind == FORGET_ALL:
            self._owner.forget(None)
        else:
            self._go_on(kind, exchange, payload)

    def on_room(self) -> None:
        """What waited can be said now."""
        for channel in tuple(self.channels.values()):
            channel.on_room()

    def over(self, channel: FrameChannel) -> None:
        """For the channel: its exchange has ended."""
        if self.channels.pop(channel.number, None) is not None and self._owner.on_answered is not None:
            exchange = channel.exchange
            self._owner.on_answered(exchange, exchange.status, exchange.bytes_sent, channel.client)

    def _begin(self, number: int, payload: bytes, *, tls: bool) -> None:
        owner = self._owner
        # What `request_in` does, without reading who asks: nine of ten end here.
        answer = owner.handler.known(payload[payload[0] + 1 :]) if payload else None
        if answer is not None:
            if owner.on_known is not None:
                client, raw = request_in(payload)
                owner.on_known(raw, answer, client)
            self.put(frame_head(LAST, number, len(answer)), answer)
            return
        client, raw = request_in(payload)
        if number in self.channels:
            raise BadFrames("one number for two exchanges")
        heads = self._heads
        try:
            head = heads.parse(raw)
        except RequestRejected as error:
            self.put(frame(LAST_CLOSE, number, plain_answer(error.status, error.reason)))
            return
        finally:
            # It comes in frames of its own.
            heads.body = None
        channel = FrameChannel(self, number, client, tls=tls)
        plain = head.keep_alive and not head.has_body and not head.http_1_0
        exchange = OwnedExchange(channel, head, raw if plain else None)
        # Who has the client sends 100 (Continue) itself.
        exchange.continued = True
        channel.exchange = exchange
        self.channels[number] = channel
        try:
            owner.handler.begin(exchange)
        except Exception:  # noqa: BLE001 - whatever a handler raises, the others go on
            _log.exception("the handler failed at %r", head.target)
            if not exchange.done:
                exchange.fail(500, "the server failed")

    def _go_on(self, kind: int, exchange: int, payload: bytes) -> None:
        channel = self.channels.get(exchange)
        if kind not in (BODY, BODY_END, CREDIT, GONE):
            raise BadFrames(f"kind {kind} is not for an owner")
        if channel is None:
            # It has ended, which the other end did not know yet.
            return
        if kind == CREDIT:
            channel.on_credit(credit_in(payload))
        elif kind == BODY:
            channel.on_body(payload)
        elif kind == BODY_END:
            channel.on_body_end()
        else:
            channel.on_gone()
