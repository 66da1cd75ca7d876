"""Try again, when, or stop."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.retries.retry import Retry, RetryPolicy, Stop, decide
from penstock.rules.retries.verdict import Classified, Verdict

POLICY = RetryPolicy(max_attempts=4, total_timeout=100.0)
LATE = Classified(Verdict.RETRYABLE, "timeout", "late")
BUSY = Classified(Verdict.THROTTLED, "throttled", "busy", 429, 40.0)


@pytest.mark.parametrize(
    ("what", "attempts", "elapsed", "expected"),
    [
        (LATE, 1, 0.0, Retry(0.25)),
        (LATE, 3, 0.0, Retry(1.0)),
        (LATE, 4, 0.0, Stop()),
        (LATE, 5, 0.0, Stop()),
        (LATE, 1, -5.0, Retry(0.25)),
        (LATE, 1, math.nan, Retry(0.25)),
        (Classified(Verdict.FATAL, "http_4xx", "no"), 1, 0.0, Stop()),
        (Classified(Verdict.SUCCESS), 1, 0.0, Stop()),
        (BUSY, 1, 0.0, Retry(40.25)),
        (BUSY, 3, 0.0, Retry(41.0)),
        (BUSY, 4, 0.0, Stop()),
        (Classified(Verdict.THROTTLED, "throttled"), 1, 0.0, Retry(0.25)),
        (Classified(Verdict.THROTTLED, "throttled", "", 429, 0.0), 1, 0.0, Retry(0.25)),
    ],
)
def test_decisions(what: Classified, attempts: int, elapsed: float, expected: object) -> None:
    """Verdict, number of attempts and the peer's wish decide."""
    assert decide(POLICY, what, attempts, elapsed, 0.5) == expected


@pytest.mark.parametrize(("what", "elapsed"), [(LATE, 99.9), (LATE, 100.0), (LATE, math.inf), (BUSY, 59.9)])
def test_what_would_begin_after_the_total_timeout_stops_and_says_so(what: Classified, elapsed: float) -> None:
    """An attempt that would begin too late is not made; the message tells the last error as well."""
    decision = decide(POLICY, what, 2, elapsed, 0.5)
    assert isinstance(decision, Stop)
    assert decision.kind == "deadline"
    assert what.kind in decision.message
    assert ("as the peer asked" in decision.message) == (what is BUSY)


@pytest.mark.parametrize(
    ("retry_after", "attempts", "told"), [(0.0, 1, False), (0.1, 3, False), (40.0, 1, True), (None, 1, False)]
)
def test_a_pause_of_our_own_is_not_said_to_be_the_peers(retry_after: float | None, attempts: int, told: bool) -> None:
    """Who asked for 0, or for less than the pause that follows a third attempt, did not ask for that one."""
    what = Classified(Verdict.THROTTLED, "throttled", "busy", 429, retry_after)
    decision = decide(POLICY, what, attempts, 99.99, 0.5)
    assert isinstance(decision, Stop)
    assert ("as the peer asked" in decision.message) is told


def test_without_a_total_timeout_time_does_not_matter() -> None:
    """None means no bound in time."""
    policy = RetryPolicy(max_attempts=4, total_timeout=None)
    assert isinstance(decide(policy, BUSY, 1, 1e12, 0.5), Retry)


@given(
    retry_after=st.none() | st.floats(0, 1e9),
    attempts=st.integers(0, 10),
    elapsed=st.floats(0, 1e6),
    chance=st.floats(0, 1, exclude_max=True),
    total=st.none() | st.floats(0.001, 1e10),
)
def test_the_peers_wish_is_never_shortened(
    retry_after: float | None, attempts: int, elapsed: float, chance: float, total: float | None
) -> None:
    """Either the next attempt waits as long as asked and fits into the total timeout, or there is none."""
    policy = RetryPolicy(max_attempts=5, total_timeout=total)
    what = Classified(Verdict.THROTTLED, "throttled", "busy", 429, retry_after)
    decision = decide(policy, what, attempts, elapsed, chance)
    if isinstance(decision, Retry):
        assert attempts < 5
        assert decision.delay >= (retry_after or 0.0)
        assert decision.delay <= (retry_after or 0.0) + (60.0 if retry_after is None else 1.0)
        assert total is None or elapsed + decision.delay < total
