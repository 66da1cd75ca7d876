"""From answers to pages: rows as they came, tokens, totals, and what is no page."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import BadBody, BadPage, Cursor, LinkHeader, NextUrl, Offset, Response, StatusError, UsageError
from penstock.outbound.paging.pages import make_paginator
from penstock.outbound.paging.reader import PageAnswer, PageAsk, PageReader
from penstock.rules.pagination.style import Paging

URL = "https://api.test/rows"


def read(answer: Any, paginator: Any = None, *, number: int = 0, fields: Any = (), **options: Any) -> PageAnswer:
    """One page; `answer` is JSON, or bytes as they are."""
    body = answer if isinstance(answer, bytes) else orjson.dumps(answer)
    reader = PageReader(paginator or Offset(), **options)
    return reader.read(PageAsk(number, URL), Response(200, fields, body, url=URL))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=5))
def test_rows_are_written_as_they_came(rows: list[Any]) -> None:
    """Whatever they are: numbers of any length, any text, and rows that are no objects."""
    answer = read(json.dumps({"items": rows}).encode(), rows="items")
    assert [json.loads(line) for line in bytes(answer.lines).splitlines()] == rows
    assert answer.rows == len(rows)


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**19, 10**30, -(10**30)])
def test_numbers_beyond_64_bits_keep_their_digits(number: int) -> None:
    """A fast parser would make floats of them."""
    assert bytes(read(b'[{"id": %d}]' % number).lines) == b'{"id":%d}\n' % number


def test_half_a_surrogate_pair_is_kept() -> None:
    """Text that was cut off in the middle of a character must not cost the page."""
    assert bytes(read(b'[{"text": "a\\ud83d"}]').lines) == b'{"text":"a\\ud83d"}\n'


def test_the_digest_tells_pages_apart() -> None:
    """Same rows, same digest; none for a page without."""
    assert read([{"a": 1}]).digest == read(b' [ {"a" : 1} ] ').digest != read([{"a": 2}]).digest
    assert read([]).digest == 0


def test_a_row_is_written_in_one_way_whatever_else_is_in_its_page() -> None:
    """A request id of 20 digits changed how every row was written, so a page that repeated was not known again."""
    row = b'{"v": "\xc3\xa9", "f": 1e16}'
    plain = read(b'{"id": "ab", "items": [%b]}' % row)
    others = [b'{"id": "%b", "items": [%b]}' % (b"1" * 20, row), b'{"id": "\\ud83d", "items": [%b]}' % row]
    assert {read(other).digest for other in others} == {plain.digest}
    assert {bytes(read(other).lines) for other in others} == {bytes(plain.lines)}


def test_a_page_is_known_by_the_keys_of_its_rows() -> None:
    """Rows that hold their own age never repeat, so an API that ignores the page was asked for ever."""
    rows = [[{"id": 1, "age": age}, {"id": 23}] for age in (5, 6)]
    assert len({read(each).digest for each in rows}) == 2
    assert len({read(each, key="id").digest for each in rows}) == 1
    assert read(rows[0], key="id").digest != read([{"id": 12}, {"id": 3}], key="id").digest
    without = [*rows[0], {"age": 1}]
    assert read(without, key="id").digest != read([*rows[0], {"age": 2}], key="id").digest


def test_infinity_gets_into_no_output() -> None:
    """A number beyond all floats is refused in the same way, whatever else is in the page."""
    for more in (b"1", b"1" * 30):
        with pytest.raises(BadBody, match="not JSON"):
            read(b'[{"n": 1e400, "more": %b}]' % more)


@pytest.mark.parametrize(
    ("body", "options", "part"),
    [
        (b'{"error": "no"}', {"rows": "items"}, r"no rows at --rows 'items'; the answer begins .\"error"),
        (b'{"items": {}}', {"rows": "items"}, "is an object and no list"),
        (b'{"error": "no"}', {}, "without a list"),
        (b'{"a": [{}], "b": [{}]}', {}, "lists at a, b"),
        (b'{"items": [], "total": -1}', {"rows": "items", "total": "total"}, "-1, below 0"),
        (b'{"items": [], "total": "many"}', {"rows": "items", "total": "total"}, "is a string and no whole number"),
        (b'{"items": [], "total": 1.5}', {"rows": "items", "total": "total"}, "is a number and no whole number"),
        (b'{"items": [], "total": true}', {"rows": "items", "total": "total"}, "is true or false"),
        (b'{"items": []}', {"rows": "items", "total": "total"}, "no total at --total 'total'"),
        (b'{"items": [], "n": 1}', {"rows": "items", "total": "length(n)"}, "length"),
    ],
)
def test_what_is_no_such_page(body: bytes, options: Any, part: str) -> None:
    """One error, with the option that does not fit and the beginning of the answer."""
    with pytest.raises(BadPage, match=part):
        read(body, **options)


def test_an_error_quotes_three_hundred_characters() -> None:
    """Enough to see what came, and no more."""
    with pytest.raises(BadPage) as caught:
        read(orjson.dumps({"error": "x" * 1000}), rows="items")
    assert len(str(caught.value).partition("begins ")[2]) == 303


@pytest.mark.parametrize("total", [12, 12.0, "12", " 12 "])
def test_totals(total: Any) -> None:
    """Also as text, as headers have them."""
    assert read({"items": [], "n": total}, rows="items", total="n").total == 12


def test_a_total_can_be_in_a_header_and_missing_later() -> None:
    """The first page must have it; later ones may leave it out."""
    assert read([], total="header:X-Total-Count", fields=[("x-total-count", "7")]).total == 7
    assert read([], total="header:X-Total-Count", number=3).total is None


@pytest.mark.parametrize(
    ("value", "token"), [("abc", "abc"), ("", ""), (0, 0), (1.5, 1.5), (None, None), (False, None)]
)
def test_tokens(value: Any, token: Any) -> None:
    """Null and false are the end, all else that can be sent is a token."""
    assert read({"items": [], "next": value}, Cursor("next"), rows="items").next == token


@pytest.mark.parametrize("value", [True, {}, []])
def test_what_is_no_token(value: Any) -> None:
    """It is refused, not sent as text."""
    with pytest.raises(BadPage, match="no string and no number"):
        read({"items": [], "next": value}, Cursor("next"), rows="items")


@pytest.mark.parametrize(
    ("body", "paginator"),
    [
        (b'{"items": [], "total": 1e30}', Offset()),
        (b'{"items": [], "total": 1%b}' % (b"0" * 400), Offset()),
        (b'{"items": [], "total": 1, "next": "\\ud800"}', Cursor("next")),
    ],
)
def test_what_the_journal_cannot_hold_is_no_page(body: bytes, paginator: Any) -> None:
    """It is refused when it comes, not when the state is to be written."""
    with pytest.raises(BadPage):
        read(body, paginator, rows="items", total="total")


def test_next_urls_are_made_absolute_and_may_not_lead_astray() -> None:
    """In the answer and in the Link header alike."""
    assert read({"items": [], "next": "?p=2"}, NextUrl(), rows="items").next == f"{URL}?p=2"
    assert read({"items": [], "next": ""}, NextUrl(), rows="items").next is None
    link = [("Link", "</rows?p=2>; rel=next")]
    assert read([], LinkHeader(), fields=link).next == f"{URL}?p=2"
    with pytest.raises(BadPage, match=r"--allow-host evil\.test"):
        read({"items": [], "next": "https://evil.test/"}, NextUrl(), rows="items")
    other = read({"items": [], "next": "https://b.test/"}, NextUrl(), rows="items", allowed_hosts=("b.test",))
    assert other.next == "https://b.test/"
    with pytest.raises(BadPage, match="no string"):
        read({"items": [], "next": 5}, NextUrl(), rows="items")


def test_a_redirect_to_another_host_does_not_make_it_known() -> None:
    """The client took the credentials off for the redirect; the next page must not bring them there."""
    response = Response(200, (), orjson.dumps({"items": [1], "next": "?p=2"}), url="https://other.test/rows")
    reader = PageReader(NextUrl(), rows="items", home=URL)
    with pytest.raises(BadPage, match=r"--allow-host other\.test"):
        reader.read(PageAsk(0, URL), response)


def test_null_in_the_place_of_the_rows_is_a_page_without_rows() -> None:
    """Some APIs say so beyond the last page; nothing in that place is another matter."""
    assert read({"data": {"items": None}}, rows="data.items", number=3).rows == 0
    with pytest.raises(BadPage, match="no rows"):
        read({"data": {"error": "down"}}, rows="data.items", number=3)
    with pytest.raises(BadPage, match="no rows"):
        read({"data": None}, rows="data.items", number=3)


def test_no_content_is_a_page_without_rows() -> None:
    """Status 204: how some APIs end, with no JSON in it."""
    reader = PageReader(Cursor(), rows="items", total="total")
    answer = reader.read(PageAsk(1, URL), Response(204, (), b"", url=URL))
    assert (answer.rows, answer.next, answer.total) == (0, None, None)


def test_a_key_of_several_fields_that_are_all_missing_is_none() -> None:
    """Rows without any of them are kept, not taken for one another."""
    answer = read([{"a": 1}, {"b": 1}, {"b": 1}], rows="@", key="[a, c]")
    assert answer.keys == [b"[1,null]", None, None]


def test_the_place_of_the_rows_is_found_once() -> None:
    """Where they are in the first answer they are in all, also where another list would look better there."""
    reader = PageReader(Offset())
    reader.read(PageAsk(0, URL), Response(200, (), b'{"users": [{"id": 1}]}'))
    answer = reader.read(PageAsk(1, URL), Response(200, (), b'{"users": [], "items": [{"id": 1}]}'))
    assert (reader.rows_path, answer.rows) == ("users", 0)


def test_keys_differ_by_type_and_value() -> None:
    """1, "1", 1.0 and true are four; a row without is none."""
    rows = [{"k": 1}, {"k": "1"}, {"k": 1.0}, {"k": True}, {"k": None}, {}, 5, {"k": {"b": 1, "a": 2}}, {"k": 10**30}]
    keys = read(json.dumps(rows).encode(), key="k").keys
    assert keys is not None
    assert keys[4:7] == [None, None, None]
    assert len({*keys[:4], *keys[7:]}) == 6
    assert read([{"a": {"b": 3}}], key="a.b").keys == read([{"k": 3}], key="k").keys


def test_statuses() -> None:
    """404 is an end only where that was said, and never for the first page."""
    reader = PageReader(Offset(), end_statuses={404})
    assert reader.read(PageAsk(3, URL), Response(404)).gone
    for number, status in ((0, 404), (3, 410), (3, 500)):
        with pytest.raises(StatusError):
            reader.read(PageAsk(number, URL), Response(status))
    with pytest.raises(BadBody, match="not JSON"):
        read(b"<html>")
    with pytest.raises(BadBody, match="not JSON"):
        read(b'[{"n": NaN, "long": 12345678901234567890123}]')


@pytest.mark.parametrize(
    ("paging", "url"),
    [
        (Paging("offset"), f"{URL}?offset=0"),
        (Paging("offset", page_size=9, start="4", offset_param="skip", size_param="n"), f"{URL}?skip=4&n=9"),
        (Paging("page", page_size=9), f"{URL}?page=1&per_page=9"),
        (Paging("page", start="0", page_param="p"), f"{URL}?p=0"),
        (Paging("cursor", page_size=9), f"{URL}?limit=9"),
        (Paging("cursor", start="abc", cursor_param="after"), f"{URL}?after=abc"),
        (Paging("next-url", page_size=9), f"{URL}?limit=9"),
        (Paging("link", page_size=9), f"{URL}?per_page=9"),
        (Paging("link", start="https://api.test/rows?p=7"), "https://api.test/rows?p=7"),
    ],
)
def test_the_first_page_of_each_style(paging: Paging, url: str) -> None:
    """What the options say is what is asked for."""
    paginator: Any = make_paginator(paging)
    if isinstance(paginator, Offset) or paging.style == "page":
        assert paginator.page_url(URL, 0, None) == url
    else:
        assert paginator.url(URL, paginator.first()) == url


def test_an_offset_asks_for_as_many_rows_as_the_first_page_held() -> None:
    """So that neither an API that caps the size nor one that filters loses or doubles a row."""
    assert Offset(1000).page_url(URL, 3, 98) == f"{URL}?offset=294&limit=98"


def test_a_wrong_expression_is_refused_beforehand() -> None:
    """It names the option."""
    for make in (lambda: Cursor("a["), lambda: PageReader(Offset(), rows="a["), lambda: PageReader(Offset(), key="a[")):
        with pytest.raises(UsageError, match=r"--(next|rows|key)"):
            make()
