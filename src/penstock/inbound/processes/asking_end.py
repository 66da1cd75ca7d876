"""Where another process is asked: requests that are its own go there in frames, and their answers come back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from .frames import (
    ANSWER,
    BODY,
    BODY_END,
    BROKEN,
    CREDIT,
    FORGET,
    FORGET_ALL,
    GONE,
    LAST,
    LAST_CLOSE,
    BadFrames,
    client_part,
    credit_frame,
    credit_in,
    frame,
    request_head,
)
from .stream import FrameStream

_LASTS = (LAST, LAST_CLOSE)
_MOST_NUMBER = 0xFFFFFFFF
_MOST_FORGOTTEN = 1000
_log = logging.getLogger(__name__)
_client_part = lru_cache(4096)(client_part)


class Waiting(Protocol):
    """Who waits for an answer."""

    def answer(self, data: bytes) -> None:
        """A piece of it."""
        ...

    def last(self, data: bytes, *, close: bool) -> None:
        """The last piece; with `close` its connection closes."""
        ...

    def broken(self) -> None:
        """No complete answer will come."""
        ...

    def owner_lost(self) -> None:
        """The process that was asked has gone."""
        ...

    def credit(self, size: int) -> None:
        """So many more bytes of the request body may be sent."""
        ...


class AskingEnd(FrameStream):
    """Made for the loop's create_unix_connection."""

    def __init__(self, peer: Peer, greeting: bytes) -> None:
        super().__init__(greeting)
        self._peer = peer
        self.lost: asyncio.Future[None] = self._loop.create_future()

    def on_greeted(self) -> None:
        """The other end is what it should be."""
        self._peer.is_up(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        super().connection_lost(exc)
        self._peer.is_down(self)
        if not self.lost.done():
            self.lost.set_result(None)

    def on_room(self) -> None:
        """What waited can be said now."""
        self._peer.on_room()

    def on_frame(self, kind: int, exchange: int, payload: bytes) -> None:
        """A frame has come. Raises BadFrames for one that cannot be."""
        waiting = self._peer.waiting
        if kind in _LASTS:
            who = waiting.pop(exchange, None)
            if who is not None:
                who.last(payload, close=kind == LAST_CLOSE)
            return
        if kind not in (ANSWER, BROKEN, CREDIT):
            raise BadFrames(f"kind {kind} is not for who asks")
        who = waiting.get(exchange)
        if who is None:
            # The client has gone.
            return
        if kind == ANSWER:
            who.answer(payload)
        elif kind == CREDIT:
            who.credit(credit_in(payload))
        else:
            del waiting[exchange]
            who.broken()


class Peer:
    """Another process, while it is there and while it is not. An Answerer of `wire/server/relaying`."""

    def __init__(self) -> None:
        self.waiting: dict[int, Waiting] = {}
        """Who waits for an answer, by the number of the exchange."""
        self.on_free: dict[Callable[[], None], None] = {}
        """Called, each once, when more can be said."""
        self.came: asyncio.Event = asyncio.Event()
        self._end: AskingEnd | None = None
        self._last = 0
        self._untrue: dict[bytes, None] = {}
        """URLs that it has to be told of when it is there."""
        self._all_untrue = False

    @property
    def full(self) -> bool:
        """It does not read as fast as it is told."""
        return self._end is None or self._end.full

    def ask(self, relayed: Waiting, client: str, raw: bytes, *, tls: bool) -> int:
        """Have the request `raw` answered to `relayed`; its number, or 0 where it cannot be asked now."""
        end = self._end
        if end is None or end.full:
            return 0
        number = self._last + 1 if self._last < _MOST_NUMBER else 1
        while number in self.waiting:
            number += 1
        self._last = number
        self.waiting[number] = relayed
        part = _client_part(client)
        end.put(request_head(number, len(part) + len(raw), tls=tls), part, raw)
        return number

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        if self.waiting.pop(number, None) is not None and self._end is not None:
            self._end.put(frame(GONE, number))

    def taken(self, number: int, size: int) -> None:
        """The client has taken so much of an answer."""
        if self._end is not None:
            self._end.put(credit_frame(number, size))

    def body(self, number: int, data: bytes) -> None:
        """A piece of a request body."""
        if self._end is not None:
            self._end.put(frame(BODY, number, data))

    def body_end(self, number: int) -> None:
        """It is complete."""
        if self._end is not None:
            self._end.put(frame(BODY_END, number))

    def untrue(self, key: bytes) -> None:
        """What is stored for `key` is no longer true; where the process is not there, it is told when it comes."""
        if self._end is not None:
            self._end.put(frame(FORGET, 0, key))
        elif len(self._untrue) < _MOST_FORGOTTEN:
            self._untrue[key] = None
        else:
            self._all_untrue = True

    # For its end.

    def is_up(self, end: AskingEnd) -> None:
        """From now on it can be asked."""
        self._end = end
        if self._all_untrue:
            end.put(frame(FORGET_ALL, 0))
        for key in self._untrue:
            end.put(frame(FORGET, 0, key))
        self._untrue.clear()
        self._all_untrue = False
        self.came.set()

    def is_down(self, end: AskingEnd) -> None:
        """It has gone, and whoever waits for it is told."""
        if self._end is not end:
            return
        self._end = None
        self.came.clear()
        self.on_free.clear()
        waiting, self.waiting = self.waiting, {}
        for who in waiting.values():
            try:
                who.owner_lost()
            except Exception:  # noqa: BLE001 - whatever happens to one, the others are told
                _log.exception("a request of a process that has gone could not be taken back")

    def on_room(self) -> None:
        """More can be said."""
        waiting, self.on_free = self.on_free, {}
        for tell in waiting:
            tell()
