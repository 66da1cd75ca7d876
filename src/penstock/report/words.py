"""A run in words and figures, for someone who was not there. Pure."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..runs.origin_faults import in_words
from .axes import count, duration, moment, number, percent
from .charts import all_buckets, ending, run_percentiles
from .load import RunRecord
from .timeline import Timeline, limits_of, most_in_window, outages, resolves

_LONGEST_LINE = 90
_TIMES = {1: "once", 2: "twice", 3: "three times"}


@dataclass(frozen=True, slots=True)
class KeptLimit:
    """One limit and how it was kept. `used` is a share; `most` is the most seen in any window of `seconds`.

    None is what cannot be told: windows of a second cannot be judged by a sample a second.
    """

    text: str
    allowed: int
    seconds: float
    used: float | None
    most: int | None


def counters(record: RunRecord) -> Mapping[str, Any]:
    """The latest counters: of the last sample, or of the summary where that is all there is."""
    if not record.samples:
        return record.summary
    last = record.samples[-1]
    names = ("items", "ok", "failed", "attempts", "retries", "throttled", "hedges")
    return {name: getattr(last, name) for name in names}


def is_complete(record: RunRecord) -> bool:
    """Whether every item has its outcome."""
    if record.sessions:
        return record.sessions[-1].how == "complete"
    return bool(record.total is not None and record.samples and record.samples[-1].items >= record.total)


def headline(record: RunRecord, timeline: Timeline) -> str:
    """What happened, in a sentence or two."""
    now = counters(record)
    parts = [_what(record, now, timeline)]
    used = [each for each in kept_limits(record, timeline) if each.used is not None]
    for_each = limits_for_each(record, timeline)
    if for_each:
        parts[0] += f", under a limit of {' and '.join(for_each)}"
    elif used:
        tightest = max(used, key=lambda each: each.used or 0.0)
        parts[0] += f", at {percent(tightest.used or 0.0)} of the limit of {tightest.text}"
    paused = sum(span.paused for span in timeline.spans)
    if paused >= 0.01 * timeline.at_work:
        parts.append(f"the server asked for pauses, {duration(paused)} in all")
    parts.append(_outages(timeline))
    parts.append(_failures(now, "page" if is_pull(record) else "item"))
    parts.append(_interruptions(record, timeline))
    return ". ".join(part[0].upper() + part[1:] for part in parts if part) + "."


def _what(record: RunRecord, now: Mapping[str, Any], timeline: Timeline) -> str:
    items, total = int(now.get("items") or 0), record.total
    took = f" in {duration(timeline.at_work)}" if timeline.parts else ""
    done = f"{items:,} of {count(max(total, items), 'item')}" if total is not None else count(items, "item")
    last = record.samples[-1] if record.samples else None
    if last is not None and last.rows is not None:
        promised = "" if last.rows_promised in (None, last.rows) else f" of {last.rows_promised:,} promised"
        state = "" if is_complete(record) else " so far" if record.running else ", and not finished"
        return f"pulled {count(last.rows, 'row')}{promised} on {count(items, 'page')}{took}{state}"
    if not is_complete(record):
        state = "still running" if record.running else "not finished"
        return f"{done} done{took}, and {state}"
    accuracy = record.summary.get("accuracy")
    if record.command == "check" and isinstance(accuracy, float):
        return f"asked for {count(items, 'stored vector')}{took} and found {percent(accuracy, 2)} of those answered"
    return f"one call for each of {count(items, 'item')}{took}"


def _outages(timeline: Timeline) -> str:
    times, seconds = outages(timeline)
    if not times:
        return ""
    often = f" {_times(times)}, for {duration(seconds)} in all" if times > 1 else f" for {duration(seconds)}"
    return f"the host was down{often}"


def _failures(now: Mapping[str, Any], what: str) -> str:
    failed, items = int(now.get("failed") or 0), int(now.get("items") or 0)
    if failed:
        return f"{count(failed, what)} failed, {percent(failed / max(items, 1))} of all"
    return f"no {what} failed" if items else ""


def _interruptions(record: RunRecord, timeline: Timeline) -> str:
    ends = Counter(ending(part) for part in timeline.parts[:-1])
    words = [f"{how} {_times(times)}" for how, times in ends.items()]
    if words:
        return f"{' and '.join(words)}, and resumed with the same command"
    return ""


def _times(times: int) -> str:
    return _TIMES.get(times, f"{times:,} times")


def is_pull(record: RunRecord) -> bool:
    """Whether its items are pages."""
    return record.command == "pull" or bool(record.samples and record.samples[-1].rows is not None)


# -- the limit --------------------------------------------------------------------------------------------------------


def kept_limits(record: RunRecord, timeline: Timeline) -> list[KeptLimit]:
    """Each limit that was in force, in the order in which they were met."""
    found = []
    for text in _limit_texts(record, timeline):
        for limit in limits_of((text,)):
            used = _used(record, timeline, text, limit.count / limit.seconds)
            most = most_in_window(timeline, limit.seconds) if resolves(timeline, limit.seconds) else None
            found.append(KeptLimit(text, limit.count, limit.seconds, used, most))
    return found


def limits_for_each(record: RunRecord, timeline: Timeline) -> list[str]:
    """Limits that each key had for itself, such as `20/s for each tenant (3 of them)`, with the latest number."""
    found = {}
    for text in _limit_texts(record, timeline):
        if " for each " in text:
            found[text.partition(" (")[0]] = text
    return list(found.values())


def _limit_texts(record: RunRecord, timeline: Timeline) -> list[str]:
    """All that were met, in order; a run that was too short for a span tells of them as it begins."""
    texts = dict.fromkeys(text for span in timeline.spans for text in span.limits)
    return list(texts or dict.fromkeys(text for session in record.sessions for text in session.limits))


def _used(record: RunRecord, timeline: Timeline, text: str, per_second: float) -> float | None:
    only = timeline.parts[0].line if len(timeline.parts) == 1 else None
    # The summary of the run is that of its latest session, which need not be the one that is drawn.
    said = (record.summary if only is None or len(record.sessions) == 1 else only.summary).get("limits")
    if len(timeline.parts) == 1 and isinstance(said, list):
        for each in said:
            if isinstance(each, dict) and each.get("limit") == text and isinstance(each.get("used"), float):
                return float(each["used"])
    sent, seconds = 0, 0.0
    for part in timeline.parts:
        under = [span for span in part.spans if text in span.limits]
        # Until the last send: what follows is waiting for answers, in which there is nothing to send.
        busy = [span.end for span in under if span.attempts]
        if busy:
            sent += sum(span.attempts for span in under)
            seconds += busy[-1] - under[0].begin
    return min(1.0, sent / (per_second * seconds)) if seconds > 0 else None


# -- figures and lists ------------------------------------------------------------------------------------------------


def figures(record: RunRecord, timeline: Timeline) -> Iterator[tuple[str, str, str]]:
    """(name, value, what to add in small letters), in the order of importance."""
    now = {name: int(value) for name, value in counters(record).items() if isinstance(value, (int, float))}
    items, total = now.get("items", 0), record.total
    rows = record.samples[-1].rows if record.samples else None
    if rows is not None:
        promised = record.samples[-1].rows_promised
        yield "rows", number(rows), "" if promised is None else f"of {promised:,} promised"
    done = "" if total is None else "all done" if items >= total else f"of {total:,}"
    yield "items" if rows is None else "pages", number(items), done
    yield "ok", number(now.get("ok", 0)), percent(now.get("ok", 0) / items) if items else ""
    yield "failed", number(now.get("failed", 0)), percent(now.get("failed", 0) / items) if items else ""
    for limit in kept_limits(record, timeline)[:2]:
        if limit.used is not None:
            yield "limit used", percent(limit.used), f"of {limit.text}"
    yield "calls", number(now.get("attempts", 0)), _extra_calls(now)
    times, down = outages(timeline)
    if times:
        yield "host down", duration(down), _times(times)
    yield "time at work", duration(timeline.at_work), _sessions(timeline)
    for name, value in _latencies(record, timeline).items():
        yield f"latency {name}", duration(value), ""
    summaries = [record.summary, *(session.summary for session in record.sessions)]
    peak = max((each for one in summaries if isinstance(each := one.get("peak_rss_bytes"), int)), default=0)
    if peak > 0:
        yield "memory", f"{peak / 1e6:,.0f} MB", "at most"


def _extra_calls(now: Mapping[str, int]) -> str:
    words = [count(now.get("retries", 0), "retry", "retries")]
    words += [f"{now[name]:,} {name}" for name in ("throttled", "hedges") if now.get(name)]
    return ", ".join(words)


def _sessions(timeline: Timeline) -> str:
    return f"in {count(len(timeline.parts), 'session')}" if len(timeline.parts) > 1 else ""


def _latencies(record: RunRecord, timeline: Timeline) -> dict[str, float]:
    found = run_percentiles(timeline)
    said = record.summary.get("service_ms")
    if not found and isinstance(said, dict):
        return {name: float(said[name]) / 1e3 for name in ("p50", "p95", "p99") if isinstance(said.get(name), float)}
    return found


def command_line(record: RunRecord) -> str:
    """What was typed, ready to be pasted, a long one with an option a line; empty if it was not kept."""
    command = next((each.command for each in reversed(record.sessions) if each.command), ())
    whole = shlex.join(command)
    if len(whole) <= _LONGEST_LINE:
        return whole
    words = [shlex.quote(word) for word in command]
    return "".join(f" \\\n    {word}" if word.startswith("--") else f" {word}" for word in words).lstrip()


def notes(record: RunRecord, timeline: Timeline) -> list[str]:
    """What a reader should know, and what this report could not show."""
    found = in_words(record.samples[-1].unasked, record.samples[-1].died) if record.samples else []
    for each in ("warnings", "notes"):
        said = record.summary.get(each)
        found += [str(text) for text in said] if isinstance(said, list) else []
    found += [
        f"The session of {moment(session.at)} ended with an error: {session.message}"
        for session in record.sessions
        if session.how == "error"
    ]
    changed = {session.command for session in record.sessions if session.command}
    if len(changed) > 1:
        found.append(f"The command was changed between sessions; the latest of {len(changed)} forms is shown.")
    found += [
        f"{count(lines, 'line')} of {name} could not be read and {'was' if lines == 1 else 'were'} left out."
        for name, lines in record.damaged.items()
    ]
    if not timeline.spans:
        found.append("The run was too short to draw it over time.")
    elif not all_buckets(timeline):
        found.append("The run was recorded by an older version, so there is no latency over time.")
    return found
