"""What a person or a script is told at the end of a run: the summary, and the exit code."""

from __future__ import annotations

import sys
from typing import Any

import orjson

from ..runs.origin_faults import in_words
from .terminal import echo
from .texts import kinds_text, rate_text

_LASTING = frozenset({"bad_record", "http_3xx", "http_4xx", "unexpected", "too_large", "bad_body"})
"""What is refused once is refused again, unless somebody mends the request, the record or the server."""


def exit_code(summary: dict[str, Any]) -> int:
    """0, 1 or 3 (see `penstock --help`)."""
    return exit_code_of(summary, wrong=summary["failed"])


def exit_code_of(summary: dict[str, Any], *, wrong: object) -> int:
    """As `exit_code`, where something else than `failed` says that not all is right."""
    if not summary["complete"]:
        return 3
    return 1 if wrong or summary["unasked_answers"] else 0


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
    here = " in this session" if resumed else ""
    rate = rate_text(summary["rate_per_s"], [each["limit"] for each in summary["limits"]])
    lines = [
        _first_line(summary),
        f"  sent      {summary['attempts']:,} attempts, {_counted(summary['retries'], 'retry', 'retries')}, "
        f"{summary['throttled']:,} throttled, {rate}{here}, at most {summary['in_flight_peak']:,} in flight",
    ]
    if summary["hedges"]:
        lines.append(f"  hedged    {_counted(summary['hedges'], 'second call')} beside slow ones")
    if summary["outages"]:
        outages, probes = _counted(summary["outages"], "outage"), _counted(summary["probes"], "probe")
        lines.append(f"  outages   {outages}, {probes} to see whether the host was back")
    if summary["limits_told"]:
        lines.append(f"  told      {', '.join(summary['limits_told'])} by the server")
    careful = in_words(summary["unasked_answers"], summary["died_connections"])
    lines += [f"  careful   {each}" for each in (*summary["disbelieved"], *careful)]
    if summary["limits"]:
        lines.append(f"  limit     {', '.join(map(_limit_used, summary['limits']))}{here}")
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
        lines.append(f"  next      {_next(summary['by_kind'])}")
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


def _next(by_kind: dict[str, int]) -> str:
    again = "the same command with --retry-failed does the failed ones again"
    if by_kind and _LASTING.issuperset(by_kind):
        return f"see in the output why they were refused; once that is mended, {again}"
    return again


def _took(summary: dict[str, Any]) -> str:
    whole = _seconds(summary["elapsed_all_sessions_s"])
    return f"{_seconds(summary['elapsed_s'])} in this session, {whole} in all"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f} s"


def _memory(summary: dict[str, Any]) -> str:
    at = f", resumed at {summary['resumed']:,}" if summary["resumed"] else ""
    return f"{summary['peak_rss_bytes'] / 1e6:,.0f} MB at most{at}"


def _counted(number: int, what: str, many: str = "") -> str:
    return f"{number:,} {what if number == 1 else many or f'{what}s'}"


def _limit_used(limit: dict[str, Any]) -> str:
    if "used" in limit:
        return f"{limit['limit']} used {limit['used']:.1%}"
    return f"{limit['limit']} for each {limit['by']} ({limit['keys']:,} of them)"


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
