"""What the first answer of an API says of its paging."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.errors import UsageError
from penstock.rules.pagination.detect import detect
from penstock.rules.pagination.find_rows import find_rows
from penstock.rules.pagination.style import Paging

ROWS = [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("answer", "paths"),
    [
        (ROWS, ["@"]),
        ([], ["@"]),
        ({"items": ROWS}, ["items"]),
        ({"data": {"users": ROWS}, "tags": ["a"]}, ["data.users"]),
        ({"results": ROWS, "facets": [{"name": "x"}]}, ["results"]),
        ({"orders": ROWS, "warnings": []}, ["orders"]),
        ({"a": ROWS, "b": ROWS}, ["a", "b"]),
        ({"odd name": ROWS}, ['"odd name"']),
        ({"error": "x"}, []),
        ("text", []),
    ],
)
def test_the_rows_are_found(answer: Any, paths: list[str]) -> None:
    """A list of objects, under a usual name if there are several; two as good as each other are a doubt."""
    assert find_rows(answer) == paths


def found(answer: Any, *, names: tuple[str, ...] = (), link: str | None = None, **headers: str) -> Paging:
    """What `detect` makes of an answer."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return detect(answer, fields, link, names, Paging()).paging


@pytest.mark.parametrize(
    ("answer", "names", "paging"),
    [
        (
            {"items": ROWS, "total": 9, "next": "https://a.test/x?p=2"},
            (),
            Paging("next-url", rows="items", total="total", next="next"),
        ),
        (
            {"value": ROWS, "@odata.nextLink": "https://a.test/x?$skip=2"},
            (),
            Paging("next-url", rows="value", next='"@odata.nextLink"'),
        ),
        (
            {"items": ROWS, "_links": {"self": {"href": "/x"}, "next": {"href": "/x?p=2"}}},
            (),
            Paging("next-url", rows="items", next="_links.next.href"),
        ),
        (
            {"data": ROWS, "meta": {"next_cursor": "abc", "total": 7}},
            (),
            Paging("cursor", rows="data", total="meta.total", next="meta.next_cursor", cursor_param="cursor"),
        ),
        (
            {"items": ROWS, "nextPageToken": "abc"},
            (),
            Paging("cursor", rows="items", next="nextPageToken", cursor_param="pageToken"),
        ),
        (
            {"items": ROWS, "total": 9, "offset": 0, "limit": 2},
            (),
            Paging("offset", rows="items", total="total", offset_param="offset", size_param="limit"),
        ),
        (
            {"items": ROWS, "meta": {"current_page": 1, "per_page": 2, "total": 9}},
            (),
            Paging("page", rows="items", total="meta.total", page_param="page", size_param="per_page"),
        ),
        (
            {"content": ROWS, "page": {"number": 0, "size": 2, "totalElements": 9}, "pageIndex": 0},
            (),
            Paging(
                "page", rows="content", total="page.totalElements", page_param="pageIndex", size_param="size", start="0"
            ),
        ),
        (ROWS, ("skip", "limit"), Paging("offset", rows="@", offset_param="skip", size_param="limit")),
        ({"items": ROWS, "next": None}, (), Paging("next-url", rows="items", next="next")),
        ({"items": ROWS, "total": 2}, (), Paging("link", rows="items", total="total")),
        ({"items": ROWS, "count": 2, "page": 1}, (), Paging("page", rows="items", page_param="page")),
    ],
)
def test_the_style_is_found(answer: Any, names: tuple[str, ...], paging: Paging) -> None:
    """URLs and tokens before numbers; a count that is that of the page is no total."""
    assert found(answer, names=names) == paging


@pytest.mark.parametrize(
    "name", ["next_cursor", "nextCursor", "NextCursor", "next-cursor", "NEXT_CURSOR", "next.cursor"]
)
def test_names_are_the_same_however_they_are_spelt(name: str) -> None:
    """Case, dashes and underscores are a matter of taste."""
    paging = found({"items": ROWS, name: "abc"})
    assert (paging.style, paging.cursor_param) == ("cursor", "cursor")


@pytest.mark.parametrize(
    ("told", "more"),
    [
        ({"has_more": True}, "has_more"),
        ({"meta": {"hasNextPage": True}}, "meta.hasNextPage"),
        ({"isLast": False}, "!isLast"),
        ({"done": False}, "!done"),
        ({"last": False}, "!last"),
        ({"last": 5}, None),
        ({"has_more": "yes"}, None),
        ({"truncated": False}, None),
        ({"done": True, "total": 50}, None),
        ({"finished": True, "total_pages": 3}, None),
        ({"last": True, "total": 50}, None),
        ({"has_more": False, "total": 50}, None),
    ],
)
def test_a_flag_for_more_is_found(told: dict[str, Any], more: str | None) -> None:
    """Only where it is one: `last` is as often the number of the last page, and `done` speaks of a job or a query.

    What ends a pull at once though the answer promises more is none: a table of Datasette was one page.
    """
    assert found({"items": ROWS, "next_cursor": "abc", **told}).more == more


def test_what_is_told_to_be_all_needs_no_proof() -> None:
    """No more, one page, or a total that is reached: not a call is made for it."""
    for told in ({"has_more": False}, {"total_pages": 1}, {"total": 2}, {"isLast": True}):
        detected = detect({"items": ROWS, **told}, {}, None, (), Paging())
        assert (detected.doubt, detected.candidates) == ("", ())


def test_a_link_header_comes_first() -> None:
    """It is the one way that has a standard; totals can be in headers, too."""
    paging = found(ROWS, link="https://a.test/x?p=2", x_total_count="9")
    assert paging == Paging("link", rows="@", total="header:x-total-count")


@pytest.mark.parametrize(
    ("answer", "part", "options"),
    [
        (ROWS, "a list of 2 rows", "--paginate offset --page-size 2 --rows @"),
        (
            {"count": 3000, "results": ROWS},
            "rows at 'results' (2 in the first page); a total at 'count'",
            "--paginate offset --page-size 2 --rows results --total count",
        ),
        (
            {"items": ROWS, "next": "t2"},
            "If 'next' is the next page's token",
            "--paginate cursor --page-size 2 --cursor-param NAME --rows items --next next",
        ),
        ({"data": ROWS * 50, "total": 100}, "--paginate link --total total", "--paginate offset --page-size 100"),
    ],
)
def test_what_is_not_clear_is_a_doubt(answer: Any, part: str, options: str) -> None:
    """It says what was seen, and has the command that may be meant."""
    unclear = detect(answer, {}, None, (), Paging())
    assert "cannot tell how this API pages" in unclear.doubt
    assert part in f"{unclear.doubt}. {unclear.hint}"
    assert options in " ".join(unclear.paging.as_options())


@pytest.mark.parametrize("answer", [{"a": ROWS, "b": ROWS}, {"error": "no"}])
def test_rows_that_are_not_found_are_refused(answer: Any) -> None:
    """It says which option to give."""
    with pytest.raises(UsageError, match="--rows"):
        found(answer)


@pytest.mark.parametrize("count", [3, 7, 49, 101])
def test_a_total_of_what_is_there_is_the_end(count: int) -> None:
    """Unless it is a number that a page may have: then it is as likely the count of this page."""
    rows = [{"id": row} for row in range(count)]
    assert found({"items": rows, "total": count}) == Paging("link", rows="items", total="total")


@pytest.mark.parametrize("count", [10, 16, 25, 64, 100])
def test_a_total_that_is_the_size_of_a_page_is_no_end(count: int) -> None:
    """One page of five came, with exit code 0; if the user says that it is the total, it is believed."""
    answer = {"items": [{"id": row} for row in range(count)], "total": count}
    assert detect(answer, {}, None, (), Paging()).doubt
    assert detect(answer, {}, None, (), Paging(total="total")).paging.style == "link"


def test_a_null_of_something_else_is_no_end() -> None:
    """`page: 1` and `after: null`: one page came, with exit code 0."""
    assert found({"data": ROWS, "page": 1, "meta": {"after": None}}).style == "page"
    assert found({"data": ROWS, "page": 1, "meta": {"next_cursor": None}}).style == "next-url"
    assert found({"data": ROWS, "meta": {"after": None}}).style == "next-url"


def test_what_was_asked_for_is_not_questioned() -> None:
    """Options that were given stay, the rest is found."""
    asked = Paging(rows="data.rows", page_size=5)
    answer = {"data": {"rows": ROWS}, "other": ROWS, "next": "https://a.test/2"}
    assert detect(answer, {}, None, (), asked).paging == Paging("next-url", page_size=5, rows="data.rows", next="next")


def test_what_was_found_can_be_typed() -> None:
    """As options of the command."""
    assert Paging("cursor", page_size=5, next="a.b").as_options() == [
        *("--paginate", "cursor"),
        *("--page-size", "5"),
        *("--next", "a.b"),
    ]


def test_what_was_found_is_put_into_the_command() -> None:
    """What it says already is not there twice; what is no option of paging stays as it is."""
    command = ("penstock", "pull", "--page-size", "25", "U", "--paginate=cursor", "--out", "o", "--rows", "a.b")
    assert Paging("cursor", page_size=25, rows="a.b", next="n").in_command(command) == [
        *("penstock", "pull", "U", "--out", "o"),
        *("--paginate", "cursor", "--page-size", "25", "--rows", "a.b", "--next", "n"),
    ]


@pytest.mark.parametrize(
    ("paging", "part"),
    [
        (Paging("offset", next="x"), "--next only goes with"),
        (Paging("cursor", page_param="x"), "--page-param only goes with"),
        (Paging("auto", cursor_param="x"), "--cursor-param only goes with"),
        (Paging("page", start="x"), "must be a number"),
        (Paging("auto", start="1"), "--start needs"),
        (Paging("page", page_size=0), "at least 1"),
        (Paging("pages"), "none of auto"),
    ],
)
def test_options_that_do_not_go_together_are_refused(paging: Paging, part: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match=part):
        paging.check()


def test_a_null_that_the_total_speaks_against_is_no_end() -> None:
    """`cursor` may be what was asked for and not what comes next; a null elsewhere in a full answer is the end."""
    assert found({"items": ROWS, "cursor": None, "offset": 0, "total": 9}).style == "offset"
    assert found({"items": ROWS, "cursor": None, "offset": 0, "total": 2}).style == "next-url"
    assert detect({"items": ROWS, "cursor": None, "total": 9}, {}, None, (), Paging()).doubt
