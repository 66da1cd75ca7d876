"""One request to the origin and the answer that streams back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ...errors import CallError
from .connection import StreamConnection
from .receiver import Receiver


class ExchangeKeeper(Protocol):
    """Who made an exchange and watches its time: the client."""

    def touch(self, exchange: StreamExchange) -> None:
        """The origin sent something, or the reader goes on."""
        ...

    def sent(self, exchange: StreamExchange) -> None:
        """More of the request went out."""
        ...

    def forget(self, exchange: StreamExchange) -> None:
        """The exchange is over."""
        ...

    def again(self, exchange: StreamExchange) -> None:
        """Send `exchange` once more, on a connection that was never used."""
        ...


class StreamExchange:
    """Made by `StreamClient.fetch`; a StreamOwner. Methods may be called at any time; after the end they do nothing."""

    __slots__ = (
        "_keeper",
        "_pending",
        "_settled",
        "cancelled",
        "connection",
        "data",
        "head_only",
        "on_drained",
        "paused",
        "receiver",
        "repeatable",
        "sent_all",
        "touched",
    )

    def __init__(self, keeper: ExchangeKeeper, data: bytes, receiver: Receiver, *, head_only: bool, repeatable: bool):
        self._keeper = keeper
        self.receiver = receiver
        self.sent_all = True
        self.data = data
        self.head_only = head_only
        self.repeatable = repeatable
        self.connection: StreamConnection | None = None
        self._pending: list[bytes] = []
        self.paused = False
        """The reader asked the origin to wait."""
        self.cancelled = False
        """Nobody waits for the answer any more."""
        self._settled = False
        self.touched = 0.0
        """When the origin last sent something, or was sent the request; seconds on the loop's clock."""
        self.on_drained: Callable[[], None] | None = None
        """Called when more of the request's body may be sent."""

    @property
    def can_send(self) -> bool:
        """Whether a piece of the body would go to the kernel and not pile up here."""
        return self.connection is not None and self.connection.writable and not self._pending

    def attach(self, connection: StreamConnection) -> None:
        """Write the request to `connection`, with what came of its body meanwhile."""
        self.connection = connection
        pending, self._pending = self._pending, []
        connection.begin(self.data + b"".join(pending), self, head_only=self.head_only)
        if self.paused:
            connection.pause_reading()
        if pending and self.on_drained is not None:
            self.on_drained()

    def take_over(self, connection: StreamConnection, touched: float) -> None:
        """What was written to `connection`, at the moment `touched`, was this request."""
        self.connection = connection
        self.touched = touched
        connection.take_over(self)

    def send(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the request's body, which the caller has framed. `last` with the final one (may be empty)."""
        if self._settled or self.cancelled:
            return
        # What has been sent once cannot be sent again: it is not kept.
        self.repeatable = False
        if last:
            self.sent_all = True
        if self.connection is None:
            self._pending.append(data)
        elif data:
            self.connection.send(data)
            self._keeper.sent(self)

    def pause(self) -> None:
        """Let the origin wait: the answer is not taken from its socket for now."""
        if not self.paused and not self._settled:
            self.paused = True
            if self.connection is not None:
                self.connection.pause_reading()

    def resume(self) -> None:
        """Go on after `pause`."""
        if self.paused and not self._settled and not self.cancelled:
            self.paused = False
            self._keeper.touch(self)
            if self.connection is not None:
                self.connection.resume_reading()

    def cancel(self) -> None:
        """Give up: the connection is closed and the receiver hears no more."""
        if self._settled or self.cancelled:
            return
        self.cancelled = True
        self._keeper.forget(self)
        if self.connection is not None:
            self.connection.cancel()

    def fail(self, error: CallError) -> None:
        """End with `error`, as if the connection had failed."""
        if not self._settled and not self.cancelled:
            connection = self.connection
            self.on_settled()
            if connection is not None:
                connection.cancel()
            self.receiver.on_failed(error)

    def on_progress(self) -> None:
        """Something came or went, so the origin is not silent."""
        self._keeper.touch(self)

    def on_settled(self) -> None:
        """It is over, whether well or not: the connection is no longer its own."""
        self._settled = True
        connection = self.connection
        if self.paused and connection is not None:
            # The connection goes back to the pool, and whoever uses it next wants to read.
            connection.resume_reading()
        self._keeper.forget(self)
        self.connection = None

    def on_lost(self, error: CallError, *, stale: bool) -> None:
        """Repeat once what a connection closed by the origin has not carried."""
        if stale and self.repeatable:
            self.repeatable = False
            self.connection = None
            self._keeper.again(self)
            return
        self.on_settled()
        self.receiver.on_failed(error)

    def on_writable(self) -> None:
        """The connection takes more of the request body."""
        if self.on_drained is not None:
            self.on_drained()
