"""One request to the origin and everybody who waits for its answer.

A flight is driven by the origin: what comes is kept here, and each client takes it at its own pace. What may be kept
and who may share it is decided by the engine, once, when the head is there.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ...errors import CallError
from ...messages import RawFields
from .protocols import Fetch, InboundRequest, Reply

if TYPE_CHECKING:
    from ...stores.stored_response import StoredResponse

WINDOW = 256 * 1024
"""Bytes that a body which is not kept may be ahead of its slowest client before the origin has to wait."""


class Judge(Protocol):
    """Who decides about a flight: the engine."""

    def on_flight_head(self, flight: Flight, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        """The head is there: call one of `share`, `pass_to_leader`, `discard`."""
        ...

    def on_flight_body(self, flight: Flight, size: int) -> None:
        """`size` more bytes of a body that is kept have come: `flight.size` says how much there is."""
        ...

    def on_flight_complete(self, flight: Flight) -> None:
        """The body is complete; called before those who wait for it are answered."""
        ...

    def on_flight_failed(self, flight: Flight, error: CallError) -> None:
        """No complete answer will come; whoever was sent a part has been broken off."""
        ...

    def on_flight_over(self, flight: Flight) -> None:
        """Nothing more is kept of it, and nobody can join any more."""
        ...

    def answer_elsewhere(self, deliveries: list[Delivery]) -> None:
        """These have had nothing and get nothing here: each is to be answered by itself."""
        ...

    def begin_answer(self, flight: Flight, delivery: Delivery) -> bool:
        """Send the head for `delivery`; False where it has its whole answer with that, or must wait for the end."""
        ...

    def answer_whole(self, flight: Flight, delivery: Delivery, body: bytes) -> None:
        """Answer `delivery` with everything at once."""
        ...


class State(enum.Enum):
    """Where a flight is."""

    WAITING = "waiting"
    """No head yet: whoever asks for the same may join."""
    SHARED = "shared"
    """The answer is for everybody whose request it matches."""
    PASSING = "passing"
    """The answer is for the first client alone."""
    DISCARDING = "discarding"
    """Everybody was answered in another way; the rest is read only to keep the connection."""


class Delivery:
    """One client of a flight, and how far it has got."""

    __slots__ = ("collapsed", "flight", "position", "reply", "request", "started", "waits_for_all")

    def __init__(self, flight: Flight, request: InboundRequest, reply: Reply, *, collapsed: bool) -> None:
        self.flight = flight
        self.request = request
        self.reply = reply
        self.collapsed = collapsed
        """It came while somebody else's request was on its way, and shares that."""
        self.position = 0
        self.started = False
        self.waits_for_all = False
        reply.on_closed = self.closed

    def closed(self) -> None:
        """The client has gone."""
        self.flight.left(self)

    def resumed(self) -> None:
        """The client takes more."""
        self.flight.pump(self)
        self.flight.balance()

    def release(self) -> None:
        """Its answer no longer comes from here."""
        self.reply.on_closed = None
        self.reply.on_resumed = None


class Flight:
    """Made by the engine; a Receiver for the origin."""

    __slots__ = (
        "_loop",
        "_streaming",
        "alone",
        "began",
        "chunks",
        "complete",
        "conditional",
        "counted",
        "deliveries",
        "dropped",
        "fetch",
        "fields",
        "flight_key",
        "held",
        "judge",
        "keeping",
        "key",
        "length",
        "note",
        "part",
        "pausing",
        "reason",
        "refresh",
        "request",
        "sequence",
        "size",
        "stale",
        "state",
        "status",
        "storing",
        "verbatim",
    )

    def __init__(
        self,
        judge: Judge,
        request: InboundRequest,
        key: bytes,
        flight_key: bytes,
        *,
        alone: bool,
        note: str,
        began: float,
        sequence: int,
        stale: StoredResponse | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.judge = judge
        self.request = request
        self.key = key
        self.flight_key = flight_key
        self.alone = alone
        """Nobody else may join."""
        self.began = began
        self.sequence = sequence
        self.stale = stale
        """What is stored and needs the origin's word."""
        self.conditional = False
        """The origin was asked whether `stale` still holds, so it may answer 304."""
        self.part: StoredResponse | None = None
        """The beginning that is stored; the origin was asked for the rest."""
        self.verbatim = False
        """The client's own conditions and range went to the origin, so the answer is right as it comes."""
        self.refresh = False
        """Begun in the background, after a stale answer."""
        self.state = State.WAITING
        self.deliveries: dict[Delivery, None] = {}
        self.fetch: Fetch | None = None
        self.status = 0
        self.reason = b""
        self.fields: RawFields = []
        self.length: int | None = None
        self.storing: StoredResponse | None = None
        """What will be stored once it is complete."""
        self.note = note
        """For Cache-Status: why the origin was asked."""
        self.chunks: list[bytes] = []
        self.dropped = 0
        """Chunks at the beginning that everybody has, and which are gone."""
        self.size = 0
        self.held = 0
        self.counted = 0
        """Bytes of it that the judge has counted as held."""
        self.keeping = False
        self.complete = False
        self.pausing = False
        self._streaming = False

    # From the engine.

    def join(self, request: InboundRequest, reply: Reply, *, collapsed: bool) -> None:
        """One more client. A flight that has its head already must match the request."""
        delivery = Delivery(self, request, reply, collapsed=collapsed)
        self.deliveries[delivery] = None
        if self._streaming:
            self._start(delivery)

    def share(self, storing: StoredResponse) -> None:
        """The answer is for everybody who is here, and is kept whole to be stored."""
        self.state = State.SHARED
        self.storing = storing
        self.keeping = True
        self._loop.call_soon(self._stream)

    def pass_to_leader(self) -> None:
        """The answer is for the one client that is left here."""
        self.state = State.PASSING
        if not self.deliveries:
            self.give_up()
        else:
            self._loop.call_soon(self._stream)

    def discard(self) -> None:
        """Read the rest and drop it; a long one is not worth its connection."""
        self.state = State.DISCARDING
        self.judge.on_flight_over(self)

    def stop_keeping(self) -> None:
        """It will not be stored: from now on only what its clients lack is held, and who waits for all is let go."""
        self.keeping = False
        self.storing = None
        self.judge.on_flight_over(self)
        waiting = [d for d in self.deliveries if b"range" in d.request.fields and not d.started and not self.verbatim]
        for delivery in waiting:
            self._remove(delivery)
        if self.deliveries:
            self._trim()
        else:
            self.give_up()
        self.judge.answer_elsewhere(waiting)

    def begin_with(self, body: bytes) -> None:
        """The first bytes of the body, which the origin need not send."""
        self.size = self.held = len(body)
        self.chunks = [body]

    def take_deliveries(self, which: Callable[[Delivery], bool] | None = None) -> list[Delivery]:
        """Everybody who waits, or those of whom `which` is true; they are the caller's to answer now."""
        taken = [delivery for delivery in self.deliveries if which is None or which(delivery)]
        for delivery in taken:
            self._remove(delivery)
        return taken

    def give_up(self) -> None:
        """Nobody wants the answer."""
        self.state = State.DISCARDING
        if self.fetch is not None:
            self.fetch.cancel()
            self.fetch = None
        self.judge.on_flight_over(self)

    def body(self) -> bytes:
        """All that came; only for a flight that keeps everything."""
        if len(self.chunks) == 1:
            return self.chunks[0]
        whole = b"".join(self.chunks)
        if not self._streaming:
            # Nobody holds a position in the list yet, so one copy is enough.
            self.chunks = [whole]
        return whole

    # From the origin (a Receiver).

    def on_interim(self, status: int, fields: RawFields) -> None:
        """Hand on to the first client: what the others get must not depend on when they came."""
        first = next(iter(self.deliveries), None)
        if first is not None and not first.collapsed:
            first.reply.interim(status, b"Early Hints" if status == 103 else b"Processing", fields)

    def on_head(self, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        """See Receiver."""
        self.judge.on_flight_head(self, status, reason, fields, length)

    def on_body(self, chunk: bytes) -> None:
        """See Receiver."""
        self.size += len(chunk)
        if self.state is State.DISCARDING:
            if self.size > WINDOW:
                self.give_up()
            return
        self.chunks.append(chunk)
        self.held += len(chunk)
        if self.keeping:
            self.judge.on_flight_body(self, len(chunk))
        if self._streaming:
            self.pump_all()

    def on_end(self) -> None:
        """See Receiver."""
        # Each holds the other; without this only the cycle collector would free them.
        self.fetch = None
        if self.state is State.DISCARDING:
            return
        self.complete = True
        self.judge.on_flight_complete(self)
        # Before anybody is answered: a client may send its next request within that, and must not join what is over.
        self.judge.on_flight_over(self)
        if not self._streaming and self.deliveries:
            # Everything came at once, as small answers do: one write for each client.
            self._answer_at_once()
        self.pump_all()
        # What is stored has a copy of its own; the slow need only what they lack.
        self.keeping = False
        self.balance()

    def on_failed(self, error: CallError) -> None:
        """See Receiver."""
        self.fetch = None
        if self.state is State.DISCARDING:
            return
        for delivery in [d for d in self.deliveries if d.started]:
            self._remove(delivery)
            delivery.reply.abort()
        self.judge.on_flight_over(self)
        self.judge.on_flight_failed(self, error)

    # From the clients.

    def left(self, delivery: Delivery) -> None:
        """A client has gone. What is shared goes on without it; what is passed has no reason to."""
        self.deliveries.pop(delivery, None)
        abandoned = not self.deliveries and not self.complete
        if abandoned and (self.alone or (self.state is not State.WAITING and not self.keeping)):
            self.give_up()
        else:
            self.balance()

    def pump(self, delivery: Delivery) -> None:
        """Send `delivery` what is there, as far as it takes it."""
        if not delivery.started:
            return
        reply = delivery.reply
        while not reply.paused:
            index = delivery.position - self.dropped
            if index >= len(self.chunks):
                if self.complete:
                    self._remove(delivery)
                    reply.end()
                return
            delivery.position += 1
            reply.write(self.chunks[index])

    def pump_all(self) -> None:
        """Send everybody what is there."""
        body: bytes | None = None
        for delivery in [*self.deliveries]:
            if delivery.waits_for_all and self.complete:
                body = self.body() if body is None else body
                self._remove(delivery)
                self.judge.answer_whole(self, delivery, body)
            else:
                self.pump(delivery)
        self.balance()

    def balance(self) -> None:
        """Drop what everybody has, and let the origin wait where a client is too far behind."""
        if self.keeping or not self._streaming:
            return
        self._trim()
        ahead = self.held
        if self.fetch is None or self.complete:
            return
        if ahead > WINDOW and not self.pausing:
            self.pausing = True
            self.fetch.pause()
        elif ahead <= WINDOW // 2 and self.pausing:
            self.pausing = False
            self.fetch.resume()

    def _trim(self) -> None:
        reached = min((d.position for d in self.deliveries), default=self.dropped + len(self.chunks))
        if reached > self.dropped:
            self.held -= sum(map(len, self.chunks[: reached - self.dropped]))
            del self.chunks[: reached - self.dropped]
            self.dropped = reached

    def _stream(self) -> None:
        """Begin to send, in the next turn of the loop: what has come completely by then was sent at once."""
        if self._streaming or self.state not in {State.SHARED, State.PASSING} or self.complete:
            return
        self._streaming = True
        for delivery in [*self.deliveries]:
            self._start(delivery)
        self.balance()

    def _start(self, delivery: Delivery) -> None:
        if self.judge.begin_answer(self, delivery):
            delivery.started = True
            delivery.reply.on_resumed = delivery.resumed
            self.pump(delivery)
        elif not delivery.waits_for_all:
            self._remove(delivery)

    def _answer_at_once(self) -> None:
        body = self.body()
        for delivery in self.take_deliveries():
            self.judge.answer_whole(self, delivery, body)

    def _remove(self, delivery: Delivery) -> None:
        self.deliveries.pop(delivery, None)
        delivery.release()
