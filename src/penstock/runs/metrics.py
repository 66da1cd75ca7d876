"""What a run tells Prometheus: its counters and its limiter as a `Reading`."""

from __future__ import annotations

from typing import Any

from ..engine.engine import Engine
from ..limits.limiter import RateLimiter
from ..observe.prometheus import LimitReading, Reading


def read_metrics(engine: Engine[Any, Any], limiter: RateLimiter | None = None) -> Reading:
    """What `engine`, under `limiter`, has done and does now. Cheap, and to be called from any thread.

    Counts go on across the sessions of a durable run.
    """
    counters = engine.counters
    statistics = limiter.statistics() if limiter is not None else None
    return Reading(
        attempts=counters.attempts,
        ok=counters.ok,
        failed=dict(counters.by_kind),
        retries=counters.retries,
        throttled=counters.throttled,
        in_flight=counters.in_flight,
        in_flight_limit=engine.ceiling,
        waiting=statistics.waiting if statistics is not None else 0,
        paused=statistics.paused_for if statistics is not None else 0.0,
        limits=_limits(limiter),
        service=counters.service,
        response=counters.response,
        counters={
            "hedges": ("Second calls beside a slow first one.", counters.hedges),
            "outages": ("How often the host was taken to be down.", counters.outages),
            "probes": ("Calls that were made to see whether the host is back.", counters.probes),
        },
        gauges={
            "parked": ("Items that wait for the host, or for the retry budget.", counters.parked),
            "host_down": ("1 while the host is taken to be down, else 0.", float(counters.outage_since is not None)),
        },
    )


def _limits(limiter: RateLimiter | None) -> list[LimitReading]:
    if limiter is None:
        return []
    return [
        LimitReading(str(window.limit), window.limit.count / window.limit.seconds, window.used())
        for window in list(limiter.windows)
    ]
