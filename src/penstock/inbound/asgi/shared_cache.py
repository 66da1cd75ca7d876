"""The cache of the middleware: its settings, its purges, and what it has for each event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from os import PathLike
from typing import Literal
from urllib.parse import urlsplit

from ...clock import current_clock
from ...errors import UsageError
from ...rules.caching.cache_key import normalise_host, primary_key
from ...rules.caching.options import CacheOptions
from ...rules.size import parse_memory, parse_size
from ...stores.memory import MemoryStore
from ..cache.app_clock import clock_in_words
from ..cache.counters import CacheCounters
from ..cache.engine import CacheEngine
from ..cache.policy import Policy
from ..cache.policy_file import read_policy
from ..cache.policy_warnings import warnings_of
from ..cache.protocols import InboundRequest
from .known import KnownAnswers
from .origin import AppOrigin

_LOG = logging.getLogger("penstock.cache")


class Site:
    """What there is for one event loop."""

    __slots__ = ("engine", "known", "loop", "origin")

    def __init__(self, loop: asyncio.AbstractEventLoop, engine: CacheEngine, origin: AppOrigin) -> None:
        self.loop = loop
        self.engine = engine
        self.origin = origin
        self.known = KnownAnswers(engine)
        engine.on_sweep = self.known.drop_dead


class SharedCache:
    """A shared HTTP cache (RFC 9111) in the memory of this process, for one or several `CacheMiddleware`.

    Make one yourself to purge from anywhere, and wherever a framework makes the middleware more than once (Litestar
    makes one for each route). It may be made before there is an event loop. Each loop that it serves has a store of its
    own.

    - `memory`: bytes, or a text such as "256MiB": what stored responses, and what is
      remembered by URL, take at most, in each process and loop.
    - `policy`: what holds for paths whose app does not say it itself: a CachePolicy, or the path of a TOML file.
    - `profile`: "safe" refuses to store what leaks between users in the field though RFC 9111 allows it (responses with
      Set-Cookie, or to requests with a Cookie that are not explicitly public); "rfc" does all that it allows.
    - `trust_forwarded`: a proxy of yours is in front, and sets or removes the fields of the X-Forwarded family in every
      request. Then X-Forwarded-Host, -Proto and -Port are the scheme and host of the key. Otherwise a request that
      carries one is not answered from the cache nor put into it, since anybody could choose what the app takes for its
      own address.
      Fields that name another URL or method, such as X-Original-URL, X-Forwarded-Prefix and X-HTTP-Method-Override,
      keep a request out of the cache in any case.
    - `max_object`: bytes, or a text: larger responses are passed on without being stored; by default an eighth of
      `memory`, and at most 32 MiB.
    - `max_variants_bytes`: bytes, or a text: what the variants of one URL take together, by default an eighth of
      `memory`. What goes then is what nobody asked for again.
    - `whole_ranges`: bytes, or a text: of what is not stored and no longer than that the app is asked for the whole
      where clients want ranges, and all of them are cut from it; 0 for never, by default what `max_object` is.
    - `max_refreshes`: how many stale responses are refreshed in the background at once.
    - `uncacheable_ttl`: seconds for which it is remembered that a URL's response could not be stored; meanwhile
      requests for it do not wait for one another.
    - `shutdown_timeout`: seconds for which lifespan shutdown waits for the app's tasks before it cancels them.

    Raises UsageError for a value that cannot be meant, InputError for a policy file that cannot be read.
    """

    def __init__(
        self,
        *,
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
        try:
            self._options = options or CacheOptions(profile=profile)
        except ValueError as error:
            raise UsageError(str(error)) from None
        for name, number in (
            ("max_refreshes", max_refreshes),
            ("uncacheable_ttl", uncacheable_ttl),
            ("shutdown_timeout", shutdown_timeout),
        ):
            if not 0 <= number < float("inf"):
                raise UsageError(f"{name} is {number}; it must be 0 or more, and finite")
        self._memory = parse_memory(memory)
        self._max_object = None if max_object is None else parse_size(max_object)
        self._max_variants_bytes = None if max_variants_bytes is None else parse_size(max_variants_bytes)
        self._whole_ranges = None if whole_ranges is None else parse_size(whole_ranges, least=0)
        self._policy = (
            policy if isinstance(policy, Policy) else Policy() if policy is None else read_policy(str(policy))
        )
        for line in warnings_of(self._policy):
            _LOG.warning("policy: %s", line)
        self._max_refreshes = max_refreshes
        self._uncacheable_ttl = uncacheable_ttl
        self._shutdown_timeout = shutdown_timeout
        self.trust_forwarded = trust_forwarded
        self._sites: dict[asyncio.AbstractEventLoop, Site] = {}

    @property
    def counters(self) -> CacheCounters:
        """What the cache of the running loop has done; from a thread without one, that of the loop used last."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            last = next(reversed(self._sites.values()), None)
            return CacheCounters() if last is None else last.engine.counters
        return self.site().engine.counters

    def purge_url(self, url: str, *, soft: bool = False) -> int | None:
        """Purge one absolute URL, with all its variants; returns how many responses that concerned.

        Soft: they count as stale from now on, and serve where stale ones may. A response that is on its way is
        concerned too. From a thread without a loop (a synchronous endpoint) it is done before anything that the thread
        does next is seen by a client, and None is returned. Raises UsageError for what is no absolute http URL.
        """
        keys = _keys_of_url(url, self._policy)
        return self._everywhere(lambda engine: sum(engine.forget_url(key, soft=soft) for key in keys))

    def purge_tag(self, tag: str, *, soft: bool = False) -> int | None:
        """Purge what carries `tag` (Surrogate-Key, Cache-Tag or the policy's `tags`); as `purge_url`."""
        return self._everywhere(lambda engine: engine.purge_tag(tag.encode(), soft=soft))

    def purge_all(self, *, soft: bool = False) -> int | None:
        """Purge everything; as `purge_url`."""
        return self._everywhere(lambda engine: engine.purge_all(soft=soft))

    def _everywhere(self, purge: Callable[[CacheEngine], int]) -> int | None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        purged = None if here is None else 0
        for site in [*self._sites.values()]:
            if site.loop is here:
                purged = _purge(site.engine, purge)
            elif not site.loop.is_closed():
                site.loop.call_soon_threadsafe(_purge, site.engine, purge)
        return purged

    def site(self) -> Site:
        """What there is for the running loop; made at first use."""
        loop = asyncio.get_running_loop()
        site = self._sites.get(loop)
        if site is None:
            for other in [other for other in self._sites if other.is_closed()]:
                del self._sites[other]
            site = self._sites[loop] = self._make(loop)
        return site

    def _make(self, loop: asyncio.AbstractEventLoop) -> Site:
        origin = AppOrigin()
        engine = CacheEngine(
            MemoryStore(self._memory, max_object_bytes=self._max_object, max_variants_bytes=self._max_variants_bytes),
            origin,
            options=self._options,
            policy=self._policy,
            clock=current_clock(),
            max_refreshes=self._max_refreshes,
            uncacheable_ttl=self._uncacheable_ttl,
            whole_ranges=self._whole_ranges,
            adds_date=False,
        )
        engine.app_clock.on_change = lambda behind: _LOG.warning("the app's clock is %s", clock_in_words(behind))
        return Site(loop, engine, origin)

    async def aclose(self) -> None:
        """End what the running loop has: wait for the app's tasks, cancel those that are late, stop the timer.

        At lifespan shutdown that is done anyway. A request that comes later begins with an empty cache.
        """
        site = self._sites.get(asyncio.get_running_loop())
        if site is None:
            return
        await site.origin.aclose(self._shutdown_timeout)
        site.engine.close()
        self._sites.pop(site.loop, None)


def _keys_of_url(url: str, policy: Policy) -> set[bytes]:
    """The keys of an absolute http(s) URL: as it is, and as the policy makes it. Raises UsageError for another."""
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.encode()
        host = normalise_host(parts.netloc.encode(), scheme) if scheme in (b"http", b"https") else None
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}".encode("ascii")
    except (ValueError, UnicodeError):
        host, target = None, b""
    if host is None:
        raise UsageError(f"{url!r} is not an absolute URL such as https://example.com/path, percent-encoded")
    request = InboundRequest(b"GET", scheme, host, target, {}, [])
    request.put_under(policy.for_target(target))
    return {primary_key(scheme, host, each) for each in (target, request.target)}


def _purge(engine: CacheEngine, purge: Callable[[CacheEngine], int]) -> int:
    purged = purge(engine)
    engine.counters.purged += purged
    return purged
