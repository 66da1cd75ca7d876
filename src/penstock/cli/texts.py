"""How the state of a run is said in words: counts, rates, limits, pauses, outages and the time that is left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..clock import SYSTEM_CLOCK
from ..engine.counters import RunCounters
from ..engine.engine import Engine
from ..limits.limiter import RateLimiter
from ..runs.session_limits import limit_texts

_UNIT = re.compile(r"\d+/(s|min|h|d)\b")
_UNIT_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
REASON_LENGTH = 80
"""Characters that are shown of why a host is taken to be down."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """How far a run has come, where the number of its items is not known beforehand.

    `total` is what is known of it by now; `unit` says what items are, `text` what else there is to say.
    """

    total: int | None
    unit: str = "items"
    text: str = ""


def status_line(
    engine: Engine[Any, Any], gauge: Gauge, limiter: RateLimiter, seen: tuple[float, int, int], elapsed: float
) -> str:
    """The state in one line; `seen` is (elapsed, attempts, items) of the line before."""
    counters = engine.counters
    span = max(elapsed - seen[0], 1e-9)
    rate = (counters.attempts - seen[1]) / span
    done_rate = (counters.items - seen[2]) / span
    times = counters.service.percentiles_ms()
    parts = [
        count_text(counters.items, gauge),
        f"{rate_text(rate, limit_texts(limiter))}{limit_text(limiter)}",
        f"{counters.in_flight} in flight",
        f"{counters.ok:,} ok",
        f"{counters.failed:,} failed{kinds_text(counters.by_kind)}",
        f"{counters.retries:,} retries",
        f"p50 {times['p50'] or 0:,.0f} p95 {times['p95'] or 0:,.0f} p99 {times['p99'] or 0:,.0f} ms",
    ]
    if gauge.total is not None:
        parts.append(f"ETA {eta_of(counters, gauge.total, done_rate)}")
    if pause := pause_text(limiter):
        parts.append(pause)
    if counters.parked:
        parts.append(f"{counters.parked:,} wait")
    if outage := outage_text(counters):
        parts.append(outage)
    return "  ".join(parts)


def pause_text(limiter: RateLimiter) -> str:
    """`paused for 30 s, as the server asked`, or nothing."""
    statistics = limiter.statistics()
    if statistics.paused_for <= 0:
        return ""
    why = "the server's quota is used up" if statistics.used_up else "as the server asked"
    return f"paused for {statistics.paused_for:,.1f} s, {why}"


def outage_text(counters: RunCounters) -> str:
    """`host down for 35 s (connection refused), 9 probes`, or nothing."""
    if counters.outage_since is None:
        return ""
    reason = f" ({shorten(counters.outage_reason, REASON_LENGTH)})" if counters.outage_reason else ""
    return f"host down for {SYSTEM_CLOCK.wall() - counters.outage_since:,.0f} s{reason}, {counters.probes:,} probes"


def shorten(text: str, length: int) -> str:
    """`text`, or as many of its words as `length` has room for, with all parentheses closed."""
    if len(text) <= length:
        return text
    cut = text[: length + 1].rpartition(" ")[0] or text[:length]
    left_open = cut.count("(") - cut.count(")")
    return f"{cut.rstrip(' (,:;')}...{')' * left_open if not cut.endswith('(') else ''}"


def count_text(items: int, gauge: Gauge) -> str:
    """`1,200/10,000`, `12 pages, 1,200 of 9,000 rows`, or what of that is known."""
    # A pull looks for pages behind the last one that was promised.
    total = "" if gauge.total is None else f"/{max(gauge.total, items):,}"
    unit = "" if gauge.unit == "items" else f" {gauge.unit}"
    return f"{items:,}{total}{unit}{f', {gauge.text}' if gauge.text else ''}"


def rate_text(per_second: float, limits: Sequence[str]) -> str:
    """`102/min` where the first of `limits` is one a minute, so that the two can be compared; else `1.7/s`."""
    unit = next((match[1] for limit in limits[:1] if (match := _UNIT.match(limit))), "s")
    return f"{per_second * _UNIT_SECONDS[unit]:,.1f}/{unit}"


def limit_text(limiter: RateLimiter) -> str:
    """` of 100/min and 10/s (told by the server)`, or nothing."""
    limits = limit_texts(limiter)
    limits += [f"{limit} (told by the server)" for limit in limiter.statistics().told if limit not in limits]
    return f" of {' and '.join(limits)}" if limits else ""


def kinds_text(by_kind: dict[str, int]) -> str:
    """` (http_5xx 2, timeout 1)`, or nothing."""
    if not by_kind:
        return ""
    return f" ({', '.join(f'{kind} {count:,}' for kind, count in sorted(by_kind.items()))})"


def eta_text(left: int, rate: float) -> str:
    """`2h05m`, `40s`, or `-` where nothing moves."""
    if left <= 0:
        return "0s"
    if rate <= 0:
        return "-"
    seconds = int(left / rate) + 1
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600:02d}h"


def eta_of(counters: RunCounters, total: int, rate: float) -> str:
    """As `eta_text`; nobody can tell while the host is down."""
    return "-" if counters.outage_since is not None else eta_text(total - counters.items, rate)
