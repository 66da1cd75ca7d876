"""Streams between processes, moved by hand: what was said arrives when the test says so, and in any pieces."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from penstock.wire.server import RequestHead, ServerExchange


class Pipe:
    """One direction: what was said and has not arrived."""

    def __init__(self, deliver: Callable[[Any], None]) -> None:
        self.waiting: deque[Any] = deque()
        self._deliver = deliver

    def say(self, item: Any) -> None:
        self.waiting.append(item)

    def move(self, chance: Random) -> None:
        """One thing arrives; of bytes, perhaps a part."""
        item = self.waiting.popleft()
        if isinstance(item, bytes) and len(item) > 1 and chance.random() < 0.3:
            cut = chance.randrange(1, len(item))
            self.waiting.appendleft(item[cut:])
            item = item[:cut]
        self._deliver(item)


class FakeTransport:
    """Of one end of a stream; None is its end."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.closed = False

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.pipe.say(data)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.pipe.say(None)

    abort = close

    def set_write_buffer_limits(self, high: int) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def connected(one: Any, other: Any) -> tuple[FakeTransport, FakeTransport, Pipe, Pipe]:
    """Two protocols with a stream between them."""

    def arrives_at(end: Any) -> Callable[[bytes | None], None]:
        lost = False

        def deliver(item: bytes | None) -> None:
            nonlocal lost
            if item is None and not lost:
                lost = True
                end.connection_lost(None)
            elif item is not None and not lost:
                end.data_received(item)

        return deliver

    there, back = Pipe(arrives_at(other)), Pipe(arrives_at(one))
    first, second = FakeTransport(there), FakeTransport(back)
    one.connection_made(first)
    other.connection_made(second)
    return first, second, there, back


class FakeClient:
    """A Channel of one request."""

    client = "192.0.2.1"
    tls = False
    paused = False

    def __init__(self, target: str) -> None:
        self.sent = b""
        self.over = False
        self.broken = False
        head = RequestHead(b"GET", target.encode(), [(b"host", b"shop")], http_1_0=False)
        head.host = b"shop"
        raw = f"GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n".encode()
        self.exchange = ServerExchange(self, head, raw)

    def send(self, data: bytes) -> None:
        self.sent += data

    def send_parts(self, *parts: bytes) -> int:
        self.sent += b"".join(parts)
        return sum(map(len, parts))

    def must_close(self, exchange: ServerExchange) -> bool:
        return False

    def pump(self) -> None: ...

    def finished(self, exchange: ServerExchange, *, close: bool) -> None:
        self.over = True

    def abort(self) -> None:
        self.broken = True


class FakeLine:
    """One end of the line between parent and process."""

    def __init__(self) -> None:
        self.pipe: Pipe
        self._heard: asyncio.Queue[Any] = asyncio.Queue()

    def say(self, data: dict[str, Any]) -> None:
        self.pipe.say(data)

    def arrive(self, data: dict[str, Any] | None) -> None:
        self._heard.put_nowait(data)

    async def hear(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await self._heard.get()
        return found

    def close(self) -> None: ...


class FakeProcess:
    """Ends when it is killed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def kill(self) -> None:
        if not self._ended.done():
            self._ended.set_result(-9)

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)
