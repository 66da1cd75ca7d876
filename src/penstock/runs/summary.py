"""The summary of a run: one dict, the same for people and for `--json`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..engine.counters import RunCounters
from ..limits.limiter import RateLimiter


def peak_rss_bytes() -> int:
    """The most memory this process ever held, in bytes; 0 where the system does not say."""
    try:
        # ru_maxrss would begin with what the parent held when it forked.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def summarise(
    counters: RunCounters,
    limiter: RateLimiter,
    *,
    limits: Sequence[Mapping[str, Any]],
    total: int | None,
    elapsed: float,
    sent_before: int,
    resumed_at: int,
    complete: bool,
) -> dict[str, Any]:
    """The whole run so far, all sessions together, but for what says otherwise.

    `limits` says of each of the user's limits how much of it was used. `elapsed` and `sent_before` are of this session:
    its seconds, and the attempts that were made before it.
    """
    sent = counters.attempts - sent_before
    return {
        "items": counters.items,
        "total": total,
        "complete": complete,
        "ok": counters.ok,
        "failed": counters.failed,
        "by_kind": dict(sorted(counters.by_kind.items())),
        "attempts": counters.attempts,
        "retries": counters.retries,
        "throttled": counters.throttled,
        "hedges": counters.hedges,
        "outages": counters.outages,
        "probes": counters.probes,
        "in_flight_peak": counters.in_flight_peak,
        "elapsed_s": round(elapsed, 3),
        "elapsed_all_sessions_s": round(counters.elapsed_before + elapsed, 3),
        "rate_per_s": round(sent / elapsed, 3) if elapsed > 0 else 0.0,
        "limits": list(limits),
        "limits_told": list(limiter.statistics().told),
        "disbelieved": list(limiter.disbelieved),
        "unasked_answers": dict(counters.unasked),
        "died_connections": dict(counters.died),
        "service_ms": counters.service.percentiles_ms(),
        "response_ms": counters.response.percentiles_ms(),
        "peak_rss_bytes": peak_rss_bytes(),
        "resumed": resumed_at,
    }
