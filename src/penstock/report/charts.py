"""What is drawn: each chart as numbers and words, apart from how a page or a picture draws them. Pure."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..observe.histogram import coarse_edges, edges
from ..rules.limits.rate import Limit
from .axes import Axis, count, counting_axis, duration, duration_axis, log_duration_axis, number
from .bins import bin_edges, spread_over
from .timeline import QUANTILES, Part, Span, Timeline, limits_of, percentiles, thin_by_calls, thin_out

MOST_POINTS = 600
"""So many points of a line are as many as can be seen."""

_MOST_BARS = 90
_CALLS_FOR_PERCENTILES = 20
_LOG_RATIO = 15.0
_LIMIT_IN_SIGHT = 4.0
_WIDE_RATIO = 5.0
_GAP = 6.0
_UNITS = ((1.0, "second"), (60.0, "minute"), (3600.0, "hour"))
_FAILURE_COLOURS = ("orange", "purple", "yellow", "sky", "red")
_QUANTILE_COLOURS = ("sky", "blue", "purple")
_MOST_KINDS = len(_FAILURE_COLOURS)

Points = tuple[tuple[float, float], ...]
Value = Callable[[Span], float | None]
Counted = Callable[[Span], int]


@dataclass(frozen=True, slots=True)
class Line:
    """A line in pieces, as nothing is drawn where nothing ran; `band` is the (x, lowest, highest) around it."""

    label: str
    colour: str
    pieces: tuple[Points, ...]
    band: tuple[tuple[tuple[float, float, float], ...], ...] = ()
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of (begin, end, height), stacked on those of the Bars before."""

    label: str
    colour: str
    bins: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Shade:
    """A stretch of time in which something else was the matter: `paused`, `down`, or a `break` between sessions."""

    begin: float
    end: float
    what: str


@dataclass(frozen=True, slots=True)
class VerticalLine:
    """An upright line at `x`: a restart, or a percentile, which has a `colour` of its own."""

    x: float
    label: str
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. `unit` says what the height is; with `durations` it is in seconds."""

    name: str
    title: str
    unit: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...] = ()
    bars: tuple[Bars, ...] = ()
    shades: tuple[Shade, ...] = ()
    marks: tuple[VerticalLine, ...] = ()
    note: str = ""
    wide: bool = False
    durations: bool = False
    over_time: bool = True


def make_charts(timeline: Timeline) -> list[Chart]:
    """The charts of a run, without those for which it has no numbers."""
    if not timeline.spans:
        return []
    made = [_rate(timeline), _in_flight(timeline), _latency(timeline), _histogram(timeline), _outcomes(timeline)]
    made += [_failures(timeline), _repeats(timeline)]
    return [chart for chart in made if chart is not None]


# -- what all charts over time have -----------------------------------------------------------------------------------


def _time_axis(timeline: Timeline, most: int = 4) -> Axis:
    return duration_axis(max(timeline.seconds, 1e-3), most, room=1.0)


def _shades(timeline: Timeline) -> tuple[Shade, ...]:
    """Pauses and outages, joined where they touch, and the breaks between sessions."""
    found: list[Shade] = []
    for span in timeline.spans:
        what = "down" if span.down else "paused"
        seconds = span.end - span.begin if span.down else span.paused
        if seconds <= 0:
            continue
        # Of a pause that fills a part of its span it is not known which; the end is where the next one goes on.
        begin = max(span.begin, span.end - seconds)
        if found and found[-1].what == what and begin - found[-1].end < timeline.seconds / MOST_POINTS:
            found[-1] = Shade(found[-1].begin, span.end, what)
        else:
            found.append(Shade(begin, span.end, what))
    breaks = [Shade(one.end, two.begin, "break") for one, two in itertools.pairwise(timeline.parts)]
    return (*found, *(each for each in breaks if each.end > each.begin))


def _restarts(timeline: Timeline) -> tuple[VerticalLine, ...]:
    return tuple(
        VerticalLine(two.begin, f"{ending(one)}, then resumed") for one, two in itertools.pairwise(timeline.parts)
    )


def ending(part: Part) -> str:
    """How a session ended, in a word or two."""
    words = {"complete": "finished", "error": "stopped by an error", "unknown": "ended", "running": "still running"}
    return words.get(part.how, part.how)


def _points(groups: Sequence[Sequence[Span]], value: Value) -> tuple[Points, ...]:
    pieces: list[Points] = []
    for group in groups:
        piece: list[tuple[float, float]] = []
        for span in group:
            found = value(span)
            if found is None:
                pieces.append(tuple(piece))
                piece = []
                continue
            if not piece:
                piece.append((span.begin, found))
            piece.append((span.end, found))
        pieces.append(tuple(piece))
    return tuple(piece for piece in pieces if piece)


def _steps(groups: Sequence[Sequence[Span]], value: Value) -> tuple[Points, ...]:
    """As `_points`, but level within each span."""
    stepped = []
    for piece in _points(groups, value):
        corners = [piece[0]]
        for (_, before), (x, y) in itertools.pairwise(piece):
            if y != before:
                corners.append((corners[-1][0], y))
            corners.append((x, y))
        stepped.append(_without_repeats(corners))
    return tuple(stepped)


def _without_repeats(points: Sequence[tuple[float, float]]) -> Points:
    """Without the points in the middle of a level stretch."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if len(kept) > 1 and kept[-1][1] == kept[-2][1] == point[1]:
            kept[-1] = point
        else:
            kept.append(point)
    return tuple(kept)


def _bands(
    groups: Sequence[Sequence[Span]], value: Callable[[Span], tuple[float, float]]
) -> tuple[tuple[tuple[float, float, float], ...], ...]:
    return tuple(
        ((group[0].begin, *value(group[0])), *((span.end, *value(span)) for span in group))
        for group in groups
        if any(value(span)[0] != value(span)[1] for span in group)
    )


# -- one by one -------------------------------------------------------------------------------------------------------


def _rate(timeline: Timeline) -> Chart:
    groups = thin_out(timeline, MOST_POINTS)
    highest = max(span.rate_range[1] for span in timeline.spans)
    seconds, unit = rate_unit([limit for span in timeline.spans for limit in limits_of(span.limits)], highest)
    lines = [
        Line(
            "sent",
            "blue",
            _points(groups, lambda span: span.rate * seconds),
            _bands(groups, lambda span: (span.rate_range[0] * seconds, span.rate_range[1] * seconds)),
        )
    ]
    top = highest
    told = {text for span in timeline.spans for text in span.told}
    for text in dict.fromkeys(text for span in timeline.spans for text in span.limits):
        for limit in limits_of((text,)):
            allowed = limit.count / limit.seconds
            if allowed <= _LIMIT_IN_SIGHT * highest or len(lines) == 1:
                top = max(top, allowed)
                level = _steps(groups, _level(text, allowed * seconds))
                label, colour = ("told", "purple") if text in told else ("limit", "orange")
                lines.append(Line(label, colour, level, dashed=True))
    return Chart(
        "rate",
        "Rate against the limit" if len(lines) > 1 else "Rate",
        f"calls a {unit}",
        _time_axis(timeline, 8),
        counting_axis(top * seconds),
        lines=tuple(lines),
        shades=_shades(timeline),
        marks=_restarts(timeline),
        note=f"over the last {duration(timeline.window)}",
        wide=True,
    )


def _level(text: str, height: float) -> Callable[[Span], float | None]:
    return lambda span: height if text in span.limits else None


def rate_unit(limits: Sequence[Limit], highest: float) -> tuple[float, str]:
    """Seconds and name of the unit that the limits are given in; without limits one in which there is a call."""
    own = {limit.seconds for limit in limits}
    for seconds, name in _UNITS:
        if own and min(own) <= seconds * 1.001:
            return seconds, name
    return _UNITS[0] if highest >= 1 or own else _UNITS[1]


def _in_flight(timeline: Timeline) -> Chart:
    groups = thin_out(timeline, MOST_POINTS)
    highest = max(span.in_flight_range[1] for span in timeline.spans)
    lines = [
        Line(
            "in flight",
            "green",
            _points(groups, lambda span: span.in_flight),
            _bands(groups, lambda span: (span.in_flight_range[0], span.in_flight_range[1])),
        )
    ]
    ceilings = [span.ceiling for span in timeline.spans if span.ceiling is not None]
    note = ""
    if ceilings and max(ceilings) <= max(10, _LIMIT_IN_SIGHT * highest):
        highest = max(highest, *ceilings)
        lines.append(Line("ceiling", "grey", _steps(groups, lambda span: span.ceiling), dashed=True))
    elif ceilings:
        note = f"up to {number(max(ceilings))} allowed"
    return Chart(
        "in_flight",
        "In flight",
        "calls at once",
        _time_axis(timeline),
        counting_axis(highest),
        lines=tuple(lines),
        shades=_shades(timeline),
        marks=_restarts(timeline),
        note=note,
    )


def _latency(timeline: Timeline) -> Chart | None:
    groups = thin_by_calls(timeline, MOST_POINTS // 4, _CALLS_FOR_PERCENTILES)
    values = [value for group in groups for span in group for value in span.percentiles.values()]
    if not values:
        return None
    lowest, highest = max(min(values), 1e-6), max(values)
    axis = duration_axis(highest)
    if highest / lowest > _LOG_RATIO:
        axis = log_duration_axis(lowest / 1.5, highest * 1.3, 5)
    # The percentiles of few answers are known to within a bucket, which may end above the slowest of all.
    most = timeline.parts[-1].last.service_ms.get("max", math.inf) / 1e3
    # Where hardly anything was answered for long, there is a gap.
    longest = _GAP * statistics.median(span.end - span.begin for group in groups for span in group)
    return Chart(
        "latency",
        "Latency of answers",
        "from the send to the complete answer",
        _time_axis(timeline),
        axis,
        lines=tuple(
            Line(name, colour, _points(groups, _percentile(name, longest, most)))
            for (name, _), colour in zip(QUANTILES, _QUANTILE_COLOURS, strict=True)
        ),
        shades=_shades(timeline),
        marks=_restarts(timeline),
        durations=True,
    )


def _percentile(name: str, longest: float, most: float) -> Value:
    def value(span: Span) -> float | None:
        found = span.percentiles.get(name) if span.end - span.begin <= longest else None
        return None if found is None else min(found, most)

    return value


def all_buckets(timeline: Timeline) -> Counter[int]:
    """The latencies of the whole run, in coarse buckets."""
    buckets: Counter[int] = Counter()
    for span in timeline.spans:
        buckets.update(span.buckets)
    return buckets


def run_percentiles(timeline: Timeline) -> dict[str, float]:
    """p50, p95 and p99 in seconds of all answers of the run: one set of numbers for all that shows any."""
    last = timeline.parts[-1].last.service_ms if timeline.parts else {}
    if "p50" in last:
        return {name: last[name] / 1e3 for name, _ in QUANTILES if name in last}
    return percentiles(all_buckets(timeline))


def _histogram(timeline: Timeline) -> Chart | None:
    fine = timeline.parts[-1].last.service_buckets
    ranges = [(*edges(index), found) for index, found in fine.items()]
    if not fine:
        ranges = [(*coarse_edges(index), found) for index, found in all_buckets(timeline).items()]
    if not ranges:
        return None
    places = bin_edges(min(low for low, _, _ in ranges), max(high for _, high, _ in ranges))
    bins = spread_over(ranges, places)
    wide = places[-1] / places[0] > _WIDE_RATIO
    x = log_duration_axis(places[0] / 1.1, places[-1] * 1.1) if wide else _close_axis(places[0], places[-1])
    return Chart(
        "histogram",
        "How long the answers took",
        "calls",
        x,
        counting_axis(max(height for _, _, height in bins) * 1.1),
        bars=(Bars("calls", "mist", bins),),
        marks=tuple(
            VerticalLine(value, f"{name} {duration(value)}", colour)
            for (name, value), colour in zip(run_percentiles(timeline).items(), _QUANTILE_COLOURS, strict=False)
        ),
        note="on a logarithmic scale" if wide else "",
        over_time=False,
    )


def _close_axis(low: float, high: float) -> Axis:
    return duration_axis(high, 6, low=low, room=1.0)


def _per_second(groups: Sequence[Sequence[Span]], value: Counted) -> tuple[tuple[float, float, float], ...]:
    return tuple((span.begin, span.end, value(span) / (span.end - span.begin)) for group in groups for span in group)


def _heights(bars: Sequence[Bars]) -> float:
    """The height of the highest stack."""
    sums: dict[float, float] = {}
    for each in bars:
        for begin, _, height in each.bins:
            sums[begin] = sums.get(begin, 0.0) + height
    return max(sums.values(), default=0.0)


def _bar_chart(timeline: Timeline, name: str, title: str, parts: Sequence[tuple[str, str, Counted]]) -> Chart:
    groups = thin_out(timeline, _MOST_BARS)
    bars = [Bars(label, colour, _per_second(groups, value)) for label, colour, value in parts]
    seconds, unit = rate_unit((), _heights(bars))
    scaled = [
        replace(each, bins=tuple((begin, end, height * seconds) for begin, end, height in each.bins)) for each in bars
    ]
    return Chart(
        name,
        title,
        f"{_items(timeline)} a {unit}",
        _time_axis(timeline),
        counting_axis(_heights(scaled)),
        bars=tuple(scaled),
        shades=_shades(timeline),
        marks=_restarts(timeline),
    )


def _items(timeline: Timeline) -> str:
    return "items" if timeline.parts[-1].last.rows is None else "pages"


def failure_kinds(timeline: Timeline) -> list[tuple[str, int]]:
    """The kinds of failures that the spans tell of, and how many of each there are at the end, most first."""
    kinds = {kind for span in timeline.spans for kind in span.by_kind}
    last = timeline.parts[-1].last.by_kind
    return sorted(((kind, last.get(kind, 0)) for kind in kinds), key=lambda each: (-each[1], each[0]))


def _failure_parts(timeline: Timeline) -> list[tuple[str, str, Counted]]:
    kinds = failure_kinds(timeline)
    named = kinds if len(kinds) <= _MOST_KINDS else kinds[: _MOST_KINDS - 1]
    parts = [
        (f"{kind} {found:,}", colour, _of_kinds({kind}))
        for (kind, found), colour in zip(named, _FAILURE_COLOURS, strict=False)
    ]
    if others := kinds[len(named) :]:
        total = sum(found for _, found in others)
        parts.append((f"other kinds {total:,}", _FAILURE_COLOURS[-1], _of_kinds({kind for kind, _ in others})))
    return parts


def _of_kinds(kinds: set[str]) -> Counted:
    return lambda span: sum(found for kind, found in span.by_kind.items() if kind in kinds)


def _outcomes(timeline: Timeline) -> Chart:
    finished = timeline.parts[-1].last.ok
    parts: list[tuple[str, str, Counted]] = [(f"ok {finished:,}", "leaf", lambda span: span.ok)]
    return _bar_chart(timeline, "outcomes", f"What became of the {_items(timeline)}", parts + _failure_parts(timeline))


def _failures(timeline: Timeline) -> Chart | None:
    parts = _failure_parts(timeline)
    return _bar_chart(timeline, "failures", f"Failed {_items(timeline)}, by kind", parts) if parts else None


def _repeats(timeline: Timeline) -> Chart | None:
    last = timeline.parts[-1].last
    retries, throttled = last.retries, last.throttled
    if not retries and not throttled:
        return None
    groups = thin_out(timeline, _MOST_BARS)
    repeated = _per_second(groups, lambda span: span.retries)
    refused = _per_second(groups, lambda span: span.throttled)
    highest = max(height for _, _, height in (*repeated, *refused))
    seconds, unit = rate_unit((), highest)
    lines = [
        Line(label, colour, _steps(groups, _share(value, seconds)))
        for label, colour, total, value in (
            ("retries", "blue", retries, lambda span: span.retries),
            ("throttled", "orange", throttled, lambda span: span.throttled),
        )
        if total
    ]
    return Chart(
        "repeats",
        "Retries, and answers that asked to slow down",
        f"calls a {unit}",
        _time_axis(timeline),
        counting_axis(highest * seconds),
        lines=tuple(lines),
        shades=_shades(timeline),
        marks=_restarts(timeline),
        note=f"{count(retries, 'retry', 'retries')}, {throttled:,} throttled",
    )


def _share(value: Counted, seconds: float) -> Value:
    return lambda span: value(span) * seconds / (span.end - span.begin)
