"""What those see who watch a cache: its engine, its connections, and a snapshot of everything in plain numbers."""

from __future__ import annotations

from typing import Any

from ..._version import __version__
from ...rules.caching.decisions import REASONS
from ...wire.server import Server
from ...wire.streams import StreamClient
from ..cache.engine import CacheEngine
from ..cache.explain import text_of
from .top_urls import TopMiss, TopUrls


class Watched:
    """One cache. `server` and `client` are None where it has none of its own; `top` where nobody counts URLs."""

    def __init__(
        self,
        engine: CacheEngine,
        *,
        server: Server | None = None,
        client: StreamClient | None = None,
        top: TopUrls | None = None,
    ) -> None:
        self.engine = engine
        self.top = top
        self._server = server
        self._client = client
        self._began = engine.clock.now()

    @property
    def connections(self) -> int:
        """Open connections of clients."""
        return self._server.connections if self._server is not None else 0

    @property
    def accepted(self) -> int:
        """Connections of clients so far."""
        return self._server.accepted if self._server is not None else 0

    @property
    def refused(self) -> int:
        """Connections over one of the bounds."""
        return self._server.refused if self._server is not None else 0

    @property
    def origin_connections(self) -> int:
        """Connections to the origin in use."""
        return self._client.in_use if self._client is not None else 0

    @property
    def origin_waiting(self) -> int:
        """Requests that wait for a connection to the origin."""
        return self._client.waiting if self._client is not None else 0

    @property
    def origin_unasked(self) -> int:
        """Answers of the origin that nobody asked for."""
        return self._client.unasked_answers if self._client is not None else 0

    def snapshot(self, most: int = 20, *, with_query: bool = False) -> dict[str, Any]:
        """Everything, ready for JSON, with the `most` URLs and misses that are most frequent."""
        engine, counters, store = self.engine, self.engine.counters, self.engine.store
        now = engine.clock.now()
        return {
            "version": __version__,
            "now_s": now,
            "uptime_s": round(now - self._began, 3),
            "origin": str(self._client.origin) if self._client is not None else None,
            "requests": counters.requests,
            "hits": counters.hits,
            "stale": dict(counters.stale_hits),
            "misses": dict(counters.misses),
            "collapsed": counters.collapsed,
            "not_modified": counters.not_modified,
            "revalidated": counters.revalidated,
            "refreshes": counters.refreshes,
            "uncacheable": dict(counters.uncacheable),
            "responses_stored": counters.stored,
            "invalidated": counters.invalidated,
            "purged": counters.purged,
            "errors": counters.errors,
            "aborted": counters.aborted,
            "origin_requests": counters.origin_requests,
            "origin_failures": dict(counters.origin_failures),
            "origin_latency": counters.origin_latency.as_json(),
            "origin_up": engine.health.is_up,
            "origin_connections": self.origin_connections,
            "origin_waiting": self.origin_waiting,
            "origin_unasked": self.origin_unasked,
            "bytes_from_origin": counters.bytes_from_origin,
            "bytes_from_store": self.top.bytes_from_store if self.top is not None else None,
            "stored_bytes": store.bytes_used,
            "table_bytes": store.table_bytes,
            "budget_bytes": store.max_bytes,
            "objects": store.objects,
            "tags": store.tags,
            "evictions": store.evictions,
            "variant_evictions": store.variant_evictions,
            "rejected": store.rejected,
            "connections": self.connections,
            "connections_accepted": self.accepted,
            "connections_refused": self.refused,
            **self._top(most, with_query=with_query),
        }

    def _top(self, most: int, *, with_query: bool) -> dict[str, Any]:
        if self.top is None:
            return {"top_urls": [], "top_misses": [], "urls_counted": 0, "urls_missed": 0}
        urls = [
            {
                "url": text_of(row.key),
                "requests": row.requests,
                "spared": row.spared,
                "recent": row.recent,
                "recent_spared": row.recent_spared,
            }
            for row in self.top.urls(most, with_query=with_query)
        ]
        misses = [self._miss(row) for row in self.top.misses(most, with_query=with_query)]
        counted, missed = self.top.counted(with_query=with_query)
        return {"top_urls": urls, "top_misses": misses, "urls_counted": counted, "urls_missed": missed}

    def _miss(self, row: TopMiss) -> dict[str, Any]:
        reason, clause = self._refusal(row.example)
        return {
            "url": text_of(row.key),
            "why": row.why,
            "requests": row.requests,
            "recent": row.recent,
            "reasons": row.reasons,
            "not_stored": reason,
            "sentence": None if reason is None else REASONS.get(reason, reason),
            "clause": clause,
        }

    def _refusal(self, key: bytes) -> tuple[str | None, str | None]:
        """Why the last answer was not stored, as far as that is remembered for just this key."""
        for _, refusal in self.engine.refusals.of_all_kinds(key, self.engine.clock.now()):
            return refusal.verdict.reason, refusal.verdict.clause
        return None, None
