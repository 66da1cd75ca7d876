"""Which answers refuse the credential, which show it to be good, and how many refusals in a row are enough."""

from __future__ import annotations

import pytest

from penstock.rules.retries.denied import Streak, is_denied, may_be_renewed, shows_good_credential
from penstock.rules.retries.refusal import NO_WAIT, Wait
from penstock.rules.retries.said import Said
from penstock.rules.retries.verdict import KINDS, SUCCESS, Classified, RetryOn, Verdict, classify_status

DENIED, GOOD, NOTHING = "denied", "good", "nothing"


def word(what: Classified) -> str:
    """What an ending says of the credential: one of three, never two."""
    said = [name for name, is_so in ((DENIED, is_denied(what)), (GOOD, shows_good_credential(what))) if is_so]
    assert len(said) < 2
    return said[0] if said else NOTHING


@pytest.mark.parametrize(
    ("status", "wait", "expected"),
    [
        (200, NO_WAIT, GOOD),
        (202, NO_WAIT, GOOD),
        (302, NO_WAIT, GOOD),
        (400, NO_WAIT, GOOD),
        (401, NO_WAIT, DENIED),
        (401, Wait(retry_after=1.0), DENIED),
        (403, NO_WAIT, DENIED),
        (403, Wait(retry_after=1.0), NOTHING),
        (403, Wait(used_up=True), NOTHING),
        (404, NO_WAIT, GOOD),
        (407, NO_WAIT, DENIED),
        (409, NO_WAIT, GOOD),
        (429, NO_WAIT, NOTHING),
        (500, NO_WAIT, GOOD),
        (501, NO_WAIT, GOOD),
        (502, NO_WAIT, NOTHING),
        (503, NO_WAIT, NOTHING),
        (503, Wait(retry_after=1.0), NOTHING),
        (504, NO_WAIT, NOTHING),
    ],
)
@pytest.mark.parametrize("retry_on", RetryOn)
def test_what_a_status_says_of_the_credential(status: int, wait: Wait, expected: str, retry_on: RetryOn) -> None:
    """The same whatever may be tried again."""
    assert word(classify_status(status, wait, retry_on, idempotent=True)) == expected


@pytest.mark.parametrize("status", [401, 403, 407])
def test_the_user_can_say_that_it_means_something_else(status: int) -> None:
    """A limit, or a success."""
    throttled = classify_status(status, NO_WAIT, RetryOn.SAFE, idempotent=True, said=Said.THROTTLED)
    fine = classify_status(status, NO_WAIT, RetryOn.SAFE, idempotent=True, said=Said.OK)
    assert (word(throttled), word(fine)) == (NOTHING, GOOD)


def test_every_kind_without_a_status_says_what_is_expected_of_it() -> None:
    """What did not reach the application, or is the user's own, says nothing."""
    said = {kind for kind in KINDS if word(Classified(Verdict.FATAL, kind)) == GOOD}
    assert said == {"accepted", "http_3xx", "http_4xx", "unexpected", "too_large", "bad_body"}
    assert word(SUCCESS) == GOOD


@pytest.mark.parametrize(("status", "renewable"), [(401, True), (403, False), (407, False), (404, False)])
def test_a_new_token_helps_where_the_old_one_was_not_taken(status: int, renewable: bool) -> None:
    """403 knows who asks, and 407 is of the proxy."""
    assert may_be_renewed(classify_status(status, NO_WAIT, RetryOn.SAFE, idempotent=True)) is renewable


@pytest.mark.parametrize(
    ("most", "answers", "ends_after"),
    [
        (20, "d" * 20, 20),
        (20, "d" * 19 + "g" + "d" * 19, None),
        (20, "g" + "d" * 20, 21),
        (20, "dg" * 100, None),
        (3, "ddgddd", 6),
        (1, "d", 1),
        (0, "d" * 1000, None),
    ],
)
def test_so_many_in_a_row_are_enough(most: int, answers: str, ends_after: int | None) -> None:
    """In the order of the answers; one good answer begins anew."""
    streak = Streak(most)
    ended = None
    for number, answer in enumerate(answers, 1):
        if answer == "g":
            streak.passed()
        elif streak.denied() and ended is None:
            ended = number
    assert ended == ends_after


@pytest.mark.parametrize(
    ("most", "denied", "passed", "under_way", "room"),
    [
        (20, 0, False, 20, True),
        (20, 0, False, 21, False),
        (20, 5, False, 15, True),
        (20, 5, False, 16, False),
        (20, 5, True, 1000, True),
        (0, 0, False, 1000, True),
    ],
)
def test_no_more_are_sent_than_are_enough_to_know(
    most: int, denied: int, passed: bool, under_way: int, room: bool
) -> None:
    """Until one good answer has come."""
    streak = Streak(most)
    for _ in range(denied):
        streak.denied()
    if passed:
        streak.passed()
    assert streak.has_room(under_way) is room
