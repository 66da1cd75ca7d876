"""Which requests of this process's clients another one answers, and what is done where that one is not there."""

from __future__ import annotations

from collections.abc import Sequence

from ...stores.memory import MemoryStore
from ...wire.server import ServerExchange
from ..cache.bounded_table import BoundedTable, share_of
from ..cache.engine import CacheEngine
from ..cache.protocols import InboundRequest
from ..proxy.known_hits import plain_form
from ..proxy.proxy import ProxyHandler
from .asking_end import Peer
from .forwarded import Forwarded
from .owner_end import OwnedExchange
from .ownership import Ownership

_MOST_KNOWN = 8192
_LONGEST = 2048
_PART = 32
_EACH = 15
_PASSED_ON = object()


def is_passed_on(exchange: ServerExchange) -> bool:
    """Whether its line in the log is the owner's business."""
    return exchange.context is _PASSED_ON


class Passing:
    """A RelayHandler of `wire/server/relaying`. `peers` are the other processes by number; `here` is the own one."""

    def __init__(
        self, handler: ProxyHandler, engine: CacheEngine, ownership: Ownership, here: int, peers: Sequence[Peer]
    ) -> None:
        self._handler = handler
        self._engine = engine
        self._ownership = ownership
        self._here = here
        self._peers = peers
        self._turn = 0
        self._returned: set[ServerExchange] = set()
        self._known = _table(engine.store)
        self._plain = _table(engine.store)
        self.answerer = self._known.entries.get
        self.known = handler.known
        self.begin = handler.begin
        handler.pass_on = self.pass_on

    def answerer_of_plain(self, data: bytes) -> Peer | None:
        """Who answers the request whose bytes are `data`, where one for the same URL was seen before."""
        plain = plain_form(data)
        peer = None if plain is None else self._plain.entries.get(plain[0])
        if peer is not None and len(data) <= _LONGEST:
            self._turn += 1
            if not self._turn & _EACH:
                # What comes again and again is soon known by its bytes, as in `known_hits`.
                self._known.keep(data, peer)
        return peer

    def returned(self, exchange: ServerExchange) -> None:
        """Answer here what was asked for in vain elsewhere: it is not passed on a second time."""
        self._returned.add(exchange)
        self._handler.begin(exchange)
        self._returned.discard(exchange)

    def pass_on(self, request: InboundRequest, exchange: ServerExchange) -> bool:
        """For `ProxyHandler.pass_on`."""
        if isinstance(exchange, OwnedExchange):
            return False
        owner = self._ownership.owner(self._engine.key_of_owner(request))
        if owner == self._here:
            return False
        if exchange not in self._returned:
            peer, context, on_head = self._peers[owner], exchange.context, exchange.on_head

            def take_back() -> None:
                exchange.context, exchange.on_head = context, on_head

            exchange.context, exchange.on_head = _PASSED_ON, None
            if Forwarded(exchange, peer, take_back, self.returned).begin():
                self._learn(exchange, peer)
                return True
            take_back()
        request.owner_down = True
        return False

    def untrue(self, key: bytes) -> None:
        """For `CacheEngine.on_invalidated`."""
        owner = self._ownership.owner(key)
        if owner != self._here:
            self._peers[owner].untrue(key)

    def forget(self) -> None:
        """Under another policy a URL may belong to another process."""
        self._known.clear()
        self._plain.clear()

    def _learn(self, exchange: ServerExchange, peer: Peer) -> None:
        raw = exchange.raw
        if raw is None or len(raw) > _LONGEST or exchange.head.method not in (b"GET", b"HEAD"):
            return
        plain = plain_form(raw)
        if plain is not None:
            self._plain.keep(plain[0], peer)
        self._known.keep(raw, peer)


def _table(store: MemoryStore) -> BoundedTable[Peer]:
    return BoundedTable(store, share_of(store, _PART), _MOST_KNOWN, lambda _: 0)
