"""Which answers refuse for now: statuses by what their fields say of waiting, and by what the user says of them."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.rules.retries.refusal import NO_WAIT, Wait, is_refusal, read_wait
from penstock.rules.retries.said import Said, read_statuses
from penstock.rules.retries.verdict import RetryOn, Verdict, classify_status, is_success

NOW = 1_800_000_000.0
LATER = formatdate(NOW + 60, usegmt=True)
QUOTA = [("X-RateLimit-Limit", "60"), ("X-RateLimit-Reset", "30")]
SPENT = [*QUOTA, ("X-RateLimit-Remaining", "0")]
LEFT = [*QUOTA, ("X-RateLimit-Remaining", "7")]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], NO_WAIT),
        ([("Retry-After", "5")], Wait(5.0)),
        ([("retry-after", LATER)], Wait(60.0)),
        ([("Retry-After", "-1")], NO_WAIT),
        ([("Retry-After", "soon")], NO_WAIT),
        (LEFT, NO_WAIT),
        (SPENT, Wait(None, used_up=True, reset_after=30.0)),
        ([*SPENT, ("Retry-After", "5")], Wait(5.0, used_up=True, reset_after=30.0)),
        ([("X-RateLimit-Remaining", "0")], Wait(None, used_up=True)),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", str(NOW + 90))], Wait(None, True, 90.0)),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "200000")], Wait(None, used_up=True)),
        ([("RateLimit", '"hour";r=0;t=40')], Wait(None, used_up=True, reset_after=40.0)),
        # A quota of one request: every answer tells that nothing is left.
        ([("X-RateLimit-Limit", "1"), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1")], NO_WAIT),
        ([("X-RateLimit-Remaining-Tokens", "0")], NO_WAIT),
        ([("X-RateLimit-Remaining", "none")], NO_WAIT),
    ],
)
def test_what_fields_say_of_waiting(fields: list[tuple[str, str]], expected: Wait) -> None:
    """In every spelling; what cannot be read or believed is not there."""
    assert read_wait(fields, NOW) == expected
    assert read_wait(fields, NOW, quotas=False) == Wait(expected.retry_after)


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        (NO_WAIT, None),
        (Wait(5.0, True, 30.0), 5.0),
        (Wait(None, True, 30.0), 30.0),
        (Wait(0.0, True, 30.0), 30.0),
        (Wait(0.0), 0.0),
        (Wait(0.0, used_up=True), 0.0),
        (Wait(None, used_up=True), None),
    ],
)
def test_how_long_the_peer_asks_to_wait(wait: Wait, seconds: float | None) -> None:
    """Retry-After answers just that; without it, or where it is 0, the reset of what is used up."""
    assert wait.seconds == seconds


# status: refuses (with nothing, with Retry-After, with nothing left)
REFUSES = {
    200: (False, False, False),
    202: (False, False, False),
    301: (False, False, False),
    400: (False, True, False),
    401: (False, False, False),
    402: (False, True, False),
    403: (False, True, True),
    404: (False, False, False),
    409: (False, True, False),
    410: (False, False, False),
    413: (False, True, False),
    420: (False, True, True),
    422: (False, False, False),
    425: (False, True, False),
    429: (True, True, True),
    430: (False, True, True),
    451: (False, False, False),
    498: (False, True, False),
    500: (False, False, False),
    501: (False, False, False),
    502: (False, False, False),
    503: (False, True, True),
    504: (False, False, False),
    509: (False, True, True),
    524: (False, False, False),
    529: (False, True, True),
}


@pytest.mark.parametrize("status", REFUSES)
def test_which_statuses_refuse(status: int) -> None:
    """By themselves, with Retry-After of any length, and where nothing is left of a quota."""
    plain, told, spent = REFUSES[status]
    assert is_refusal(status, NO_WAIT) is plain
    assert is_refusal(status, Wait(7.0)) is is_refusal(status, Wait(0.0)) is told
    assert is_refusal(status, Wait(None, True, 30.0)) is is_refusal(status, Wait(None, used_up=True)) is spent


@pytest.mark.parametrize("status", REFUSES)
@pytest.mark.parametrize("wait", [NO_WAIT, Wait(7.0), Wait(None, True, 30.0)], ids=["plain", "told", "spent"])
def test_the_word_of_the_user(status: int, wait: Wait) -> None:
    """In the order of `Said`, and what refuses by the rule is never taken for good, nor tried again without a pause."""
    refuses = is_refusal(status, wait)

    def verdict(said: Said | None, level: RetryOn = RetryOn.SAFE) -> Verdict:
        return classify_status(status, wait, level, idempotent=True, said=said).verdict

    assert verdict(Said.THROTTLED) is Verdict.THROTTLED
    assert verdict(Said.RETRYABLE) is (Verdict.THROTTLED if refuses else Verdict.RETRYABLE)
    assert verdict(Said.OK) is (Verdict.THROTTLED if refuses else Verdict.SUCCESS)
    assert verdict(Said.RETRYABLE, RetryOn.NONE) is (Verdict.FATAL if refuses else Verdict.RETRYABLE)
    assert is_success(status, Said.OK, wait) is not refuses
    if status < 300:
        assert verdict(Said.PENDING) is Verdict.PENDING


def test_what_was_only_taken_is_not_done() -> None:
    """A 202 is no success, and a request that must not be sent twice is not sent twice to ask."""
    told = classify_status(202, Wait(3.0), RetryOn.TRANSIENT, idempotent=False, said=Said.PENDING)
    assert (told.verdict, told.kind) == (Verdict.FATAL, "accepted")
    assert "no Location" in told.message
    asked = classify_status(202, Wait(3.0), RetryOn.NONE, idempotent=True, said=Said.PENDING)
    assert (asked.verdict, asked.retry_after, asked.pauses) == (Verdict.PENDING, 3.0, False)


@pytest.mark.parametrize("level", RetryOn)
@pytest.mark.parametrize("status", [500, 502, 504, 520])
def test_a_failure_that_says_when_to_come_back_pauses_all_and_is_repeated_as_any_other(
    level: RetryOn, status: int
) -> None:
    """It may have been processed, so it is no refusal; the pause is kept all the same."""
    what = classify_status(status, Wait(9.0), level, idempotent=False)
    assert what.verdict is (Verdict.RETRYABLE if level is RetryOn.TRANSIENT else Verdict.FATAL)
    assert (what.kind, what.retry_after, what.pauses) == ("http_5xx", 9.0, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("403", range(403, 404)),
        (" 999 ", range(999, 1000)),
        ("4xx", range(400, 500)),
        ("5XX", range(500, 600)),
        ("errors", None),
        ("errors[0].code == '403'", None),
        (403, range(403, 404)),
    ],
)
def test_statuses_and_their_classes(text: str | int, expected: range | None) -> None:
    """Anything else is an expression."""
    assert read_statuses(text) == expected


@pytest.mark.parametrize("text", ["42", "1000", "099", "4x", "40x", "0xx", "403.5", 7])
def test_a_number_that_is_no_status_is_refused(text: str | int) -> None:
    """It could only be a mistake: no expression begins with a digit."""
    with pytest.raises(UsageError, match="is no status"):
        read_statuses(text)


@given(st.lists(st.tuples(st.sampled_from(["retry-after", "date", "x-ratelimit-remaining", "ratelimit"]), st.text())))
def test_no_field_can_raise(fields: list[tuple[str, str]]) -> None:
    """Whatever a server writes."""
    wait = read_wait(fields, NOW)
    assert wait.seconds is None or wait.seconds >= 0.0
