"""What `top` computes of two snapshots, and how it looks."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import sys
import termios
from typing import Any

import pytest
from rich.console import Console

from penstock.cli.keys import Keys
from penstock.cli.top_reading import read_between
from penstock.cli.top_rows import RowCounts, common_origin, cut_middle, reason_of, share_out, table_lines
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
    state |= {"urls_counted": 0, "urls_missed": 0}
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
            {"url": url, "why": "uri-miss", "requests": 3, "recent": 1, "not_stored": "private", "clause": "RFC"}
            | {"reasons": {"uri-miss": 3}},
            {"url": "http://b/", "why": "vary-miss", "requests": 3, "recent": 1, "not_stored": None, "clause": None}
            | {"reasons": {"vary-miss": 2, "stale": 1}},
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
        assert "stored for other Vary values only +1" in text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (53.9e6, "53.9 MB"), (1e15, "1e+03 TB")]
)
def test_sizes(count: float, text: str) -> None:
    """Three digits."""
    assert size(count) == text


@pytest.mark.parametrize(
    ("urls", "origin"),
    [
        (["http://a:1/x", "http://a:1/y/z"], "http://a:1"),
        (["http://a/x", "http://b/x"], "http://"),
        (["http://a/x", "https://a/x"], ""),
        ([], ""),
    ],
)
def test_what_all_urls_begin_with_is_cut_off(urls: list[str], origin: str) -> None:
    """At 60 columns nothing but the origin, which was the same in all rows, could be read."""
    assert common_origin(urls) == origin


@pytest.mark.parametrize(
    ("width", "text"), [(40, "/products/shoes/17"), (18, "/products/shoes/17"), (11, "/prod…es/17"), (1, "…"), (0, "")]
)
def test_a_path_is_cut_in_the_middle(width: int, text: str) -> None:
    """Its end says more than what comes before it."""
    assert cut_middle("/products/shoes/17", width) == text


@pytest.mark.parametrize(
    ("lines", "misses", "urls", "only", "room"),
    [
        (100, 5, 5, None, RowCounts(5, 5)),
        (13, 40, 40, None, RowCounts(5, 3)),
        (13, 1, 40, None, RowCounts(1, 8)),
        (13, 0, 40, None, RowCounts(0, 9)),
        (13, 40, 1, None, RowCounts(8, 1)),
        (30, 90, 90, None, RowCounts(17, 8)),
        (12, 40, 40, "misses", RowCounts(10, 0)),
        (12, 11, 40, "misses", RowCounts(11, 0)),
        (12, 40, 40, "urls", RowCounts(0, 10)),
        (2, 40, 40, "misses", RowCounts(0, 0)),
    ],
)
def test_the_rows_fit_the_height(lines: int, misses: int, urls: int, only: str | None, room: RowCounts) -> None:
    """Headers, the blank line between and the lines that say how many more there are included."""
    assert share_out(lines, misses, urls, only=only) == room
    used = 3 if only is None else 1
    for shown, of in ((room.misses, misses), (room.urls, urls)):
        if only is None or shown:
            used += shown + (shown < of)
    assert used <= lines


@pytest.mark.parametrize(
    ("row", "width", "text"),
    [
        ({"why": "uri-miss", "reasons": {"uri-miss": 3}, "not_stored": None}, 120, "not stored yet, or no longer"),
        ({"why": "uri-miss", "reasons": {"uri-miss": 3}, "not_stored": None}, 60, "uri-miss"),
        ({"why": "stale", "reasons": {"stale": 3, "uri-miss": 1}, "not_stored": None}, 60, "stale +1"),
        # The first request found nothing, the others did not wait: that is one reason.
        ({"why": "miss", "reasons": {"miss": 15, "uri-miss": 1}, "not_stored": "private"}, 80, "private"),
        ({"why": "miss", "reasons": {"miss": 15, "stale": 1}, "not_stored": "private"}, 80, "private +1"),
        ({"why": "miss", "reasons": {"miss": 15}, "not_stored": "private"}, 120, "private [RFC]"),
    ],
)
def test_the_reason_of_a_row(row: dict[str, Any], width: int, text: str) -> None:
    """The most frequent one, and a mark where there are others."""
    assert reason_of({"clause": "RFC", **row}, width) == text


def test_a_table_of_rows() -> None:
    """The first column gives way, numbers stand to the right."""
    rows = [["/a/long/path/of/a/thing", "1,000", "private"], ["/b", "7", "set-cookie"]]
    assert table_lines("top misses", "http://a.example", ["10 s", "why"], rows, 40) == [
        "top misses              10 s  why",
        "/a/long/pa…of/a/thing  1,000  private",
        "/b                         7  set-cookie",
    ]
    assert "http://a.example" in table_lines("top misses", "http://a.example", ["10 s", "why"], rows, 60)[0]
    assert max(map(len, table_lines("t", "", ["10 s", "why"], rows, 12))) <= 12


def rows_of(count: int) -> dict[str, Any]:
    """Of a snapshot with many URLs."""
    miss = {"why": "miss", "requests": 3, "recent": 1, "not_stored": "private", "clause": "RFC", "reasons": {"miss": 3}}
    return {
        "top_urls": [
            {"url": f"http://shop/p/{n}", "requests": 9, "spared": 8, "recent": 1, "recent_spared": 0}
            for n in range(count)
        ],
        "top_misses": [{"url": f"http://shop/m/{n}", **miss} for n in range(count)],
        "urls_counted": 500,
        "urls_missed": 400,
    }


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 20), (40, 20), (40, 12)])
def test_a_terminal_shows_what_fits_and_says_what_is_cut(size: tuple[int, int]) -> None:
    """Misses first, a footer with the keys, and never a line more than there are."""
    width, height = size
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, no_color=True)
    view = TopView("http://admin", live=True, rows=None, console=console)
    reading = read_between(snapshot(0), snapshot(1, requests=5, **rows_of(100)))
    assert reading is not None
    assert view.most_rows == height
    with view:
        view.show(reading)
        lines = [line.plain if hasattr(line, "plain") else "" for line in view._view(reading).renderables]
        assert len(console.render_lines(view._view(reading))) <= height
        misses = lines.index(next(line for line in lines if line.startswith("top misses")))
        assert lines[misses + 1].startswith("/m/0 ")
        assert any(line.endswith(" more") for line in lines)
        assert lines[-1].startswith("m misses  u URLs  q ")
        view.pressed("u")
        shown = [getattr(line, "plain", "") for line in view._view(reading).renderables]
        assert not any(line.startswith("top misses") for line in shown)
        assert sum(line.startswith("/p/") for line in shown) > 1
        view.pressed("x")
        view.pressed("u")
        assert not view.with_query
        view.pressed("q")
        assert view.with_query


@pytest.mark.real
def test_keys_come_one_by_one_and_the_terminal_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Enter; and what stands there afterwards echoes again."""
    ours, theirs = pty.openpty()

    async def main() -> list[str]:
        pressed: list[str] = []
        with Keys(pressed.append):
            os.write(ours, b"mq")
            async with asyncio.timeout(5):
                while len(pressed) < 2:
                    await asyncio.sleep(0.01)
        return pressed

    with os.fdopen(theirs, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(os, "tcgetpgrp", lambda _fd: os.getpgrp())
        before = termios.tcgetattr(terminal.fileno())
        assert asyncio.run(main()) == ["m", "q"]
        assert termios.tcgetattr(terminal.fileno()) == before
    os.close(ours)
