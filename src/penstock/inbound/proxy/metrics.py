"""What a cache tells Prometheus. Nothing is counted here: the values are read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...observe.exposition import CONTENT_TYPE, Family, exposition
from ...observe.histogram import Histogram
from .snapshot import Watched

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds, of the buckets of the origin's latency."""

_FRESH_SECONDS = 0.5
"""Who asks more often gets the same text: making it takes the loop a millisecond, and anybody may ask."""
CONTENT_FIELDS = [(b"content-type", CONTENT_TYPE), (b"cache-control", b"no-store")]


def families(watched: Watched) -> Iterator[Family]:
    """All metrics of one cache, as of now."""
    engine = watched.engine
    counters, store = engine.counters, engine.store
    yield _one("requests", "Requests of clients.", counters.requests)
    yield _one("hits", "Answered from the store while fresh.", counters.hits)
    yield _by("stale_hits", "Answered from the store while stale, by why that was allowed.", "why", counters.stale_hits)
    yield _by("misses", "The origin was asked, by why (RFC 9211, 2.2).", "why", counters.misses)
    yield _one("collapsed", "Requests that shared the origin's answer to another client's.", counters.collapsed)
    yield _one("not_modified", "Clients answered 304 without the origin.", counters.not_modified)
    yield _one("revalidated", "Stored responses that the origin confirmed with 304.", counters.revalidated)
    yield _one("refreshes", "Begun in the background after a stale answer.", counters.refreshes)
    yield _by("uncacheable", "Answers that were not stored or not shared, by reason.", "reason", counters.uncacheable)
    yield _one("responses_stored", "Responses that were stored.", counters.stored)
    yield _one("origin_requests", "Requests to the origin.", counters.origin_requests)
    yield _by("origin_failures", "Requests without a complete answer, by kind.", "kind", counters.origin_failures)
    yield _latency(counters.origin_latency)
    yield _one("bytes_from_origin", "Of bodies that came from the origin.", counters.bytes_from_origin)
    if watched.top is not None:
        meaning = "Of bodies answered from the store; an estimate where hits are sampled."
        yield _one("bytes_from_store", meaning, watched.top.bytes_from_store)
    yield _one("errors", "Answers 502 and 504 of the cache's own.", counters.errors)
    yield _one("aborted", "Answers broken off because the origin did.", counters.aborted)
    yield _one("invalidated", "Stored responses invalidated by unsafe requests (RFC 9111, 4.4).", counters.invalidated)
    yield _one("purged", "Stored responses that were purged; of tags, at most.", counters.purged)
    yield _one("evictions", "Stored responses that went for want of room.", store.evictions)
    meaning = "Stored responses that went because the variants of their URL had taken their share."
    yield _one("variant_evictions", meaning, store.variant_evictions)
    yield _one("rejected", "Responses that the store did not take.", store.rejected)
    yield _now("stored_bytes", "Memory that what is stored takes.", store.bytes_used)
    yield _now("table_bytes", "Memory that tables by URL and request bodies take beside it.", store.table_bytes)
    yield _now("budget_bytes", "Memory that both may take.", store.max_bytes)
    yield _now("objects", "Stored responses.", store.objects)
    yield _now("tags", "Different tags of what is stored.", store.tags)
    yield _now("connections", "Open connections of clients.", watched.connections)
    yield _one("connections_accepted", "Connections of clients.", watched.accepted)
    yield _one("connections_refused", "Connections over one of the bounds.", watched.refused)
    yield _now("origin_connections", "Connections to the origin in use.", watched.origin_connections)
    yield _now("origin_waiting", "Requests that wait for a connection to the origin.", watched.origin_waiting)
    yield _one("origin_unasked", "Answers of the origin that nobody asked for.", watched.origin_unasked)
    yield _now("origin_up", "0 while the origin does not answer.", int(engine.health.is_up))


def _one(name: str, meaning: str, value: float) -> Family:
    return Family(f"penstock_cache_{name}", meaning, "counter", {"": value})


def _by(name: str, meaning: str, label: str, values: Mapping[str, int]) -> Family:
    return Family(f"penstock_cache_{name}", meaning, "counter", dict(values), label)


def _now(name: str, meaning: str, value: float) -> Family:
    return Family(f"penstock_cache_{name}", meaning, "gauge", {"": value})


def _latency(latency: Histogram) -> Family:
    name, meaning = "penstock_cache_origin_seconds", "From a request to the origin until the head of its answer."
    return Family(name, meaning, "histogram", durations=latency, bounds=BOUNDS)


class MetricsText:
    """The text as of now, or of half a second ago."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._text = b""
        self._until = 0.0

    def read(self) -> bytes:
        """Raises UsageError where prometheus_client is missing."""
        now = self._watched.engine.clock.now()
        if not self._text or now >= self._until:
            self._text = exposition(families(self._watched))
            self._until = now + _FRESH_SECONDS
        return self._text
