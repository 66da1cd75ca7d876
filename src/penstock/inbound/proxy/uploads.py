"""Request bodies are read ahead, so that the app is asked when it can answer, and not while a client dawdles.

A body that ends within the buffer goes out with its request, in one piece. A longer one goes on from there as it comes,
when it is the client's turn. What is held is charged to the budget of the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...stores.memory import MemoryStore
from ...wire.server import ServerExchange
from ..cache.bounded_table import share_of
from .upload_turns import UploadTurns

_SHARE = 16
"""One such part of the budget is for bodies that are read ahead."""
_BUSY = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"retry-after", b"1"),
]


class Uploads:
    """The bodies of all clients. `size` bytes of each are read ahead; one waits its turn for `patience` seconds."""

    def __init__(self, store: MemoryStore, size: int, turns: UploadTurns, patience: float) -> None:
        self.size = size
        self.patience = patience
        self.turns = turns
        self.under_way: dict[ServerExchange, Upload] = {}
        self.held = 0
        """Bytes that are charged."""
        self._store = store
        self._most = share_of(store, _SHARE)

    def read(self, exchange: ServerExchange, address: str, on_ready: Callable[[], object]) -> None:
        """Call `on_ready` when the app may be asked: soon, later, or never, where the client leaves or is refused.

        `address` is whose turn it takes. Sends 100 (Continue) where the client waits for it.
        """
        upload = Upload(self, exchange, address, on_ready)
        self.under_way[exchange] = upload
        exchange.on_over = upload.over
        if self.size:
            exchange.receive_body(upload.on_data, upload.on_end)
        else:
            upload.ask_or_wait()

    def hold(self, size: int) -> bool:
        """Charge `size` bytes more; False, and nothing is charged, where there is no room."""
        if self.held + size > self._most or not self._store.charge_table(size):
            return False
        self.held += size
        return True

    def release(self, size: int) -> None:
        """The opposite of `hold`."""
        self._store.charge_table(-size)
        self.held -= size


class Upload:
    """The body of one request, until the exchange is over."""

    __slots__ = (
        "_address",
        "_body",
        "_charged",
        "_has_turn",
        "_on_ready",
        "_timer",
        "_uploads",
        "complete",
        "exchange",
    )

    def __init__(
        self, uploads: Uploads, exchange: ServerExchange, address: str, on_ready: Callable[[], object]
    ) -> None:
        self._uploads = uploads
        self.exchange = exchange
        self._address = address
        self._on_ready: Callable[[], object] | None = on_ready
        self._body = bytearray()
        self._charged = 0
        self._has_turn = False
        self._timer: asyncio.TimerHandle | None = None
        self.complete = False
        """All of the body was read ahead."""

    @property
    def length(self) -> int | None:
        """Of the body, as the client has said; None where it did not."""
        return self.exchange.head.content_length

    def on_data(self, data: bytes) -> None:
        """Called by the exchange: a piece of the body."""
        if self._on_ready is None:
            return
        self._body += data
        uploads = self._uploads
        if not uploads.hold(len(data)):
            # Not now: where this was the end of the body, `on_end` is about to be called.
            asyncio.get_running_loop().call_soon(self._ask_or_refuse)
            return
        self._charged += len(data)
        if len(self._body) > uploads.size:
            self.ask_or_wait()

    def on_end(self) -> None:
        """Called by the exchange: the body is complete."""
        self.complete = True
        self._ask()

    def ask_or_wait(self) -> None:
        """Have the app asked, now or when it is the client's turn: nothing more is read before."""
        if self._take_turn():
            self._ask()
            return
        self.exchange.pause_body()
        uploads = self._uploads
        uploads.turns.wait(self._address, self._on_turn)
        self._timer = asyncio.get_running_loop().call_later(uploads.patience, self._refuse)

    def take(self) -> bytes:
        """What was read ahead, once."""
        body, self._body = self._body, bytearray()
        return bytes(body)

    def sent_ahead(self) -> None:
        """What was read ahead is no longer held."""
        charged, self._charged = self._charged, 0
        if charged:
            self._uploads.release(charged)

    def sent(self) -> None:
        """The body is with the app, all of it: it is no longer the client who is waited for."""
        if self._has_turn:
            self._has_turn = False
            self._uploads.turns.give_back(self._address)

    def over(self) -> None:
        """Called by the exchange: answered, or the client has gone."""
        self._on_ready = None
        self._uploads.under_way.pop(self.exchange, None)
        self._body = bytearray()
        self.sent_ahead()
        self._stop_waiting()
        self.sent()

    def _ask(self) -> None:
        on_ready, self._on_ready = self._on_ready, None
        if on_ready is not None:
            on_ready()

    def _ask_or_refuse(self) -> None:
        if self._on_ready is None:
            return
        if self._take_turn():
            self._ask()
        else:
            self._refuse()

    def _take_turn(self) -> bool:
        self._has_turn = self._uploads.turns.take(self._address)
        return self._has_turn

    def _on_turn(self) -> None:
        # Somebody else's exchange has just ended, and what follows is none of its business.
        self._has_turn = True
        self._stop_waiting()
        asyncio.get_running_loop().call_soon(self._ask)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._uploads.turns.leave(self._address, self._on_turn)

    def _refuse(self) -> None:
        self._on_ready = None
        self.exchange.respond(503, b"Service Unavailable", _BUSY, b"Too many request bodies are on their way.\n")
