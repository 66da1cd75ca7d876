"""Which pages to ask for, and when all have been seen: the rule alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.pagination.extent import (
    ENOUGH_EMPTY,
    LOOK_BEYOND,
    MOST_EMPTY_CHAINED,
    Countable,
    End,
    Named,
    PageKind,
    Step,
    StopOn,
    next_step,
)


def settled(kinds: str, *, size: int = 10, total: int | None = None, stop_on: StopOn = StopOn.EMPTY) -> Countable:
    """A rule that has seen pages in order: R full of rows, s short, e empty, r repeated, F failed, g gone."""
    extent = Countable(stop_on=stop_on)
    extent.total = total
    for page, letter in enumerate(kinds):
        rows = {"R": size, "s": size - 1}.get(letter, 0)
        kind = {"e": PageKind.EMPTY, "r": PageKind.REPEAT, "F": PageKind.FAILED, "g": PageKind.GONE}.get(letter)
        extent.settle(page, extent.kind_of(page, rows) if kind is None else kind, rows)
    return extent


@pytest.mark.parametrize(
    ("kinds", "total", "stop_on", "end"),
    [
        ("R", None, "empty", None),
        ("RRReee", None, "empty", End.BARREN),
        ("RRRee", None, "empty", None),
        ("RRRrer", None, "empty", End.BARREN),
        ("RReeR", None, "empty", None),
        ("eee", None, "empty", End.BARREN),
        ("RRs", None, "empty", None),
        ("RRs", None, "short", End.LAST),
        ("s", None, "short", None),
        ("RsR", 30, "short", None),
        ("RRg", None, "404", End.LAST),
        ("RRFFFFFFFF", None, "empty", End.FAILURES),
        ("RRs", 29, "empty", End.TOTAL),
        ("RRR", 30, "empty", None),
        ("RRRe", 30, "empty", End.TOTAL),
        ("RRRF", 30, "empty", End.TOTAL),
        ("RRRR", 30, "empty", None),
        ("RRRReee", 30, "empty", End.BARREN),
        ("e", 0, "empty", End.TOTAL),
        ("R" + "e" * ENOUGH_EMPTY, 10_000, "empty", End.BARREN),
        ("R" + "e" * (ENOUGH_EMPTY - 1), 10_000, "empty", None),
    ],
)
def test_the_end(kinds: str, total: int | None, stop_on: str, end: End | None) -> None:
    """Each way in which pages come to an end, and what looks like one and is none."""
    assert settled(kinds, total=total, stop_on=StopOn.read(stop_on)).end is end


def test_nothing_but_the_first_page_is_asked_for_before_it_is_known() -> None:
    """All else is measured by it."""
    extent = Countable()
    assert extent.take(100) == [0]
    assert extent.take(100) == []


@given(total=st.integers(1, 10_000), size=st.integers(1, 500))
def test_a_total_asks_for_exactly_its_pages_and_at_most_one_beyond(total: int, size: int) -> None:
    """All of them at once, and a look beyond them only where the last is full."""
    extent = Countable()
    extent.total = total
    pages = extent.take(1)
    rows = {page: min(size, total - page * size) for page in range(-(-total // size))}
    asked = 0
    while pages:
        asked += len(pages)
        for page in pages:
            extent.settle(page, extent.kind_of(page, rows.get(page, 0)), rows.get(page, 0))
        pages = extent.take(10_000)
    assert extent.end is End.TOTAL
    assert len(rows) <= asked <= len(rows) + 1


@given(pages=st.integers(1, 200))
def test_looking_ahead_wastes_no_more_than_was_found(pages: int) -> None:
    """Where no total is known, the calls in vain are at most as many as those that were not, and three."""
    extent = Countable()
    asked = 0
    while batch := extent.take(10_000):
        asked += len(batch)
        for page in batch:
            rows = 10 if page < pages else 0
            extent.settle(page, extent.kind_of(page, rows), rows)
    assert extent.end is End.BARREN
    assert asked <= 2 * pages + LOOK_BEYOND


@given(st.lists(st.sampled_from("RserFg"), max_size=60), st.one_of(st.none(), st.integers(0, 300)))
def test_there_is_always_a_next_page_or_an_end(kinds: list[str], total: int | None) -> None:
    """Whatever pages turn out to be, the rule never stands still between the two."""
    extent = Countable()
    extent.total = total
    for page in range(5000):
        batch = extent.take(1)
        if not batch:
            break
        assert batch == [page]
        letter = kinds[page] if page < len(kinds) else "e"
        rows = {"R": 10, "s": 9}.get(letter, 0)
        kind = {"e": PageKind.EMPTY, "r": PageKind.REPEAT, "F": PageKind.FAILED, "g": PageKind.GONE}.get(letter)
        extent.settle(page, extent.kind_of(page, rows) if kind is None else kind, rows)
    assert extent.end is not None


def test_most_pages_is_a_bound_and_no_end_of_the_pages() -> None:
    """A larger number goes on."""
    extent = Countable(most_pages=2)
    for page in range(2):
        assert extent.take(5) == [page]
        extent.settle(page, PageKind.ROWS, 10)
    assert extent.end is End.MOST_PAGES
    assert not extent.take(5)


def test_what_is_settled_is_never_asked_for_again() -> None:
    """A rule that was told of the pages of an earlier session asks for the rest."""
    extent = Countable()
    extent.total = 45
    for page in (0, 3, 1):
        extent.settle(page, PageKind.ROWS, 10)
    assert extent.take(100) == [2, 4]


def test_a_repeat_that_came_before_its_original_does_not_count() -> None:
    """Pages 5 and 3 hold the same: 5 lies beyond the end, and 3 is the last."""
    extent = Countable()
    for page in (0, 1, 2, 5):
        extent.settle(page, PageKind.ROWS, 10)
    extent.move(5, 3, 10)
    extent.settle(4, PageKind.REPEAT)
    extent.settle(6, PageKind.REPEAT)
    assert extent.end is End.BARREN
    assert extent.fresh_below == 4


@pytest.mark.parametrize(
    ("named", "empty", "step"),
    [
        (Named(None), 0, Step.END),
        (Named("x"), 0, Step.GO_ON),
        (Named("x", seen=True), 0, Step.CYCLE),
        (Named("x", seen=True, promised=True, complete=True), 0, Step.CYCLE),
        (Named(""), 0, Step.END),
        (Named("", promised=True), 0, Step.GO_ON),
        (Named("", more=True), 0, Step.GO_ON),
        (Named("", promised=True, complete=True), 0, Step.END),
        (Named("", promised=True, seen=True), 0, Step.CYCLE),
        (Named(0, promised=True, complete=True), 0, Step.GO_ON),
        (Named("x"), MOST_EMPTY_CHAINED, Step.ENDLESS),
        (Named(None), MOST_EMPTY_CHAINED, Step.END),
        # The API's own word ends it, whatever is named.
        (Named("x", more=False), 0, Step.END),
        (Named("x", more=False, seen=True), 0, Step.END),
        (Named("x", more=True), 0, Step.GO_ON),
        # A token that stays: a scroll while rows are new, an empty page that hides none, a circle where they repeat.
        (Named("x", own=True, seen=True), 0, Step.GO_ON),
        (Named("x", own=True, seen=True, rows=False), 1, Step.END),
        (Named("x", own=True, seen=True, repeat=True), 0, Step.CYCLE),
        (Named("x", seen=True, rows=False), 1, Step.CYCLE),
        # All that was promised is there, and a page without rows came.
        (Named("x", rows=False, promised=True, complete=True), 1, Step.END),
        (Named("x", rows=False, promised=True), 1, Step.GO_ON),
    ],
)
def test_what_follows_a_page_of_a_chain(named: Named, empty: int, step: Step) -> None:
    """Nothing named, no more said, an empty page that names itself: the end. A token that was seen is a circle."""
    assert next_step(named, empty_in_a_row=empty) is step
