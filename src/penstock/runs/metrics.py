"""What a run tells Prometheus: its counters and its limiter as families of metrics."""

from __future__ import annotations

from typing import Any

from ..engine.engine import Engine
from ..limits.limiter import RateLimiter
from ..observe.exposition import Family
from ..observe.histogram import Histogram

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0)
"""Seconds, of the buckets of both histograms: from a local server to one that takes minutes."""


def read_metrics(engine: Engine[Any, Any], limiter: RateLimiter | None = None) -> list[Family]:
    """What `engine`, under `limiter`, has done and does now. Cheap, and to be called from any thread.

    Counts go on across the sessions of a durable run.
    """
    counters = engine.counters
    statistics = limiter.statistics() if limiter is not None else None
    waiting, paused = (statistics.waiting, statistics.paused_for) if statistics is not None else (0, 0.0)
    outcomes = {"ok": counters.ok, **counters.by_kind}
    return [
        _count("attempts", "Calls that were sent, repeated ones too.", counters.attempts),
        _count("retries", "Attempts that were not the first of their item.", counters.retries),
        _count("throttled", "Attempts that the peer refused for being too many.", counters.throttled),
        _count("hedges", "Second calls beside a slow first one.", counters.hedges),
        _count("outages", "How often the host was taken to be down.", counters.outages),
        _count("probes", "Calls that were made to see whether the host is back.", counters.probes),
        Family("penstock_unasked_answers", "Answers that nobody asked for.", "counter", counters.unasked, "origin"),
        Family(
            "penstock_died_connections", "Closed right after an answer, untold.", "counter", counters.died, "origin"
        ),
        Family("penstock_items", "Items that have their outcome: ok, or its kind.", "counter", outcomes, "outcome"),
        _now("in_flight", "Attempts in flight.", counters.in_flight),
        _now("in_flight_limit", "Attempts that may be in flight.", engine.ceiling),
        _now("waiting", "Calls that wait for a permit of a limit.", waiting),
        _now("paused_seconds", "Until the pause ends that the peer has asked for.", paused),
        _now("parked", "Items that wait for the host, or for the retry budget.", counters.parked),
        _now("host_down", "1 while the host is taken to be down, else 0.", counters.outage_since is not None),
        *_limits(limiter),
        _durations("service_seconds", "Of an item's last attempt, from its send.", counters.service),
        _durations("response_seconds", "The same, from its intended start.", counters.response),
    ]


def _limits(limiter: RateLimiter | None) -> list[Family]:
    # By their text: two limits with the same one would be one series twice, which is no legal exposition.
    windows = {str(each.limit): each for each in list(limiter.windows)} if limiter is not None else {}
    rates = {text: each.limit.count / each.limit.seconds for text, each in windows.items()}
    used = {text: each.used() for text, each in windows.items()}
    return [
        Family("penstock_limit_per_second", "Sends a second that the limit allows.", "gauge", rates, "limit"),
        Family("penstock_limit_used_ratio", "Share of the limit used, over the run.", "gauge", used, "limit"),
    ]


def _count(name: str, meaning: str, value: float) -> Family:
    return Family(f"penstock_{name}", meaning, "counter", {"": value})


def _now(name: str, meaning: str, value: float) -> Family:
    return Family(f"penstock_{name}", meaning, "gauge", {"": value})


def _durations(name: str, meaning: str, durations: Histogram) -> Family:
    return Family(f"penstock_{name}", meaning, "histogram", durations=durations, bounds=BOUNDS)
