"""Families of metrics, and the text that Prometheus reads; see `prometheus` for the endpoint of a run."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import UsageError
from ..extras import how_to_install
from .histogram import Histogram

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: `values` by the value of its one `label`, or a single one by "" where it has none.

    The name of a counter is without `_total`. A histogram has `durations` and the `bounds` of its buckets in seconds.
    """

    name: str
    meaning: str
    kind: Literal["counter", "gauge", "histogram"]
    values: Mapping[str, float] = field(default_factory=dict)
    label: str = ""
    durations: Histogram | None = None
    bounds: Sequence[float] = ()


def check_available() -> None:
    """Raises UsageError, which names the extra, where prometheus_client is missing."""
    if importlib.util.find_spec("prometheus_client") is None:
        raise UsageError(f"metrics need prometheus_client: {how_to_install('prometheus')}")


def exposition(families: Iterable[Family]) -> bytes:
    """The families and those of the process (memory, CPU, files). Raises UsageError as `check_available`."""
    check_available()
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(Collector(families))
    return generate_latest(registry)


class Collector:
    """Hands families over to prometheus_client. What a collector has to look like is duck-typed there."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        """All families."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for family in self._families:
            if family.durations is not None:
                yield HistogramMetricFamily(
                    family.name,
                    family.meaning,
                    buckets=_buckets(family.durations, family.bounds),
                    sum_value=family.durations.total,
                )
                continue
            make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            made = make(family.name, family.meaning, labels=[family.label] if family.label else [])
            for label, value in family.values.items():
                made.add_metric([label] if family.label else [], value)
            yield made


def _buckets(durations: Histogram, bounds: Sequence[float]) -> list[tuple[str, float]]:
    counts = durations.up_to((*bounds, math.inf))
    return [*((str(bound), count) for bound, count in zip(bounds, counts, strict=False)), ("+Inf", counts[-1])]
