"""Answers that nobody asked for: counted over clients, sessions and commands, and said in every place."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli.summary import exit_code, exit_code_of
from penstock.engine.counters import RunCounters
from penstock.runs.unasked import UnaskedAnswers, in_words


def test_what_came_before_a_session_is_counted_in_it_and_survives_it() -> None:
    """`check` has several sessions with one client, and their counters are saved."""
    unasked, first, saved = UnaskedAnswers(), RunCounters(), RunCounters()
    unasked("http://a")
    unasked.count_in(first.unasked)
    unasked("http://a")
    assert first.unasked == {"http://a": 2}
    saved.restore(first.as_json(0.0))
    again = UnaskedAnswers()
    again.count_in(saved.unasked)
    again("http://b")
    assert saved.unasked == {"http://a": 2, "http://b": 1}
    assert first.unasked == {"http://a": 2}


def test_the_words_name_origin_meaning_and_remedy() -> None:
    one, two = in_words({"http://a": 1, "http://b": 1200})
    assert one.startswith("http://a sent 1 answer that nobody asked for")
    assert two.startswith("http://b sent 1,200 answers that")
    assert "may be that of another item" in one
    assert "--fresh" in one


@pytest.mark.parametrize(
    ("complete", "wrong", "unasked", "code"),
    [
        (True, 0, {}, 0),
        (True, 0, {"http://a": 1}, 1),
        (True, 1, {}, 1),
        (True, 1, {"http://a": 1}, 1),
        (False, 0, {"http://a": 1}, 3),
    ],
)
def test_the_exit_code(complete: bool, wrong: int, unasked: dict[str, int], code: int) -> None:
    summary: dict[str, Any] = {"complete": complete, "failed": wrong, "unasked_answers": unasked}
    assert exit_code(summary) == code
    assert exit_code_of({**summary, "failed": 0}, wrong=wrong) == code
