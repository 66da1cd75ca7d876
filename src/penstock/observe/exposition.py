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

Rows = Mapping[tuple[str, ...], float | Histogram]
"""What there is to tell, by the values of several labels."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: `values` by the value of its one `label`, or a single one by "" where it has none.

    With several `labels` it has `rows` instead, by their values; those of a histogram are Histograms. The name of a
    counter is without `_total`. A histogram has `durations` or such rows, and the `bounds` of its buckets in seconds.
    """

    name: str
    meaning: str
    kind: Literal["counter", "gauge", "histogram"]
    values: Mapping[str, float] = field(default_factory=dict)
    label: str = ""
    durations: Histogram | None = None
    bounds: Sequence[float] = ()
    labels: tuple[str, ...] = ()
    rows: Rows = field(default_factory=dict)


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

        kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
        for family in self._families:
            made = kinds[family.kind](family.name, family.meaning, labels=family.labels or _names(family.label))
            for labels, value in _rows(family):
                if isinstance(value, Histogram):
                    made.add_metric(labels, _buckets(value, family.bounds), value.total)
                else:
                    made.add_metric(labels, value)
            yield made


def _rows(family: Family) -> Iterator[tuple[Sequence[str], float | Histogram]]:
    if family.durations is not None:
        yield (), family.durations
    for label, number in family.values.items():
        yield (label,) if family.label else (), number
    yield from family.rows.items()


def _names(label: str) -> tuple[str, ...]:
    return (label,) if label else ()


def _buckets(durations: Histogram, bounds: Sequence[float]) -> list[tuple[str, float]]:
    counts = durations.up_to((*bounds, math.inf))
    return [*((str(bound), count) for bound, count in zip(bounds, counts, strict=False)), ("+Inf", counts[-1])]
