"""What a person reads while a run goes on and when it is over."""

from __future__ import annotations

import io
from typing import Any

import penstock
from penstock import RateLimiter
from penstock.cli.live import LiveView
from penstock.cli.progress import Gauge, status_line
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


def test_the_plain_limit_is_told_as_before() -> None:
    """With the rate beside it."""
    engine = Shown(items=400, attempts=400)
    assert "40.0/s of 100/s  " in plain(engine, penstock.RateLimiter(["100/s"]))
