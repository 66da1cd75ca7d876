"""What a person sees: the live view on a terminal, a line every ten seconds elsewhere, and the summary."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
import orjson

from ..clock import SYSTEM_CLOCK
from ..engine.counters import Counters
from ..engine.engine import Engine
from ..limits.limiter import RateLimiter
from ..runs.driver import Watcher
from ..runs.session_limits import limit_texts
from .terminal import echo

LINE_SECONDS = 10.0
_UNIT = re.compile(r"\d+/(s|min|h|d)\b")
_UNIT_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
REASON_LENGTH = 80
"""Characters that are shown of why a host is taken to be down."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """How far a run has come, where the number of its items is not known beforehand.

    `total` is what is known of it by now; `unit` says what items are, `text` what else there is to say.
    """

    total: int | None
    unit: str = "items"
    text: str = ""


def watchers(
    out: str, *, quiet: bool, gauge: Callable[[], Gauge] | None = None, unit: str = "items"
) -> Callable[[int | None, RateLimiter], tuple[Watcher, ...]]:
    """What shows the run, as a run wants it. `gauge` takes the place of the total given there."""

    def make(total: int | None, limiter: RateLimiter) -> tuple[Watcher, ...]:
        if quiet:
            return ()
        known = gauge or (lambda: Gauge(total, unit))
        if sys.stderr.isatty():
            from .live import LiveView

            return (LiveView(out, known, limiter),)
        return (Lines(known, limiter),)

    return make


class Reading:
    """Shows how the survey of the input goes on; silent for one that takes no time."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._shown = 0

    def __call__(self, records: int, bytes_read: int) -> None:
        """`records` were read so far."""
        if not self._quiet and records - self._shown >= 1_000_000:
            self._shown = records
            click.echo(f"reading the input: {records:,} records, {bytes_read / 1e6:,.0f} MB", err=True)


class Lines:
    """A Watcher for logs: one line every ten seconds."""

    def __init__(self, gauge: Callable[[], Gauge], limiter: RateLimiter) -> None:
        self.interval = LINE_SECONDS
        self._gauge = gauge
        self._limiter = limiter
        self._seen: tuple[float, int, int] | None = None

    def show(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """Print the line, but not before the first interval is over."""
        seen, self._seen = self._seen, (elapsed, engine.counters.attempts, engine.counters.items)
        if seen is not None and elapsed - seen[0] > 0.5:
            click.echo(status_line(engine, self._gauge(), self._limiter, seen, elapsed), err=True)


def status_line(
    engine: Engine[Any, Any], gauge: Gauge, limiter: RateLimiter, seen: tuple[float, int, int], elapsed: float
) -> str:
    """The state in one line; `seen` is (elapsed, attempts, items) of the line before."""
    counters = engine.counters
    span = max(elapsed - seen[0], 1e-9)
    rate = (counters.attempts - seen[1]) / span
    done_rate = (counters.items - seen[2]) / span
    times = counters.service.percentiles_ms()
    parts = [
        count_text(counters.items, gauge),
        f"{rate_text(rate, limit_texts(limiter))}{limit_text(limiter)}",
        f"{counters.in_flight} in flight",
        f"{counters.ok:,} ok",
        f"{counters.failed:,} failed{kinds_text(counters.by_kind)}",
        f"{counters.retries:,} retries",
        f"p50 {times['p50'] or 0:,.0f} p95 {times['p95'] or 0:,.0f} p99 {times['p99'] or 0:,.0f} ms",
    ]
    if gauge.total is not None:
        parts.append(f"ETA {eta_of(counters, gauge.total, done_rate)}")
    if pause := pause_text(limiter):
        parts.append(pause)
    if counters.parked:
        parts.append(f"{counters.parked:,} wait")
    if outage := outage_text(counters):
        parts.append(outage)
    return "  ".join(parts)


def pause_text(limiter: RateLimiter) -> str:
    """`paused for 30 s, as the server asked`, or nothing."""
    statistics = limiter.statistics()
    if statistics.paused_for <= 0:
        return ""
    why = "the server's quota is used up" if statistics.used_up else "as the server asked"
    return f"paused for {statistics.paused_for:,.1f} s, {why}"


def outage_text(counters: Counters) -> str:
    """`host down for 35 s (connection refused), 9 probes`, or nothing."""
    if counters.outage_since is None:
        return ""
    reason = f" ({shorten(counters.outage_reason, REASON_LENGTH)})" if counters.outage_reason else ""
    return f"host down for {SYSTEM_CLOCK.wall() - counters.outage_since:,.0f} s{reason}, {counters.probes:,} probes"


def shorten(text: str, length: int) -> str:
    """`text`, or as many of its words as `length` has room for, with all parentheses closed."""
    if len(text) <= length:
        return text
    cut = text[: length + 1].rpartition(" ")[0] or text[:length]
    left_open = cut.count("(") - cut.count(")")
    return f"{cut.rstrip(' (,:;')}...{')' * left_open if not cut.endswith('(') else ''}"


def count_text(items: int, gauge: Gauge) -> str:
    """`1,200/10,000`, `12 pages, 1,200 of 9,000 rows`, or what of that is known."""
    # A pull looks for pages behind the last one that was promised.
    total = "" if gauge.total is None else f"/{max(gauge.total, items):,}"
    unit = "" if gauge.unit == "items" else f" {gauge.unit}"
    return f"{items:,}{total}{unit}{f', {gauge.text}' if gauge.text else ''}"


def rate_text(per_second: float, limits: Sequence[str]) -> str:
    """`102/min` where the first of `limits` is one a minute, so that the two can be compared; else `1.7/s`."""
    unit = next((match[1] for limit in limits[:1] if (match := _UNIT.match(limit))), "s")
    return f"{per_second * _UNIT_SECONDS[unit]:,.1f}/{unit}"


def limit_text(limiter: RateLimiter) -> str:
    """` of 100/min and 10/s (told by the server)`, or nothing."""
    limits = limit_texts(limiter)
    limits += [f"{limit} (told by the server)" for limit in limiter.statistics().told if limit not in limits]
    return f" of {' and '.join(limits)}" if limits else ""


def _limit_used(limit: dict[str, Any]) -> str:
    if "used" in limit:
        return f"{limit['limit']} used {limit['used']:.1%}"
    return f"{limit['limit']} for each {limit['by']} ({limit['keys']:,} of them)"


def kinds_text(by_kind: dict[str, int]) -> str:
    """` (http_5xx 2, timeout 1)`, or nothing."""
    if not by_kind:
        return ""
    return f" ({', '.join(f'{kind} {count:,}' for kind, count in sorted(by_kind.items()))})"


def eta_text(left: int, rate: float) -> str:
    """`2h05m`, `40s`, or `-` where nothing moves."""
    if left <= 0:
        return "0s"
    if rate <= 0:
        return "-"
    seconds = int(left / rate) + 1
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600:02d}h"


def eta_of(counters: Counters, total: int, rate: float) -> str:
    """As `eta_text`; nobody can tell while the host is down."""
    return "-" if counters.outage_since is not None else eta_text(total - counters.items, rate)


def exit_code(summary: dict[str, Any]) -> int:
    """0, 1 or 3 (see `penstock --help`)."""
    if not summary["complete"]:
        return 3
    return 1 if summary["failed"] else 0


def print_summary(summary: dict[str, Any], *, out: str, quiet: bool, as_json: bool) -> None:
    """To people on standard error, as JSON on standard output."""
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(summary, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        sys.stdout.flush()
    elif not quiet:
        echo("\n".join(summary_lines(summary, out)))


def summary_lines(summary: dict[str, Any], out: str) -> list[str]:
    """The summary for people."""
    service, response = summary["service_ms"], summary["response_ms"]
    # What is counted is of all sessions, what is measured in seconds of this one.
    resumed = summary["elapsed_all_sessions_s"] > summary["elapsed_s"] + 0.001
    rate = rate_text(summary["rate_per_s"], [each["limit"] for each in summary["limits"]])
    lines = [
        _first_line(summary),
        f"  sent      {summary['attempts']:,} attempts, {summary['retries']:,} retries, {summary['throttled']:,} "
        f"throttled, {rate}{' in this session' if resumed else ''}, at most {summary['in_flight_peak']:,} in flight",
    ]
    if summary["hedges"]:
        lines.append(f"  hedged    {_counted(summary['hedges'], 'second call')} beside slow ones")
    if summary["outages"]:
        outages, probes = _counted(summary["outages"], "outage"), _counted(summary["probes"], "probe")
        lines.append(f"  outages   {outages}, {probes} to see whether the host was back")
    if summary["limits_told"]:
        lines.append(f"  told      {', '.join(summary['limits_told'])} by the server")
    lines += [f"  careful   {each}" for each in summary["disbelieved"]]
    if summary["limits"]:
        lines.append(f"  limit     {', '.join(map(_limit_used, summary['limits']))}")
    if service["p50"] is not None:
        lines.append(f"  service   {_times(service)}  (from the send)")
        lines.append(f"  response  {_times(response)}  (from the intended start)")
    if "verdicts" in summary:
        lines += _census_lines(summary)
    if "rows" in summary:
        lines += _pull_lines(summary)
    lines.append(f"  took      {_took(summary) if resumed else _seconds(summary['elapsed_s'])}, {_memory(summary)}")
    lines.append(f"  output    {out}")
    if summary["complete"] and summary.get("failed_pages"):
        lines.append("  next      the same command asks for the failed pages again")
    elif summary["complete"] and summary["failed"] and "rows" not in summary:
        lines.append("  next      the same command with --retry-failed does the failed ones again")
    return lines


def _first_line(summary: dict[str, Any]) -> str:
    state = "finished" if summary["complete"] else "stopped; the same command goes on from there"
    if "rows" in summary:
        promised = "" if summary["rows_promised"] is None else f" of {summary['rows_promised']:,} promised"
        failed = f"; failed: {_counted(len(summary['failed_pages']), 'page')}" if summary["failed_pages"] else ""
        rows, pages = _counted(summary["rows"], "row"), _counted(summary["pages"], "page")
        return f"{state}: {rows}{promised}, in {pages}{failed}"
    total = "" if summary["total"] is None else f" of {summary['total']:,}"
    return (
        f"{state}: {summary['items']:,}{total} items, {summary['ok']:,} ok, {summary['failed']:,} "
        f"failed{kinds_text(summary['by_kind'])}"
    )


def _took(summary: dict[str, Any]) -> str:
    whole = _seconds(summary["elapsed_all_sessions_s"])
    return f"{_seconds(summary['elapsed_s'])} in this session, {whole} in all"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f} s"


def _memory(summary: dict[str, Any]) -> str:
    at = f", resumed at {summary['resumed']:,}" if summary["resumed"] else ""
    return f"{summary['peak_rss_bytes'] / 1e6:,.0f} MB at most{at}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what if number == 1 else f'{what}s'}"


def _pull_lines(summary: dict[str, Any]) -> list[str]:
    lines = []
    if summary["duplicates"]:
        lines.append(f"  twice     {summary['duplicates']:,} rows were dropped, because their key was written before")
    lines += [f"  careful   {warning}" for warning in summary["warnings"]]
    lines += [f"  failed    page {each['page']:,}: {each['error'][:200]}" for each in summary["failed_pages"][:3]]
    return lines


def _census_lines(summary: dict[str, Any]) -> list[str]:
    low, high = summary["accuracy_interval"]
    if summary["accuracy"] is None:
        return ["  found     nothing was answered"]
    verdicts = "  ".join(f"{name} {count:,}" for name, count in summary["verdicts"].items() if count)
    lines = [
        f"  found     {_percent(summary['accuracy'])} of the answered (95 % interval {_percent(low)} to "
        f"{_percent(high)}), {_percent(summary['success_rate'])} of all were answered",
        f"  verdicts  {verdicts}",
    ]
    if summary["avg_similarity"] is not None:
        lines.append(f"  average   similarity {summary['avg_similarity']:.7f}")
    if "second_look" in summary:
        look = summary["second_look"]
        lines.append(
            f"  2nd look  {look['looked_at']:,} misses: {look['rank_miss']:,} are further down the list, "
            f"{look['unreachable']:,} are not among the first {look['hits']} hits"
        )
    if "duplicates" in summary:
        lines.append(f"  twice     {summary['duplicates']['rows']:,} vectors are stored more than once")
    worst = [each for each in summary["worst"] if each["verdict"] not in ("SELF", "TIE_DUP")]
    lines += [
        f"  worst     vector {each['position']:,}: {each['verdict']}, similarity {each['similarity']:.6f}"
        for each in worst[:3]
    ]
    return lines


def _percent(share: float | None) -> str:
    """Enough digits that what is missing to 100 % shows, and never rounded up to it."""
    if share is None:
        return "-"
    text = f"{share:.4%}"
    return text if share == 1.0 or text != "100.0000%" else "99.9999%+"


def _times(times: dict[str, float | None]) -> str:
    return "  ".join(f"{name} {value or 0:,.1f}" for name, value in times.items()) + " ms"
