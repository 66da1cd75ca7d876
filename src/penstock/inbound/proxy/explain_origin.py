"""What the cache would make of an app's answer: one request goes to the app, through the engine itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ...clock import current_clock
from ...errors import ConnectionLost
from ...messages import RawFields
from ...rules.caching.decisions import REASONS
from ...rules.caching.http_fields import combine
from ...rules.caching.options import CacheOptions
from ...stores.memory import MemoryStore
from ...wire.streams import StreamClient
from ...wire.url import split_url
from ..cache.engine import CacheEngine
from ..cache.explain import explain
from ..cache.policy import NO_POLICY, Policy
from ..cache.protocols import InboundRequest
from ..cache.purging import requests_for
from .origin import ProxyOrigin, screen

_MEMORY = 256 * 1024 * 1024
_SHOWN = (b"cache-control", b"cdn-cache-control", b"expires", b"age", b"date", b"last-modified", b"etag", b"vary")
_TAGS = (b"surrogate-key", b"cache-tag")


class _Listener:
    """A ClientReply that keeps the head and forgets the body."""

    def __init__(self, decided: Callable[[], bool]) -> None:
        self.on_resumed: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self.paused = False
        self.done = asyncio.get_running_loop().create_future()
        self.status = 0
        self.fields: RawFields = []
        self.broken = False
        self._decided = decided

    def interim(self, status: int, reason: bytes, fields: RawFields) -> None:
        """Nothing is learnt from a 1xx response."""

    def respond(self, status: int, reason: bytes, fields: RawFields, body: bytes) -> None:
        self.status, self.fields = status, fields
        self._finish()

    def start(self, status: int, reason: bytes, fields: RawFields, length: int | None) -> None:
        self.status, self.fields = status, fields
        self._look()

    def write(self, chunk: bytes) -> None:
        self._look()

    def end(self) -> None:
        self._finish()

    def abort(self) -> None:
        self.broken = True
        self._finish()

    def _look(self) -> None:
        # An answer that will not be stored may have no end, and nothing more is to be learnt from it.
        if self._decided():
            self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def explain_origin(
    url: str,
    fields: Sequence[tuple[bytes, bytes]] = (),
    *,
    origin: str | None = None,
    options: CacheOptions | None = None,
    policy: Policy | None = None,
    timeout: float = 60.0,
) -> dict[str, Any]:
    """Send one GET of `url` to the app and say what the cache would do with the answer, ready for JSON.

    `origin` is where the app listens, if that is not what the URL says; the request fields `fields` have names in
    lower case. Raises UsageError for what is no URL, and ConnectionLost where no answer came within `timeout` seconds
    or the app could not be reached.
    """
    request = requests_for(url, fields)[0]
    screen(request, trust_forwarded=False)
    client = StreamClient(
        origin or str(split_url(url)[0]),
        max_connections=1,
        connect_timeout=min(10.0, timeout),
        first_byte_timeout=timeout,
    )
    engine = CacheEngine(
        MemoryStore(_MEMORY), ProxyOrigin(client), options=options, policy=policy, clock=current_clock()
    )
    try:
        return await _ask(engine, request, url, timeout)
    finally:
        engine.close()
        await client.aclose()


async def _ask(engine: CacheEngine, request: InboundRequest, url: str, timeout: float) -> dict[str, Any]:
    counters = engine.counters
    listener = _Listener(lambda: any(reason != "must-validate" for reason in counters.uncacheable))
    began = engine.clock.now()
    engine.handle(request, listener)
    try:
        async with asyncio.timeout(timeout):
            await listener.done
    except TimeoutError:
        raise ConnectionLost(f"no complete answer came within {timeout:g} s") from None
    took = engine.clock.now() - began
    if counters.origin_failures:
        raise ConnectionLost(f"the app gave no complete answer ({', '.join(counters.origin_failures)})")
    again = requests_for(url, request.raw)[0]
    policy = engine.under_policy(again)
    found = explain(engine, again, policy)
    reason = next(iter(counters.uncacheable), None)
    stored = bool(found["variants"])
    return {
        "url": url,
        "key": found["key"],
        "answer": {
            "status": listener.status,
            "seconds": round(took, 3),
            "fields": _shown(listener.fields),
            "sets_cookie": any(name == b"set-cookie" for name, _ in listener.fields),
        },
        "stored": stored,
        "reason": reason,
        "why": _why(found, reason, stored=stored),
        "clause": found["variants"][0]["lifetime_from"] if stored else _clause(found),
        "policy": None if policy is NO_POLICY else policy.where,
        "would_next": {name: found[name] for name in ("would", "why", "clause")},
        "variants": found["variants"],
        "refused": found["refused"],
    }


def _shown(fields: RawFields) -> dict[str, str]:
    combined = combine(fields)
    return {name.decode(): combined[name].decode("latin-1") for name in (*_SHOWN, *_TAGS) if name in combined}


def _why(found: dict[str, Any], reason: str | None, *, stored: bool) -> str:
    if reason is not None:
        return REASONS.get(reason, reason)
    if not stored:
        return REASONS["not-taken"]
    lifetime = found["variants"][0]["lifetime_s"]
    return f"It may be stored and is fresh for {lifetime:,.0f} s."


def _clause(found: dict[str, Any]) -> str:
    return found["refused"][0]["clause"] if found["refused"] else "engine"
