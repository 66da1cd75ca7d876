"""Byte ranges: always inside what there is, and never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.ranges import (
    RangeAnswer,
    answer_from_part,
    answer_range,
    believed_range,
    if_range_holds,
    may_combine,
    missing_part,
    parse_content_range,
)

MODIFIED, DATE = b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"bytes 0-4/10", (0, 4, 10)),
        (b" Bytes 0-0/* ", (0, 0, None)),
        (b"bytes 4-9/10", (4, 9, 10)),
        (b"bytes 4-10/10", None),
        (b"bytes 5-4/10", None),
        (b"bytes */10", None),
        (b"bytes 0-4", None),
        (b"bytes=0-4/10", None),
        (b"bytes 0-4/10, bytes 5-9/10", None),
        (b"bytes -4/10", None),
        (b"items 0-4/10", None),
        (b"bytes 0-" + b"9" * 5000 + b"/*", None),
        (b"", None),
    ],
)
def test_content_range(value: bytes, found: tuple[int, int, int | None] | None) -> None:
    assert parse_content_range(value) == found


@pytest.mark.parametrize(
    ("value", "total", "answer"),
    [
        (None, 10, ("whole", 0, 9)),
        (b"bytes=0-1", 10, ("part", 0, 1)),
        (b"bytes=1-", 10, ("part", 1, 9)),
        (b"bytes=-1", 10, ("part", 9, 9)),
        (b"bytes=-20", 10, ("part", 0, 9)),
        (b"bytes=0-99", 10, ("part", 0, 9)),
        (b"BYTES=0-1", 10, ("part", 0, 1)),
        (b"bytes=9-9", 10, ("part", 9, 9)),
        (b"bytes=10-", 10, ("unsatisfiable", 0, 0)),
        (b"bytes=10-20", 10, ("unsatisfiable", 0, 0)),
        (b"bytes=-0", 10, ("unsatisfiable", 0, 0)),
        (b"bytes=0-", 0, ("unsatisfiable", 0, 0)),
        (b"bytes=-5", 0, ("whole", 0, 0)),
        (b"bytes=5-4", 10, ("whole", 0, 9)),
        (b"bytes=-", 10, ("whole", 0, 9)),
        (b"bytes=", 10, ("whole", 0, 9)),
        (b"bytes=0-1,3-4", 10, ("whole", 0, 9)),
        (b"bytes=0-1, ", 10, ("whole", 0, 9)),
        (b"bytes = 0-1", 10, ("whole", 0, 9)),
        (b"bytes=0 - 1", 10, ("whole", 0, 9)),
        (b"bytes=a-b", 10, ("whole", 0, 9)),
        (b"items=0-1", 10, ("whole", 0, 9)),
        (b"bytes=0-" + b"9" * 5000, 10, ("whole", 0, 9)),
        (b"", 10, ("whole", 0, 9)),
    ],
)
def test_answer_range(value: bytes | None, total: int, answer: tuple[str, int, int]) -> None:
    assert answer_range(value, None, total, {}) == answer


@pytest.mark.parametrize(
    ("condition", "stored", "holds"),
    [
        (b'"a"', {b"etag": b'"a"'}, True),
        (b'"b"', {b"etag": b'"a"'}, False),
        (b'W/"a"', {b"etag": b'W/"a"'}, False),
        (b'"a"', {b"etag": b'W/"a"'}, False),
        (b'"a"', {}, False),
        (MODIFIED, {b"last-modified": MODIFIED, b"date": DATE}, True),
        (MODIFIED, {b"last-modified": MODIFIED, b"date": MODIFIED}, False),
        (MODIFIED, {b"last-modified": MODIFIED}, False),
        (DATE, {b"last-modified": MODIFIED, b"date": DATE}, False),
        (MODIFIED, {b"date": DATE}, False),
        (b"x", {b"last-modified": b"x", b"date": DATE}, False),
        (b"", {b"last-modified": b"", b"date": DATE}, False),
    ],
)
def test_if_range(condition: bytes, stored: dict[bytes, bytes], holds: bool) -> None:
    assert if_range_holds(condition, stored) is holds
    expected = RangeAnswer("part", 0, 1) if holds else RangeAnswer("whole", 0, 9)
    assert answer_range(b"bytes=0-1", condition, 10, stored) == expected


@given(
    st.one_of(st.binary(max_size=12), st.from_regex(rb"bytes=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True)),
    st.integers(0, 200),
)
def test_an_answer_is_never_outside_of_the_body(value: bytes, total: int) -> None:
    kind, first, last = answer_range(value, None, total, {})
    if kind == "part":
        assert 0 <= first <= last < total
    else:
        assert (first, last) == (0, 0 if kind == "unsatisfiable" else max(total - 1, 0))


@pytest.mark.parametrize(
    ("value", "part", "found"),
    [
        (b"bytes=6-8", (4, 6, 10), (6, 8)),
        (b"bytes=4-9", (4, 6, 10), (4, 9)),
        (b"bytes=4-99", (4, 6, 10), (4, 9)),
        (b"bytes=3-8", (4, 6, 10), None),
        (b"bytes=6-8", (4, 4, 10), None),
        (b"bytes=6-", (4, 6, 10), (6, 9)),
        (b"bytes=6-", (4, 5, 10), None),
        (b"bytes=6-", (4, 6, None), None),
        (b"bytes=6-8", (4, 6, None), (6, 8)),
        (b"bytes=6-99", (4, 6, None), None),
        (b"bytes=-6", (4, 6, 10), (4, 9)),
        (b"bytes=-7", (4, 6, 10), None),
        (b"bytes=-0", (4, 6, 10), None),
        (b"bytes=-6", (4, 6, None), None),
        (b"bytes=10-12", (4, 6, 10), None),
        (b"bytes=8-6", (4, 6, 10), None),
        (b"bytes=-", (4, 6, 10), None),
        (b"bytes=4-5,6-7", (4, 6, 10), None),
        (b"bytes=4-5", (4, 0, 10), None),
        (b"rubbish", (4, 6, 10), None),
        (None, (0, 10, 10), None),
    ],
)
def test_answer_from_part(
    value: bytes | None, part: tuple[int, int, int | None], found: tuple[int, int] | None
) -> None:
    assert answer_from_part(value, *part) == found


@given(
    st.from_regex(rb"bytes=[0-9]{0,2}-[0-9]{0,2}", fullmatch=True),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 50),
)
def test_a_part_answers_as_the_whole_would(value: bytes, first: int, length: int, rest: int) -> None:
    total = first + length + rest
    found = answer_from_part(value, first, length, total)
    if found is not None:
        assert first <= found[0] <= found[1] < first + length
        assert answer_range(value, None, total, {}) == ("part", *found)
    unknown = answer_from_part(value, first, length, None)
    assert unknown is None or unknown == found


@pytest.mark.parametrize(
    ("part", "missing"),
    [
        ((0, 5, 10), b"bytes=5-"),
        ((0, 10, 10), None),
        ((0, 11, 10), None),
        ((0, 0, 10), None),
        ((1, 5, 10), None),
        ((0, 5, None), None),
    ],
)
def test_missing_part(part: tuple[int, int, int | None], missing: bytes | None) -> None:
    assert missing_part(*part) == missing


def test_only_the_same_strong_tag_joins_two_parts() -> None:
    assert may_combine({b"etag": b'"a"'}, {b"etag": b'"a"'})
    assert not may_combine({b"etag": b'"a"'}, {b"etag": b'"b"'})
    assert not may_combine({b"etag": b'W/"a"'}, {b"etag": b'W/"a"'})
    assert not may_combine({b"last-modified": DATE}, {b"last-modified": DATE})
    assert not may_combine({}, {})


def test_a_lenient_reader_believes_the_body() -> None:
    assert believed_range(4, 9, 10, 5) == (4, 8, 9)
    assert believed_range(0, 9, 100, 5) == (0, 4, 100)
    assert believed_range(0, 9, None, 5) == (0, 4, None)
    assert believed_range(4, 9, 10, 6) == (4, 9, 10)
