"""One client's connection: an asyncio protocol that answers one request after another, in order.

Timeouts have no timers: `check` is called about once a second for each connection, and the way of a request that
the handler knows stores nothing for it but the count of requests.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import cast

from .answer_bytes import plain_answer
from .body_rate import BodyRate
from .exchange import ServerExchange
from .keeper import ServerKeeper, tell
from .rejected import RequestRejected
from .request_reader import RequestReader
from .reset import end_writing, reset_on_close

# Plain numbers: since 3.12 members of an IntEnum take a fifth longer to compare.
_PHASES = ("idle", "head", "busy", "drop", "linger", "closed")
IDLE, _HEAD, BUSY, _DROP, _LINGER, _CLOSED = range(len(_PHASES))
_BATCH = 32
"""Pipelined requests of one connection that are begun before others have a turn."""
_COPIED_BYTES = 64 * 1024
_LINGER_BYTES = 1024 * 1024
_log = logging.getLogger(__name__)


class ServerConnection(asyncio.Protocol):
    """Made for the loop's create_server."""

    __slots__ = (
        "_dropped",
        "_due",
        "_eof",
        "_exchange",
        "_idle",
        "_keeper",
        "_known",
        "_limits",
        "_loop",
        "_phase",
        "_rate",
        "_reader",
        "_reading",
        "_running",
        "_scheduled",
        "_seen",
        "_send_due",
        "_transport",
        "_unsent",
        "client",
        "draining",
        "paused",
        "requests",
        "send",
        "tls",
    )

    def __init__(self, keeper: ServerKeeper[ServerConnection]) -> None:
        self._keeper = keeper
        self._limits = limits = keeper.limits
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader(limits)
        plain = limits.max_requests_per_connection is None and keeper.on_known is None
        self._known = keeper.handler.known if plain else self._known_with_care
        self._exchange: ServerExchange | None = None
        self._rate: BodyRate | None = None
        self._phase = IDLE
        self._idle = False
        self._eof = False
        self._reading = True
        self._running = False
        self._scheduled = False
        self._dropped = 0
        self._due = math.inf
        self._send_due = math.inf
        self._unsent = 0
        self._seen = 0
        self.requests = 0
        """Requests so far."""
        self.client = ""
        self.tls = False
        self.paused = False
        """The client does not take what it is sent."""
        self.draining = False

    def __repr__(self) -> str:
        flags = "".join(f" {flag}" for flag in ("paused", "draining") if getattr(self, flag))
        counts = f"{self.requests} requests, {self._reader.buffered} bytes not read"
        return f"<ServerConnection {_PHASES[self._phase]}{flags}, {counts}>"

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        # uvloop's transports do not derive from asyncio.Transport, so isinstance cannot be asked.
        self._transport = cast("asyncio.Transport", transport)
        self.send = self._transport.write
        peer = transport.get_extra_info("peername")
        self.client = peer[0] if isinstance(peer, tuple) else ""
        self.tls = transport.get_extra_info("sslcontext") is not None
        self._due = self._loop.time() + self._limits.idle_timeout
        self._idle = True
        self._keeper.made(self)

    def data_received(self, data: bytes) -> None:
        """Called by the loop: ask the handler whether it knows these bytes, or else parse."""
        if self._idle:
            answer = self._known(data)
            if answer is not None:
                self.requests += 1
                self.send(answer)
                return
            self._reader.feed(data)
            self._next(data)
        else:
            self._receive(data)

    def eof_received(self) -> bool:
        """Called by the loop: the client sends no more, and may still wait for answers."""
        self._eof = True
        self._idle = False
        if self._phase == _LINGER or self.tls:
            return False
        if self._exchange is not None:
            if self._reader.body is None:
                return True
            self.abort()
            return False
        return (self.paused or self._scheduled) and self._reader.buffered > 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop: the transport is closed."""
        self._phase = _CLOSED
        self._idle = False
        self._due = math.inf
        self.paused = False
        self._reader.forget()
        self._keeper.lost(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._tell_closed(exchange)
            self._report(exchange, exchange.status, exchange.bytes_sent)

    def pause_writing(self) -> None:
        """Called by the loop: the client does not take what it is sent."""
        self.paused = True
        self._unsent = 0
        self._settle()

    def resume_writing(self) -> None:
        """Called by the loop: it does again."""
        self.paused = False
        exchange = self._exchange
        if exchange is None:
            self._next()
            return
        if exchange.on_resumed is not None:
            self._guard(exchange, exchange.on_resumed)
        self._settle()

    # Called by the server.

    @property
    def busy(self) -> bool:
        """In the middle of a request or an answer."""
        return self._phase in {_HEAD, BUSY, _DROP}

    @property
    def spare(self) -> tuple[int, float] | None:
        """How well it can be closed for a newcomer: the lowest first; None within a request or an answer."""
        if self._phase in {BUSY, _CLOSED} or self._scheduled or self._transport.get_write_buffer_size():
            return None
        if not self.requests:
            return 0, 0.0
        return (1 if self._idle else 2), self._due

    def make_way(self) -> None:
        """Close at once, for a newcomer: nothing is under way here."""
        self._phase = _CLOSED
        self._idle = False
        self._transport.abort()

    def refuse(self) -> None:
        """Say that there are too many connections, and close."""
        self._refuse(503, "too many connections")

    def drain(self, *, last: bool = False) -> None:
        """Close now if idle, or else after the answer.

        Who has just connected may still send its request, until the `last` call: to be closed on without an answer,
        while others are served, is to be refused.
        """
        self.draining = True
        self._idle = False
        if self._phase == IDLE and not self._reader.buffered and (self.requests or last):
            self._shut()

    def check(self, now: float) -> None:
        """Enforce the timeouts; `now` is on the loop's clock."""
        phase = self._phase
        if self.paused or phase >= _LINGER:
            self._check_sending(now)
        elif phase == IDLE:
            if self._seen != self.requests:
                self._seen = self.requests
                self._due = now + self._limits.idle_timeout
            elif now >= self._due:
                self._shut()
        elif now >= self._due or (phase != _HEAD and self._rate is not None and self._rate.is_late(now, self._due)):
            self._expire(phase)

    # Called by the exchange.

    def send_parts(self, *parts: bytes) -> int:
        """Write, and count. Parts are put together where copying costs less than a write of more than one buffer."""
        size = sum(map(len, parts))
        if size <= _COPIED_BYTES or len(parts) == 1:
            self.send(b"".join(parts))
        else:
            self._transport.writelines(parts)
        return size

    def must_close(self, exchange: ServerExchange) -> bool:
        """Whether no request can follow this one."""
        head = exchange.head
        reader = self._reader
        if not head.keep_alive or self.draining or (self._eof and not reader.buffered):
            return True
        most = self._limits.max_requests_per_connection
        if most is not None and self.requests >= most:
            return True
        if reader.body is None:
            return False
        if head.expect_continue and not exchange.continued:
            # The body may or may not come: what follows cannot be told apart (RFC 9110, 10.1.1).
            return True
        return (reader.body_left or 0) > self._limits.max_dropped_bytes

    def pump(self) -> None:
        """Hand over what there is of the request body."""
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.on_data is not None and not exchange.body_paused:
            self._due = self._loop.time() + self._limits.body_timeout
            self._guard(exchange, self._hand_over)
        else:
            self._due = math.inf
            if self._rate is not None:
                self._rate.excused = True
        self._settle()

    def finished(self, exchange: ServerExchange, *, close: bool) -> None:
        """The answer was written."""
        if self._exchange is not exchange:
            return
        self._exchange = None
        self._report(exchange, exchange.status, exchange.bytes_sent)
        if self._phase >= _LINGER:
            return
        if close:
            self._shut(asked=not exchange.head.keep_alive)
            return
        self._phase = IDLE
        if self._reader.body is not None:
            self._phase = _DROP
            self._dropped = 0
            self._due = self._loop.time() + self._limits.body_timeout
        if not self._running:
            self._next()

    def abort(self) -> None:
        """Reset the connection: nothing that was sent before can be taken for complete by its closing."""
        self._phase = _CLOSED
        self._idle = False
        reset_on_close(self._transport)
        self._transport.abort()

    # The requests.

    def _known_with_care(self, data: bytes) -> bytes | None:
        """Where requests are counted, or who keeps the log wants to hear of each."""
        if self.requests + 1 >= (self._limits.max_requests_per_connection or math.inf):
            return None
        answer = self._keeper.handler.known(data)
        if answer is not None:
            tell(self._keeper.on_known, data, answer, self.client)
        return answer

    def _receive(self, data: bytes) -> None:
        if self._phase >= _LINGER:
            self._dropped += len(data)
            if self._dropped > _LINGER_BYTES:
                self.abort()
            return
        self._reader.feed(data)
        exchange = self._exchange
        if exchange is None:
            self._next()
        else:
            exchange.continued = True
            if self._reader.body is None:
                self._settle()
            else:
                self.pump()

    def _next(self, unknown: bytes = b"") -> None:
        """Begin what has arrived, until an answer is waited for. `unknown` is what the handler was just asked for."""
        if self._running or self._scheduled:
            return
        self._running = True
        try:
            for _ in range(_BATCH):
                if self.paused or self._exchange is not None or self._phase >= _LINGER or not self._one(unknown):
                    break
            else:
                self._scheduled = True
                self._loop.call_soon(self._again)
        except RequestRejected as error:
            self._refuse(error.status, error.reason)
        finally:
            self._running = False
        self._settle()

    def _again(self) -> None:
        self._scheduled = False
        self._next()

    def _one(self, unknown: bytes) -> bool:
        reader = self._reader
        if self._phase == _DROP and not self._drop():
            return False
        raw = reader.take_raw()
        if raw is None:
            self._wait()
            return False
        self._phase = IDLE
        if raw != unknown and not self.draining:
            answer = self._known(raw)
            if answer is not None:
                self.requests += 1
                self.send(answer)
                return True
        head = reader.parse(raw)
        self.requests += 1
        plain = head.keep_alive and not head.has_body and not head.http_1_0
        exchange = ServerExchange(self, head, raw if plain else None)
        exchange.continued = reader.buffered > 0
        self._exchange = exchange
        self._phase = BUSY
        self._due = math.inf
        self._rate = BodyRate(self._limits, reader, self._loop.time()) if head.has_body else None
        try:
            self._keeper.handler.begin(exchange)
        except Exception:  # noqa: BLE001 - whatever a handler raises, the server goes on
            self._failed(exchange)
        return True

    def _wait(self) -> None:
        """For the rest of a head, or for its first byte."""
        buffered = self._reader.buffered
        if self._eof or (self.draining and not buffered):
            self._shut()
        elif buffered:
            if self._phase != _HEAD:
                self._phase = _HEAD
                self._due = self._loop.time() + self._limits.header_timeout
        else:
            self._phase = IDLE

    def _drop(self) -> bool:
        """What is left of an answered request's body; True at its end."""
        reader = self._reader
        piece = reader.take_body()
        if reader.body is None:
            return True
        self._dropped += len(piece)
        if self._dropped > self._limits.max_dropped_bytes:
            self._shut()
        elif piece:
            self._due = self._loop.time() + self._limits.body_timeout
        return False

    def _hand_over(self) -> None:
        exchange, reader = self._exchange, self._reader
        if exchange is None or exchange.on_data is None:
            return
        piece = reader.take_body()
        if piece:
            exchange.on_data(piece)
        if reader.body is None and self._exchange is exchange and not exchange.body_paused:
            self._due = math.inf
            exchange.body_ended()

    def _settle(self) -> None:
        """After any change: whether the next bytes may be known ones, and whether to read."""
        waiting = self._exchange is None
        buffered = self._reader.buffered
        self._idle = (
            self._phase == IDLE
            and waiting
            and not buffered
            and not (self.paused or self.draining or self._scheduled or self._eof)
        )
        if self._eof or self._phase == _CLOSED:
            return
        if self._phase == _LINGER:
            reading = True
        elif waiting or self._reader.body is None:
            reading = not self.paused and not self._scheduled and (waiting or buffered <= self._limits.max_held_bytes)
        else:
            # A client that sends all of its body before it reads would otherwise wait for us, and we for it.
            reading = buffered <= self._limits.max_held_bytes
        if reading != self._reading:
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # The end.

    def _refuse(self, status: int, text: str) -> None:
        self._report(None, status, self.send_parts(plain_answer(status, text)))
        self._shut()

    def _expire(self, phase: int) -> None:
        exchange = self._exchange
        if phase == _HEAD:
            self._refuse(408, "the head of the request took too long")
        elif phase == _DROP:
            self._shut()
        elif exchange is not None:
            exchange.fail(408, "the body of the request took too long")
            self._tell_closed(exchange)

    def _check_sending(self, now: float) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent and (not self._unsent or unsent < self._unsent):
            self._send_due = now + self._limits.send_timeout
            if self._phase == _LINGER:
                self._due = now + self._limits.linger_timeout
        self._unsent = unsent
        if now >= (self._send_due if unsent else self._due) and (unsent or self._phase == _LINGER):
            self.abort()

    def _shut(self, *, asked: bool = False) -> None:
        """Close after what is written, so that the client can read it: a close with bytes unread is a reset.

        `asked` if the client has said that it sends no more requests.
        """
        self._idle = False
        clean = asked and not self._reader.buffered and self._reader.body is None
        transport = self._transport
        self._reader.forget()
        if self._eof or clean or not transport.can_write_eof():
            self._phase = _CLOSED
            transport.close()
            return
        self._phase = _LINGER
        self._dropped = 0
        self._unsent = 0
        self._due = self._loop.time() + self._limits.linger_timeout
        end_writing(transport)
        self._settle()

    def _guard(self, exchange: ServerExchange, callback: Callable[[], None]) -> None:
        try:
            callback()
        except RequestRejected as error:
            exchange.fail(error.status, error.reason)
            self._tell_closed(exchange)
        except Exception:  # noqa: BLE001 - whatever a handler raises, the server goes on
            self._failed(exchange)
            self._tell_closed(exchange)

    def _failed(self, exchange: ServerExchange) -> None:
        _log.exception("the handler failed at %r", exchange.head.target)
        if not exchange.done:
            exchange.fail(500, "the server failed")

    def _tell_closed(self, exchange: ServerExchange) -> None:
        exchange.lost()
        on_closed, exchange.on_closed = exchange.on_closed, None
        if on_closed is not None:
            try:
                on_closed()
            except Exception:  # noqa: BLE001 - whatever a handler raises, the server goes on
                _log.exception("the handler failed at the end of %r", exchange.head.target)

    def _report(self, exchange: ServerExchange | None, status: int, size: int) -> None:
        if self._keeper.on_answered is not None:
            tell(self._keeper.on_answered, exchange, status, size, self.client)
