"""What a person reads while a run goes on and when it is over."""

from __future__ import annotations

import io
from typing import Any

import pytest

import penstock
from penstock import RateLimiter
from penstock.cli.live import LiveView
from penstock.cli.progress import Gauge, shorten, status_line
from penstock.layers.keyed_limit import KeyedLimiter
from penstock.outbound.counters import Counters
from penstock.outbound.session_limits import ForEachKey


class Shown:
    """Stands for an engine before those that show one."""

    complete = stopped = stopping = False
    ceiling = 32

    def __init__(self, **counters: Any) -> None:
        self.counters = Counters()
        for name, value in counters.items():
            assert hasattr(self.counters, name)
            setattr(self.counters, name, value)


def plain(engine: Any, limiter: RateLimiter, *, total: int | None = 1000, seen: int = 0) -> str:
    """The line for logs, ten seconds after `seen` items and attempts."""
    return status_line(engine, Gauge(total), limiter, (0.0, seen, seen), 10.0)


def live(engine: Any, limiter: RateLimiter, *looks: int, gauge: Gauge | None = None) -> str:
    """The live view after one look a half second, at each of which so many items were done and attempts made."""
    from rich.console import Console

    view = LiveView("out.jsonl", lambda: gauge or Gauge(1000), limiter)
    for number, done in enumerate(looks):
        engine.counters.items = engine.counters.ok = engine.counters.attempts = done
        view.measure(engine, number / 2)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(view.view(engine, len(looks) / 2))
    return console.export_text()


def test_limits_that_each_key_has_are_told() -> None:
    """The watchers were given a limiter without any, and said nothing of a limit."""
    by_key = KeyedLimiter(["20/s"])
    for key in range(3):
        by_key.turn(key, 0.0)
    limiter = ForEachKey(by_key, "tenant")
    assert limiter.texts() == ["20/s for each tenant (3 of them)"]
    assert "of 20/s for each tenant (3 of them)" in plain(Shown(), limiter)
    assert "20/s for each tenant (3 of them)" in live(Shown(), limiter, 0, 10, 20)
    assert ForEachKey(KeyedLimiter(["20/s"]), "host").texts() == ["20/s for each host"]


@pytest.mark.parametrize(
    ("text", "length", "short"),
    [
        ("reset: gone", 11, "reset: gone"),
        ("connect: http://x: no connection (Connect call failed ('127.0.0.1', 42839))", 60, None),
        ("connect: no connection (Connect call failed)", 25, "connect: no connection..."),
        ("connect: no connection (Connect call failed)", 35, "connect: no connection (Connect...)"),
        ("x" * 50, 10, "x" * 10 + "..."),
    ],
)
def test_a_reason_is_cut_between_words_and_closed(text: str, length: int, short: str | None) -> None:
    """A progress line ended with `(Connect call failed ('127.0.0.1'), 4 probes`."""
    short = short or "connect: http://x: no connection (Connect call failed...)"
    assert shorten(text, length) == short


def test_there_is_no_eta_while_the_host_is_down() -> None:
    """It was `39d20h`, because hardly anything was done any more; and it is told again when there is a pace."""
    down = {"outage_since": 1.0, "outage_reason": "connect: no connection"}
    assert "ETA -" in plain(Shown(items=400, attempts=400, **down), RateLimiter())
    assert "ETA 16s" in plain(Shown(items=400, attempts=400), RateLimiter())
    assert "ETA -" in live(Shown(**down), RateLimiter(), 0, 10, 20, 20)
    assert "ETA 49s" in live(Shown(), RateLimiter(), 0, 10, 20, 30)


def test_a_pace_is_that_of_the_last_minute() -> None:
    """A pause in which nothing is done for some seconds makes no ETA of weeks."""
    assert "ETA 21m39s" in live(Shown(), RateLimiter(), *range(21), *[20] * 33)


def test_the_plain_limit_is_told_as_before() -> None:
    """With the rate beside it."""
    engine = Shown(items=400, attempts=400)
    assert "40.0/s of 100/s  " in plain(engine, penstock.RateLimiter(["100/s"]))
