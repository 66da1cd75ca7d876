"""Refusals, what the user says of answers, and what is not done yet: through the engine, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import penstock
from penstock.clock import current_clock
from penstock.testing import run_virtual

from .engine_tools import kinds, run_all

SPENT = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "7"}
TOLD = {"Retry-After": "7"}
OK = penstock.Response(200, (), b'{"done": true}')
SLOW_DOWN = b'{"error": {"code": "THROTTLED"}}'


class Api:
    """Answers with `refusal` what comes at the 20th call and until it ends seven seconds later; else with 200."""

    def __init__(self, refusal: penstock.Response) -> None:
        self.calls: list[float] = []
        self.refused_at: list[float] = []
        self._refusal = refusal

    async def __call__(self, item: Any) -> penstock.Response:
        clock = current_clock()
        now = clock.now()
        self.calls.append(now)
        refuses = len(self.calls) == 20 or (bool(self.refused_at) and now < self.refused_at[0] + 7.0)
        await clock.sleep(0.01)
        if refuses:
            self.refused_at.append(now)
            return self._refusal
        return OK


# What refuses: (status, fields, body, options).
REFUSALS: dict[str, tuple[int, dict[str, str], bytes, dict[str, Any]]] = {
    "403 told": (403, TOLD, b"", {}),
    "403 spent": (403, SPENT, b"", {}),
    "429 told": (429, TOLD, b"", {}),
    "429 spent": (429, SPENT, b"", {}),
    "503 told": (503, TOLD, b"", {}),
    "503 spent": (503, SPENT, b"", {}),
    "400 told": (400, TOLD | SPENT, b"", {}),
    "529 told": (529, TOLD, b"", {}),
    "200 body": (200, TOLD, SLOW_DOWN, {"throttle_when": "error.code == 'THROTTLED'"}),
    "200 body spent": (200, SPENT, SLOW_DOWN, {"throttle_when": ["418", "error.code == 'THROTTLED'"]}),
    "403 body": (403, TOLD, SLOW_DOWN, {"throttle_when": lambda response: b"THROTTLED" in response.body}),
    "404 status": (404, TOLD, b"<html>", {"throttle_when": 404}),
    "403 though all 4xx are good": (403, TOLD, b"", {"ok_when": "4xx", "retry_when": "4xx"}),
    "502 told": (502, TOLD, b"", {"idempotent": True}),
}


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("limited", ["one limit", "none", "by key"])
def test_a_refusal_loses_no_item_and_nothing_is_sent_inside_its_pause(name: str, limited: str) -> None:
    """Whatever its status, and wherever it says for how long."""
    status, fields, body, options = REFUSALS[name]
    api = Api(penstock.Response(status, fields, body))
    flow: dict[str, Any] = {"max_in_flight": 2} if limited == "none" else {"limit": "20/s"}
    if limited == "by key":
        flow["limit_by"] = lambda item: "a"
    outcomes = run_virtual(run_all(api, range(60), retry_on="safe", **flow, **options))
    assert kinds(outcomes) == {"": 60}
    first = api.refused_at[0] + 0.01
    assert [call for call in api.calls if first < call < first + 7.0 - 1e-6] == []


def test_every_fifth_answer_a_403_fails_none_of_3_000_items() -> None:
    """It was 600 of them, and 2,196 of 3,000 calls inside a pause."""
    calls = 0
    told_at = -9.0
    inside: list[float] = []

    async def call(item: int) -> penstock.Response:
        nonlocal calls, told_at
        clock = current_clock()
        if 0.011 < clock.now() - told_at < 1.0 - 1e-6:
            inside.append(clock.now())
        calls += 1
        refuses = calls % 5 == 0
        await clock.sleep(0.01)
        if refuses:
            told_at = clock.now() if clock.now() - told_at >= 1.0 else told_at
            return penstock.Response(403, {"Retry-After": "1"})
        return OK

    outcomes = run_virtual(run_all(call, range(3000), retry_on="safe", limit="500/s"))
    assert kinds(outcomes) == {"": 3000}
    assert inside == []
    assert calls > 3500


@pytest.mark.parametrize("name", ["429 told", "200 body", "403 body", "404 status"])
def test_refusals_that_say_nothing_of_how_long_lose_no_item(name: str) -> None:
    """The pause is penstock's own then."""
    status, _, body, options = REFUSALS[name]
    api = Api(penstock.Response(status, {}, body))
    outcomes = run_virtual(run_all(api, range(60), retry_on="safe", limit="20/s", **options))
    assert kinds(outcomes) == {"": 60}


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (penstock.Response(403), "http_4xx"),
        (penstock.Response(403, SPENT | {"X-RateLimit-Remaining": "5"}), "http_4xx"),
        (penstock.Response(404, SPENT | TOLD), "http_4xx"),
        (penstock.Response(400, SPENT), "http_4xx"),
        (penstock.Response(202), "accepted"),
        (penstock.Response(202, TOLD), "accepted"),
        (penstock.Response(301, TOLD), "http_3xx"),
    ],
)
def test_what_is_no_refusal_stays_what_it_is(response: penstock.Response, kind: str) -> None:
    """It ends its item at once."""

    async def call(item: int) -> penstock.Response:
        return response

    outcomes = run_virtual(run_all(call, range(3), retry_on="safe", limit="20/s"))
    assert (kinds(outcomes), {each.attempts for each in outcomes}) == ({kind: 3}, {1})


def test_limits_that_are_not_to_be_looked_at_make_no_refusal() -> None:
    """Whose server writes nonsense into them says so."""

    async def call(item: int) -> penstock.Response:
        return penstock.Response(403, SPENT)

    assert kinds(run_virtual(run_all(call, range(3), retry_on="safe", limit_headers="ignore"))) == {"http_4xx": 3}


def answers(*responses: penstock.Response) -> tuple[Callable[[Any], Any], list[Any]]:
    """A call that gives these in turn and the last for ever, and what it was asked for, with the time."""
    asked: list[Any] = []

    async def call(item: Any) -> penstock.Response:
        asked.append((current_clock().now(), item))
        return responses[min(len(asked), len(responses)) - 1]

    return call, asked


def test_what_may_be_tried_again_by_the_word_of_the_user() -> None:
    """Within the attempts, whatever retry_on says, and with an expression that fits no good answer."""
    busy = penstock.Response(200, (), b'{"message": "try again"}')
    call, asked = answers(busy, busy, OK)
    option = {"retry_when": "contains(message, 'again')"}
    assert kinds(run_virtual(run_all(call, [1], **option))) == {"": 1}
    assert len(asked) == 3
    call, asked = answers(busy)
    outcome = run_virtual(run_all(call, [1], max_attempts=3, **option))[0]
    assert (outcome.kind, outcome.status, len(asked)) == ("unexpected", 200, 3)
    assert "--retry-when" in outcome.message


def test_what_is_good_by_the_word_of_the_user() -> None:
    """A 404 that answers the question; a 202 of an API that has nothing to add."""
    for response in (penstock.Response(404), penstock.Response(202)):
        call, _ = answers(response)
        outcome = run_virtual(run_all(call, [1], ok_when=[404, "202"]))[0]
        assert outcome.ok
        assert outcome.value is response


def test_a_condition_that_raises_fails_its_item_and_no_other() -> None:
    """A bug in it is told, and the run goes on."""

    async def call(item: int) -> penstock.Response:
        return penstock.Response(200, (), b"1" if item == 2 else b'{"done": true}')

    def fails(response: penstock.Response) -> bool:
        return bool(response.json()["error"] if response.body == b"1" else False)

    outcomes = run_virtual(run_all(call, range(5), retry_when=fails))
    assert kinds(outcomes) == {"": 4, "exception": 1}


@pytest.mark.parametrize("option", ["throttle_when", "retry_when", "ok_when", "poll_until"])
@pytest.mark.parametrize("value", ["a[", "42", 99, True, 4.5])
def test_what_is_no_condition_is_refused_before_anything_is_sent(option: str, value: Any) -> None:
    """By the name of the argument."""
    given: Any = value if option == "poll_until" else [value]
    with pytest.raises(penstock.UsageError, match=option):
        penstock.run(answers(OK)[0], [1], **{"retry_on": "none", option: given})


# -- polling --------------------------------------------------------------------------------------------------------

POST = penstock.Request("POST", "http://a/reports", {"Authorization": "x", "Content-Type": "text/plain"}, b"{}")
GET = penstock.Request("GET", "http://a/report")
WORKING = penstock.Response(200, (), b'{"done": false}')


def accepted(fields: dict[str, str] | None = None) -> penstock.Response:
    return penstock.Response(202, fields or {}, b"")


def test_what_is_not_done_is_asked_for_where_the_peer_says() -> None:
    """By GET, after its Retry-After, without the body's fields, with no attempt used up and no retry paid for."""
    call, asked = answers(accepted({"Location": "/jobs/1", "Retry-After": "5"}), accepted(), WORKING, OK)
    options: dict[str, Any] = {"poll_until": "done", "max_attempts": 1, "retry_budget": 0.0}
    outcome = run_virtual(run_all(call, [POST], **options))[0]
    assert outcome.ok
    assert outcome.item is POST
    assert outcome.value is OK
    (sent_at, first), (polled_at, poll), *more = asked
    assert first is POST
    assert (poll.method, poll.url, list(poll.headers), poll.body) == (
        "GET",
        "http://a/jobs/1",
        [("Authorization", "x")],
        b"",
    )
    assert polled_at - sent_at >= 5.0
    assert [request.url for _, request in more] == ["http://a/jobs/1"] * 2


def test_many_polls_are_no_failures_and_hold_up_nobody() -> None:
    """A hundred questions for each of twenty items, among others that are answered at once."""
    counts: dict[str, int] = {}

    async def call(request: penstock.Request) -> penstock.Response:
        counts[request.url] = counts.get(request.url, 0) + 1
        done = "slow" not in request.url or counts[request.url] > 100
        return OK if done else accepted({"Retry-After": "1"})

    items = [penstock.Request("GET", f"http://a/{'slow' if n % 5 == 0 else 'quick'}/{n}") for n in range(100)]
    outcomes = run_virtual(run_all(call, items, poll_until="done", limit="50/s"))
    assert kinds(outcomes) == {"": 100}
    assert sum("slow" in each.item.url for each in outcomes[:80]) == 0


def test_a_request_that_may_be_repeated_is_asked_again_itself() -> None:
    """Where the peer names no place."""
    call, asked = answers(accepted(), WORKING, OK)
    assert kinds(run_virtual(run_all(call, [GET], poll_until="done"))) == {"": 1}
    assert [request for _, request in asked] == [GET] * 3


@pytest.mark.parametrize(
    ("item", "fields", "kind", "words"),
    [
        (POST, {}, "accepted", "no Location"),
        ("a url", {"Location": "/jobs/1"}, "accepted", "no Location"),
        (POST, {"Location": "http://b/jobs/1"}, "unexpected", "another origin, http://b"),
        (POST, {"Location": "https://a/jobs/1"}, "unexpected", "another origin"),
        (POST, {"Location": "ftp://a/jobs/1"}, "unexpected", "no call can go"),
        (POST, {"Location": "http://a:x/"}, "unexpected", "no URL"),
    ],
)
def test_what_cannot_be_asked_for_fails_with_a_clear_word(
    item: Any, fields: dict[str, str], kind: str, words: str
) -> None:
    """And is sent once."""
    call, asked = answers(accepted(fields))
    outcome = run_virtual(run_all(call, [item], poll_until="done"))[0]
    assert (outcome.kind, len(asked)) == (kind, 1)
    assert words in outcome.message


def test_the_total_timeout_ends_it_and_says_so() -> None:
    """With the option that gives it more time."""
    call, asked = answers(accepted({"Location": "/jobs/1", "Retry-After": "20"}))
    outcome = run_virtual(run_all(call, [POST], poll_until="done", total_timeout=60.0))[0]
    assert outcome.kind == "deadline"
    assert "--total-timeout" in outcome.message
    assert 2 <= len(asked) <= 4


def test_a_poll_that_fails_is_a_get_and_tried_again_as_one() -> None:
    """The job is not asked for a second time."""
    call, asked = answers(accepted({"Location": "/jobs/1"}), penstock.Response(500), penstock.Response(403, TOLD), OK)
    assert kinds(run_virtual(run_all(call, [POST], poll_until="done", retry_on="safe"))) == {"": 1}
    assert [request.url for _, request in asked] == ["http://a/reports"] + ["http://a/jobs/1"] * 3


def test_the_status_alone_can_say_that_it_is_done() -> None:
    """And Operation-Location is where the job is, Location where the result will be."""
    places = {"Location": "/reports/1", "Operation-Location": "http://a/jobs/1#now"}
    call, asked = answers(accepted(places), accepted(), OK)
    assert kinds(run_virtual(run_all(call, [POST], poll_until=200))) == {"": 1}
    assert [request.url for _, request in asked] == ["http://a/reports", "http://a/jobs/1", "http://a/jobs/1"]
