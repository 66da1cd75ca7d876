"""A request that was parsed here and belongs to another process: its body goes there, the answer comes from there."""

from __future__ import annotations

from collections.abc import Callable

from ...wire.server import RequestHead, ServerExchange
from ..proxy.origin import REPEATABLE
from .asking_end import Peer
from .frames import PIECE

_BAD_GATEWAY = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
_LOST = b"The process that carried out the request has ended; whether the app has seen it is not known.\n"


def raw_head(head: RequestHead) -> bytes:
    """A head as bytes, for who is to read the same out of it: no line is longer than it came, or it may be too long."""
    version = b"1.0" if head.http_1_0 else b"1.1"
    lines = [b"%b %b HTTP/%b\r\n" % (head.method, head.target, version)]
    lines += [b"%b:%b\r\n" % field for field in head.fields if field[0] != b"expect"]
    return b"".join([*lines, b"\r\n"])


class Forwarded:
    """One exchange. `take_back` makes it one of this process again, `answer_here` has it answered."""

    def __init__(
        self,
        exchange: ServerExchange,
        peer: Peer,
        take_back: Callable[[], None],
        answer_here: Callable[[ServerExchange], None],
    ) -> None:
        self._exchange = exchange
        self._peer = peer
        self._take_back = take_back
        self._answer_here = answer_here
        self._number = 0
        self._owed = 0
        self._window = 0
        self._reading = False
        self._body_seen = False

    def begin(self) -> bool:
        """Ask; False where that is not possible now."""
        exchange = self._exchange
        raw = exchange.raw or raw_head(exchange.head)
        self._number = self._peer.ask(self, exchange.client, raw, tls=exchange.tls)
        if not self._number:
            return False
        exchange.on_closed = self._closed
        exchange.on_resumed = self._settle
        return True

    # From the other process.

    def answer(self, data: bytes) -> None:
        """A piece of the answer, which goes on."""
        self._owed += len(data)
        self._exchange.relay(data)
        if not self._exchange.paused:
            self._settle()

    def last(self, data: bytes, *, close: bool) -> None:
        """The last piece."""
        self._over()
        if data:
            self._exchange.relay(data)
        self._exchange.relayed(close=close)

    def broken(self) -> None:
        """No complete answer will come."""
        self._over()
        self._exchange.abort()

    def owner_lost(self) -> None:
        """It is answered here, if nothing was sent yet and to ask the app once more does no harm."""
        self._over()
        self._take_back()
        exchange = self._exchange
        if exchange.started:
            exchange.abort()
        elif not self._body_seen and exchange.head.method in REPEATABLE:
            self._answer_here(exchange)
        else:
            exchange.respond(502, b"Bad Gateway", _BAD_GATEWAY, _LOST)

    def credit(self, size: int) -> None:
        """So many more bytes of the body may be sent."""
        self._window += size
        if not self._reading:
            self._reading = True
            self._exchange.receive_body(self._on_data, self._on_end)
        else:
            self._go_on()

    # From the client.

    def _on_data(self, data: bytes) -> None:
        self._body_seen = True
        for at in range(0, len(data), PIECE):
            self._peer.body(self._number, data[at : at + PIECE])
        self._window -= len(data)
        if self._window <= 0 or self._peer.full:
            if self._peer.full:
                self._peer.on_free[self._go_on] = None
            self._exchange.pause_body()

    def _on_end(self) -> None:
        self._body_seen = True
        self._peer.body_end(self._number)

    def _go_on(self) -> None:
        if self._window <= 0:
            return
        if self._peer.full:
            # Where all that was sent is taken, no other credit will come.
            self._peer.on_free[self._go_on] = None
        else:
            self._exchange.resume_body()

    def _settle(self) -> None:
        owed, self._owed = self._owed, 0
        if owed:
            self._peer.taken(self._number, owed)

    def _closed(self) -> None:
        self._peer.forget(self._number)
        self._peer.on_free.pop(self._go_on, None)

    def _over(self) -> None:
        self._exchange.on_closed = self._exchange.on_resumed = None
        self._peer.on_free.pop(self._go_on, None)
