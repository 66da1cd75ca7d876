"""`penstock demo cache`: the app that counts, the clients that note, and the verdict; once with everything real."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.demo.cache_app import App, Counts, read_counts
from penstock.cli.demo.cache_load import ClientTally, Load
from penstock.cli.demo.cache_part import line_of, report
from penstock.cli.demo.stage import free_ports
from penstock.cli.main import run_command
from penstock.testing import ManualClock


def good(**changed: Any) -> ClientTally:
    """A run with nothing wrong, but for what is `changed`."""
    return ClientTally(**{"requests": 300, "pages": 200, "hits": 190, "stale": 40, **changed})


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was told, as one line."""
    return " ".join(capsys.readouterr().err.split())


def load() -> Load:
    """Clients that send nothing."""
    return Load("http://127.0.0.1:1", 10.0, ManualClock())


def test_the_apps_count_outlives_it(tmp_path: Path) -> None:
    """Nothing is written at the end, because a kill leaves no time for that."""
    path = tmp_path / "counts"
    assert read_counts(path) == Counts()
    first = App(path)
    for method, target in [("GET", "/page/1"), ("GET", "/page/1"), ("GET", "/new/1"), ("POST", "/edit"), ("GET", "/")]:
        first.answer(method, target)
    assert read_counts(path) == Counts(edits=1, pages=2, new=1)
    second = App(path)
    assert second.answer("GET", "/page/7").endswith(b"\r\n\r\n1")
    assert read_counts(path) == Counts(edits=1, pages=3, new=1)
    first.close()
    second.close()


def test_the_app_says_what_may_be_shared(tmp_path: Path) -> None:
    """Pages carry the tag that is purged, and may be served when the app is not there."""
    app = App(tmp_path / "counts")
    page, other = app.answer("GET", "/page/1"), app.answer("GET", "/other")
    assert b"stale-if-error=300" in page
    assert b"Surrogate-Key: pages\r\n" in page
    assert b"no-store" in other
    app.close()


@pytest.mark.parametrize(
    ("note", "changed"),
    [
        ({"shared": True, "cache_status": "penstock; hit; ttl=1"}, {"pages": 1, "hits": 1}),
        (
            {"shared": True, "cache_status": "penstock; hit; ttl=-1; detail=origin-down", "was_down": True},
            {"pages": 1, "hits": 1, "stale": 1},
        ),
        ({"shared": True, "cache_status": "penstock; fwd=uri-miss; stored"}, {"pages": 1}),
        ({"shared": True, "cache_status": "penstock; hit", "outdated": True}, {"pages": 1, "hits": 1, "outdated": 1}),
        (
            {"shared": True, "kind": "502", "was_down": True},
            {"pages": 1, "pages_lost": 1, "kinds": Counter({"502": 1})},
        ),
        ({"shared": False, "kind": "502", "was_down": True}, {"new_without_app": 1, "kinds": Counter({"502": 1})}),
        ({"shared": False, "kind": "reset"}, {"new_lost": 1, "kinds": Counter({"reset": 1})}),
        ({"shared": False, "cache_status": "penstock; fwd=uri-miss"}, {}),
    ],
)
def test_what_a_client_got_is_counted_where_it_belongs(note: dict[str, Any], changed: dict[str, Any]) -> None:
    """A page is owed whether the app is there or not; what is new only while it is."""
    clients = load()
    clients.note(**{"was_down": False, **note})
    tally = clients.tally
    expected = ClientTally(requests=1, **changed)
    expected.times = tally.times
    assert tally == expected


def test_a_good_run_is_judged_good(capsys: pytest.CaptureFixture[str]) -> None:
    """With both counts side by side."""
    assert report(good(), Counts(pages=10, new=100), 15.0)
    text = said(capsys)
    assert "spared 63%: 300 answers, 110 requests that reached it" in text
    assert "NOT" not in text


@pytest.mark.parametrize(
    ("changed", "counts", "claim"),
    [
        ({"pages_lost": 1, "kinds": Counter({"504": 1})}, Counts(pages=10, new=100), "every page was answered"),
        ({"outdated": 1}, Counts(pages=10, new=100), "before the purge after it"),
        ({"new_lost": 1, "kinds": Counter({"502": 1})}, Counts(pages=10, new=100), "nothing new was lost"),
        ({}, Counts(pages=1051), "once in 2 s at most"),
        ({"requests": 0, "pages": 0}, Counts(), "every page was answered"),
    ],
)
def test_a_bad_run_is_judged_bad(
    changed: dict[str, Any], counts: Counts, claim: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each claim can fail, and says so."""
    assert not report(good(**changed), counts, 15.0)
    bad = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  NOT:")]
    assert any(claim in line for line in bad)


def test_requests_that_nobody_could_answer_are_not_counted_as_spared(capsys: pytest.CaptureFixture[str]) -> None:
    """Else the best way to spare an app would be to kill it."""
    tally = good(new_without_app=100, kinds=Counter({"502": 100}))
    assert report(tally, Counts(pages=50, new=50), 15.0)
    text = said(capsys)
    assert "spared 50%: 200 answers, 100 requests that reached it" in text
    assert "100 requests for something new came while the app was dead" in text


def test_a_line_of_the_live_view() -> None:
    """Rates are of the time since the line before; what is stale is named only where something is."""
    before = ClientTally(requests=100, hits=60, stale=0)
    now = ClientTally(requests=3100, hits=2060, stale=0)
    line = " ".join(line_of(now, before, 1000, 2.0).split())
    assert line == "1,500 requests/s from the cache 67% the app gets 500/s"
    now.stale = 5
    assert "(5 answers stale)" in line_of(now, before, 1000, 2.0)
    assert "from the cache    -" in line_of(before, before, 0, 1.0)


@pytest.mark.real
def test_ports_are_different() -> None:
    """Two processes on one port would be one too many."""
    assert len(set(free_ports(5))) == 5


@pytest.mark.real
@pytest.mark.slow
def test_the_demo_of_the_cache(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any) -> None:
    """App, proxy, purge, kill and start, for real; it leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    assert run_command(["demo", "cache", "--seconds", "8", "--requests", "300"]) == 0
    text = said(capsys)
    assert "the app is killed with kill -9" in text
    assert "answers stale" in text
    assert "NOT" not in text
    assert not list(tmp_path.iterdir())
