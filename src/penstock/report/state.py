"""How far a run is: read from its folder while another process works on it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .load import RunRecord, Sample

_RATE_SECONDS = 10.0
_ETA_SECONDS = 60.0
_STALE_SECONDS = 15.0
_COUNTERS = ("items", "ok", "failed", "by_kind", "attempts", "retries", "throttled", "unasked", "died")


def run_state(record: RunRecord, now: float) -> dict[str, Any]:
    """The facts, at `now` in seconds since the epoch. Rates are those of the last ten seconds.

    `state` is running, complete, stopped, interrupted, error, killed, or new for a run without any session.
    """
    session = record.sessions[-1] if record.sessions else None
    samples = _latest_session(record.samples)
    last = samples[-1] if samples else None
    state = _state(record, last)
    running = state == "running"
    # Samples are seconds apart, and what was done since the last commit is done again: that is what counts.
    told = record.committed or ({name: getattr(last, name) for name in _COUNTERS} if last else {})
    items, total = told.get("items", 0), record.total
    down = last is not None and running and last.outage_since is not None
    # The pace of before an outage says nothing.
    items_per_s = _rate(samples, _ETA_SECONDS, lambda sample: sample.items) if running and not down else 0.0
    left = None if total is None else max(0, total - items)
    eta = left / items_per_s if running and left is not None and items_per_s > 0 else None
    silent = now - last.at if running and last is not None else 0.0
    return {
        "out": str(record.out),
        "folder": str(record.folder),
        "state": state,
        "message": session.message if session is not None else "",
        "pid": record.pid if running else None,
        "since": session.at if session is not None else None,
        "elapsed_s": round(last.elapsed, 3) if last else 0.0,
        "sessions": len(record.sessions),
        "items": items,
        "total": total,
        "rows": last.rows if last else None,
        "rows_promised": last.rows_promised if last else None,
        "ok": told.get("ok", 0),
        "failed": told.get("failed", 0),
        "by_kind": dict(sorted(told.get("by_kind", {}).items())),
        "attempts": told.get("attempts", 0),
        "retries": told.get("retries", 0),
        "throttled": told.get("throttled", 0),
        "unasked_answers": dict(told.get("unasked", {})),
        "died_connections": dict(told.get("died", {})),
        "rate_per_s": round(_rate(samples, _RATE_SECONDS, lambda sample: sample.attempts), 3) if running else 0.0,
        "items_per_s": round(items_per_s, 3),
        "limits": list(last.limits) if last else list(session.limits) if session else [],
        "in_flight": last.in_flight if last and running else 0,
        "in_flight_ceiling": last.ceiling if last and running else None,
        "parked": last.parked if last and running else 0,
        "paused_for_s": round(max(0.0, last.paused_until - now), 3) if last and running else 0.0,
        "down_for_s": round(now - (last.outage_since or now), 3) if last and down else None,
        "down_reason": last.outage_reason if last and down else "",
        "max_outage_s": session.max_outage if session is not None else None,
        "eta_s": round(eta, 1) if eta is not None else None,
        "service_ms": dict(last.service_ms) if last else {},
        "silent_s": round(silent, 1) if last and silent > max(_STALE_SECONDS, 3 * _interval(samples)) else 0.0,
    }


def exit_code(state: dict[str, Any], not_right: int = 0) -> int:
    """As all commands: 0 finished or running, 1 finished and something failed, 3 stopped before the end."""
    if state["state"] == "running":
        return 0
    if state["state"] != "complete":
        return 3
    return 1 if state["failed"] or not_right or state["unasked_answers"] else 0


def _state(record: RunRecord, last: Sample | None) -> str:
    if record.running:
        return "running"
    if record.sessions:
        return record.sessions[-1].how or "killed"
    if last is None:
        return "new"
    # Older versions kept no list of sessions.
    return "complete" if record.total is not None and last.items >= record.total else "stopped"


def _latest_session(samples: Sequence[Sample]) -> Sequence[Sample]:
    begin = len(samples) - 1
    while begin > 0 and samples[begin - 1].elapsed < samples[begin].elapsed:
        begin -= 1
    return samples[max(0, begin) :]


def _interval(samples: Sequence[Sample]) -> float:
    return samples[-1].elapsed - samples[-2].elapsed if len(samples) > 1 else 0.0


def _rate(samples: Sequence[Sample], seconds: float, count: Any) -> float:
    if len(samples) < 2:
        return 0.0
    last = samples[-1]
    first = next((each for each in samples if each.elapsed >= last.elapsed - seconds - 1e-6), last)
    if first is last:
        first = samples[-2]
    return max(0.0, float(count(last) - count(first)) / (last.elapsed - first.elapsed))
