"""What the cache has done: plain numbers, added to in place and read by whoever wants to show them."""

from __future__ import annotations

from ...observe.histogram import Histogram


class CacheCounters:
    """All but `sample_at` grow and never shrink."""

    __slots__ = (
        "aborted",
        "bytes_from_origin",
        "collapsed",
        "errors",
        "hits",
        "invalidated",
        "misses",
        "not_modified",
        "origin_failures",
        "origin_latency",
        "origin_requests",
        "purged",
        "refreshes",
        "requests",
        "revalidated",
        "sample_at",
        "stale_hits",
        "stored",
        "uncacheable",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.hits = 0
        """Answered from the store while fresh."""
        self.sample_at = 1 << 62
        """At so many hits the next one is looked at for `top`; as good as never where nobody wants to know."""
        self.stale_hits: dict[str, int] = {}
        """Answered from the store while stale, by why that was allowed."""
        self.misses: dict[str, int] = {}
        """The origin was asked, by why (RFC 9211, 2.2)."""
        self.collapsed = 0
        """Answered by a request to the origin that was another client's."""
        self.revalidated = 0
        """The origin answered 304 to our condition."""
        self.not_modified = 0
        """Clients answered 304 without the origin."""
        self.refreshes = 0
        """Begun in the background after a stale answer."""
        self.origin_requests = 0
        self.origin_failures: dict[str, int] = {}
        """By kind of failure (`penstock.errors`)."""
        self.origin_latency = Histogram()
        """Seconds until the head."""
        self.bytes_from_origin = 0
        self.stored = 0
        self.uncacheable: dict[str, int] = {}
        """Responses that were not stored, by reason."""
        self.invalidated = 0
        self.purged = 0
        self.errors = 0
        """Answers 502 and 504 of our own."""
        self.aborted = 0
        """Answers broken off because the origin did."""


def count(table: dict[str, int], what: str) -> None:
    """Add one to `what`."""
    table[what] = table.get(what, 0) + 1
