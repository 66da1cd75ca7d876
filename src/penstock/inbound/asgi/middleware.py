"""The shared cache inside an ASGI app: what can be shared is answered before the app is asked.

Pure ASGI. What the cache may have to do with goes through the engine, for which the app is the origin, in tasks of its
own. Everything else goes to the app as it came, with only the head of the answer looked at on its way out.
"""

from __future__ import annotations

import logging
from os import PathLike
from typing import Literal

from ...rules.caching.lookup import BARRED, Act
from ...rules.caching.options import CacheOptions
from ..cache.counters import CacheCounters
from ..cache.engine import CacheEngine
from ..cache.found import Found
from ..cache.policy import NO_POLICY, Policy
from .app_shape import check_app
from .pass_through import PassThrough
from .reply import AsgiReply
from .request import App, AsgiRequest, Message, PassBy, Receive, Scope, Send, read_request
from .shared_cache import SharedCache

_LOG = logging.getLogger("penstock.cache")
SCOPE_KEY = "penstock.cache"


class CacheMiddleware:
    """A shared HTTP cache (RFC 9111) in front of an ASGI app, in the app's own process.

    `app = CacheMiddleware(app, memory="256MiB")`, or in Starlette and FastAPI
    `app.add_middleware(CacheMiddleware, memory="256MiB")`. Give either the options of `SharedCache`, which are
    explained there, or one that was made before as `cache`. The app says what may be stored, by Cache-Control (and what
    has Last-Modified, but no lifetime, gets one by RFC 9111, 4.2.2).

    - A GET or HEAD whose response is stored is answered without the app. Requests for the same wait for one
      answer, which goes to all of them while it comes; one that turns out not to be for all goes to its client alone.
    - For GET the app runs in a task of its own, without the client's conditions; the client's going away ends it only
      where nobody else and no store wants the answer. Background tasks after the response delay nobody.
    - Other methods, requests with a body, WebSocket, and what is known not to be storable (streams of events, say) go
      straight through. Success of an unsafe method removes what it makes untrue (RFC 9111, 4.4).
    - A request whose URL is not certain (no Host or two, a fragment, fields that anybody can set and the app may go by)
      goes straight through and uncached: to refuse it is the server's business (RFC 9112, 3.2).
    - An app that raises before it answers counts as one that answers 500 (with a ConnectionError, as an origin that
      cannot be reached): where that allows a stale response, it is sent and the exception logged; else the exception
      goes on to the server, as without us, and who waited along is asked for alone. One that raises in mid-answer
      breaks off the answer of all who had a part of it.
    - Lifespan is the app's; at shutdown its tasks are waited for first. Servers without lifespan do as well.

    Within the app the cache is `scope["penstock.cache"]`, to purge from an endpoint. Each answer has a Cache-Status
    field (RFC 9211). Raises UsageError, when it is built, for an app that is none of ASGI 3: WSGI apps (Flask, Django's
    `get_wsgi_application()`) need `a2wsgi`, or `penstock proxy`.
    """

    def __init__(
        self,
        app: App,
        *,
        cache: SharedCache | None = None,
        memory: int | str = "256MiB",
        policy: Policy | str | PathLike[str] | None = None,
        profile: Literal["safe", "rfc"] = "safe",
        trust_forwarded: bool = False,
        max_object: int | str | None = None,
        max_variants_bytes: int | str | None = None,
        whole_ranges: int | str | None = None,
        max_refreshes: int = 32,
        uncacheable_ttl: float = 120.0,
        shutdown_timeout: float = 10.0,
        options: CacheOptions | None = None,
    ) -> None:
        check_app(app)
        self.app = app
        self.cache = cache or SharedCache(
            memory=memory,
            policy=policy,
            profile=profile,
            trust_forwarded=trust_forwarded,
            max_object=max_object,
            max_variants_bytes=max_variants_bytes,
            whole_ranges=whole_ranges,
            max_refreshes=max_refreshes,
            uncacheable_ttl=uncacheable_ttl,
            shutdown_timeout=shutdown_timeout,
            options=options,
        )
        self._trust = self.cache.trust_forwarded
        self._site = self.cache.site
        self._warned = False

    @property
    def counters(self) -> CacheCounters:
        """As `SharedCache.counters`."""
        return self.cache.counters

    def purge_url(self, url: str, *, soft: bool = False) -> int | None:
        """As `SharedCache.purge_url`."""
        return self.cache.purge_url(url, soft=soft)

    def purge_tag(self, tag: str, *, soft: bool = False) -> int | None:
        """As `SharedCache.purge_tag`."""
        return self.cache.purge_tag(tag, soft=soft)

    def purge_all(self, *, soft: bool = False) -> int | None:
        """As `SharedCache.purge_all`."""
        return self.cache.purge_all(soft=soft)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        kind = scope["type"]
        if kind != "http":
            await (self._lifespan(scope, receive, send) if kind == "lifespan" else self.app(scope, receive, send))
            return
        site = self._site()
        if scope["method"] == "GET":
            known = site.known.find(scope)
            if known is not None:
                await known.send_whole(send)
                return
        scope[SCOPE_KEY] = self.cache
        engine = site.engine
        engine.counters.requests += 1
        try:
            request = read_request(self.app, scope, trust_forwarded=self._trust)
        except PassBy as passed:
            await self.app(scope, receive, PassThrough(engine, None, send, "bypass", detail=passed.why).send)
            return
        if engine.policy.applies:
            engine.under_policy(request)
        found = engine.look_up(request)
        if _goes_straight(request, found):
            await self.app(scope, receive, self._straight(engine, request, found, send).send)
            return
        reply = AsgiReply(site.origin.failing, head_only=request.method == b"HEAD")
        stored = engine.carry_out(request, reply, found)
        if reply.is_whole:
            if stored is not None:
                site.known.learn(request, stored)
            await reply.send_whole(send)
        else:
            await _deliver(request, reply, receive, send)

    def _straight(self, engine: CacheEngine, request: AsgiRequest, found: Found, send: Send) -> PassThrough:
        word, detail = found.plan.word, found.plan.reason
        if found.plan is BARRED and request.barred is not None:
            detail = request.barred.why
            self._warn(request.barred)
        # Only an answer that was refused for all may turn out to be for all now.
        key = found.key if found.plan.act is Act.ALONE else None
        return PassThrough(engine, request, send, word, detail=detail, refused=key)

    def _warn(self, passed: PassBy) -> None:
        if passed.field is not None and not self._warned:
            self._warned = True
            _LOG.warning(
                "a request with the field %s was not cached, since anybody can set it. If a proxy of yours sets or "
                "removes the X-Forwarded fields of every request, say trust_forwarded=True. (This is said once.)",
                passed.field.decode("latin-1"),
            )

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._site()
        scope[SCOPE_KEY] = self.cache

        async def receive_and_close() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                # What still runs in the app needs what the app is about to close.
                await self.cache.aclose()
            return message

        await self.app(scope, receive_and_close, send)


def _goes_straight(request: AsgiRequest, found: Found) -> bool:
    """Whether the app can have `request` as it came: alone, nothing stored to ask about, no policy to change it."""
    act = found.plan.act
    return act is Act.STRAIGHT or (act is Act.ALONE and found.resource is None and request.policy is NO_POLICY)


async def _deliver(request: AsgiRequest, reply: AsgiReply, receive: Receive, send: Send) -> None:
    """Send the answer while it comes, and for who caused the app's run, end as that does."""
    request.attended = True
    raised = False
    try:
        await reply.deliver(receive, send, request.error)
        run = request.run
        if run is not None and not reply.is_closed and (not run.failed or run.error is reply.error):
            await run.wait()
            if not run.failed or run.error is reply.error:
                raised = True
                run.raise_error()
    finally:
        request.attended = False
        if request.run is not None and not raised:
            request.run.report()
