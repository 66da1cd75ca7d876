"""What is tried again, when, and what a pause costs the others."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import penstock
from penstock.clock import current_clock
from penstock.errors import Sent
from penstock.rules.retries.verdict import RetryOn
from penstock.testing import After, Hang, ScriptedCall, SimulatedApi, run_virtual, uniform

from .engine_tools import run_all


class Own(Exception):
    """An error of the user's own."""


REFUSED = penstock.ConnectError("refused")
LATE = penstock.AttemptTimeout("late")
LOST = penstock.ConnectionLost("reset")
UNSENT = penstock.ConnectionLost("stale", sent=Sent.NO)
BROKEN = penstock.StatusError("HTTP 500", status=500)
TOO_MANY = penstock.StatusError("HTTP 429", status=429)
BUSY = penstock.StatusError("HTTP 503", status=503, retry_after=1.0)
MISSING = penstock.StatusError("HTTP 404", status=404)
EARLY = penstock.StatusError("HTTP 425", status=425)
NEVER = penstock.StatusError("HTTP 501", status=501)
ODD = penstock.Unexpected("not what was expected")
HTTP_500 = penstock.Response(500)


@pytest.mark.parametrize(
    ("error", "none", "safe", "idempotent", "transient"),
    [
        (REFUSED, 1, 3, 3, 3),
        (UNSENT, 1, 3, 3, 3),
        (TOO_MANY, 1, 3, 3, 3),
        (BUSY, 1, 3, 3, 3),
        (EARLY, 1, 3, 3, 3),
        (penstock.Throttled("slow down"), 1, 3, 3, 3),
        (penstock.DnsError("no address"), 1, 3, 3, 3),
        (penstock.ConnectTimeout("slow"), 1, 3, 3, 3),
        (LATE, 1, 1, 3, 3),
        (LOST, 1, 1, 3, 3),
        (BROKEN, 1, 1, 3, 3),
        (HTTP_500, 1, 1, 3, 3),
        (penstock.BadBody("cut off"), 1, 1, 3, 3),
        (penstock.ProtocolError("not HTTP"), 1, 1, 3, 3),
        (TimeoutError(), 1, 1, 1, 3),
        (MISSING, 1, 1, 1, 1),
        (NEVER, 1, 1, 1, 1),
        (ODD, 1, 1, 1, 1),
        (Own(), 1, 1, 1, 1),
        (penstock.TlsError("bad certificate"), 1, 1, 1, 1),
        (penstock.ResponseTooLarge("big"), 1, 1, 1, 1),
    ],
    ids=lambda value: repr(value) if isinstance(value, Exception) else None,
)
def test_attempts_per_level(error: Any, none: int, safe: int, idempotent: int, transient: int) -> None:
    """Each level tries again what it says and nothing else, and the attempts are counted."""
    for level, widened, attempts in (
        ("none", False, none),
        ("safe", False, safe),
        ("safe", True, idempotent),
        (RetryOn.TRANSIENT, False, transient),
    ):
        call = ScriptedCall([error], repeat_last=True)
        # Without a total timeout, refusals count like all other attempts.
        options: dict[str, Any] = {"max_attempts": 3, "total_timeout": None, "idempotent": widened}
        outcome = run_virtual(run_all(call, [1], retry_on=level, **options))[0]
        assert (outcome.attempts, len(call.calls)) == (attempts, attempts), (level, widened)
        assert not outcome.ok
        assert outcome.kind in penstock.rules.retries.verdict.KINDS  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("retry_on", "error", "attempts"),
    [
        (Own, Own(), 3),
        ((Own, KeyError), KeyError(), 3),
        (Own, ValueError(), 1),
        (Exception, ValueError(), 3),
        (lambda error: "again" in str(error), ValueError("again"), 3),
        (lambda error: "again" in str(error), ValueError("never"), 1),
        (Own, TOO_MANY, 3),
        (lambda error: error.no_such_attribute, ValueError("never"), 1),
    ],
)
def test_attempts_by_exception(retry_on: Any, error: Exception, attempts: int) -> None:
    """Types and functions say what is tried again; the peer's wish to slow down always may be."""
    call = ScriptedCall([error], repeat_last=True)
    outcome = run_virtual(run_all(call, [1], retry_on=retry_on, max_attempts=3, total_timeout=None))[0]
    assert outcome.attempts == len(call.calls) == attempts
    assert outcome.error is error


def test_a_request_says_of_itself_whether_it_may_be_repeated() -> None:
    """GET and whatever carries an Idempotency-Key are tried again under "safe", a bare POST is not."""
    items = [
        penstock.Request("GET", "http://a/"),
        penstock.Request("POST", "http://a/"),
        penstock.Request("POST", "http://a/", {"Idempotency-Key": "1"}),
    ]
    call = ScriptedCall([LOST], repeat_last=True)
    outcomes = run_virtual(run_all(call, items, retry_on="safe", max_attempts=2))
    assert {o.item.method + str(len(o.item.headers)): o.attempts for o in outcomes} == {
        "GET0": 2,
        "POST0": 1,
        "POST1": 2,
    }


@pytest.mark.parametrize("retry_on", ["sometimes", "", None, 5])
def test_a_retry_on_that_makes_no_sense_is_refused(retry_on: Any) -> None:
    """A wrong level is a UsageError at once, before anything is sent."""
    with pytest.raises(penstock.UsageError):
        penstock.run(ScriptedCall([]), [1], retry_on=retry_on)


@pytest.mark.parametrize(
    "options",
    [
        {"max_in_flight": 0},
        {"max_in_flight": -1},
        {"max_in_flight": "many"},
        {"max_in_flight": 1.5},
        {"max_attempts": 0},
        {"max_results": 0},
        {"max_result_bytes": 0},
        {"attempt_timeout": 0},
        {"attempt_timeout": -1.0},
        {"attempt_timeout": float("nan")},
        {"total_timeout": 0.0},
        {"limit": "fast"},
        {"limit": "0/s"},
        {"limit": ["10/s", "x"]},
        {"limit": "10/s", "guard": -1.0},
        {"limit": "10/s", "guard": float("nan")},
    ],
    ids=str,
)
def test_arguments_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """Wrong numbers are a UsageError when the run is made, not a surprise in the middle."""
    with pytest.raises(penstock.UsageError):
        penstock.run(ScriptedCall([]), [1], retry_on="none", **options)


def test_a_retry_holds_no_slot() -> None:
    """With one in flight, the other items go on while one waits for its next attempt."""
    call = ScriptedCall([LATE, *["answer"] * 20])
    outcomes = run_virtual(run_all(call, range(10), retry_on="transient", max_in_flight=1))
    assert call.requests[:10] == list(range(10))
    assert call.requests[10:] == [0]
    assert outcomes[-1].position == 0
    assert call.max_in_flight == 1


def test_the_pauses_between_attempts_grow_and_are_counted_as_waiting() -> None:
    """Full jitter under an exponential bound: each pause is within its bound, and `waited` holds them all."""
    call = ScriptedCall([LATE, LATE, LATE, LATE, "answer"])
    outcome = run_virtual(run_all(call, [1], retry_on="transient"))[0]
    pauses = [b - a for a, b in zip(call.times, call.times[1:], strict=False)]
    assert all(pause <= bound for pause, bound in zip(pauses, (0.5, 1.0, 2.0, 4.0), strict=True))
    assert outcome.ok
    assert outcome.attempts == 5
    assert outcome.waited == pytest.approx(sum(pauses))


@pytest.mark.parametrize("level", ["none", "safe", "transient"])
@pytest.mark.parametrize("limit", ["50/s", None])
def test_a_retry_after_is_shared_by_everybody_and_ends_in_no_burst(level: str, limit: str | None) -> None:
    """After one 429 with Retry-After nothing is sent until it ends; then the limit's pace goes on, without a burst."""
    refused_at: list[float] = []

    async def call(item: int) -> int:
        sent.append(current_clock().now())
        await current_clock().sleep(0.1)
        if item == 20 and not refused_at:
            refused_at.append(current_clock().now())
            raise penstock.Throttled("slow down", retry_after=30.0)
        return item

    sent: list[float] = []
    outcomes = run_virtual(run_all(call, range(100), retry_on=level, limit=limit, max_in_flight=20))
    assert len(outcomes) == 100
    silent_from, silent_until = refused_at[0], refused_at[0] + 30.0
    assert not [time for time in sent if silent_from < time < silent_until]
    after = [time for time in sent if time >= silent_until]
    assert len(after) > 50
    if limit is not None:
        assert all(b - a >= 0.0199 for a, b in itertools.pairwise(after))


def test_a_shorter_retry_after_does_not_shorten_a_longer_one() -> None:
    """Of several refusals the longest counts."""
    script = [
        After(0.1, penstock.Throttled("", retry_after=50.0)),
        After(0.2, penstock.Throttled("", retry_after=1.0)),
        After(0.3, penstock.Throttled("")),
        "answer",
    ]
    call = ScriptedCall(script, repeat_last=True)
    run_virtual(run_all(call, range(6), retry_on="safe", limit="100/s"))
    later = [time for time in call.times if time > 0.31]
    assert min(later) >= 50.1


@pytest.mark.parametrize("header", ["120", "Thu, 01 Jan 2026 00:02:00 GMT"])
def test_a_retry_after_in_a_response_is_read_as_seconds_or_date(header: str) -> None:
    """A Response that says 429 pauses the run for just as long as its Retry-After says, in either form."""
    refusal = penstock.Response(429, {"Retry-After": header})
    call = ScriptedCall([refusal, penstock.Response(200)], repeat_last=True)
    outcome = run_virtual(run_all(call, [1], retry_on="safe"))[0]
    assert outcome.ok
    assert 120.0 <= call.times[1] <= 121.01


@pytest.mark.parametrize("header", ["-1", "soon", "", "1e9", "nan", "Thu, 99 Foo 2026", "٣"])
def test_an_unreadable_retry_after_falls_back_to_the_own_backoff(header: str) -> None:
    """A Retry-After that says nothing still pauses, for a short while of our own."""
    refusal = penstock.Response(429, {"Retry-After": header})
    call = ScriptedCall([refusal, penstock.Response(200)], repeat_last=True)
    outcome = run_virtual(run_all(call, [1], retry_on="safe"))[0]
    assert outcome.ok
    assert call.times[1] < 2.0


def test_an_item_whose_retry_after_is_beyond_its_total_timeout_stops_and_says_so() -> None:
    """The peer's wish is not shortened to fit: the item ends as "deadline"."""
    call = ScriptedCall([penstock.Throttled("busy", retry_after=3600.0)])
    outcome = run_virtual(run_all(call, [1], retry_on="safe", total_timeout=60.0))[0]
    assert (outcome.kind, outcome.attempts) == ("deadline", 1)
    assert "throttled" in outcome.message


@pytest.mark.parametrize("retry_after", [None, 1.0])
def test_being_told_to_slow_down_uses_up_the_time_of_an_item_and_not_its_attempts(retry_after: float | None) -> None:
    """An item that is refused for ever ends by its total timeout, after attempts that become rare."""
    call = ScriptedCall([penstock.Throttled("busy", retry_after=retry_after)], repeat_last=True)
    outcome = run_virtual(run_all(call, [1], retry_on="safe", max_attempts=3, total_timeout=600.0))[0]
    assert outcome.kind == "deadline"
    assert 10 <= outcome.attempts <= 60
    assert call.times[-1] < 600.0


def test_refusals_leave_the_attempts_for_what_may_come_then() -> None:
    """After ten refusals an item still has all its attempts."""
    script = [*[penstock.Throttled("busy", retry_after=0.1)] * 10, LATE, LATE, "answer"]
    outcome = run_virtual(run_all(ScriptedCall(script), [1], retry_on="transient", max_attempts=3))[0]
    assert outcome.ok
    assert outcome.attempts == 13


def test_attempt_timeout_ends_the_attempt_with_its_own_kind() -> None:
    """A call that hangs is cancelled after `attempt_timeout`, and its outcome is "timeout"."""
    call = ScriptedCall([Hang()], repeat_last=True)
    outcomes = run_virtual(run_all(call, range(3), attempt_timeout=7.0))
    assert [(o.kind, o.service) for o in outcomes] == [("timeout", 7.0)] * 3
    assert call.in_flight == 0
    assert isinstance(outcomes[0].error, penstock.AttemptTimeout)


def test_total_timeout_bounds_all_attempts_together() -> None:
    """No attempt begins after the total timeout, and one that is under way is cut off there."""
    call = ScriptedCall([Hang()], repeat_last=True)

    async def main() -> tuple[Any, float]:
        options: dict[str, Any] = {"retry_on": "transient", "attempt_timeout": 4.0, "total_timeout": 10.0}
        outcomes = await run_all(call, [1], max_attempts=100, **options)
        return outcomes[0], current_clock().now()

    outcome, ended = run_virtual(main())
    assert outcome.kind == "deadline"
    assert 8.0 <= ended <= 10.0 + 1e-6
    assert outcome.attempts >= 3


def test_a_total_timeout_shorter_than_the_attempt_timeout_counts_for_the_first_attempt_too() -> None:
    """The shorter of both ends the first attempt."""
    call = ScriptedCall([Hang()])
    outcome = run_virtual(run_all(call, [1], attempt_timeout=100.0, total_timeout=3.0))[0]
    assert outcome.kind == "timeout"
    assert outcome.service == 3.0


@pytest.mark.parametrize("what", [{"attempt_timeout": None}, {"total_timeout": None}])
def test_without_one_timeout_the_other_still_holds(what: dict[str, None]) -> None:
    """None for one of the timeouts takes that one away and nothing else."""
    call = ScriptedCall([Hang()], repeat_last=True)
    outcome = run_virtual(run_all(call, [1], **{"attempt_timeout": 5.0, "total_timeout": 9.0, **what}))[0]
    assert outcome.service == (5.0 if "total_timeout" in what else 9.0)


def test_without_timeouts_a_slow_call_is_awaited() -> None:
    """None for both waits for as long as it takes."""
    call = ScriptedCall([After(1e6, "answer")])
    assert run_virtual(run_all(call, [1], attempt_timeout=None, total_timeout=None))[0].value == "answer"


def test_a_retry_that_waited_past_its_total_timeout_is_not_sent() -> None:
    """Held back by another item's long Retry-After until its time is over, an item ends as "deadline", unsent."""

    async def call(item: int) -> int:
        sent.append(item)
        await current_clock().sleep(0.1)
        if item == 0:
            raise penstock.StatusError("HTTP 500", status=500)
        if item == 1 and sent.count(1) == 1:
            raise penstock.Throttled("slow down", retry_after=100.0)
        return item

    sent: list[int] = []
    options: dict[str, Any] = {"retry_on": "transient", "limit": "100/s", "total_timeout": 50.0}
    outcomes = run_virtual(run_all(call, range(4), **options))
    assert {o.position: o.kind for o in outcomes} == {0: "deadline", 1: "deadline", 2: "", 3: ""}
    assert sent == [0, 1, 2, 3]


def test_a_record_that_makes_no_request_is_no_attempt() -> None:
    """A UsageError says that nothing was sent: no attempt, no retry, kind "bad_record"."""
    call = ScriptedCall([penstock.InputError("has no field 'id'")], repeat_last=True)

    async def main() -> Any:
        async with penstock.run(call, [1], retry_on="transient") as outcomes:
            seen = [o async for o in outcomes]
        return seen[0], outcomes.counters.attempts

    outcome, attempts = run_virtual(main())
    assert (outcome.kind, outcome.attempts, attempts) == ("bad_record", 0, 0)


def test_everything_failing_keeps_few_retries_waiting() -> None:
    """While everything fails, the source is not read on and on: the retries that wait are bounded."""
    read = 0

    def source() -> Any:
        nonlocal read
        for each in range(100_000):
            read += 1
            yield each

    async def main() -> int:
        call = ScriptedCall([LATE], repeat_last=True)
        engine = penstock.run(call, source(), retry_on="transient", max_attempts=1000, total_timeout=None)
        async with engine:
            await current_clock().sleep(300)
            return read

    assert run_virtual(main()) <= 2048 + 32 + 32 + 1


def test_counters_agree_with_the_calls() -> None:
    """items, ok, failed, by_kind, attempts, retries and throttled are what really happened."""
    count = 0

    def answer(item: int) -> Any:
        nonlocal count
        count += 1
        return (item, LATE, penstock.Throttled("", retry_after=0.5), LOST, item)[count % 5]

    async def main() -> Any:
        api = SimulatedApi(latency=uniform(0, 1), answer=answer)
        engine = penstock.run(api, range(300), retry_on="transient", max_attempts=3, limit="50/s")
        async with engine as outcomes:
            seen = [o async for o in outcomes]
        return api, seen, engine.counters

    api, seen, counters = run_virtual(main())
    assert counters.items == len(seen) == 300
    assert counters.ok == sum(o.ok for o in seen)
    assert counters.failed == 300 - counters.ok == sum(counters.by_kind.values())
    assert counters.attempts == len(api.arrivals) == sum(o.attempts for o in seen)
    assert counters.retries == counters.attempts - 300
    assert counters.throttled == sum(1 for each in range(1, count + 1) if each % 5 == 2)
    assert counters.in_flight == 0
    assert counters.in_flight_peak == api.max_in_flight
