"""One request to an app through the engine, as a client would see its answer, and as the app sent it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import CallError, ConnectionLost
from ...messages import RawFields
from ...wire.streams import Receiver
from ..cache.engine import CacheEngine
from ..cache.protocols import ClientReply, Fetch, InboundRequest, Origin


class OverheardOrigin:
    """An Origin that keeps the fields of the last answer of `origin` before anything takes some of them off.

    And why there was none.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self.fields: RawFields = []
        self.error: CallError | None = None

    def fetch(self, request: InboundRequest, fields: RawFields, receiver: Receiver, reply: ClientReply | None) -> Fetch:
        """As `origin` does."""
        return self._origin.fetch(request, fields, _Overhearing(receiver, self), reply)


class _Overhearing:
    """A Receiver that hands on all of it."""

    def __init__(self, receiver: Receiver, overheard: OverheardOrigin) -> None:
        self._receiver = receiver
        self._overheard = overheard

    def on_interim(self, status: int, fields: RawFields) -> None:
        self._receiver.on_interim(status, fields)

    def on_head(self, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        self._overheard.fields = [*fields]
        self._receiver.on_head(status, reason, fields, length)

    def on_body(self, chunk: bytes) -> None:
        self._receiver.on_body(chunk)

    def on_end(self) -> None:
        self._receiver.on_end()

    def on_failed(self, error: CallError) -> None:
        self._overheard.error = error
        self._receiver.on_failed(error)


class AnswerListener:
    """A ClientReply that keeps the head and forgets the body."""

    def __init__(self, decided: Callable[[], bool]) -> None:
        self.on_resumed: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self.paused = False
        self.done = asyncio.get_running_loop().create_future()
        self.status = 0
        self.fields: RawFields = []
        self.broken = False
        self._decided = decided

    def interim(self, status: int, reason: bytes, fields: RawFields) -> None:
        """Nothing is learnt from a 1xx response."""

    def respond(self, status: int, reason: bytes, fields: RawFields, body: bytes) -> None:
        """It is whole."""
        self.status, self.fields = status, fields
        self._finish()

    def start(self, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        """Keep the head."""
        self.status, self.fields = status, fields
        self._look()

    def write(self, chunk: bytes) -> None:
        """Forget it."""
        self._look()

    def end(self) -> None:
        """It was complete."""
        self._finish()

    def abort(self) -> None:
        """It was broken off."""
        self.broken = True
        self._finish()

    def _look(self) -> None:
        # An answer that will not be stored may have no end, and nothing more is to be learnt from it.
        if self._decided():
            self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def answer_of(
    engine: CacheEngine, origin: OverheardOrigin, request: InboundRequest, timeout: float
) -> AnswerListener:
    """The answer to `request`, from an `engine` that has nothing stored and asks `origin`.

    Raises ConnectionLost where no answer came within `timeout` seconds, and the CallError by which there was none that
    is complete.
    """
    counters = engine.counters
    listener = AnswerListener(lambda: any(reason != "must-validate" for reason in counters.uncacheable))
    engine.handle(request, listener)
    try:
        async with asyncio.timeout(timeout):
            await listener.done
    except TimeoutError:
        raise ConnectionLost(f"no complete answer came within {timeout:g} s") from None
    if origin.error is not None:
        raise origin.error
    return listener
