"""One connection of the fault server: HTTP/1.1 on httptools, written straight on the transport.

This is the hot path of soak runs (10 million requests), so a plain answer at zero latency is written inside
`data_received`: no task, no timer, no header parsing.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from typing import Any

import httptools

from .fault_answers import TORN, Fault, refusal
from .fault_service import ServedRequest, Service

_SPECIAL = frozenset({b"/health", b"/stats"})
_NO_LINGER = struct.pack("ii", 1, 0)
_DRIPS = 10
# What to do instead of an answer (None: answer), for which request, and whether the connection stays.
_Request = bytes | ServedRequest
_Job = tuple[Fault | None, _Request, bool]


class FaultConnection(asyncio.Protocol):
    """Answers the requests of one connection in order, also when they are pipelined."""

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._target = b""
        self._body = b""
        # Whether the next request has to queue; the one that is being answered is not in the queue.
        self._busy = False
        self._unanswered = 0
        self._hangs = False
        self._queue: deque[_Job] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection: the server resets it at its end."""
        self._transport = transport
        self._service.connections.add(self)
        self._service.connections_opened += 1

    def connection_lost(self, error: Exception | None) -> None:
        """Forget what was still to be answered."""
        service = self._service
        service.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        service.in_flight -= self._unanswered
        service.abandoned += self._unanswered - self._hangs
        self._queue.clear()
        # Parser and connection refer to each other; the collector should not have to find that out.
        self._parser = None

    def abort(self) -> None:
        """Reset the connection: the peer sees RST, whatever was still on its way to it."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse; what is complete is answered from within the parser's callbacks."""
        if self._parser is None or self._transport.is_closing():
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            # An exception of the test's own `answer` must be seen, not be taken for a bad request.
            raise error.__context__ or error from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._service.bad_requests += 1
            self._transport.write(refusal(400, "not an HTTP/1.1 request"))
            self._transport.close()

    # Callbacks of the parser.

    def on_url(self, url: bytes) -> None:
        """Take the target; it comes in pieces where it is split between packets."""
        self._target += url

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; a body in one packet is not copied."""
        self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        """Note the arrival, and answer now or when those before it are answered."""
        now = time.monotonic()
        service = self._service
        target, body = self._target, self._body
        self._target = self._body = b""
        if target in _SPECIAL and self._parser.get_method() == b"GET":
            fault: Fault | None = service.special(target)
        else:
            fault = service.arrive(target, body, now)
        request = self._inspect(target, body) if service.inspects else body
        keep_alive: bool = self._parser.should_keep_alive()
        if fault is None and keep_alive and not self._busy and service.latency is None:
            # The same as below, without the detours.
            self._transport.write(service.answer(request))
            return
        self._enter((fault, request, keep_alive))

    def _inspect(self, target: bytes, body: bytes) -> ServedRequest:
        raise NotImplementedError

    # Answering.

    def _enter(self, job: _Job) -> None:
        service = self._service
        self._unanswered += 1
        service.in_flight += 1
        service.max_in_flight = max(service.max_in_flight, service.in_flight)
        if self._busy:
            self._queue.append(job)
        else:
            self._start(job)

    def _start(self, job: _Job) -> None:
        self._busy = True
        if self._parser is None or self._transport.is_closing():
            return
        fault = job[0]
        latency = self._service.latency
        if fault is not None and fault.kind == "hang":
            self._hangs = True
        elif latency is None or (fault is not None and fault.at_once):
            self._finish(job)
        else:
            self._timer = self._loop.call_later(latency(), self._finish, job)

    def _finish(self, job: _Job) -> None:
        fault, request, keep_alive = job
        if fault is None:
            self._transport.write(self._service.answer(request))
        elif fault.kind in TORN:
            self._tear(fault.kind, request)
            keep_alive = False
        elif fault.kind == "slow_body":
            self._drip(self._service.answer(request), 0, keep_alive)
            return
        else:
            self._transport.write(fault.wire)
        self._done(keep_alive)

    def _done(self, keep_alive: bool) -> None:
        self._unanswered -= 1
        self._service.in_flight -= 1
        if not keep_alive:
            # It stays busy: what was pipelined behind the last answer is never answered.
            self._transport.close()
        elif self._queue:
            # Not called directly: a long pipeline would recurse as deep as it is long.
            self._loop.call_soon(self._start, self._queue.popleft())
        else:
            self._busy = False

    def _tear(self, kind: str, request: _Request) -> None:
        """End the connection instead of the answer, or in the middle of it."""
        if kind == "reset":
            self.abort()
        elif kind == "truncated":
            self._transport.write(self._service.torn_answer(request))

    def _drip(self, answer: bytes, at: int, keep_alive: bool) -> None:
        # The head comes with the first drip, so that the time to the first byte looks healthy.
        first = answer.index(b"\r\n\r\n") + 5 if at == 0 else 1
        end = at + max(first, -(-len(answer) // _DRIPS))
        self._transport.write(answer[at:end])
        if end >= len(answer):
            self._done(keep_alive)
            return
        pause = self._service.slow_body_seconds / _DRIPS
        self._timer = self._loop.call_later(pause, self._drip, answer, end, keep_alive)


class InspectingConnection(FaultConnection):
    """Also keeps method and headers for a `respond` that wants to see them; costs a call per header."""

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._headers: dict[str, str] = {}
        super().__init__(service, loop)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def _inspect(self, target: bytes, body: bytes) -> ServedRequest:
        headers, self._headers = self._headers, {}
        return ServedRequest(self._parser.get_method().decode("latin-1"), target, headers, body)
