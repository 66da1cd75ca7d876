"""What Prometheus is told of arms: the sum of all workers, whichever of them is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..observe.exposition import Collector, Family, Rows, exposition
from ..rules.moving.judge import KINDS
from ..rules.moving.state import ArmsState
from ..rules.moving.windows import ArmCounts
from .durations import histogram_of
from .tally import Tallies
from .worker_files import Routes, WorkerFiles, sum_of

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds, of the buckets of what a request takes."""
_ARM = ("route", "arm")


@dataclass(frozen=True, slots=True)
class MoveSource:
    """Where it is read: `files` of all workers, `tallies` of this one, the last known `state`, its age in seconds."""

    path: Path
    files: WorkerFiles
    tallies: Tallies
    state: Callable[[], ArmsState]
    state_age: Callable[[], float]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def counts(self) -> tuple[Routes, Routes]:
        """(of the workers that live, of all that ever were). Any thread may ask."""
        with self.lock:
            self.files.look()
            living, ever = self.files.living(), self.files.ever()
        if not living:
            # This one cannot write where others read.
            own = {"": self.tallies.counts()}
            return sum_of(own), sum_of({**own, "ever": ever})
        return sum_of(living), ever


def families(source: MoveSource) -> Iterator[Family]:
    """All metrics, as of now."""
    return _families(*source.counts(), source.state(), source.state_age())


def _families(living: Routes, ever: Routes, state: ArmsState, state_age: float) -> Iterator[Family]:
    yield Family(
        "penstock_route_seconds",
        "What a request of a route took, by the arm that answered it.",
        "histogram",
        bounds=BOUNDS,
        labels=_ARM,
        rows={key: histogram_of(each.buckets, each.total, each.largest) for key, each in _by_arm(ever)},
    )
    yield _counter("route_errors", "Requests answered with a status from 500 on, or not at all.", ever, _errors)
    in_flight: Rows = {key: float(counts.in_flight) for key, counts in _by_arm(living)}
    yield Family("penstock_route_in_flight", "Requests that are not over.", "gauge", labels=_ARM, rows=in_flight)
    yield _counter("route_shed", "Requests refused for the ceiling of the route.", ever, _shed)
    yield _counter("route_keyless", "Requests without a key, which the control answered.", ever, _keyless)
    yield _counter(
        "blocked_seconds", "For so long an arm held the event loop, in steps of 10 ms and more.", ever, _blocked
    )
    yield _lost(ever)
    shares: Rows = {(name, route.arm): route.share for name, route in state.routes.items()}
    yield Family(
        "penstock_arm_share", "The share of requests that an arm gets, 0 to 1.", "gauge", labels=_ARM, rows=shares
    )
    yield _backs(ever)
    age = {"": state_age}
    yield Family("penstock_arms_state_age_seconds", "Since the state of the arms was last read well.", "gauge", age)


def metrics_text(source: MoveSource) -> bytes:
    """What an address for Prometheus answers. Raises UsageError where prometheus_client is missing."""
    return exposition(families(source))


class MoveCollector:
    """For a registry of prometheus_client; `scrape.collector` makes one. `source` is asked for at each scrape."""

    def __init__(self, source: Callable[[], MoveSource]) -> None:
        self._source = source

    def collect(self) -> Iterator[Any]:
        """All families, as that library has them."""
        return Collector(families(self._source())).collect()

    def describe(self) -> Iterator[Any]:
        """The same without any counts: a registry wants the names when it is told of this, often at import."""
        return Collector(_families({}, {}, ArmsState(), 0.0)).collect()


def _by_arm(routes: Routes) -> Iterator[tuple[tuple[str, str], ArmCounts]]:
    for route, arms in routes.items():
        for arm, counts in arms.items():
            yield (route, arm), counts


def _counter(name: str, meaning: str, routes: Routes, read: Callable[[ArmCounts], float]) -> Family:
    rows: Rows = {key: read(counts) for key, counts in _by_arm(routes)}
    return Family(f"penstock_{name}", meaning, "counter", labels=_ARM, rows=rows)


def _errors(counts: ArmCounts) -> float:
    return counts.errors


def _shed(counts: ArmCounts) -> float:
    return counts.shed


def _keyless(counts: ArmCounts) -> float:
    return counts.keyless


def _blocked(counts: ArmCounts) -> float:
    return counts.blocked


def _lost(routes: Routes) -> Family:
    rows: Rows = {(*key, name): float(count) for key, counts in _by_arm(routes) for name, count in counts.lost.items()}
    meaning = "Requests in which something that is carried was lost or changed, by its name."
    return Family("penstock_context_lost", meaning, "counter", labels=(*_ARM, "name"), rows=rows)


def _backs(routes: Routes) -> Family:
    rows: dict[tuple[str, ...], float] = {}
    for (route, _), counts in _by_arm(routes):
        for kind, count in zip(KINDS, counts.backs, strict=False):
            if count:
                rows[route, kind] = rows.get((route, kind), 0.0) + count
    meaning = "How often an arm was taken back by itself, by why."
    return Family("penstock_arm_back", meaning, "counter", labels=("route", "reason"), rows=rows)
