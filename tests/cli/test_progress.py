"""What a person reads while a run goes on and when it is over."""

from __future__ import annotations

import io
from typing import Any

import pytest

import penstock
from penstock import RateLimiter
from penstock.cli.live import LiveView
from penstock.cli.shown import shown
from penstock.cli.summary import summary_lines
from penstock.cli.terminal import echo, fold
from penstock.cli.texts import Gauge, count_text, rate_text, shorten, status_line
from penstock.engine.counters import RunCounters
from penstock.limits.keyed_limit import KeyedLimiter
from penstock.runs.session_limits import ForEachKey
from penstock.runs.summary import summarise


class Shown:
    """Stands for an engine before those that show one."""

    complete = stopped = stopping = False
    ceiling = 32

    def __init__(self, **counters: Any) -> None:
        self.counters = RunCounters()
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


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (["100/min"], "96.0/min"),
        (["6000/h", "10/s"], "5,760.0/h"),
        (["100000/d"], "138,240.0/d"),
        (["10/s", "100/min"], "1.6/s"),
        (["600/90s"], "1.6/s"),
        (["100/min@team"], "96.0/min"),
        (["20/min for each tenant (3 of them)"], "96.0/min"),
        ([], "1.6/s"),
    ],
)
def test_the_rate_is_told_in_the_unit_of_the_first_limit(limits: list[str], text: str) -> None:
    """Nobody can compare `1.7/s of 100/min` at a glance."""
    assert rate_text(1.6, limits) == text


def test_there_are_never_more_done_than_there_are() -> None:
    """A pull asks for pages behind the last one that was promised: `22/20 pages`."""
    assert count_text(22, Gauge(20, "pages")) == "22/22 pages"
    shown = live(Shown(), RateLimiter(), 0, 22, gauge=Gauge(20, "pages"))
    assert "22/22 pages (100.0%)" in shown


def summary(**values: Any) -> dict[str, Any]:
    """That of a run which ended well."""
    facts = summarise(
        RunCounters(),
        RateLimiter(),
        limits=[{"limit": "100/s", "used": 0.9}],
        total=600,
        elapsed=6.7,
        sent_before=0,
        resumed_at=0,
        complete=True,
    )
    return facts | values


def test_a_summary_says_what_is_of_this_session() -> None:
    """It said `1,255 attempts, 90.4/s` and `took 6.7 s`, and who multiplied wondered."""
    whole = summary(attempts=606, rate_per_s=90.4)
    assert "606 attempts, 0 retries, 0 throttled, 90.4/s, at most" in summary_lines(whole, "out.jsonl")[1]
    parts = whole | {"attempts": 1255, "elapsed_all_sessions_s": 13.9, "resumed": 600}
    lines = summary_lines(parts, "out.jsonl")
    assert "1,255 attempts, 0 retries, 0 throttled, 90.4/s in this session, at most" in lines[1]
    assert "took      6.7 s in this session, 13.9 s in all, " in lines[-2]
    assert lines[-2].endswith("MB at most, resumed at 600")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("penstock: all is well", ["penstock: all is well"]),
        ("penstock: interrupted; the same command goes on", ["penstock: interrupted; the same command", "  goes on"]),
        (
            "  sent      1,255 attempts, 0 retries, 30 throttled",
            ["  sent      1,255 attempts, 0 retries,", "            30 throttled"],
        ),
        (
            "  2nd look  seventeen misses that are further",
            ["  2nd look  seventeen misses that are", "            further"],
        ),
        ("  output    /a/very-long/path/" + "x" * 40, ["  output", "            /a/very-long/path/" + "x" * 40]),
        ("penstock pull http://127.0.0.1/ --out orders.jsonl", ["penstock pull http://127.0.0.1/ --out orders.jsonl"]),
        ("see http://127.0.0.1/" + "y" * 40 + " now", ["see", "  http://127.0.0.1/" + "y" * 40, "  now"]),
    ],
)
def test_a_long_line_breaks_between_words(line: str, parts: list[str]) -> None:
    """Terminals break them anywhere; what is below stands where the text began, and nothing is cut."""
    assert fold(line, 40) == parts


def test_what_is_not_a_terminal_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads them with a program wants one line for one thing."""
    echo("word " * 100)
    assert capsys.readouterr().err.count("\n") == 1


def fail_in_the_middle() -> None:
    """A command that has shown something on the terminal when it comes to an error."""
    options = {"quiet": False, "as_json": False, "metrics": None, "log": "text"}
    with shown("send", options) as show:
        for view in show.watch("out.jsonl")(1000, RateLimiter()):
            view.show(Shown(), 0.0)  # type: ignore[arg-type]
        raise ValueError("the disk is full")


def test_an_error_does_not_stand_in_the_live_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was appended to its last line: `the same command goes on from therepenstock: interrupted`."""
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(ValueError, match="the disk is full"):
        fail_in_the_middle()
    written = terminal.getvalue()
    assert "Ctrl-C stops it" in written
    # The lines of the view are erased, and the cursor is there again.
    assert written.endswith("\x1b[2K")
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1


def test_first_answers_are_told_as_such() -> None:
    """The first 256 answers of a census looked like all of it: `256/256 ... ETA 0s`."""
    assert count_text(256, Gauge(256, "first answers")) == "256/256 first answers"


def test_the_plain_limit_is_told_as_before() -> None:
    """With the rate beside it."""
    engine = Shown(items=400, attempts=400)
    assert "40.0/s of 100/s  " in plain(engine, penstock.RateLimiter(["100/s"]))


@pytest.mark.parametrize(
    ("by_kind", "word"),
    [({"http_4xx": 3}, "once that is mended"), ({"http_4xx": 3, "timeout": 1}, "the same command with --retry-failed")],
)
def test_what_no_retry_can_mend_is_not_sent_to_one(by_kind: dict[str, int], word: str) -> None:
    """`--retry-failed` was advised where all that had failed would be refused again."""
    lines = summary_lines(summary(failed=sum(by_kind.values()), by_kind=by_kind, retries=1), "out.jsonl")
    assert word in lines[-1]
    assert ("once that is mended" in lines[-1]) == (set(by_kind) == {"http_4xx"})
    assert ", 1 retry, " in lines[1]
