"""Conditional requests, the 304 to the client, and the one from the origin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.http_fields import RawFields, combine
from penstock.rules.caching.validation import (
    answers_not_modified,
    fields_of_304,
    head_confirms,
    merge_not_modified,
    selects,
    validators,
)

OLD, MODIFIED, LATER = (
    b"Sat, 05 Nov 1994 08:49:37 GMT",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"Mon, 07 Nov 1994 08:49:37 GMT",
)
DATE = b"Tue, 08 Nov 1994 08:49:37 GMT"
STORED = {b"etag": b'"a"', b"last-modified": MODIFIED, b"date": DATE}


@pytest.mark.parametrize(
    ("stored", "added"),
    [
        ({}, []),
        ({b"etag": b'"a"'}, [(b"if-none-match", b'"a"')]),
        ({b"etag": b'W/"a,b"'}, [(b"if-none-match", b'W/"a,b"')]),
        ({b"etag": b"abc"}, [(b"if-none-match", b"abc")]),
        ({b"etag": b'"a", "b"'}, []),
        ({b"etag": b"*"}, []),
        ({b"etag": b""}, []),
        ({b"etag": b'"a'}, []),
        (STORED, [(b"if-none-match", b'"a"'), (b"if-modified-since", MODIFIED)]),
        ({b"last-modified": b"yesterday", b"date": DATE}, []),
        ({b"last-modified": b"Sunday, 06-Nov-94 08:49:37 GMT"}, []),
        (
            {b"last-modified": b"Sunday, 06-Nov-94 08:49:37 GMT", b"date": DATE},
            [(b"if-modified-since", b"Sunday, 06-Nov-94 08:49:37 GMT")],
        ),
        ({b"date": DATE}, []),
    ],
)
def test_validators(stored: dict[bytes, bytes], added: list[tuple[bytes, bytes]]) -> None:
    assert validators(stored) == added


@pytest.mark.parametrize(
    ("condition", "tag", "matches"),
    [
        (b'"a"', b'"a"', True),
        (b'W/"a"', b'"a"', True),
        (b'"a"', b'W/"a"', True),
        (b'"b"', b'"a"', False),
        (b'"A"', b'"a"', False),
        (b"*", b'"a"', True),
        (b"*", None, True),
        (b'"a"', None, False),
        (b'"x", "a" , "y"', b'"a"', True),
        (b'"x","y",W/"a"', b'"a"', True),
        (b', ,"a"', b'"a"', True),
        (b'"x, "a", y"', b'"a"', False),
        (b'x, "a"', b'"a"', False),
        (b'"x\\", "a"', b'"a"', True),
        (b'"x" "a"', b'"a"', False),
        (b'w/"a"', b'"a"', False),
        (b"a", b'"a"', False),
        (b'"a"', b"a", False),
        (b"a", b"a", True),
        (b"", b'"a"', False),
        (b'"\xfc"', b'"\xfc"', True),
    ],
)
def test_if_none_match(condition: bytes, tag: bytes | None, matches: bool) -> None:
    stored = {b"date": DATE} if tag is None else {b"etag": tag}
    assert answers_not_modified({b"if-none-match": condition}, 200, stored) is matches


@pytest.mark.parametrize(
    ("since", "stored", "answers"),
    [
        (MODIFIED, STORED, True),
        (LATER, STORED, True),
        (OLD, STORED, False),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", STORED, True),
        (b"Sun Nov  6 08:49:37 1994", STORED, True),
        (b"Saturday, 05-Nov-94 08:49:37 GMT", STORED, False),
        (b"yesterday", STORED, False),
        (b"yesterday", {b"last-modified": b"yesterday"}, False),
        (LATER + b", " + LATER, STORED, False),
        (LATER, {b"last-modified": b"yesterday"}, False),
        (DATE, {b"date": DATE}, True),
        (LATER, {b"date": DATE}, False),
        (DATE, {}, False),
        (b"Invalid Date", STORED, False),
    ],
)
def test_if_modified_since(since: bytes, stored: dict[bytes, bytes], answers: bool) -> None:
    assert answers_not_modified({b"if-modified-since": since}, 200, stored) is answers


def test_if_none_match_goes_before_if_modified_since() -> None:
    assert answers_not_modified({b"if-none-match": b'"a"', b"if-modified-since": OLD}, 200, STORED)
    assert not answers_not_modified({b"if-none-match": b'"b"', b"if-modified-since": LATER}, 200, STORED)


@pytest.mark.parametrize("status", [204, 206, 301, 404, 500])
def test_only_a_complete_success_is_not_modified(status: int) -> None:
    assert not answers_not_modified({b"if-none-match": b'"a"'}, status, STORED)
    assert answers_not_modified({b"if-none-match": b'"a"'}, 203, STORED)
    assert not answers_not_modified({}, 200, STORED)


def test_a_304_replaces_all_lines_of_a_name_and_leaves_what_describes_the_body() -> None:
    stored: RawFields = [
        (b"a", b"1"),
        (b"b", b"1"),
        (b"a", b"2"),
        (b"age", b"100"),
        (b"content-length", b"36"),
        (b"content-type", b"image/png"),
        (b"content-encoding", b"gzip"),
        (b"content-range", b"x"),
        (b"content-foo", b"1"),
    ]
    update: RawFields = [
        (b"a", b"3"),
        (b"c", b"1"),
        (b"c", b"2"),
        (b"content-length", b"10"),
        (b"content-type", b"text/html"),
        (b"content-encoding", b"br"),
        (b"content-range", b"y"),
        (b"content-foo", b"2"),
        (b"connection", b"d"),
        (b"d", b"1"),
        (b"transfer-encoding", b"chunked"),
        (b"set-cookie", b"a=b"),
    ]
    kept = [stored[1], *stored[4:8]]
    assert merge_not_modified(stored, update) == [*kept, update[0], update[1], update[2], update[7]]
    assert merge_not_modified(stored, update, set_cookie=True)[-1] == (b"set-cookie", b"a=b")
    assert merge_not_modified(stored, [(b"age", b"5")])[-1] == (b"age", b"5")


_LINES = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"etag", b"content-length", b"set-cookie"]), st.binary(max_size=3)),
    max_size=6,
)


@given(_LINES, _LINES)
def test_merging_is_done_at_once_and_never_touches_the_length(stored: RawFields, update: RawFields) -> None:
    merged = merge_not_modified(stored, update)
    assert merge_not_modified(merged, update) == merged
    assert combine(merged).get(b"content-length") == combine(stored).get(b"content-length")
    assert combine(merged).get(b"set-cookie") == combine(stored).get(b"set-cookie")


@pytest.mark.parametrize(
    ("stored", "update", "chosen"),
    [
        (STORED, {}, True),
        ({}, {}, True),
        (STORED, {b"etag": b'"a"'}, True),
        (STORED, {b"etag": b'"b"'}, False),
        (STORED, {b"etag": b'"b"', b"last-modified": MODIFIED}, False),
        (STORED, {b"etag": b'"a"', b"last-modified": LATER}, True),
        (STORED, {b"etag": b'W/"a"'}, True),
        (STORED, {b"etag": b'w/"a"'}, False),
        ({b"etag": b'W/"a"'}, {b"etag": b'W/"a"'}, True),
        ({b"etag": b'W/"a"'}, {b"etag": b'"a"'}, False),
        ({b"last-modified": MODIFIED}, {b"etag": b'"a"'}, False),
        (STORED, {b"last-modified": MODIFIED}, True),
        (STORED, {b"last-modified": LATER}, False),
        (STORED, {b"last-modified": b"Sunday, 06-Nov-94 08:49:37 GMT"}, True),
        (STORED, {b"last-modified": b"yesterday"}, False),
        ({b"etag": b'"a"'}, {b"last-modified": MODIFIED}, True),
    ],
)
def test_whose_304_it_is(stored: dict[bytes, bytes], update: dict[bytes, bytes], chosen: bool) -> None:
    assert selects(stored, update) is chosen


def test_a_304_carries_what_updates_a_copy_and_nothing_of_the_body() -> None:
    names = [
        b"cache-control",
        b"content-location",
        b"date",
        b"etag",
        b"expires",
        b"vary",
        b"access-control-allow-origin",
    ]
    left_out = [b"content-length", b"content-type", b"x", b"last-modified", b"age", b"set-cookie"]
    lines = [(name, b"1") for name in [*names, *left_out]]
    assert [name for name, _ in fields_of_304(lines)] == names
    assert fields_of_304([(b"last-modified", MODIFIED)]) == [(b"last-modified", MODIFIED)]


@pytest.mark.parametrize(
    ("update", "agrees"),
    [
        ({}, True),
        ({b"etag": b'"a"', b"x": b"1"}, True),
        ({b"etag": b'"b"'}, False),
        ({b"last-modified": LATER}, False),
        ({b"content-length": b"5"}, False),
    ],
)
def test_a_head_confirms_what_it_does_not_contradict(update: dict[bytes, bytes], agrees: bool) -> None:
    assert head_confirms({**STORED, b"content-length": b"4"}, update) is agrees


_CONDITIONS = st.dictionaries(
    st.sampled_from([b"if-none-match", b"if-modified-since", b"etag", b"last-modified", b"date"]),
    st.one_of(
        st.binary(max_size=30), st.sampled_from([b'"a"', b'W/"a", "b"', MODIFIED, b"Sunday, 06-Nov-94 08:49:37 GMT"])
    ),
)


@given(_CONDITIONS, _CONDITIONS, _CONDITIONS)
def test_any_bytes_get_an_answer(
    request: dict[bytes, bytes], stored: dict[bytes, bytes], update: dict[bytes, bytes]
) -> None:
    answered = answers_not_modified(request, 200, stored)
    if b"if-none-match" not in request and b"if-modified-since" not in request:
        assert answered is False
    assert selects(stored, stored)
    assert isinstance(selects(stored, update), bool)
    assert all(value in stored.values() for _, value in validators(stored))


@given(st.lists(st.sampled_from([b'"a"', b'W/"b"', b'"c,d"', b'""']), min_size=1))
def test_every_listed_tag_matches(tags: list[bytes]) -> None:
    for tag in tags:
        assert answers_not_modified({b"if-none-match": b" , ".join(tags)}, 200, {b"etag": tag})
