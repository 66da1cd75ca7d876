"""One request to the origin and everybody who waits for its answer.

A flight is driven by the origin: what comes is kept here, and each client takes it at its own pace. Who may share it is
decided by its FlightJudge, once, when the head is there; how much may be kept, and until when others may join, by the
Room that it is in.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import NamedTuple, Protocol

from ...errors import CallError
from ...messages import RawFields
from ...rules.caching.decisions import Decision
from ...rules.caching.lookup import Act
from ...stores.stored_response import StoredResponse
from .found import Found
from .protocols import ClientReply, Fetch, InboundRequest, Origin

WINDOW = 256 * 1024
"""Bytes that a body which is not kept may be ahead of its slowest client before the origin has to wait."""


RANGE = frozenset({b"range", b"if-range"})
"""What an answer that others share is asked for without."""


class Head(NamedTuple):
    """The head of an answer as clients get it; `length` is None where only the end of the body will tell."""

    status: int
    reason: bytes
    fields: RawFields
    length: int | None


_NO_HEAD = Head(0, b"", [], None)


class FlightJudge(Protocol):
    """Who decides what an answer is good for."""

    def on_flight_head(self, flight: Flight, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        """The head is there: call one of `share`, `pass_to_leader`, `discard`."""
        ...

    def on_flight_unkept(self, flight: Flight, why: Decision) -> None:
        """More has come than may be kept: call `stop_keeping`."""
        ...

    def on_flight_complete(self, flight: Flight, body: bytes) -> None:
        """All has come; called before those who wait for it are answered. `body`: the whole of it, where it is kept."""
        ...

    def on_flight_failed(self, flight: Flight, error: CallError) -> None:
        """No complete answer will come; whoever was sent a part has been broken off."""
        ...

    def begin_answer(self, flight: Flight, delivery: Delivery) -> bool:
        """Send the head for `delivery`; False where nothing more is to be sent to it from here, or not yet."""
        ...

    def answer_whole(self, flight: Flight, delivery: Delivery, body: bytes) -> None:
        """Answer `delivery` with everything at once."""
        ...


class Room(Protocol):
    """Where flights are."""

    def hold(self, flight: Flight, size: int) -> Decision | None:
        """`size` more bytes of a body that is kept have come; says why they may be too many."""
        ...

    def over(self, flight: Flight) -> None:
        """Nothing more is kept of it, and nobody can join any more."""
        ...


class FlightState(enum.Enum):
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
    """One client of a flight, and how far it has got.

    It gets the bytes from `first` up to `end`, which is None where it gets all that come. `position` counts the chunks
    that it is done with, `reached` their bytes; where it gets all, only the chunks are counted.
    """

    __slots__ = ("collapsed", "end", "first", "flight", "position", "reached", "reply", "request", "started")

    def __init__(self, flight: Flight, request: InboundRequest, reply: ClientReply, *, collapsed: bool) -> None:
        self.flight = flight
        self.request = request
        self.reply = reply
        self.collapsed = collapsed
        """It came while somebody else's request was on its way, and shares that."""
        self.position = 0
        self.started = False
        self.first = self.reached = 0
        self.end: int | None = None
        reply.on_closed = self.closed

    def closed(self) -> None:
        """The client has gone."""
        self.flight.left(self)

    def resumed(self) -> None:
        """The client takes more."""
        self.flight.pump(self)
        self.flight.balance()

    def cut(self, first: int, last: int) -> None:
        """It gets these bytes only, the `last` included."""
        self.first, self.end = first, last + 1

    def piece_of(self, chunk: bytes) -> bytes:
        """What it gets of the next chunk; only where its bytes are counted."""
        start = self.reached
        self.reached = start + len(chunk)
        if self.end is not None and (start < self.first or self.reached > self.end):
            return chunk[max(self.first - start, 0) : max(self.end - start, 0)]
        return chunk

    def release(self) -> None:
        """Its answer no longer comes from here."""
        self.flight.deliveries.pop(self, None)
        self.reply.on_closed = None
        self.reply.on_resumed = None


@dataclass(slots=True, eq=False, repr=False)
class Flight:
    """Made by the engine; a Receiver for the origin.

    `sent`: the request as the origin sees it, where the client's Range is left out; for the rules. `alone`: nobody else
    may join. `part`: the beginning that is stored; the origin is asked for the rest. `conditional`: it is asked whether
    what is stored still holds, so it may answer 304. `verbatim`: the client's own conditions and range go to the
    origin, so the answer is right as it comes.
    """

    judge: FlightJudge
    room: Room
    request: InboundRequest
    found: InitVar[Found]
    sequence: int
    sent: InboundRequest
    alone: bool = False
    part: StoredResponse | None = None
    conditional: bool = False
    verbatim: bool = False
    key: bytes = field(init=False)
    flight_key: bytes = field(init=False)
    began: float = field(init=False)
    whole: bool = field(init=False)
    """Nothing was stored, and the whole was asked for where the first client wanted a range."""
    note: str = field(init=False)
    """For Cache-Status: why the origin was asked."""
    detail: str | None = field(default=None, init=False)
    """For Cache-Status, a key of `REASONS`: why the answer is not stored, or not shared; None where it is both."""
    stale: StoredResponse | None = field(init=False)
    """What is stored and needs the origin's word."""
    state: FlightState = field(default=FlightState.WAITING, init=False)
    head: Head = field(default=_NO_HEAD, init=False)
    deliveries: dict[Delivery, None] = field(default_factory=dict, init=False)
    fetch: Fetch | None = field(default=None, init=False)
    storing: StoredResponse | None = field(default=None, init=False)
    """What will be stored once it is complete."""
    chunks: list[bytes] = field(default_factory=list, init=False)
    dropped: int = field(default=0, init=False)
    """Chunks at the beginning that everybody has, and which are gone."""
    size: int = field(default=0, init=False)
    held: int = field(default=0, init=False)
    keeping: bool = field(default=False, init=False)
    complete: bool = field(default=False, init=False)
    pausing: bool = field(default=False, init=False)
    _streaming: bool = field(default=False, init=False)
    _passed_by: str | None = field(default=None, init=False)
    """Why the cache had nothing to do with the request from the first."""
    _since: float = field(default=0.0, init=False)
    """When it began to stream."""
    _undecided: list[Delivery] = field(default_factory=list, init=False)
    """Who gets a part that begins far behind what has come: whether from here is seen at a second look."""
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def __post_init__(self, found: Found) -> None:
        self.key = found.key
        self.flight_key = found.flight_key
        self.began = found.now
        self.whole = found.whole and not self.alone
        self.note = found.plan.word
        if found.plan.act is Act.STRAIGHT:
            self._passed_by = found.plan.reason
        self.stale = found.stored

    # From the engine.

    def ask(self, origin: Origin, fields: RawFields, body_of: ClientReply | None) -> None:
        """Send the request to `origin`, with `fields` in place of its own, and the body of this client."""
        self.fetch = origin.fetch(self.request, fields, self, body_of)

    def start_over(self) -> None:
        """What came does not fit what is stored: the next `ask` is for all, and without a condition."""
        self.forget_stored()
        self.conditional = self.verbatim = False
        self.sent = self.request.without(RANGE)
        if self.fetch is not None:
            # The rest of the answer that is being read now is nobody's.
            self.fetch.cancel()

    def join(self, request: InboundRequest, reply: ClientReply, *, collapsed: bool) -> None:
        """One more client. A flight that has its head already must match the request."""
        delivery = Delivery(self, request, reply, collapsed=collapsed)
        self.deliveries[delivery] = None
        if self._streaming:
            self._start(delivery)

    # From the judge.

    def tell(self, reason: str) -> None:
        """Say to its clients why the answer is not stored, or not shared."""
        self.detail = self._passed_by or reason

    def forget_stored(self) -> None:
        """The answer is neither compared nor put together with what is stored."""
        self.stale = self.part = None

    def count_purges_from(self, sequence: int) -> None:
        """The answer is newer than what was purged before the store's `sequence`."""
        self.sequence = sequence

    @property
    def owes_range(self) -> bool:
        """The first client's Range was not sent, so its answer has to be cut."""
        return self.sent is not self.request

    def share(self, head: Head, storing: StoredResponse) -> None:
        """The answer is for everybody who is here, and is kept whole to be stored."""
        self.state = FlightState.SHARED
        self.head = head
        self.storing = storing
        self.keeping = True
        asyncio.get_running_loop().call_soon(self._stream)

    def pass_to_leader(self, head: Head) -> None:
        """The answer is for the one client that is left here."""
        self.state = FlightState.PASSING
        self.head = head
        if not self.deliveries:
            self.give_up()
        else:
            asyncio.get_running_loop().call_soon(self._stream)

    def discard(self) -> None:
        """Read the rest and drop it; a long one is not worth its connection."""
        self.state = FlightState.DISCARDING
        self.room.over(self)

    def keep_unstored(self, reason: str) -> None:
        """All has come, and it is not stored after all."""
        self.storing = None
        self.tell(reason)

    def stop_keeping(self) -> None:
        """It will not be stored: from now on only what its clients lack is held."""
        self.keeping = False
        self.storing = None
        self.room.over(self)
        if self.deliveries:
            self._trim()
        else:
            self.give_up()

    def look_again(self, delivery: Delivery, seconds: float) -> None:
        """Ask the judge once more how to begin with `delivery`, at the latest after so many seconds."""
        self._undecided.append(delivery)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._look_by_time)

    def streamed_for(self) -> float:
        """Seconds since the body began to be handed on."""
        return asyncio.get_running_loop().time() - self._since

    def begin_with(self, body: bytes) -> None:
        """The first bytes of the body, which the origin need not send."""
        self.size = self.held = len(body)
        self.chunks = [body]

    def take_deliveries(self, which: Callable[[Delivery], bool] | None = None) -> list[Delivery]:
        """Everybody who waits, or those of whom `which` is true; they are the caller's to answer now."""
        taken = [*self.deliveries] if which is None else [each for each in self.deliveries if which(each)]
        for delivery in taken:
            delivery.release()
        return taken

    def give_up(self) -> None:
        """Nobody wants the answer."""
        self.state = FlightState.DISCARDING
        if self.fetch is not None:
            self.fetch.cancel()
            self.fetch = None
        self.room.over(self)

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
        """Have it judged."""
        self.judge.on_flight_head(self, status, reason, fields, length)

    def on_body(self, chunk: bytes) -> None:
        """Keep a piece of the body, or drop it, and send it to those who take it now."""
        self.size += len(chunk)
        if self.state is FlightState.DISCARDING:
            if self.size > WINDOW:
                self.give_up()
            return
        self.chunks.append(chunk)
        self.held += len(chunk)
        if self.keeping:
            too_much = self.room.hold(self, len(chunk))
            if too_much is not None:
                self.judge.on_flight_unkept(self, too_much)
        if self._streaming:
            self.pump_all()

    def on_end(self) -> None:
        """The answer is complete: store it, and send everybody what is left."""
        # Each holds the other; without this only the cycle collector would free them.
        self.fetch = None
        if self.state is FlightState.DISCARDING:
            return
        self.complete = True
        body = b"" if self._streaming and not self.keeping else self.body()
        self.judge.on_flight_complete(self, body)
        # Before anybody is answered: a client may send its next request within that, and must not join what is over.
        self.room.over(self)
        if not self._streaming:
            # Everything came at once, as small answers do: one write for each client.
            for delivery in self.take_deliveries():
                self.judge.answer_whole(self, delivery, body)
            return
        self.pump_all()
        # What is stored has a copy of its own; the slow need only what they lack.
        self.keeping = False
        self.balance()

    def on_failed(self, error: CallError) -> None:
        """Break off those who had a part of the answer; the others are told, or get what is stored."""
        self.fetch = None
        if self.state is FlightState.DISCARDING:
            return
        # First: a client may send its next request within `abort`, and must not join what has failed.
        self.room.over(self)
        for delivery in [d for d in self.deliveries if d.started]:
            delivery.release()
            delivery.reply.abort()
        self.judge.on_flight_failed(self, error)

    # From the clients.

    def let_go(self, delivery: Delivery) -> None:
        """One is answered in another way, all others go on."""
        delivery.release()
        self.left(delivery)

    def finish(self, delivery: Delivery) -> None:
        """One has all that it gets. What is kept goes on without anybody."""
        delivery.release()
        if not (self.deliveries or self.keeping or self.complete):
            self.give_up()

    def left(self, delivery: Delivery) -> None:
        """A client has gone. What is shared goes on without it; what is passed has no reason to."""
        self.deliveries.pop(delivery, None)
        abandoned = not self.deliveries and not self.complete
        if abandoned and (self.alone or (self.state is not FlightState.WAITING and not self.keeping)):
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
                    delivery.release()
                    reply.end()
                return
            delivery.position += 1
            if delivery.end is None:
                reply.write(self.chunks[index])
            elif self._write_part(delivery, self.chunks[index], delivery.end):
                return

    def _write_part(self, delivery: Delivery, chunk: bytes, end: int) -> bool:
        """Send what `delivery` gets of `chunk`; whether that was the last."""
        if piece := delivery.piece_of(chunk):
            delivery.reply.write(piece)
        if delivery.reached < end:
            return False
        self.finish(delivery)
        delivery.reply.end()
        return True

    def pump_all(self) -> None:
        """Send everybody what is there."""
        for delivery in [*self.deliveries]:
            self.pump(delivery)
        if self._undecided:
            self._look()
        self.balance()

    def _look_by_time(self) -> None:
        self._timer = None
        self._look()

    def _look(self) -> None:
        """Begin with those whose part has come near, or whose time for another look it is."""
        undecided, self._undecided = self._undecided, []
        for delivery in undecided:
            if delivery in self.deliveries:
                self._start(delivery)

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
        if self._streaming or self.state not in {FlightState.SHARED, FlightState.PASSING} or self.complete:
            return
        self._streaming = True
        self._since = asyncio.get_running_loop().time()
        for delivery in [*self.deliveries]:
            self._start(delivery)
        self.balance()

    def _start(self, delivery: Delivery) -> None:
        if self.judge.begin_answer(self, delivery):
            delivery.started = True
            delivery.reply.on_resumed = delivery.resumed
            self.pump(delivery)

    def __repr__(self) -> str:
        # No URL: it can hold secrets.
        state = "complete" if self.complete else self.state.value
        return f"<Flight {state} ({self.note}), {len(self.deliveries)} waiting, {self.size:,} bytes>"
