"""What a person sees: the live view on a terminal, a line every ten seconds elsewhere, and the summary."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click
import orjson

from ..layers.rate_limit import RateLimiter
from ..outbound.drive import Watcher
from ..outbound.engine import Engine

LINE_SECONDS = 10.0


def watchers(out: str, *, quiet: bool) -> Callable[[int, RateLimiter], tuple[Watcher, ...]]:
    """What shows the run, as `penstock.outbound` wants it."""

    def make(total: int, limiter: RateLimiter) -> tuple[Watcher, ...]:
        if quiet:
            return ()
        if sys.stderr.isatty():
            from .live import LiveView

            return (LiveView(out, total, limiter),)
        return (Lines(total, limiter),)

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

    def __init__(self, total: int, limiter: RateLimiter) -> None:
        self.interval = LINE_SECONDS
        self._total = total
        self._limiter = limiter
        self._seen: tuple[float, int, int] | None = None

    def show(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """Print the line, but not before the first interval is over."""
        seen, self._seen = self._seen, (elapsed, engine.counters.attempts, engine.counters.items)
        if seen is not None and elapsed - seen[0] > 0.5:
            click.echo(status_line(engine, self._total, self._limiter, seen, elapsed), err=True)


def status_line(
    engine: Engine[Any, Any], total: int, limiter: RateLimiter, seen: tuple[float, int, int], elapsed: float
) -> str:
    """The state in one line; `seen` is (elapsed, attempts, items) of the line before."""
    counters = engine.counters
    span = max(elapsed - seen[0], 1e-9)
    rate = (counters.attempts - seen[1]) / span
    done_rate = (counters.items - seen[2]) / span
    times = counters.service.percentiles_ms()
    parts = [
        f"{counters.items:,}/{total:,}",
        f"{rate:,.1f}/s{limit_text(limiter)}",
        f"{counters.in_flight} in flight",
        f"{counters.ok:,} ok",
        f"{counters.failed:,} failed{kinds_text(counters.by_kind)}",
        f"{counters.retries:,} retries",
        f"p50 {times['p50'] or 0:,.0f} p95 {times['p95'] or 0:,.0f} p99 {times['p99'] or 0:,.0f} ms",
        f"ETA {eta_text(total - counters.items, done_rate)}",
    ]
    paused = limiter.statistics().paused_for
    if paused > 0:
        parts.append(f"paused {paused:,.0f} s as asked")
    return "  ".join(parts)


def limit_text(limiter: RateLimiter) -> str:
    """` of 100/min`, or nothing."""
    return f" of {' and '.join(str(window.limit) for window in limiter.windows)}" if limiter.windows else ""


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
        click.echo("\n".join(summary_lines(summary, out)), err=True)


def summary_lines(summary: dict[str, Any], out: str) -> list[str]:
    """The summary for people."""
    state = "finished" if summary["complete"] else "stopped; the same command goes on from there"
    service, response = summary["service_ms"], summary["response_ms"]
    lines = [
        f"{state}: {summary['items']:,} of {summary['total']:,} items, {summary['ok']:,} ok, {summary['failed']:,} "
        f"failed{kinds_text(summary['by_kind'])}",
        f"  sent      {summary['attempts']:,} attempts, {summary['retries']:,} retries, {summary['throttled']:,} "
        f"throttled, {summary['rate_per_s']:,.1f}/s, at most {summary['in_flight_peak']:,} in flight",
    ]
    if summary["limits"]:
        used = ", ".join(f"{each['limit']} used {each['used']:.1%}" for each in summary["limits"])
        lines.append(f"  limit     {used}")
    if service["p50"] is not None:
        lines.append(f"  service   {_times(service)}  (from the send)")
        lines.append(f"  response  {_times(response)}  (from the intended start)")
    if "verdicts" in summary:
        lines += _census_lines(summary)
    resumed = f", resumed at {summary['resumed']:,}" if summary["resumed"] else ""
    lines.append(
        f"  took      {summary['elapsed_s']:,.1f} s, {summary['peak_rss_bytes'] / 1e6:,.0f} MB at most{resumed}"
    )
    lines.append(f"  output    {out}")
    if summary["complete"] and summary["failed"]:
        lines.append("  next      the same command with --retry-failed does the failed ones again")
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
