"""Samples become spans, sessions become parts, and what is drawn of them says neither more nor less."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.observe.histogram import Histogram, coarse_edges
from penstock.report.bins import bin_edges, spread_over
from penstock.report.charts import MOST_POINTS, make_charts, run_percentiles
from penstock.report.load import load_run
from penstock.report.timeline import Timeline, make_timeline, most_in_window, percentiles, thin_by_calls, thin_out

from .report_tools import BEGAN, begin, end, make_folder, sample


def timeline_of(tmp_path: Path, samples: list[Any], sessions: list[Any] | None = None) -> Timeline:
    """The timeline of a run that left these lines."""
    record = load_run(make_folder(tmp_path / "out.jsonl.run", samples, sessions))
    return make_timeline(record.samples, record.sessions, running=record.running)


def resumed(gap: float) -> list[dict[str, Any]]:
    """Ten seconds, a kill that loses a second of work, `gap` seconds of nothing, and ten seconds more."""
    first = [sample(float(n)) for n in range(11)]
    second = [
        sample(float(n), at=BEGAN + 10 + gap + n, attempts=900 + 100 * n, items=870 + 100 * n, ok=870 + 100 * n)
        for n in range(11)
    ]
    return first + second


def test_a_restart_is_a_part_of_its_own(tmp_path: Path) -> None:
    """What a kill took back is not counted as below zero, and nothing is drawn from one session to the next."""
    timeline = timeline_of(tmp_path, resumed(gap=60), [begin(), begin(BEGAN + 70), end(BEGAN + 80)])
    assert [part.how for part in timeline.parts] == ["killed", "complete"]
    assert [sum(span.attempts for span in part.spans) for part in timeline.parts] == [1000, 1000]
    assert all(span.attempts >= 0 for span in timeline.spans)
    assert timeline.at_work == 20
    chart = make_charts(timeline)[0]
    assert [len(line.pieces) for line in chart.lines] == [2, 2]
    assert [mark.label for mark in chart.marks] == ["killed, then resumed"]


@pytest.mark.parametrize(("gap", "room"), [(0.0, 0.0), (0.25, 0.25), (60.0, 0.5), (1e7, 0.5), (-30.0, 0.0)])
def test_a_break_takes_little_room(tmp_path: Path, gap: float, room: float) -> None:
    """A short one is true to scale, a night takes 2.5 %, and a clock that was set back takes none."""
    timeline = timeline_of(tmp_path, resumed(gap))
    one, two = timeline.parts
    assert two.begin - one.end == pytest.approx(room)
    assert timeline.seconds == pytest.approx(20 + room)


def test_the_rate_is_that_of_the_window_of_the_limit(tmp_path: Path) -> None:
    """At 100/min two calls of one second are not 120 a minute: they are two of a hundred."""
    lines = [sample(float(n), attempts=int(n * 100 / 60), limits=["100/min"]) for n in range(601)]
    timeline = timeline_of(tmp_path, lines)
    rates = [span.rate * 60 for span in timeline.spans]
    assert timeline.window == 60
    assert max(rates) <= 100
    assert min(rates[60:]) >= 98
    assert most_in_window(timeline, 60.0) == 100


@given(st.lists(st.integers(0, 30), min_size=2, max_size=100), st.sampled_from(["10/s", "50/5s", "100/min"]))
def test_a_kept_limit_is_never_drawn_as_broken(
    tmp_path_factory: pytest.TempPathFactory, sent: list[int], limit: str
) -> None:
    """Whatever the samples: the line is above the limit only if some window surely held more than it."""
    lines, total = [], 0
    for second, count in enumerate(sent):
        total += count
        lines.append(sample(float(second), attempts=total, items=0, ok=0, limits=[limit]))
    timeline = timeline_of(tmp_path_factory.mktemp("run"), lines)
    allowed, seconds = {"10/s": (10, 1.0), "50/5s": (50, 5.0), "100/min": (100, 60.0)}[limit]
    highest = max((span.rate for span in timeline.spans), default=0.0)
    if most_in_window(timeline, seconds) <= allowed:
        assert highest <= allowed / seconds + 1e-9


@given(st.integers(2, 400), st.integers(1, 50))
def test_thinning_loses_no_call_and_no_extreme(tmp_path_factory: pytest.TempPathFactory, count: int, most: int) -> None:
    """Sums stay exact; the lowest and the highest stay in sight; there are about as many as asked for."""
    random_ = random.Random(count)
    lines = [sample(float(n), in_flight_range=[n % 7, random_.randrange(10, 99)]) for n in range(count)]
    timeline = timeline_of(tmp_path_factory.mktemp("run"), lines)
    merged = [span for group in thin_out(timeline, most) for span in group]
    spans = timeline.spans
    assert len(merged) <= most + 1
    assert sum(span.attempts for span in merged) == sum(span.attempts for span in spans)
    assert sum(sum(span.buckets.values()) for span in merged) == sum(sum(span.buckets.values()) for span in spans)
    assert max(span.in_flight_range[1] for span in merged) == max(span.in_flight_range[1] for span in spans)
    assert min(span.in_flight_range[0] for span in merged) == min(span.in_flight_range[0] for span in spans)
    assert all(one.end == two.begin for one, two in itertools.pairwise(merged))
    widest = max(sum(span.buckets.values()) for group in thin_by_calls(timeline, most, 250) for span in group)
    assert widest >= min(250, 100 * (count - 1))


@given(st.lists(st.floats(0.0001, 100), min_size=1, max_size=300))
def test_percentiles_of_coarse_buckets_are_near_the_exact(values: list[float]) -> None:
    """Within the width of a bucket."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    found = percentiles(histogram.coarse())
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        exact = histogram.quantile(share)
        assert exact is not None
        assert found[name] == pytest.approx(exact, rel=0.15, abs=1e-5)
    assert percentiles({}) == {}
    low, high = coarse_edges(min(histogram.coarse()))
    assert found["p50"] >= low or found["p50"] <= high


def test_a_limit_that_the_server_told_is_a_line_of_its_own(tmp_path: Path) -> None:
    """From when on it was told; one that is far out of sight is not drawn."""
    lines = [sample(float(n), limits=["120/s", "100000/s"], limits_told=["100/s"] if n > 4 else []) for n in range(11)]
    chart = make_charts(timeline_of(tmp_path, lines))[0]
    assert [(line.label, line.pieces[0][0], line.pieces[-1][-1]) for line in chart.lines[1:]] == [
        ("limit", (0.0, 120.0), (10.0, 120.0)),
        ("told", (4.0, 100.0), (10.0, 100.0)),
    ]


def test_pauses_and_outages_are_shaded_where_they_were(tmp_path: Path) -> None:
    """Neighbours are joined; an outage is another shade."""
    lines = [sample(float(n)) for n in range(20)]
    for n in (5, 6, 7):
        lines[n]["paused_s"] = 1.0
    lines[12]["outage_since"] = BEGAN + 11.5
    shades = make_charts(timeline_of(tmp_path, lines))[0].shades
    assert [(shade.begin, shade.end, shade.what) for shade in shades] == [(4.0, 7.0, "paused"), (11.0, 12.0, "down")]


def test_a_long_run_is_drawn_with_few_points(tmp_path: Path) -> None:
    """A hundred thousand samples become some six hundred points a line."""
    lines = [sample(float(n), in_flight_range=[0, n % 50]) for n in range(20_000)]
    for chart in make_charts(timeline_of(tmp_path, lines)):
        for line in chart.lines:
            assert sum(len(piece) for piece in line.pieces) <= MOST_POINTS + 4
        for bars in chart.bars:
            assert len(bars.bins) <= 200


@pytest.mark.parametrize("count", [0, 1])
def test_a_run_of_a_moment_has_no_charts(tmp_path: Path, count: int) -> None:
    """Nothing to draw is no error."""
    timeline = timeline_of(tmp_path, [sample(float(n)) for n in range(count)])
    assert make_charts(timeline) == []


@given(st.dictionaries(st.integers(0, 240), st.integers(1, 1000), min_size=1, max_size=30))
def test_the_histogram_holds_every_call(buckets: dict[int, int]) -> None:
    """Bins are equally wide on a logarithmic scale, touch, and hold as many calls in all."""
    ranges = [(*coarse_edges(index), count) for index, count in buckets.items()]
    bins = spread_over(ranges, bin_edges(min(low for low, _, _ in ranges), max(high for _, high, _ in ranges)))
    assert sum(height for _, _, height in bins) == pytest.approx(sum(buckets.values()))
    assert len({round(end / begin, 6) for begin, end, _ in bins}) == 1
    assert all(one[1] == two[0] for one, two in itertools.pairwise(bins))
    assert bins[-1][1] >= coarse_edges(max(buckets))[1] * (1 - 1e-9)


def steady(tmp_path: Path) -> Timeline:
    """Of a thousand answers that took 50 ms and a little, as a whole run leaves it."""
    histogram = Histogram()
    for number in range(1000):
        histogram.add(0.0501 + 0.000008 * number)
    times: dict[str, Any] = {"service_ms": histogram.percentiles_ms(), "recent_ms": histogram.percentiles_ms()}
    coarse = {str(index): count for index, count in histogram.coarse().items()}
    last = sample(10.0, **times, recent_buckets=coarse, service_buckets=histogram.as_json()["buckets"])
    return timeline_of(tmp_path, [sample(0.0), last])


def test_a_steady_api_has_a_histogram_that_can_be_read(tmp_path: Path) -> None:
    """It was one fat bar above a single tick."""
    timeline = steady(tmp_path)
    chart = next(chart for chart in make_charts(timeline) if chart.name == "histogram")
    assert len([height for _, _, height in chart.bars[0].bins if height]) >= 8
    assert len(chart.x.ticks) >= 3
    assert chart.x.low < 0.0501 < 0.0581 < chart.x.high


def test_one_page_has_one_set_of_percentiles(tmp_path: Path) -> None:
    """A tile said p99 498 ms, the histogram 512, and nothing had taken more than 500."""
    timeline = steady(tmp_path)
    said = timeline.parts[-1].last.service_ms
    charts = {chart.name: chart for chart in make_charts(timeline)}
    found = [mark.x * 1e3 for mark in charts["histogram"].marks]
    assert found == pytest.approx([said["p50"], said["p95"], said["p99"]])
    assert list(run_percentiles(timeline).values()) == [mark.x for mark in charts["histogram"].marks]
    highest = max(y for line in charts["latency"].lines for piece in line.pieces for _, y in piece)
    assert highest <= said["max"] / 1e3
