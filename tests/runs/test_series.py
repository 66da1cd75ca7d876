"""What a run leaves behind for people: its samples, its sessions, and examples of what was slow or failed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock
from penstock.clock import current_clock
from penstock.engine.outcome import Answer, Item, Outcome
from penstock.limits.limiter import RateLimiter
from penstock.runs.driver import Driver
from penstock.runs.examples import PER_KIND, SLOWEST, Examples
from penstock.runs.flow import Flow
from penstock.runs.series import Series, paused_seconds
from penstock.runs.sessions import SessionLog, SessionRecord
from penstock.testing import ManualClock, run_virtual


class Forget:
    """A sink that keeps nothing."""

    pending_bytes = 0

    def put(self, outcome: Any) -> None:
        pass

    def cut(self, counters: Any) -> Any:
        return self

    def write(self) -> None:
        pass


async def run_with_series(path: Path, call: Callable[[int], Any], count: int, limit: str | None) -> None:
    """Drive `count` items through `call` with nothing but a series that watches."""
    limiter = RateLimiter([limit] if limit else [])
    engine = penstock.run(call, range(count), limit=limiter, max_in_flight=8, retry_on="none")
    series = Series(path, limiter, current_clock())
    await Driver(engine, Forget(), (series,)).drive()
    series.close()


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


# -- samples ----------------------------------------------------------------------------------------------------------


def test_samples_add_up_to_the_run(tmp_path: Path) -> None:
    """A sample a second, a last one at the end; what the intervals say adds up to what the counters say."""

    async def call(item: int) -> int:
        await current_clock().sleep(0.1 if item < 100 else 0.4)
        return item

    run_virtual(run_with_series(tmp_path / "series.jsonl", call, 200, "20/s"))
    lines = lines_of(tmp_path / "series.jsonl")
    assert [round(line["elapsed"]) for line in lines[:-1]] == list(range(len(lines) - 1))
    assert lines[0]["attempts"] == 0
    assert lines[-1]["items"] == lines[-1]["ok"] == lines[-1]["attempts"] == 200
    assert sum(sum(line["recent_buckets"].values()) for line in lines) == 200
    assert sum(lines[-1]["service_buckets"].values()) == 200
    assert not [line for line in lines[:-1] if "service_buckets" in line]
    assert lines[3]["recent_ms"]["p50"] == pytest.approx(100, rel=0.02)
    assert lines[-2]["recent_ms"]["p50"] == pytest.approx(400, rel=0.02)
    assert lines[-2]["service_ms"]["p50"] < 400
    assert lines[-2]["in_flight_range"][1] <= lines[-2]["in_flight_ceiling"] == 8
    assert max(line["in_flight_range"][1] for line in lines) == 8
    assert all(line["limits"] == ["20/s"] for line in lines)


def test_samples_thin_out_as_the_run_grows_old(tmp_path: Path) -> None:
    """An hour leaves some fifteen hundred samples, and their intervals still miss nothing."""

    async def call(item: int) -> int:
        await current_clock().sleep(20.0)
        return item

    run_virtual(run_with_series(tmp_path / "series.jsonl", call, 1440, None))
    lines = lines_of(tmp_path / "series.jsonl")
    assert lines[-1]["elapsed"] == pytest.approx(3600, rel=0.02)
    assert 1200 < len(lines) < 2000
    assert lines[-2]["elapsed"] - lines[-3]["elapsed"] == pytest.approx(6.0, abs=1.0)
    assert sum(sum(line["recent_buckets"].values()) for line in lines) == 1440


def test_a_pause_is_counted_in_its_seconds(tmp_path: Path) -> None:
    """Five seconds, to within the second between two looks; and until when it lasts is there to be seen."""

    async def call(item: int) -> int:
        if item == 30:
            raise penstock.Throttled(retry_after=5.0)
        return item

    run_virtual(run_with_series(tmp_path / "series.jsonl", call, 100, "10/s"))
    lines = lines_of(tmp_path / "series.jsonl")
    assert sum(line["paused_s"] for line in lines) == pytest.approx(5.0, abs=0.6)
    assert max(line["paused_until"] - line["at"] for line in lines) == pytest.approx(4.5, abs=0.6)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 3)), max_size=5), st.floats(0, 5), st.floats(0.1, 3))
def test_seconds_of_a_pause_are_within_what_can_have_been(
    pauses: list[tuple[float, float]], begin: float, length: float
) -> None:
    """Never below 0, never more than the interval; exact where no pause begins within it."""
    end = begin + length
    before = max((at + lasts for at, lasts in pauses if at <= begin), default=-1.0)
    now = max((at + lasts for at, lasts in pauses if at <= end), default=-1.0)
    found = paused_seconds(begin, end, before, max(before, now))
    assert 0 <= found <= length + 1e-9
    if now <= before:
        assert found == pytest.approx(max(0.0, min(before, end) - begin))


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_a_session_has_a_line_for_its_begin_and_one_for_its_end(tmp_path: Path) -> None:
    """With what was typed, and how it ended; what a kill left half-written costs no other line."""
    path = tmp_path / "sessions.jsonl"
    path.write_bytes(b'{"event": "beg')
    log = SessionLog(path, ManualClock(start=5.0))
    log.begin(Flow(limits=(penstock.parse_limit("10/s"),), command=("penstock", "send")), total=7, resumed_at=3)
    log.end("complete", {"items": 7})
    begun, ended = map(orjson.loads, path.read_bytes().splitlines()[1:])
    assert (begun["event"], begun["command"], begun["total"], begun["resumed_at"]) == (
        "begin",
        ["penstock", "send"],
        7,
        3,
    )
    assert (ended["event"], ended["how"], ended["summary"]) == ("end", "complete", {"items": 7})


def break_off(folder: Path, error: BaseException, *, ended: bool = False) -> None:
    """A session in which `error` is raised."""
    with SessionRecord(folder, RateLimiter(), set()) as record:
        record.begin(Flow(), total=1, resumed_at=0)
        if ended:
            record.end({"complete": False})
        raise error


@pytest.mark.parametrize(
    ("raised", "how", "message"),
    [
        (penstock.StorageError("the disk is full"), "error", "the disk is full"),
        (ValueError(), "error", "ValueError"),
        (asyncio.CancelledError(), "interrupted", ""),
        (KeyboardInterrupt(), "interrupted", ""),
    ],
)
def test_a_session_that_is_broken_off_says_how(tmp_path: Path, raised: BaseException, how: str, message: str) -> None:
    """The error goes on up, and its message is kept."""
    with pytest.raises(type(raised)):
        break_off(tmp_path, raised)
    last = lines_of(tmp_path / "sessions.jsonl")[-1]
    assert (last["how"], last["message"]) == (how, message)


def test_a_session_ends_once(tmp_path: Path) -> None:
    """What goes wrong after its end is not the session's."""
    with pytest.raises(ValueError, match="later"):
        break_off(tmp_path, ValueError("later"), ended=True)
    assert [line.get("how") for line in lines_of(tmp_path / "sessions.jsonl")] == [None, "stopped"]


def test_what_is_not_recorded_leaves_nothing(tmp_path: Path) -> None:
    """For the first answers of a census."""
    with SessionRecord(None, RateLimiter(), set()) as record:
        record.begin(Flow(), total=1, resumed_at=0)
        record.end({"complete": True})
        assert (record.watchers, record.examples) == ((), None)
    assert list(tmp_path.iterdir()) == []


# -- examples ---------------------------------------------------------------------------------------------------------


def outcome(position: int, service: float, kind: str = "", message: str = "") -> Outcome[Any, Any]:
    """One outcome after one attempt."""
    item: Item[Any] = Item(position, None, f"key {position}")
    item.attempts = 1
    return Outcome(item, ok=not kind, kind=kind, message=message, service=service)


def shown(examples: Examples, path: Path) -> dict[str, Any]:
    """What the file holds after the examples were written."""
    examples.write()
    found: dict[str, Any] = orjson.loads(path.read_bytes())
    return found


@given(st.lists(st.floats(0.001, 60.0), max_size=80), st.booleans())
def test_the_slowest_are_the_slowest(
    tmp_path_factory: pytest.TempPathFactory, times: list[float], resumed: bool
) -> None:
    """Exactly the twenty slowest, also when a restart comes between, with those that the floor lets through."""
    path = tmp_path_factory.mktemp("run") / "examples.json"
    examples = Examples(path)
    for position, seconds in enumerate(times):
        if resumed and position == len(times) // 2:
            examples.write()
            examples = Examples(path)
            examples.restore(set())
        if seconds > examples.floor:
            examples.see(outcome(position, seconds))
    found = [example["service_s"] for example in examples.as_json()["slowest"]]
    assert found == pytest.approx(sorted(times, reverse=True)[:SLOWEST], abs=1e-6)


def test_the_first_and_the_last_failures_of_a_kind_are_kept(tmp_path: Path) -> None:
    """Ten of a thousand, and nothing twice."""
    examples = Examples(tmp_path / "examples.json")
    for position in range(1000):
        examples.see(outcome(position, 0.1, "timeout", "m" * 10_000))
    examples.see(outcome(1000, 0.1, "http_5xx"))
    failed = shown(examples, tmp_path / "examples.json")["failed"]
    assert [each["position"] for each in failed["timeout"]["first"]] == list(range(PER_KIND))
    assert [each["position"] for each in failed["timeout"]["last"]] == list(range(1000 - PER_KIND, 1000))
    assert len(failed["timeout"]["first"][0]["message"]) == 300
    assert [each["key"] for each in failed["http_5xx"]["first"]] == ["key 1000"]


def test_the_status_of_a_good_answer_is_kept(tmp_path: Path) -> None:
    """And nothing else of it: it may be large."""
    good = Outcome(Item(1, None), ok=True, value=Answer(201, "x" * 10_000), service=1.0)
    good.attempts = 1
    examples = Examples(tmp_path / "examples.json")
    examples.see(good)
    kept = shown(examples, tmp_path / "examples.json")["slowest"][0]
    assert kept["status"] == 201
    assert len(orjson.dumps(kept)) < 300


def test_an_item_that_a_kill_repeats_is_one_example(tmp_path: Path) -> None:
    """The later one."""
    examples = Examples(tmp_path / "examples.json")
    examples.see(outcome(7, 9.0))
    examples.see(outcome(7, 3.0))
    assert [each["service_s"] for each in examples.as_json()["slowest"]] == [3.0]


def test_failures_that_were_mended_are_forgotten(tmp_path: Path) -> None:
    """After --retry-failed the counters have no such kind any more."""
    path = tmp_path / "examples.json"
    examples = Examples(path)
    for kind in ("timeout", "reset"):
        examples.see(outcome(1, 0.1, kind))
    shown(examples, path)
    again = Examples(path)
    again.restore({"reset"})
    assert list(again.as_json()["failed"]) == ["reset"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"slowest": [1], "failed": 2}', b"\xff", b'{"slowest": []}'])
def test_damaged_examples_are_no_reason_to_stop(tmp_path: Path, content: bytes) -> None:
    """The run goes on, with new ones."""
    path = tmp_path / "examples.json"
    path.write_bytes(content)
    examples = Examples(path)
    examples.restore({"timeout"})
    examples.see(outcome(1, 0.5))
    assert len(shown(examples, path)["slowest"]) == 1


def test_the_driver_shows_every_outcome_that_is_of_interest(tmp_path: Path) -> None:
    """In a run of a thousand: the slowest twenty, and the failures."""
    chance = random.Random(5)
    times = [chance.random() for _ in range(1000)]
    examples = Examples(tmp_path / "examples.json")

    async def call(item: int) -> int:
        await current_clock().sleep(times[item])
        if item % 100 == 7:
            raise ValueError(f"bad {item}")
        return item

    async def main() -> None:
        engine = penstock.run(call, range(1000), max_in_flight=50, retry_on="none")
        await Driver(engine, Forget(), (examples,), examples).drive()

    run_virtual(main())
    kept = orjson.loads((tmp_path / "examples.json").read_bytes())
    wanted = sorted(range(1000), key=lambda n: -times[n])[:SLOWEST]
    assert [each["position"] for each in kept["slowest"]] == wanted
    failed = {each["position"] for part in kept["failed"]["exception"].values() for each in part}
    assert failed == {n for n in range(1000) if n % 100 == 7}
