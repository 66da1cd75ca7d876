"""One end of a Unix stream between two processes: what is said to all that was read at once goes out in one write."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from .frames import BadFrames, FrameReader

_BATCH = 256
"""Pieces that are put together in one write."""
MOST_UNSENT = 1024 * 1024
"""Bytes that wait for the other end; with more, nothing is begun that would add to them."""
_log = logging.getLogger(__name__)


class FrameStream(asyncio.Protocol):
    """Its subclass is told of each frame by `on_frame`."""

    def __init__(self, greeting: bytes) -> None:
        self._greeting = greeting
        self._reader = FrameReader(greeting)
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._working = False
        self._transport: asyncio.Transport | None = None
        self._reading = True
        self.full = False
        """More than MOST_UNSENT bytes wait."""
        self.misunderstood = False
        """The other end speaks another way."""

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=MOST_UNSENT)
        self._transport.write(self._greeting)

    def data_received(self, data: bytes) -> None:
        """Called by the loop: one frame after another."""
        self._reader.feed(data)
        self._work()

    def pause_writing(self) -> None:
        """Called by the loop: the other end does not read as fast as it is told."""
        self.full = True

    def resume_writing(self) -> None:
        """Called by the loop: it has caught up."""
        self.full = False
        self.on_room()
        self._work()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop: the other process has gone."""
        self._transport = None
        self._out.clear()

    # For the subclass.

    holds_back = False
    """While it is full it takes no more frames. At one end only: two that wait for each other would wait for ever."""

    def on_frame(self, kind: int, exchange: int, payload: bytes) -> None:
        """A frame has come. Raises BadFrames for one that cannot be."""
        raise NotImplementedError

    def on_greeted(self) -> None:
        """The other end is what it should be."""

    def on_room(self) -> None:
        """What waited can be said now."""

    def put(self, *parts: bytes) -> None:
        """Say something: at once, or when all that has just been read is dealt with."""
        if self._working:
            self._out += parts
        elif self._transport is not None:
            # uvloop gathers what is written within a turn of the loop. A callback of ours would cost one turn more.
            self._transport.write(b"".join(parts))

    def flush(self) -> None:
        """Write what was said."""
        if self._out and self._transport is not None:
            data = b"".join(self._out)
            self._out.clear()
            self._transport.write(data)

    def give_up(self, *, greeted: bool = False) -> None:
        """End at once, unless the other end has said what it is; with `greeted`, then as well."""
        if self._transport is not None and (greeted or not self._reader.greeted):
            self._transport.abort()

    def close(self) -> None:
        """Say what there is to say, and end."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def _work(self) -> None:
        reader = self._reader
        greeted = reader.greeted
        outer, self._working = self._working, True
        try:
            while not (self.full and self.holds_back):
                frame = reader.take()
                if not greeted and reader.greeted:
                    greeted = True
                    self.on_greeted()
                if frame is None:
                    break
                self.on_frame(*frame)
                if self.holds_back and len(self._out) >= _BATCH:
                    self.flush()
        except BadFrames as error:
            _log.warning("a process of this proxy is not understood: %s", error)
            self.misunderstood = True
            self.give_up(greeted=True)
            return
        finally:
            self._working = outer
        if not outer:
            self.flush()
        self._settle()

    def _settle(self) -> None:
        reading = not (self.full and self.holds_back)
        if reading != self._reading and self._transport is not None:
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()
