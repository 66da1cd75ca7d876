"""One request to the origin and the answer that streams back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import CallError
from .connection import StreamConnection, StreamOwner
from .receiver import Receiver

if TYPE_CHECKING:
    from .client import StreamClient


class StreamExchange(StreamOwner):
    """Made by `StreamClient.fetch`. All methods may be called at any time; after the end they do nothing."""

    __slots__ = (
        "_cancelled",
        "_client",
        "_paused",
        "_pending",
        "_settled",
        "connection",
        "data",
        "head_only",
        "on_drained",
        "repeatable",
        "touched",
    )

    def __init__(self, client: StreamClient, data: bytes, receiver: Receiver, *, head_only: bool, repeatable: bool):
        super().__init__(receiver)
        self._client = client
        self.data = data
        self.head_only = head_only
        self.repeatable = repeatable
        self.connection: StreamConnection | None = None
        self._pending: list[bytes] = []
        self._paused = False
        self._cancelled = False
        self._settled = False
        self.touched = 0.0
        """When the origin last sent something, or was sent the request; seconds on the loop's clock."""
        self.on_drained: Callable[[], None] | None = None
        """Called when more of the request's body may be sent."""

    @property
    def cancelled(self) -> bool:
        """Nobody waits for the answer any more."""
        return self._cancelled

    @property
    def paused(self) -> bool:
        """The reader asked the origin to wait."""
        return self._paused

    @property
    def can_send(self) -> bool:
        """Whether a piece of the body would go to the kernel and not pile up here."""
        return self.connection is not None and self.connection.writable and not self._pending

    def attach(self, connection: StreamConnection) -> None:
        """Write the request to `connection`, with what came of its body meanwhile."""
        self.connection = connection
        pending, self._pending = self._pending, []
        connection.begin(self.data + b"".join(pending), self, head_only=self.head_only)
        if self._paused:
            connection.pause_reading()
        if pending and self.on_drained is not None:
            self.on_drained()

    def send(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the request's body, which the caller has framed. `last` with the final one (may be empty)."""
        if self._settled or self._cancelled:
            return
        # What has been sent once cannot be sent again: it is not kept.
        self.repeatable = False
        if last:
            self.sent_all = True
        if self.connection is None:
            self._pending.append(data)
        elif data:
            self.connection.send(data)
            self._client.sent(self)

    def pause(self) -> None:
        """Let the origin wait: the answer is not taken from its socket for now."""
        if not self._paused and not self._settled:
            self._paused = True
            if self.connection is not None:
                self.connection.pause_reading()

    def resume(self) -> None:
        """Go on after `pause`."""
        if self._paused and not self._settled and not self._cancelled:
            self._paused = False
            self._client.touch(self)
            if self.connection is not None:
                self.connection.resume_reading()

    def cancel(self) -> None:
        """Give up: the connection is closed and the receiver hears no more."""
        if self._settled or self._cancelled:
            return
        self._cancelled = True
        self._client.forget(self)
        if self.connection is not None:
            self.connection.cancel()

    def fail(self, error: CallError) -> None:
        """End with `error`, as if the connection had failed."""
        if not self._settled and not self._cancelled:
            connection = self.connection
            self.on_settled()
            if connection is not None:
                connection.cancel()
            self.receiver.on_failed(error)

    def on_progress(self) -> None:
        """See StreamOwner."""
        self._client.touch(self)

    def on_settled(self) -> None:
        """See StreamOwner."""
        self._settled = True
        connection = self.connection
        if self._paused and connection is not None:
            # The connection goes back to the pool, and whoever uses it next wants to read.
            connection.resume_reading()
        self._client.forget(self)
        self.connection = None

    def on_lost(self, error: CallError, *, stale: bool) -> None:
        """See StreamOwner: repeat once what a connection closed by the origin has not carried."""
        if stale and self.repeatable:
            self.repeatable = False
            self.connection = None
            self._client.again(self)
            return
        self.on_settled()
        self.receiver.on_failed(error)

    def on_writable(self) -> None:
        """See StreamOwner."""
        if self.on_drained is not None:
            self.on_drained()
