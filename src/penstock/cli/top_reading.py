"""What `top` shows, computed of two snapshots of a proxy: plain numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..observe.histogram import Histogram


@dataclass(frozen=True, slots=True)
class CacheReading:
    """Rates are per second between two snapshots, shares from 0 to 1 or None where nothing came, times seconds."""

    origin: str | None
    uptime_s: float
    requests: int
    requests_per_s: float
    hit_rate: float | None
    """Answered from the store, fresh or stale."""
    hit_rate_total: float | None
    spared: float | None
    """Share of requests that the app did not see: its own requests, refreshes too, are what it has not been spared."""
    spared_total: float | None
    collapsed_per_s: float
    stale_per_s: float
    misses_per_s: float
    misses_by_reason: dict[str, float]
    origin_requests_per_s: float
    origin_failures_per_s: float
    origin_p50_s: float | None
    origin_p99_s: float | None
    origin_up: bool
    origin_connections: int
    origin_waiting: int
    bytes_from_origin_per_s: float
    bytes_from_store_per_s: float | None
    stored_bytes: int
    budget_bytes: int
    objects: int
    evictions: int
    evictions_per_s: float
    variant_evictions: int
    variant_evictions_per_s: float
    connections: int
    top_urls: list[dict[str, Any]]
    top_misses: list[dict[str, Any]]
    urls_counted: int
    """URLs that there could be a row for: more than `top_urls` has."""
    urls_missed: int

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def read_between(before: dict[str, Any], now: dict[str, Any]) -> CacheReading | None:
    """What happened from one snapshot to the next; None where they are not two moments of one process."""
    seconds: float = now["now_s"] - before["now_s"]
    if not seconds > 0 or now["requests"] < before["requests"] or now["uptime_s"] < before["uptime_s"]:
        return None

    def rate(name: str) -> float:
        return (_sum(now[name]) - _sum(before[name])) / seconds

    requests, stale = rate("requests"), rate("stale")
    sent = rate("origin_requests")
    latency = _recent(before["origin_latency"], now["origin_latency"])
    total, stale_total = now["requests"], _sum(now["stale"])
    return CacheReading(
        origin=now["origin"],
        uptime_s=now["uptime_s"],
        requests=total,
        requests_per_s=requests,
        hit_rate=_share(rate("hits") + stale, requests),
        hit_rate_total=_share(now["hits"] + stale_total, total),
        spared=_share(requests - sent, requests),
        spared_total=_share(total - now["origin_requests"], total),
        collapsed_per_s=rate("collapsed"),
        stale_per_s=stale,
        misses_per_s=rate("misses"),
        misses_by_reason={
            why: (count - before["misses"].get(why, 0)) / seconds for why, count in now["misses"].items()
        },
        origin_requests_per_s=sent,
        origin_failures_per_s=rate("origin_failures"),
        origin_p50_s=latency.quantile(0.5),
        origin_p99_s=latency.quantile(0.99),
        origin_up=now["origin_up"],
        origin_connections=now["origin_connections"],
        origin_waiting=now["origin_waiting"],
        bytes_from_origin_per_s=rate("bytes_from_origin"),
        bytes_from_store_per_s=None if now["bytes_from_store"] is None else rate("bytes_from_store"),
        stored_bytes=now["stored_bytes"],
        budget_bytes=now["budget_bytes"],
        objects=now["objects"],
        evictions=now["evictions"],
        evictions_per_s=rate("evictions"),
        variant_evictions=now["variant_evictions"],
        variant_evictions_per_s=rate("variant_evictions"),
        connections=now["connections"],
        top_urls=now["top_urls"],
        top_misses=now["top_misses"],
        urls_counted=now["urls_counted"],
        urls_missed=now["urls_missed"],
    )


def _sum(value: Any) -> float:
    return float(sum(value.values()) if isinstance(value, dict) else value or 0)


def _share(part: float, whole: float) -> float | None:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else None


def _recent(before: dict[str, Any], now: dict[str, Any]) -> Histogram:
    return Histogram.from_json(now).since(Histogram.from_json(before).buckets)
