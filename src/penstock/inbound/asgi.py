"""The shared cache inside an app: pure ASGI, the same engine and rules as `penstock proxy`."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from ..clock import current_clock
from ..rules.caching.cache_key import normalise_host, primary_key
from ..rules.caching.http_fields import combine
from ..rules.caching.invalidation import invalidated, is_unsafe
from ..rules.caching.options import CacheOptions
from ..rules.size import parse_size
from ..stores.memory import MemoryStore
from .answers import miss_status
from .asgi_origin import App, AsgiOrigin, AsgiRequest, Scope
from .asgi_reply import AsgiReply, Message, Receive, Send
from .counters import Counters
from .engine import CacheEngine
from .policy import Policy
from .policy_file import read_policy
from .purging import purge

_CACHED_METHODS = frozenset({"GET", "HEAD"})
_CLOSE_SECONDS = 5.0
_PURGE_SECONDS = 10.0

UNTRUSTED_FIELDS = frozenset(
    {
        b"forwarded",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-original-host",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-host",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-url-scheme",
    }
)
"""By these a client can make an app believe that it was asked for something else, and poison what others get."""


class CacheMiddleware:
    """A shared HTTP cache (RFC 9111) around an ASGI app: `app = CacheMiddleware(app, memory="256MiB")`.

    - `memory`: what is stored takes at most this; bytes, or text such as `"256MiB"`.
    - `policy`: a `Policy`, or the path of a TOML file, for what the app does not say by itself.
    - `profile`, `options`: see `CacheOptions`; `options` wins.
    - `trust_forwarded`: a proxy of yours sets the X-Forwarded fields, so what they say is true. Without it a request
      that has one of them (`UNTRUSTED_FIELDS`) goes straight to the app and is not cached.
    - `max_refreshes`: stale responses refreshed in the background at once.

    Only GET and HEAD without a body go through the cache; everything else reaches the app as if it were not there, but
    for the invalidation by unsafe methods (RFC 9111, 4.4). One store per event loop, so per worker process. Raises
    UsageError for options and policies that cannot be meant.
    """

    def __init__(
        self,
        app: App,
        *,
        memory: int | str = "256MiB",
        policy: Policy | str | Path | None = None,
        profile: Literal["safe", "rfc"] = "safe",
        options: CacheOptions | None = None,
        trust_forwarded: bool = False,
        max_refreshes: int = 32,
    ) -> None:
        self.app = app
        self._memory = parse_size(memory) if isinstance(memory, str) else memory
        self._policy = read_policy(policy) if isinstance(policy, str | Path) else policy
        self._options = options or CacheOptions(profile=profile)
        self._trust_forwarded = trust_forwarded
        self._max_refreshes = max_refreshes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: CacheEngine
        self._origin: AsgiOrigin
        # Made once here as well, so that a wrong budget is found when the app is put together.
        MemoryStore(self._memory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI call."""
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    @property
    def counters(self) -> Counters:
        """What the cache of this process has done so far."""
        return self._engine.counters if self._loop is not None else Counters()

    def purge(
        self, *, urls: Sequence[str] = (), tags: Sequence[str] = (), everything: bool = False, soft: bool = False
    ) -> int:
        """Purge by absolute URL, by tag, or everything; how many stored responses that concerned, as far as known.

        `soft`: they are sent once more while they are refreshed. May be called from any thread; it reaches the cache of
        this process only. Raises UsageError for what is not a URL.
        """
        loop = self._loop
        if loop is None or loop.is_closed():
            return 0

        def go() -> int:
            return purge(self._engine, urls=urls, tags=tags, everything=everything, soft=soft)

        if _running_loop() is loop or not loop.is_running():
            return go()
        done: concurrent.futures.Future[int] = concurrent.futures.Future()
        loop.call_soon_threadsafe(_settle, done, go)
        return done.result(_PURGE_SECONDS)

    async def aclose(self) -> None:
        """Let background fetches end, for at most five seconds. Lifespan shutdown does it by itself."""
        if self._loop is not None:
            self._engine.close()
            await self._origin.aclose(_CLOSE_SECONDS)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        engine = self._engine_here()
        request = self._request(scope)
        if request is None or scope["method"] not in _CACHED_METHODS or _has_body(request.fields):
            await self._straight(engine, scope, request, receive, send)
            return
        reply = AsgiReply(head_only=request.method == b"HEAD")
        engine.handle(request, reply)
        try:
            await reply.deliver(receive, send)
        except Exception:
            if request.failure is not None:
                raise request.failure from None
            raise
        if request.failure is not None and reply.status >= 500:
            # The client has its answer; the server, and a test client, see what the app raised.
            raise request.failure

    async def _straight(
        self, engine: CacheEngine, scope: Scope, request: AsgiRequest | None, receive: Receive, send: Send
    ) -> None:
        """To the app and back with nothing in the way."""
        method = scope["method"]
        why = "method" if method not in _CACHED_METHODS else "request" if request is not None else "bypass"
        note = miss_status(why, stored=False, collapsed=False)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                if request is not None and is_unsafe(request.method):
                    _invalidate(engine, request, message)
                message = {**message, "headers": [*message.get("headers", ()), note]}
            await send(message)

        await self.app(scope, receive, noting)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.aclose()
            return message

        await self.app(scope, watched, send)

    def _engine_here(self) -> CacheEngine:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._origin = AsgiOrigin(self.app)
            self._engine = CacheEngine(
                MemoryStore(self._memory),
                self._origin,
                options=self._options,
                policy=self._policy,
                clock=current_clock(),
                max_refreshes=self._max_refreshes,
            )
        return self._engine

    def _request(self, scope: Scope) -> AsgiRequest | None:
        """What the engine is asked; None for a request that must not meet the cache."""
        headers = scope["headers"]
        fields = combine(headers)
        if not self._trust_forwarded and not UNTRUSTED_FIELDS.isdisjoint(fields):
            return None
        host = fields.get(b"host", b"")
        # Servers differ in what they let through: two Host lines are joined by a comma here, which no host has.
        normal = normalise_host(host, scope["scheme"].encode("ascii"))
        target = _target(scope)
        return None if normal is None or b"#" in target else AsgiRequest(scope, fields, normal, target)


def _target(scope: Scope) -> bytes:
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    query: bytes = scope.get("query_string") or b""
    return raw + b"?" + query if query else raw


def _has_body(fields: dict[bytes, bytes]) -> bool:
    return b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0"


def _invalidate(engine: CacheEngine, request: AsgiRequest, message: Message) -> None:
    fields = combine(message.get("headers", ()))
    for scheme, host, target in invalidated(
        request.method, message["status"], request.scheme, request.host, request.target, fields
    ):
        engine.counters.invalidated += engine.forget_url(primary_key(scheme, host, target))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _settle(done: concurrent.futures.Future[int], go: object) -> None:
    assert callable(go)
    try:
        done.set_result(go())
    except Exception as error:  # noqa: BLE001  # the caller in the other thread gets it
        done.set_exception(error)
