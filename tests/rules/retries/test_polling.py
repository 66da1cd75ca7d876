"""When to ask how far a peer is, and until when."""

from __future__ import annotations

import pytest

from penstock.rules.retries.polling import poll_delay
from penstock.rules.retries.retry import Retry, RetryPolicy, Stop, decide_poll
from penstock.rules.retries.verdict import Classified, Verdict

NOT_DONE = Classified(Verdict.PENDING, "accepted", "HTTP 202", 202)


@pytest.mark.parametrize(
    ("polls", "retry_after", "least", "most"),
    [
        (1, None, 1.0, 1.0),
        (2, None, 1.5, 2.0),
        (5, None, 12.0, 16.0),
        (1000, None, 22.5, 30.0),
        (1, 0.0, 1.0, 1.0),
        (1, 10.0, 10.0, 11.0),
        (9, 0.5, 0.5, 0.55),
        (9, 3600.0, 3600.0, 3601.0),
    ],
)
def test_pauses_between_questions(polls: int, retry_after: float | None, least: float, most: float) -> None:
    """As the peer asks, and never less; else ever longer, up to half a minute."""
    both = poll_delay(polls, retry_after, 0.0), poll_delay(polls, retry_after, 1.0)
    assert (min(both), max(both)) == (least, most)


def test_only_the_total_timeout_ends_it() -> None:
    """No number of questions does; the message says which option gives it more time."""
    assert decide_poll(RetryPolicy(max_attempts=1, total_timeout=None), NOT_DONE, 10_000, 1e6, 0.0) == Retry(30.0)
    stop = decide_poll(RetryPolicy(total_timeout=60.0), NOT_DONE, 4, 55.0, 0.0)
    assert isinstance(stop, Stop)
    assert stop.kind == "deadline"
    assert "--total-timeout" in stop.message
