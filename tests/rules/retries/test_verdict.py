"""One verdict for each ending of an attempt."""

from __future__ import annotations

import pytest

from penstock import errors
from penstock.errors import CallError, Sent, StatusError, Throttled
from penstock.rules.retries.refusal import Wait
from penstock.rules.retries.verdict import KINDS, RetryOn, Verdict, classify_error, classify_status, is_idempotent

S, R, F, T = Verdict.SUCCESS, Verdict.RETRYABLE, Verdict.FATAL, Verdict.THROTTLED


@pytest.mark.parametrize(
    ("status", "retry_after", "kind", "none", "safe", "idempotent", "transient"),
    [
        (200, None, "", S, S, S, S),
        (202, None, "accepted", F, F, F, F),
        (204, 5.0, "", S, S, S, S),
        (299, None, "", S, S, S, S),
        (101, None, "http_3xx", F, F, F, F),
        (301, 5.0, "http_3xx", F, F, F, F),
        (400, None, "http_4xx", F, F, F, F),
        (404, 5.0, "http_4xx", F, F, F, F),
        (408, None, "http_4xx", F, R, R, R),
        (421, None, "http_4xx", F, R, R, R),
        (425, None, "http_4xx", F, R, R, R),
        (429, None, "throttled", F, T, T, T),
        (429, 5.0, "throttled", F, T, T, T),
        (500, None, "http_5xx", F, F, R, R),
        (501, None, "http_5xx", F, F, F, F),
        (503, None, "http_5xx", F, F, R, R),
        (503, 0.0, "throttled", F, T, T, T),
        (505, None, "http_5xx", F, F, F, F),
        (599, 5.0, "http_5xx", F, F, R, R),
        (999, None, "http_5xx", F, F, R, R),
    ],
)
def test_statuses(
    status: int,
    retry_after: float | None,
    kind: str,
    none: Verdict,
    safe: Verdict,
    idempotent: Verdict,
    transient: Verdict,
) -> None:
    """Status by status, level by level."""
    levels = [(RetryOn.NONE, False, none), (RetryOn.SAFE, False, safe), (RetryOn.SAFE, True, idempotent)]
    for level, repeatable, verdict in [*levels, (RetryOn.TRANSIENT, False, transient)]:
        what = classify_status(status, Wait(retry_after), level, idempotent=repeatable)
        assert (what.verdict, what.kind) == (verdict, kind)
        assert what.retry_after == (retry_after if kind in ("throttled", "http_5xx") else None)
        assert what.pauses == (kind == "throttled" or (kind == "http_5xx" and retry_after is not None))


def all_errors() -> list[type[CallError]]:
    found = [CallError]
    for each in found:
        found += each.__subclasses__()
    return [each for each in found if each.__module__ == errors.__name__]


def make(kind: type[CallError], sent: Sent) -> CallError:
    if issubclass(kind, StatusError):
        return kind("told", status=500)
    if issubclass(kind, errors.Unexpected):
        return kind("told", status=200)
    return kind("told", sent=sent)


@pytest.mark.parametrize("kind", all_errors())
@pytest.mark.parametrize("sent", Sent)
@pytest.mark.parametrize("level", RetryOn)
@pytest.mark.parametrize("idempotent", [True, False])
def test_every_error_has_a_kind_of_the_closed_set(
    kind: type[CallError], sent: Sent, level: RetryOn, idempotent: bool
) -> None:
    """Whatever the error, its kind is documented, its message kept, and "none" tries nothing again."""
    what = classify_error(make(kind, sent), level, idempotent=idempotent)
    assert what.kind in KINDS
    assert what.message == "told"
    assert what.verdict is not Verdict.SUCCESS
    if level is RetryOn.NONE:
        assert what.verdict is Verdict.FATAL


@pytest.mark.parametrize("kind", all_errors())
def test_safe_repeats_nothing_that_may_have_been_processed(kind: type[CallError]) -> None:
    """Under "safe" an error after bytes were written is never tried again, but where the peer refused to process."""
    what = classify_error(make(kind, Sent.UNKNOWN), RetryOn.SAFE, idempotent=False)
    assert what.verdict is (Verdict.THROTTLED if kind is Throttled else Verdict.FATAL)


def test_a_status_error_is_classified_like_its_status() -> None:
    """An answer with a bad status and the error made of it have the same verdict."""
    for status in (301, 404, 408, 429, 500, 501, 503):
        for retry_after in (None, 3.0):
            for level in RetryOn:
                error = StatusError("told", status=status, retry_after=retry_after)
                same = classify_status(status, Wait(retry_after), level, idempotent=False, message="told")
                assert classify_error(error, level, idempotent=False) == same


@pytest.mark.parametrize(
    ("method", "expected"),
    [("GET", True), ("get", True), ("PUT", True), ("DELETE", True), ("POST", False), ("PATCH", False), ("", False)],
)
def test_idempotent_methods(method: str, expected: bool) -> None:
    """RFC 9110, 9.2.2."""
    assert is_idempotent(method) is expected
