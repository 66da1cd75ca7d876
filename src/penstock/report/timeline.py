"""The samples of a run as spans of time that can be drawn: what happened in each, and how they become fewer. Pure.

The time axis is that of the run at work: a break between two sessions takes the room of at most 2.5 % of it, so that
a night between a kill and the next start does not press everything else into a corner.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import itertools
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UsageError
from ..observe.histogram import coarse_edges
from ..rules.limits.rate import Limit, parse_limit
from .load import Sample, SessionLine

_LONGEST_BREAK = 0.025
_SLACK_SECONDS = 5.0
_SAMPLES_IN_A_WINDOW = 5
_JITTER = 0.02
"""Samples are never quite as far apart as they are meant to be."""
QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True, slots=True)
class Span:
    """What happened between two samples. `begin` and `end` are seconds on the time axis, rates are per second."""

    begin: float
    end: float
    wall: float
    """Seconds since the epoch, at the end."""
    items: int
    ok: int
    attempts: int
    retries: int
    throttled: int
    by_kind: Mapping[str, int]
    in_flight: int
    in_flight_range: tuple[int, int]
    ceiling: int | None
    limits: tuple[str, ...]
    told: tuple[str, ...]
    paused: float
    down: bool
    """Whether the host was taken to be down."""
    buckets: Mapping[int, int]
    percentiles: Mapping[str, float]
    """Seconds."""
    rate: float = 0.0
    rate_range: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Part:
    """One session on the time axis. `how` it ended: complete, stopped, interrupted, error, killed, running."""

    begin: float
    end: float
    wall: float
    """Seconds since the epoch, at its begin."""
    how: str
    first: Sample
    last: Sample
    spans: tuple[Span, ...]
    line: SessionLine | None = None

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.last.elapsed


@dataclass(frozen=True, slots=True)
class Timeline:
    """All sessions one after the other. `seconds` is the length of the axis, `window` that of the rates on it."""

    parts: tuple[Part, ...]
    seconds: float
    window: float

    @property
    def spans(self) -> list[Span]:
        """Those of all sessions."""
        return [span for part in self.parts for span in part.spans]

    @property
    def at_work(self) -> float:
        """Seconds that the sessions lasted."""
        return sum(part.seconds for part in self.parts)


def make_timeline(samples: Sequence[Sample], sessions: Sequence[SessionLine], *, running: bool) -> Timeline:
    """The timeline of a run. A session that was killed before its second sample has no span, but is a part.

    One that found everything done is none: it is the same command typed once more, and nothing happened in it.
    """
    all_groups = _by_session(samples)
    groups = [group for group in all_groups if not _found_all_done(group, sessions)] or all_groups[:1]
    longest = _LONGEST_BREAK * sum(group[-1].elapsed for group in groups)
    parts: list[Part] = []
    at = 0.0
    for number, group in enumerate(groups):
        if parts:
            at += min(longest, max(0.0, group[0].at - group[0].elapsed - groups[number - 1][-1].at))
        line = _line_of(group[0], sessions)
        last = number == len(groups) - 1
        how = line.how if line is not None and line.how else "running" if last and running else "killed"
        if line is None and not (last and running):
            # Older versions kept no list of sessions: how they ended is not known.
            how = "unknown"
        spans = tuple(_span(one, two, at) for one, two in itertools.pairwise(group) if two.elapsed > 0)
        begun = group[0].at - group[0].elapsed
        parts.append(Part(at, at + group[-1].elapsed, begun, how, group[0], group[-1], spans, line))
        at += group[-1].elapsed
    window = _window([limit for sample in samples[-1:] for limit in limits_of(sample.limits)], parts)
    timeline = Timeline(tuple(parts), at, window)
    return replace(timeline, parts=tuple(_with_rates(timeline, part) for part in parts))


def _found_all_done(group: Sequence[Sample], sessions: Sequence[SessionLine]) -> bool:
    first, last = group[0], group[-1]
    line = _line_of(first, sessions)
    finished = line is not None and line.how == "complete"
    return finished and (first.items, first.attempts) == (last.items, last.attempts)


def _by_session(samples: Sequence[Sample]) -> list[list[Sample]]:
    groups: list[list[Sample]] = []
    for sample in samples:
        if not groups or sample.elapsed < groups[-1][-1].elapsed:
            groups.append([])
        if not groups[-1] or sample.elapsed > groups[-1][-1].elapsed:
            groups[-1].append(sample)
        else:
            # The last of a session can be taken twice in one moment; the second one knows more.
            groups[-1][-1] = sample
    return groups


def _line_of(first: Sample, sessions: Sequence[SessionLine]) -> SessionLine | None:
    begun = first.at - first.elapsed
    nearest = min(sessions, key=lambda line: abs(line.at - begun), default=None)
    return nearest if nearest is not None and abs(nearest.at - begun) < _SLACK_SECONDS else None


def _span(one: Sample, two: Sample, offset: float) -> Span:
    kinds = {kind: count - one.by_kind.get(kind, 0) for kind, count in two.by_kind.items()}
    return Span(
        begin=offset + one.elapsed,
        end=offset + two.elapsed,
        wall=two.at,
        items=max(0, two.items - one.items),
        ok=max(0, two.ok - one.ok),
        attempts=max(0, two.attempts - one.attempts),
        retries=max(0, two.retries - one.retries),
        throttled=max(0, two.throttled - one.throttled),
        by_kind={kind: count for kind, count in kinds.items() if count > 0},
        in_flight=two.in_flight,
        in_flight_range=two.in_flight_range,
        ceiling=two.ceiling,
        limits=two.limits,
        told=two.told,
        paused=min(two.paused, two.elapsed - one.elapsed),
        down=two.outage_since is not None,
        buckets=two.buckets,
        percentiles={name: two.recent_ms[name] / 1e3 for name, _ in QUANTILES if name in two.recent_ms},
    )


# -- limits and rates -------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def limits_of(texts: tuple[str, ...]) -> tuple[Limit, ...]:
    """The limits in `texts`; what is none is left out."""
    found = []
    for text in texts:
        with contextlib.suppress(UsageError):
            found.append(parse_limit(text))
    return tuple(found)


def _window(limits: Sequence[Limit], parts: Sequence[Part]) -> float:
    """Over how many seconds the rate is taken: the limit's own window, but for one that hides the whole run."""
    at_work = sum(part.seconds for part in parts)
    spans = [span.end - span.begin for part in parts for span in part.spans]
    typical = sorted(spans)[len(spans) // 2] if spans else 1.0
    own = min((limit.seconds for limit in limits), default=at_work / 120)
    return max(2 * typical, min(own, at_work / 10))


def _with_rates(timeline: Timeline, part: Part) -> Part:
    """Each span with the rate over the window that ends with it, within its session."""
    times = [part.begin, *(span.end for span in part.spans)]
    counts = [0, *_running_total(span.attempts for span in part.spans)]
    spans = []
    for span in part.spans:
        rate = _rate(times, counts, span.end, timeline.window)
        limit = min(limits_of(span.limits), key=lambda limit: limit.seconds, default=None)
        if limit is not None:
            # Between two samples sends are taken as evenly spread, which can put one more into a window than were in
            # it. What was surely in a window is counted from sample to sample.
            sure = _surely(times, counts, span.end, limit.seconds) / limit.seconds
            rate = max(sure, min(rate, limit.count / limit.seconds))
        spans.append(replace(span, rate=rate, rate_range=(rate, rate)))
    return replace(part, spans=tuple(spans))


def _running_total(values: Any) -> list[int]:
    total, totals = 0, []
    for value in values:
        total += value
        totals.append(total)
    return totals


def _rate(times: Sequence[float], counts: Sequence[int], end: float, window: float) -> float:
    begin = max(times[0], end - window)
    if end <= begin:
        return 0.0
    return (_count_at(times, counts, end) - _count_at(times, counts, begin)) / (end - begin)


def _count_at(times: Sequence[float], counts: Sequence[int], when: float) -> float:
    index = bisect.bisect_right(times, when)
    if index >= len(times):
        return counts[-1]
    before, after = times[index - 1], times[index]
    share = (when - before) / (after - before) if after > before else 0.0
    return counts[index - 1] + share * (counts[index] - counts[index - 1])


def _surely(times: Sequence[float], counts: Sequence[int], end: float, window: float) -> int:
    """What was counted from the first sample within the window to its end."""
    last = bisect.bisect_right(times, end) - 1
    first = bisect.bisect_left(times, end - window - 1e-6)
    return counts[last] - counts[first] if last > first else 0


def most_in_window(timeline: Timeline, seconds: float) -> int:
    """The most attempts in any window of `seconds` from sample to sample, within a session: a lower bound."""
    most = 0
    for part in timeline.parts:
        times = [part.begin, *(span.end for span in part.spans)]
        counts = [0, *_running_total(span.attempts for span in part.spans)]
        most = max([most, *(_surely(times, counts, when, seconds) for when in times)])
    return most


def outages(timeline: Timeline) -> tuple[int, float]:
    """How often the host was taken to be down, and for how many seconds in all, to within a sample each time."""
    times, seconds = 0, 0.0
    for part in timeline.parts:
        for down, some in itertools.groupby(part.spans, key=lambda span: span.down):
            if down:
                times += 1
                seconds += sum(span.end - span.begin for span in some)
    return times, seconds


def resolves(timeline: Timeline, seconds: float) -> bool:
    """Whether samples are so close that `most_in_window` misses at most a fifth of a window of `seconds`."""
    distances = [span.end - span.begin for span in timeline.spans]
    return bool(distances) and seconds >= _SAMPLES_IN_A_WINDOW * statistics.median(distances) * (1 - _JITTER)


# -- fewer of them ----------------------------------------------------------------------------------------------------


def thin_out(timeline: Timeline, most: int) -> list[list[Span]]:
    """The spans of each session, merged to about `most` in all. What is counted stays exact, extremes are kept."""
    length = timeline.seconds / most

    def enough(group: Sequence[Span]) -> bool:
        return group[-1].end - group[0].begin >= length

    return [_merge_by(part.spans, enough) for part in timeline.parts]


def thin_by_calls(timeline: Timeline, most: int, calls: int) -> list[list[Span]]:
    """As `thin_out`, but no span has fewer than `calls` answers, so that its percentiles mean something."""
    length = timeline.seconds / most

    def enough(group: Sequence[Span]) -> bool:
        # The cheap condition first: the other one looks at all of the group.
        long_enough = group[-1].end - group[0].begin >= length
        return long_enough and sum(sum(span.buckets.values()) for span in group) >= calls

    return [_merge_by(part.spans, enough) for part in timeline.parts]


def _merge_by(spans: Sequence[Span], enough: Any) -> list[Span]:
    merged: list[Span] = []
    group: list[Span] = []
    for span in spans:
        group.append(span)
        if enough(group):
            merged.append(merge(group))
            group = []
    if group:
        merged.append(merge(group))
    return merged


def merge(spans: Sequence[Span]) -> Span:
    """Several spans in a row as one."""
    if len(spans) == 1:
        return spans[0]
    seconds = sum(span.end - span.begin for span in spans)
    kinds: Counter[str] = Counter()
    buckets: Counter[int] = Counter()
    for span in spans:
        kinds.update(span.by_kind)
        buckets.update(span.buckets)
    first, last = spans[0], spans[-1]
    return replace(
        last,
        begin=first.begin,
        items=sum(span.items for span in spans),
        ok=sum(span.ok for span in spans),
        attempts=sum(span.attempts for span in spans),
        retries=sum(span.retries for span in spans),
        throttled=sum(span.throttled for span in spans),
        by_kind=kinds,
        in_flight_range=(
            min(span.in_flight_range[0] for span in spans),
            max(span.in_flight_range[1] for span in spans),
        ),
        paused=sum(span.paused for span in spans),
        down=any(span.down for span in spans),
        buckets=buckets,
        percentiles=percentiles(buckets),
        rate=sum(span.rate * (span.end - span.begin) for span in spans) / seconds if seconds else last.rate,
        rate_range=(min(span.rate_range[0] for span in spans), max(span.rate_range[1] for span in spans)),
    )


def percentiles(buckets: Mapping[int, int]) -> dict[str, float]:
    """p50, p95 and p99 in seconds of counts in coarse buckets (within 6 %), empty without counts."""
    total = sum(buckets.values())
    if not total:
        return {}
    order = sorted(buckets)
    sums = _running_total(buckets[index] for index in order)
    found = {}
    for name, share in QUANTILES:
        place = bisect.bisect_left(sums, max(1.0, share * total))
        low, high = coarse_edges(order[place])
        inside = (share * total - (sums[place] - buckets[order[place]])) / buckets[order[place]]
        found[name] = low + (high - low) * min(1.0, max(0.0, inside))
    return found
