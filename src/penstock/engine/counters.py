"""Counters of a run: cheap to keep per item, saved with every commit, and added up across restarts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..observe.histogram import Histogram
from .outcome import Outcome


class RunCounters:
    """What a run has done so far. `in_flight`, `parked` and `outage_since` are of now, the rest only grows.

    Outcomes are counted when they are handed to the consumer, so that what a commit saves of the one agrees with
    what it saves of the other; attempts are counted when they are sent.
    """

    def __init__(self) -> None:
        self.began = 0.0
        """Seconds on the engine's clock."""
        self.items = 0
        self.ok = 0
        self.failed = 0
        self.by_kind: dict[str, int] = {}
        self.attempts = 0
        self.retries = 0
        self.throttled = 0
        self.in_flight = 0
        self.in_flight_peak = 0
        self.parked = 0
        """Items that wait now because the host is down or the retry budget is spent."""
        self.outages = 0
        self.outage_since: float | None = None
        """Seconds since the epoch: since when the host is taken to be down; None while it is not."""
        self.outage_reason = ""
        """Kind and message of the failure with which it began; empty while there is none."""
        self.probes = 0
        """Attempts that were made to see whether the host is back."""
        self.hedges = 0
        """Second calls beside a slow first one; they are counted among the attempts."""
        self.unasked: dict[str, int] = {}
        """Answers that nobody asked for, by their origin."""
        self.died: dict[str, int] = {}
        """Kept connections that were closed right after an answer, without a word, by their origin."""
        self.elapsed_before = 0.0
        """Seconds that earlier sessions of the same run took."""
        self.paused_until = 0.0
        """Seconds since the epoch: until when the peer asked everybody to wait; a restart keeps to it."""
        self.service = Histogram()
        """Durations of the last attempts, seconds from the send to the complete answer."""
        self.response = Histogram()
        """The same from the intended start."""

    @property
    def first_attempts(self) -> int:
        """Attempts that are neither retries nor second calls."""
        return self.attempts - self.retries - self.hedges

    def sent(self, *, again: bool) -> None:
        """Count an attempt that is in flight from now on; `again` if it is not the item's first."""
        if again:
            self.retries += 1
        self.attempts += 1
        self.in_flight += 1
        if self.in_flight > self.in_flight_peak:
            self.in_flight_peak = self.in_flight

    def count(self, outcome: Outcome[Any, Any]) -> None:
        """Count one outcome."""
        self.items += 1
        if outcome.ok:
            self.ok += 1
        else:
            self.failed += 1
            self.by_kind[outcome.kind] = self.by_kind.get(outcome.kind, 0) + 1
        if outcome.attempts:
            self.service.add(outcome.service)
            self.response.add(outcome.response)

    def as_json(self, elapsed: float) -> dict[str, Any]:
        """A form that `restore` reads back; `elapsed` is seconds of this session."""
        return {
            "items": self.items,
            "ok": self.ok,
            "failed": self.failed,
            "by_kind": dict(self.by_kind),
            "attempts": self.attempts,
            "retries": self.retries,
            "throttled": self.throttled,
            "in_flight_peak": self.in_flight_peak,
            "parked": self.parked,
            "outages": self.outages,
            "outage_since": self.outage_since,
            "probes": self.probes,
            "hedges": self.hedges,
            "unasked": dict(self.unasked),
            "died": dict(self.died),
            "elapsed": self.elapsed_before + elapsed,
            "paused_until": self.paused_until,
            "service": self.service.as_json(),
            "response": self.response.as_json(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on counting from what an earlier session saved."""
        if not saved:
            return
        self.items, self.ok, self.failed = saved["items"], saved["ok"], saved["failed"]
        self.by_kind = dict(saved["by_kind"])
        self.attempts, self.retries, self.throttled = saved["attempts"], saved["retries"], saved["throttled"]
        self.in_flight_peak = saved["in_flight_peak"]
        # A run that was begun by an older version has none of these.
        self.outages, self.probes, self.hedges = (saved.get(name, 0) for name in ("outages", "probes", "hedges"))
        self.unasked, self.died = dict(saved.get("unasked", {})), dict(saved.get("died", {}))
        self.elapsed_before = saved["elapsed"]
        self.paused_until = saved.get("paused_until", 0.0)
        self.service = Histogram.from_json(saved["service"])
        self.response = Histogram.from_json(saved["response"])
