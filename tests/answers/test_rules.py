"""Which responses are failures, what it costs to look, and where a question about a job may go."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import Headers, Request, Response, StatusError, Unexpected
from penstock.answers.conditions import UNREAD
from penstock.answers.options import AnswerOptions
from penstock.answers.polling import next_poll
from penstock.answers.rules import AnswerRules


class Parser:
    """Counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, response: Response) -> Any:
        self.calls += 1
        return response.json()


@pytest.mark.parametrize(
    ("options", "times"),
    [
        (AnswerOptions(), 0),
        (AnswerOptions(throttle_when=(420,), retry_when=("4xx",), ok_when=(404,)), 0),
        (AnswerOptions(throttle_when=("a", "b"), retry_when=("c",), ok_when=("d",), poll_until="done"), 1),
    ],
)
def test_a_body_is_parsed_once_and_only_for_an_expression(options: AnswerOptions, times: int) -> None:
    """The reader gets what was parsed."""
    parse = Parser()
    found = AnswerRules(options).admit(Response(200, (), b'{"done": true}'), parse)
    assert parse.calls == times
    assert found == {"done": True} if times else found is UNREAD


def test_a_body_that_is_no_json_meets_no_expression_and_is_tried_once() -> None:
    """Whoever needs it says what is wrong with it."""
    parse = Parser()
    rules = AnswerRules(AnswerOptions(throttle_when=("a", "b"), retry_when=("c",)))
    assert rules.admit(Response(200, (), b"<html>"), parse) is UNREAD
    assert rules.admit(Response(200, (), b""), parse) is UNREAD
    assert parse.calls == 1
    with pytest.raises(StatusError):
        rules.admit(Response(500, (), b"<html>"), parse)


@pytest.mark.parametrize(
    ("location", "other_origins", "url"),
    [
        ("/jobs/1", False, "https://a.example/jobs/1"),
        ("jobs/1?x=y#z", False, "https://a.example/v1/jobs/1?x=y"),
        ("https://a.example:443/j", False, "https://a.example:443/j"),
        ("/jobs/\xe9 1", False, "https://a.example/jobs/%E9%201"),
        ("https://b.example/j", True, "https://b.example/j"),
        ("https://b.example/j", False, None),
        ("https://a.example:444/j", False, None),
        ("http://a.example/j", True, None),
        ("file:///etc/passwd", True, None),
        ("https://[x/", True, None),
        ("https://a.example:99999/", True, None),
    ],
)
def test_where_a_question_goes(location: str, other_origins: bool, url: str | None) -> None:
    """On its origin with the user's fields, on another one only where it may and without them."""
    fields = Headers([("X-Api-Key", "secret"), ("Accept", "a/b"), ("Content-Type", "c/d"), ("Idempotency-Key", "1")])
    request = Request("POST", "https://a.example/v1/reports", fields, b"{}")
    response = Response(202, {"Location": location})
    if url is None:
        with pytest.raises(Unexpected):
            next_poll(request, response, other_origins=other_origins)
        return
    poll = next_poll(request, response, other_origins=other_origins)
    assert poll is not None
    assert (poll.method, poll.url, poll.body) == ("GET", url, b"")
    kept = ["Accept"] if "b.example" in url else ["X-Api-Key", "Accept"]
    assert [name for name, _ in poll.headers] == kept
