"""What `top` computes of two snapshots, and how it looks."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from penstock.cli.top_reading import read_between
from penstock.cli.top_view import TopView, size
from penstock.observe.histogram import Histogram


def snapshot(now: float, **values: Any) -> dict[str, Any]:
    """Of a proxy that has done nothing but `values`."""
    names = (
        "requests hits collapsed origin_requests origin_connections origin_waiting bytes_from_origin bytes_from_store"
    )
    more = "errors stored_bytes budget_bytes objects evictions variant_evictions connections"
    state: dict[str, Any] = dict.fromkeys((names + " " + more).split(), 0)
    state |= {"now_s": now, "uptime_s": now, "origin": "http://app", "origin_up": True, "stale": {}, "misses": {}}
    state |= {"origin_failures": {}, "origin_latency": Histogram().as_json(), "top_urls": [], "top_misses": []}
    return state | values


def latency(*seconds: float) -> dict[str, object]:
    """A histogram as JSON."""
    histogram = Histogram()
    for each in seconds:
        histogram.add(each)
    return histogram.as_json()


def test_rates_and_shares() -> None:
    """Of what happened between the two, and of all."""
    before = snapshot(10, requests=1000, hits=0, origin_requests=1000, origin_latency=latency(*[9.0] * 50))
    now = snapshot(
        12,
        requests=1200,
        hits=100,
        stale={"stale-while-revalidate": 50},
        misses={"uri-miss": 20},
        collapsed=30,
        origin_requests=1070,
        origin_failures={"reset": 2},
        origin_latency=latency(*[9.0] * 50, *[0.01] * 100),
        bytes_from_store=4000,
    )
    reading = read_between(before, now)
    assert reading is not None
    assert (reading.requests_per_s, reading.stale_per_s, reading.collapsed_per_s) == (100, 25, 15)
    assert (reading.hit_rate, reading.hit_rate_total) == (0.75, 0.125)
    assert (reading.spared, reading.spared_total) == (0.65, 130 / 1200)
    assert (reading.misses_by_reason, reading.origin_failures_per_s) == ({"uri-miss": 10.0}, 1.0)
    assert reading.bytes_from_store_per_s == 2000
    assert reading.origin_p50_s == pytest.approx(0.01, rel=0.02)
    assert reading.origin_p99_s == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize(
    "now",
    [
        snapshot(10, requests=5),
        snapshot(9, requests=6),
        snapshot(11, requests=4),
        snapshot(11, requests=6, uptime_s=1.0),
        snapshot(float("nan"), requests=6),
    ],
)
def test_two_snapshots_that_do_not_belong_together(now: dict[str, Any]) -> None:
    """The proxy was started again, or no time passed: no rates follow."""
    assert read_between(snapshot(10, requests=5), now) is None


def test_nothing_has_no_share() -> None:
    """And more requests to the app than of clients (refreshes) spare it nothing, rather than less."""
    reading = read_between(snapshot(0), snapshot(1))
    assert reading is not None
    assert (reading.hit_rate, reading.spared, reading.origin_p50_s) == (None, None, None)
    reading = read_between(snapshot(0), snapshot(1, requests=2, origin_requests=5))
    assert reading is not None
    assert reading.spared == 0


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_the_view_fits(width: int) -> None:
    """Whatever the width, with URLs that look like markup, and with all that can be wrong."""
    url = "http://a/[red]" + "x" * 300
    now = snapshot(
        1,
        requests=1_000_000,
        hits=999_999,
        origin_up=False,
        origin_waiting=7,
        origin_failures={"reset": 3},
        misses={"uri-miss": 1, "stale": 2},
        top_urls=[{"url": url, "requests": 9, "spared": 8, "recent": 0, "recent_spared": 0}],
        top_misses=[
            {"url": url, "why": "uri-miss", "requests": 3, "recent": 1, "not_stored": "private", "clause": "RFC"},
            {"url": "http://b/", "why": "vary-miss", "requests": 3, "recent": 1, "not_stored": None, "clause": None},
        ],
    )
    reading = read_between(snapshot(0), now)
    assert reading is not None
    out = io.StringIO()
    with TopView("http://admin", live=False, console=Console(file=out, width=width)) as view:
        view.show(reading)
        view.lost("the admin address [b] has gone")
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    if width == 200:
        text = out.getvalue()
        for part in (
            "100.00%" not in text,
            "99.99%" in text,
            "[red]" in text,
            "[b] has gone" in text,
            "7 wait" in text,
        ):
            assert part, text
        assert "does not answer" in text
        assert "private [RFC]" in text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (53.9e6, "53.9 MB"), (1e15, "1e+03 TB")]
)
def test_sizes(count: float, text: str) -> None:
    """Three digits."""
    assert size(count) == text
