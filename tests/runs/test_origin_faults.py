"""What origins do wrong with their connections: counted over clients and sessions, and said in every place."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli.summary import exit_code, exit_code_of
from penstock.engine.counters import RunCounters
from penstock.runs.origin_faults import OriginFaults, in_words


def test_what_came_before_a_session_is_counted_in_it_and_survives_it() -> None:
    """`check` has several sessions with one client, and their counters are saved."""
    faults, first, saved = OriginFaults(), RunCounters(), RunCounters()
    faults.unasked("http://a")
    faults.died("http://a", 5)
    faults.count_in(first)
    faults.unasked("http://a")
    faults.died("http://a", 1)
    assert (first.unasked, first.died) == ({"http://a": 2}, {"http://a": 6})
    saved.restore(first.as_json(0.0))
    again = OriginFaults()
    again.count_in(saved)
    again.unasked("http://b")
    again.died("http://b", 7)
    assert (saved.unasked, saved.died) == ({"http://a": 2, "http://b": 1}, {"http://a": 6, "http://b": 7})
    assert (first.unasked, first.died) == ({"http://a": 2}, {"http://a": 6})


def test_the_words_name_origin_meaning_and_remedy() -> None:
    one, two, three = in_words({"http://a": 1, "http://b": 1200}, {"http://c": 2000})
    assert one.startswith("http://a sent 1 answer that nobody asked for")
    assert two.startswith("http://b sent 1,200 answers that")
    assert "may be that of another item" in one
    assert "--fresh" in one
    assert three.startswith("http://c closed 2,000 kept connections")
    assert "lost" in three
    assert "doubt" not in three
    assert "--fresh" not in three
    assert all("--no-keep-alive" in each for each in (one, two, three))


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
    summary: dict[str, Any] = {
        "complete": complete,
        "failed": wrong,
        "unasked_answers": unasked,
        "died_connections": {"http://a": 9},
    }
    assert exit_code(summary) == code
    assert exit_code_of({**summary, "failed": 0}, wrong=wrong) == code
