"""What the cache has done: plain numbers, added to in place and read by whoever wants to show them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...observe.histogram import Histogram


@dataclass(slots=True, eq=False)
class CacheCounters:
    """All but `sample_at` grow and never shrink."""

    requests: int = 0
    hits: int = 0
    """Answered from the store while fresh."""
    sample_at: int = 1 << 62
    """At so many hits the next one is looked at for `top`; as good as never where nobody wants to know."""
    stale_hits: dict[str, int] = field(default_factory=dict)
    """Answered from the store while stale, by why that was allowed."""
    misses: dict[str, int] = field(default_factory=dict)
    """The origin was asked, by why (RFC 9211, 2.2)."""
    collapsed: int = 0
    """Answered by a request to the origin that was another client's."""
    revalidated: int = 0
    """The origin answered 304 to our condition."""
    not_modified: int = 0
    """Clients answered 304 without the origin."""
    refreshes: int = 0
    """Begun in the background after a stale answer."""
    origin_requests: int = 0
    origin_failures: dict[str, int] = field(default_factory=dict)
    """By kind of failure (`penstock.errors`)."""
    origin_latency: Histogram = field(default_factory=Histogram)
    """Seconds until the head."""
    bytes_from_origin: int = 0
    stored: int = 0
    uncacheable: dict[str, int] = field(default_factory=dict)
    """Responses that were not stored, by reason."""
    invalidated: int = 0
    purged: int = 0
    errors: int = 0
    """Answers 502 and 504 of our own."""
    aborted: int = 0
    """Answers broken off because the origin did."""


def count(table: dict[str, int], what: str) -> None:
    """Add one to `what`."""
    table[what] = table.get(what, 0) + 1
