"""`--log json`: every line is JSON with the documented fields, and each thing is said once."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

import penstock
from penstock import RateLimiter, Throttled
from penstock.cli.log import JsonLog, rfc3339, wants_json_log
from penstock.clock import current_clock
from penstock.testing import ManualClock, run_virtual


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines on standard error."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


async def run_with_log(refused_at: int) -> None:
    """Sixty items, one a second; the call of one of them is refused for half a minute."""
    clock = current_clock()
    limiter = RateLimiter(["60/min"], guard=0.0)
    refused: set[int] = set()

    async def call(item: int) -> int:
        await clock.sleep(0.5)
        if item == refused_at and item not in refused:
            refused.add(item)
            raise Throttled(retry_after=30.0)
        return item

    watcher = JsonLog("send", clock).watcher(60, limiter)
    began = clock.now()

    async def look() -> None:
        while True:
            watcher.show(engine, clock.now() - began)
            await clock.sleep(watcher.interval)

    async with penstock.run(call, range(60), limit=limiter, retry_on="safe") as engine, asyncio.TaskGroup() as group:
        looking = group.create_task(look())
        async for _ in engine:
            pass
        looking.cancel()


def test_a_run_as_its_log_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Started once, progress every ten seconds with counts that grow, the pause when it begins and when it ends."""
    run_virtual(run_with_log(20))
    lines = logged(capsys)
    events = [line["event"] for line in lines]
    assert events[0] == "started"
    assert [event for event in events if event != "progress"] == ["started", "paused", "resumed"]
    assert events.index("paused") < events.index("resumed")
    started, paused = lines[0], lines[events.index("paused")]
    assert {name: started[name] for name in ("level", "command", "total", "resumed", "limits")} == {
        "level": "info",
        "command": "send",
        "total": 60,
        "resumed": 0,
        "limits": ["60/min"],
    }
    assert paused["level"] == "warning"
    assert paused["throttled"] == 1
    assert 29 <= paused["seconds"] <= 30
    assert paused["until"] > paused["at"]
    progress = [line for line in lines if line["event"] == "progress"]
    assert len(progress) >= 8
    for line, after in itertools.pairwise(progress):
        assert after["elapsed_s"] - line["elapsed_s"] == pytest.approx(10, abs=0.6)
        assert after["items"] >= line["items"]
    assert progress[0]["rate_per_s"] == pytest.approx(1.0, abs=0.2)
    assert progress[0]["eta_s"] == pytest.approx(50, abs=10)
    assert progress[0]["service_ms"]["p50"] == pytest.approx(500, rel=0.02)
    assert progress[-1]["ok"] == progress[-1]["items"]


def test_a_run_without_a_known_total_has_no_eta(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody knows how much there is, the fields are null and nothing is made up."""

    async def main() -> None:
        clock = current_clock()
        watcher = JsonLog("pull", clock).watcher(None, RateLimiter())
        engine = penstock.run(lambda item: clock.sleep(0), [1], retry_on="none")
        watcher.show(engine, 0.0)
        watcher.show(engine, 12.0)

    run_virtual(main())
    _, progress = logged(capsys)
    assert (progress["total"], progress["eta_s"], progress["in_flight"]) == (None, None, 0)


def test_an_outage_and_its_end_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """From the counter that says since when the host is down."""

    async def main() -> None:
        clock = current_clock()
        engine = penstock.run(lambda item: clock.sleep(0), [1], retry_on="none")
        watcher = JsonLog("send", clock).watcher(1, RateLimiter())
        for since in (None, 5.0, 5.0, None, None):
            setattr(engine.counters, "outage_since", since)  # noqa: B010  # a counter that not every engine has
            watcher.show(engine, 1.0)

    run_virtual(main())
    assert [line["event"] for line in logged(capsys)] == ["started", "outage", "recovered"]


def test_the_end_of_a_run_is_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """Finished or stopped, with all that `--json` tells; an error is one line with its exit code."""
    log = JsonLog("send", ManualClock(epoch=1_800_000_000.0))
    log.finished({"complete": True, "items": 3})
    log.finished({"complete": False, "items": 2})
    log.error("no\n  room", 3)
    at = {"at": "2027-01-15T08:00:00.000Z", "command": "send"}
    assert logged(capsys) == [
        {**at, "level": "info", "event": "finished", "summary": {"complete": True, "items": 3}},
        {**at, "level": "info", "event": "stopped", "summary": {"complete": False, "items": 2}},
        {**at, "level": "error", "event": "error", "message": "no room", "exit_code": 3},
    ]


@pytest.mark.parametrize(
    ("wall", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1.9996, "1970-01-01T00:00:01.999Z"),
        (4102444800.5, "2100-01-01T00:00:00.500Z"),
    ],
)
def test_moments_are_written_in_utc(wall: float, text: str) -> None:
    """RFC 3339, three digits of a second, never rounded into the next."""
    assert rfc3339(wall) == text


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["send", "--log", "json", "x"], True),
        (["send", "x", "--log=json"], True),
        (["send", "--log", "text"], False),
        (["send", "json", "--log"], False),
        ([], False),
    ],
)
def test_whether_the_log_was_asked_for_is_known_before_all_is_understood(arguments: list[str], wanted: bool) -> None:
    """An error in the command line itself is logged, too."""
    assert wants_json_log(arguments) == wanted
