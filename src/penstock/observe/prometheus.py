"""Prometheus: serve what a run does while it goes on.

Nothing is counted here and nothing is done per call: the values are read when somebody asks for them, in a thread
of the server's. What it knows of a run is a `Reading`, plain numbers that a function hands over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from .._version import __version__
from ..errors import UsageError
from .histogram import Histogram

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0)
"""Seconds, of the buckets of both histograms: from a local server to one that takes minutes."""

_ADDRESS = re.compile(r"(?:(\[[0-9A-Fa-f:.%]+\]|[^:\[\]\s]+):)?(\d{1,5})")


@dataclass(frozen=True, slots=True)
class LimitReading:
    """One limit: its text (`100/min`), what it allows a second, and the share of it that was used so far."""

    limit: str
    per_second: float
    used: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What a run has done so far and does now. Durations are seconds."""

    attempts: int = 0
    ok: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    """Failed items by kind."""
    retries: int = 0
    throttled: int = 0
    in_flight: int = 0
    in_flight_limit: int = 0
    waiting: int = 0
    """Calls that wait for a permit."""
    paused: float = 0.0
    """Until the pause ends that the peer has asked for; 0 when there is none."""
    limits: Sequence[LimitReading] = ()
    service: Histogram = field(default_factory=Histogram)
    response: Histogram = field(default_factory=Histogram)
    counters: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """More that only grows: name, without `penstock_` and `_total`, to what it means and its value."""
    gauges: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """More of now: name, without `penstock_`, to what it means and its value."""


class MetricsServer:
    """An endpoint that answers until it is closed; a context manager."""

    def __init__(self, server: Any, thread: Any) -> None:
        self._server = server
        self._thread = thread
        self.port: int = server.server_port
        """The port it listens on, also where 0 was asked for."""

    def close(self) -> None:
        """Answer no more, and let the port go."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(address: str, read: Callable[[], Reading | None], *, command: str = "run") -> MetricsServer:
    """Serve what `read` says at `http://ADDRESS/metrics` until the server is closed.

    `address` is `127.0.0.1:9464`, `[::1]:9464`, or a port alone, which is one of this machine only. `read` is called
    in a thread for every scrape, must not block, and may say None as long as there is nothing to tell. `command` is a
    label of `penstock_run_info`. Raises UsageError for what is no address, for one that cannot be had, and where
    prometheus_client is missing.
    """
    host, port = parse_address(address)
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
    except ImportError as missing:
        raise UsageError("metrics need prometheus_client: pip install 'penstock[prometheus]'") from missing
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(RunCollector(read, command))
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        what = getattr(error, "strerror", None) or error
        raise UsageError(f"metrics cannot be served at {address}: {what}; give another address or port") from error
    return MetricsServer(server, thread)


def parse_address(address: str) -> tuple[str, int]:
    """The host and the port of `HOST:PORT`, `[IPv6]:PORT` or `PORT`. Raises UsageError."""
    match = _ADDRESS.fullmatch(address.strip())
    if match is None or int(match[2]) > 65535:
        raise UsageError(f"{address!r} is not an address to serve metrics at; write 127.0.0.1:9464")
    return (match[1] or "127.0.0.1").strip("[]"), int(match[2])


class RunCollector:
    """Makes families of metrics of a reading. What a collector has to look like is duck-typed by the library."""

    def __init__(self, read: Callable[[], Reading | None], command: str) -> None:
        self._read = read
        self._command = command

    def collect(self) -> Iterator[Any]:
        """All families, as of now."""
        from prometheus_client.core import InfoMetricFamily

        info = {"command": self._command, "version": __version__}
        yield InfoMetricFamily("penstock_run", "What runs.", value=info)
        reading = self._read()
        if reading is not None:
            yield from _counters(reading)
            yield from _gauges(reading)
            yield from _limits(reading)
            yield _histogram("penstock_service_seconds", "Of an item's last attempt, from its send.", reading.service)
            yield _histogram("penstock_response_seconds", "The same, from its intended start.", reading.response)


def _counters(reading: Reading) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily

    plain = {
        "attempts": ("Calls that were sent, repeated ones too.", reading.attempts),
        "retries": ("Attempts that were not the first of their item.", reading.retries),
        "throttled": ("Attempts that the peer refused for being too many.", reading.throttled),
        **reading.counters,
    }
    for name, (meaning, value) in plain.items():
        yield CounterMetricFamily(f"penstock_{name}", meaning, value=value)
    items = CounterMetricFamily("penstock_items", "Items that have their outcome: ok, or its kind.", labels=["outcome"])
    for outcome, count in {"ok": reading.ok, **reading.failed}.items():
        items.add_metric([outcome], count)
    yield items


def _gauges(reading: Reading) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    plain = {
        "in_flight": ("Attempts in flight.", reading.in_flight),
        "in_flight_limit": ("Attempts that may be in flight.", reading.in_flight_limit),
        "waiting": ("Calls that wait for a permit of a limit.", reading.waiting),
        "paused_seconds": ("Until the pause ends that the peer has asked for.", reading.paused),
        **reading.gauges,
    }
    for name, (meaning, value) in plain.items():
        yield GaugeMetricFamily(f"penstock_{name}", meaning, value=value)


def _limits(reading: Reading) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    rate = GaugeMetricFamily("penstock_limit_per_second", "Sends a second that the limit allows.", labels=["limit"])
    used = GaugeMetricFamily("penstock_limit_used_ratio", "Share of the limit used, over the run.", labels=["limit"])
    # Two limits with the same text would be one series twice, which is no legal exposition.
    for limit in {each.limit: each for each in reading.limits}.values():
        rate.add_metric([limit.limit], limit.per_second)
        used.add_metric([limit.limit], limit.used)
    yield from (rate, used)


def _histogram(name: str, meaning: str, histogram: Histogram) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    counts = histogram.up_to((*BOUNDS, math.inf))
    buckets = [(str(bound), count) for bound, count in zip(BOUNDS, counts, strict=False)]
    return HistogramMetricFamily(name, meaning, buckets=[*buckets, ("+Inf", counts[-1])], sum_value=histogram.total)
