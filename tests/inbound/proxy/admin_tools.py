"""An app, clients and exchanges without sockets, for the tests of what watches and purges a cache."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from penstock.errors import CallError
from penstock.inbound.cache.engine import CacheEngine
from penstock.inbound.cache.policy import Policy
from penstock.inbound.cache.protocols import ClientReply, InboundRequest
from penstock.inbound.cache.purging import requests_for
from penstock.inbound.proxy.snapshot import Watched
from penstock.inbound.proxy.top_urls import TopUrls
from penstock.messages import RawFields
from penstock.rules.caching.options import CacheOptions
from penstock.stores.memory import MemoryStore
from penstock.wire.server import RequestHead
from penstock.wire.streams import Receiver

TOKEN = "a-token-of-many-characters"
URL = "http://shop.example/products/7"


class FakeFetch:
    """A request to the app that may be cancelled."""

    def __init__(self) -> None:
        self.cancelled = False

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None:
        self.cancelled = True


class FakeApp:
    """An Origin that answers after `delay` seconds with what is set by path, or fails with `error`."""

    def __init__(self) -> None:
        self.answers: dict[bytes, tuple[int, RawFields, bytes]] = {}
        self.error: CallError | None = None
        self.delay = 0.0
        self.asked: list[bytes] = []

    def fetch(
        self, request: InboundRequest, fields: RawFields, receiver: Receiver, reply: ClientReply | None
    ) -> FakeFetch:
        del fields, reply
        self.asked.append(request.target)
        fetch = FakeFetch()
        asyncio.get_running_loop().call_later(self.delay, self._answer, request, receiver, fetch)
        return fetch

    def _answer(self, request: InboundRequest, receiver: Receiver, fetch: FakeFetch) -> None:
        if fetch.cancelled:
            return
        if self.error is not None:
            receiver.on_failed(self.error)
            return
        status, fields, body = self.answers[request.target.partition(b"?")[0]]
        receiver.on_head(status, b"OK", list(fields), len(body))
        receiver.on_body(body)
        receiver.on_end()


class FakeReply:
    """A client that takes everything."""

    def __init__(self) -> None:
        self.on_resumed: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self.paused = False
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.body = b""
        self.done = asyncio.get_running_loop().create_future()

    def interim(self, status: int, reason: bytes, fields: RawFields) -> None: ...

    def respond(self, status: int, reason: bytes, fields: RawFields, body: bytes) -> None:
        self.start(status, reason, fields, len(body))
        self.body = body
        self.end()

    def start(self, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        self.status, self.fields = status, dict(fields)

    def write(self, chunk: bytes) -> None:
        self.body += chunk

    def end(self) -> None:
        self.done.set_result(None)

    def abort(self) -> None:
        self.done.set_result(None)

    @property
    def cache_status(self) -> bytes:
        return self.fields[b"cache-status"]


class Shop:
    """A cache in front of a FakeApp. Make it within the loop."""

    def __init__(
        self,
        policy: Policy | None = None,
        options: CacheOptions | None = None,
        memory: int = 1 << 24,
        max_object: int | None = None,
    ) -> None:
        self.app = FakeApp()
        self.engine = CacheEngine(
            MemoryStore(memory, max_object_bytes=max_object), self.app, policy=policy, options=options
        )
        self.top = TopUrls(self.engine.counters, self.engine.key_of, self.engine.clock.now)
        self.engine.on_looked_up = self.top.looked_up
        self.watched = Watched(self.engine, top=self.top)
        self.answer("/products/7", ("cache-control", "max-age=60"), ("surrogate-key", "product-7 all"))

    def answer(self, path: str, *fields: tuple[str, str], status: int = 200, body: bytes = b"x" * 100) -> None:
        """What the app answers at `path`."""
        self.app.answers[path.encode()] = (status, [(n.encode(), v.encode()) for n, v in fields], body)

    def send(self, url: str = URL, **fields: str) -> FakeReply:
        """A GET that is under way."""
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        reply = FakeReply()
        self.engine.handle(requests_for(url, raw)[0], reply)
        return reply

    async def get(self, url: str = URL, **fields: str) -> FakeReply:
        """A GET and its whole answer."""
        reply = self.send(url, **fields)
        await reply.done
        return reply


class FakeExchange:
    """What a handler sees of one request, and what it answers."""

    def __init__(
        self,
        method: str,
        target: str,
        fields: list[tuple[str, str]],
        body: bytes | list[bytes] = b"",
        chunked: bool = False,
    ) -> None:
        self.head = RequestHead(
            method.encode(), target.encode(), [(n.encode(), v.encode()) for n, v in fields], http_1_0=False
        )
        self._parts = body if isinstance(body, list) else [body]
        size = sum(map(len, self._parts))
        self.head.chunked = chunked
        self.head.content_length = None if chunked else size
        self.head.has_body = chunked or size > 0
        self.done = False
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.body = b""

    def receive_body(self, on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        for part in self._parts:
            on_data(part)
        on_end()

    def respond(self, status: int, reason: bytes, fields: RawFields, body: bytes) -> None:
        assert not self.done, "a request has one answer"
        assert reason
        self.done = True
        self.status, self.fields, self.body = status, dict(fields), body

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)
