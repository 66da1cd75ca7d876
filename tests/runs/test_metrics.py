"""What a run tells Prometheus: each of its numbers once, under the name that the reference has for it."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import penstock
from penstock.engine.engine import Engine
from penstock.observe.prometheus import RunCollector
from penstock.runs.metrics import read_metrics

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


async def measure(city: str) -> int:
    """A call that nobody makes here."""
    return len(city)


def counted_run(limiter: penstock.RateLimiter) -> Engine[str, int]:
    """A run that has not begun, with counters as if it had."""
    run = penstock.run(measure, ["Oslo"], limit=limiter, retry_on="none")
    counters = run.counters
    counters.attempts, counters.retries, counters.throttled = 10, 1, 3
    counters.ok, counters.by_kind = 6, {"http_5xx": 2, "timeout": 1}
    counters.in_flight, counters.hedges, counters.parked = 4, 7, 8
    counters.outages, counters.probes, counters.outage_since = 2, 5, 1.0
    counters.service.add(0.2)
    return run


def test_every_value_has_its_documented_name() -> None:
    """And nothing is told that the reference does not list. Two limits of one text are one series."""
    limiter = penstock.RateLimiter(["100/min", "100/min"])
    run = counted_run(limiter)
    registry = CollectorRegistry()
    registry.register(RunCollector(lambda: read_metrics(run, limiter), "send"))
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        assert family.documentation
        for sample in family.samples:
            series = (sample.name, ",".join(sample.labels.values()))
            assert series not in found, series
            found[series] = sample.value
    plain = {name: value for (name, label), value in found.items() if not label}
    assert plain == {
        "penstock_attempts_total": 10,
        "penstock_retries_total": 1,
        "penstock_throttled_total": 3,
        "penstock_hedges_total": 7,
        "penstock_outages_total": 2,
        "penstock_probes_total": 5,
        "penstock_in_flight": 4,
        "penstock_in_flight_limit": run.ceiling,
        "penstock_waiting": 0,
        "penstock_paused_seconds": 0,
        "penstock_parked": 8,
        "penstock_host_down": 1,
        "penstock_service_seconds_count": 1,
        "penstock_service_seconds_sum": 0.2,
        "penstock_response_seconds_count": 0,
        "penstock_response_seconds_sum": 0,
    }
    outcomes = {label: value for (name, label), value in found.items() if name == "penstock_items_total"}
    assert outcomes == {"ok": 6, "http_5xx": 2, "timeout": 1}
    assert found["penstock_limit_per_second", "100/min"] == 100 / 60
    assert found["penstock_limit_used_ratio", "100/min"] == 0
    page = REFERENCE.read_text()
    families = {re.sub("_(bucket|count|sum)$", "", name) for name, _ in found}
    assert [name for name in families if f"`{name}" not in page] == []


def test_without_a_limiter_there_is_nothing_of_limits() -> None:
    """No series, and nobody waits or pauses."""
    told = {each.name: each.values for each in read_metrics(counted_run(penstock.RateLimiter(["1/s"])))}
    assert told["penstock_limit_per_second"] == told["penstock_limit_used_ratio"] == {}
    assert told["penstock_waiting"] == told["penstock_paused_seconds"] == {"": 0}
