"""APIs that mislead a whole pull, in virtual time: each test is the story of rows that were lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from penstock import LinkHeader, PenstockError, PullWarning, Response, UsageError
from penstock.outbound.paging.countable import CountablePlan
from penstock.outbound.paging.pages import PageNumber
from penstock.rules.pagination.style import Paging
from penstock.runs.flow import Flow
from penstock.testing import run_virtual

from .test_pull import OFFSET, URL, Api, Query, ids, pages_of, pull
from .test_pull_plans import BASE, answer_of, failure


def numbered(query: Query, count: int, total: Any = None, size: int = 10) -> dict[str, Any]:
    """Page `page` of an API that counts pages; `total` where it tells one."""
    page = int(query.get("page", 1))
    rows = [{"id": row} for row in range((page - 1) * size, min(count, page * size))]
    return {"items": rows} | ({} if total is None else {"total": total})


def cursors(count: int, first: str | None = None) -> Callable[[Query], Any]:
    """An API of `count` pages of one row, whose first token is `first`."""

    def answer(query: Query) -> Any:
        token = query.get("cursor", first)
        page = 0 if token == first else int(token or 0)
        return {"items": [{"id": page}], "next_cursor": str(page + 1) if page + 1 < count else None}

    return answer


PAGE = Paging("page", rows="items", total="total")


def test_a_total_of_nothing_beyond_the_end_hides_no_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page 6 came empty by mistake, and the look beyond the end answered `total: 0`: 90 rows, and exit code 0."""

    def answer(query: Query) -> Any:
        start = int(query["offset"])
        rows = [{"id": row} for row in range(start, min(100, start + 10)) if start != 50]
        return {"items": rows, "total": 100 if rows else 0}

    summary = pull(monkeypatch, Api(answer), tmp_path / "out.jsonl", OFFSET)
    assert (summary["rows"], summary["rows_promised"], summary["short"]) == (90, 100, True)


def test_a_total_of_nothing_beyond_the_end_hides_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that failed later than that counted as one beyond the end, and was never asked for again."""

    def answer(query: Query) -> Any:
        page = int(query["page"])
        return Response(500) if page == 9 else numbered(query, 100, 100 if page <= 10 else 0)

    summary = pull(monkeypatch, Api(answer), tmp_path / "out.jsonl", PAGE)
    assert [each["page"] for each in summary["failed_pages"]] == [9]
    assert summary["short"]


def test_a_total_of_nothing_at_the_end_of_a_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """50 of 100 rows, and the last page says that there are none."""

    def answer(query: Query) -> Any:
        page = int(query.get("cursor", 0))
        rows = [{"id": page * 10 + row} for row in range(10)] if page < 5 else []
        return {"items": rows, "next_cursor": page + 1 if page < 5 else None, "total": 100 if rows else 0}

    summary = pull(monkeypatch, Api(answer), tmp_path / "out.jsonl", Paging("cursor", total="total"))
    assert (summary["rows"], summary["rows_promised"], summary["short"]) == (50, 100, True)
    assert ids(tmp_path / "out.jsonl") == list(range(50))


def test_a_total_that_lies_low_excuses_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """90 of 200 rows were promised: page 12 answered 400, which counted as empty, so 190 came with exit code 0."""
    down = True

    def answer(query: Query) -> Any:
        return Response(400) if down and query["page"] == "12" else numbered(query, 200, 90)

    out = tmp_path / "out.jsonl"
    summary = pull(monkeypatch, Api(answer), out, PAGE)
    assert (summary["rows"], [each["page"] for each in summary["failed_pages"]]) == (190, [12])
    down = False
    assert pull(monkeypatch, Api(answer), out, PAGE)["rows"] == 200


def test_a_failure_beyond_the_promise_is_judged_at_the_end() -> None:
    """The total grew after page 11 had been refused as one beyond the end."""
    plan = CountablePlan(PageNumber(), BASE)
    asks = plan.asks()
    plan.answered(answer_of(asks[0], ["0"], total=2))
    (second, third) = plan.asks()
    assert not plan.failed(third, failure(third, status=400))
    plan.answered(answer_of(second, ["1"], total=4))
    while asks := plan.asks():
        for ask in asks:
            plan.answered(answer_of(ask, [str(ask.number)] if ask.number < 4 else [], total=4))
    assert list(plan.tally.failed) == [2]


def test_a_late_second_page_that_equals_the_first_costs_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale cache gave page 1 for page 2, late: the whole pull was deleted, as if a parameter were ignored."""
    tries = 0

    def answer(query: Query) -> Any:
        nonlocal tries
        tries += query["page"] == "2"
        if query["page"] == "2" and tries < 4:
            return Response(503, [("Retry-After", "2")])
        return numbered(query | {"page": "1"} if query["page"] == "2" else query, 300, 300)

    out = tmp_path / "out.jsonl"
    summary = pull(monkeypatch, Api(answer), out, PAGE)
    assert set(ids(out)) == set(range(300)) - set(range(10, 20))
    assert "page 2 holds the very rows of another one" in summary["warnings"][0]


def test_nothing_that_was_kept_is_deleted_because_of_a_later_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is the user's fault may be forgotten, but only while there is no more than the first page."""
    out = tmp_path / "out.jsonl"
    real = CountablePlan.answered

    def raising(self: CountablePlan, answer: Any) -> Any:
        if answer.number == 5:
            raise UsageError("this is not what it should be")
        return real(self, answer)

    monkeypatch.setattr(CountablePlan, "answered", raising)
    with pytest.raises(PenstockError, match="what came before is kept") as caught:
        pull(monkeypatch, Api(lambda query: numbered(query, 100, 100)), out, PAGE)
    assert not isinstance(caught.value, UsageError)
    assert len(ids(out)) > 10


@pytest.mark.parametrize("second", [Response(400), {"error": "busy"}])
def test_a_first_page_that_is_refused_the_second_time_costs_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: Any
) -> None:
    """Where it is asked for again to learn the size and refused, the pull was deleted as one that cannot begin."""
    asked = 0

    def answer(query: Query) -> Any:
        nonlocal asked
        asked += query["offset"] == "0"
        if query["offset"] == "0" and 1 < asked < 5:
            return second if asked == 4 else Response(503, [("Retry-After", "1")])
        return capped(query)

    def capped(query: Query) -> Any:
        # The first answer leaves out a row, as a filter does, so the second repeats one.
        start = int(query["offset"])
        rows = list(range(start, min(200, start + 10 + (asked == 1 and start == 0))))
        return {"items": [{"id": row} for row in rows if row or asked > 1 or start], "total": 200}

    out, paging = tmp_path / "out.jsonl", Paging("offset", page_size=50, rows="items", total="total")
    if isinstance(second, Response):
        summary = pull(monkeypatch, Api(answer), out, paging)
        assert [each["page"] for each in summary["failed_pages"]] == [1]
    else:
        with pytest.raises(PenstockError, match="page 1: there are no rows") as caught:
            pull(monkeypatch, Api(answer), out, paging)
        assert not isinstance(caught.value, UsageError)
    assert ids(out) == list(range(10, 200))
    pull(monkeypatch, Api(answer), out, paging)
    assert ids(out) == list(range(200))


def test_a_first_page_alone_is_the_first_of_many_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --max-pages 1 it was not seen how many rows the page covers; the next command doubled some."""

    def answer(query: Query) -> Any:
        start, size = int(query["offset"]), int(query.get("limit", 10))
        return {"items": [{"id": row} for row in range(start, min(100, start + size)) if row % 10]}

    out = tmp_path / "out.jsonl"
    pull(monkeypatch, Api(answer), out, Paging("offset"), most_pages=1)
    pull(monkeypatch, Api(answer), out, Paging("offset"))
    assert ids(out) == [row for row in range(100) if row % 10]


def test_an_empty_token_to_start_with_is_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--start ''` gave no rows at all with exit code 0, also where the API answered 401."""
    out, paging = tmp_path / "out.jsonl", Paging("cursor", start="")
    assert pull(monkeypatch, Api(cursors(5, first="")), out, paging)["rows"] == 5
    with pytest.raises(UsageError, match="401"):
        pull(monkeypatch, Api(lambda query: Response(401)), tmp_path / "no.jsonl", paging)


@pytest.mark.parametrize("status", [401, 403, 408])
def test_who_may_not_ask_is_not_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A token that expired on the page `""` was taken for an API that refuses the empty token."""
    answer = {None: {"items": [{"id": 1}], "next_cursor": "", "total": 2}, "": Response(status)}
    paging = Paging("cursor", total="total")
    with pytest.raises(PenstockError, match="page 2 failed"):
        pull(monkeypatch, Api(lambda query: answer[query.get("cursor")]), tmp_path / "o.jsonl", paging)


def test_rows_that_come_twice_do_not_make_up_for_missing_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 rows came and 100 were promised, but five of them were dropped by their key: that was exit code 0."""

    def answer(query: Query) -> Any:
        start = int(query["offset"]) - 5 * (query["offset"] == "50")
        return {"items": [{"id": row} for row in range(start, min(100, start + 10))], "total": 100}

    summary = pull(monkeypatch, Api(answer), tmp_path / "out.jsonl", OFFSET, key="id")
    assert (summary["rows"], summary["duplicates"], summary["short"]) == (95, 5, True)
    assert summary["warnings"] == ["the API promised 100 rows and gave 95 different ones (5 came twice)"]


def test_a_total_that_changes_says_that_rows_may_have_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rows at the head were deleted while pulling, so five others were skipped, and the total agreed."""
    first, asked = 0, 0

    def answer(query: Query) -> Any:
        nonlocal first, asked
        asked += 1
        first = 5 if asked > 4 else 0
        start = first + int(query["offset"])
        return {"items": [{"id": row} for row in range(start, min(100, start + 10))], "total": 100 - first}

    paging = Paging("offset", page_size=10, total="total")
    summary = pull(monkeypatch, Api(answer), tmp_path / "out.jsonl", paging, flow=Flow(in_flight=1))
    assert summary["rows"] == 95
    assert summary["warnings"] == [
        "the total went from 100 to 95 while pulling, so rows may have moved between pages",
    ]


def test_the_last_word_is_said_whatever_else_there_is_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty holes used up the room for warnings, and that a thousand rows were missing was not said."""

    def answer(query: Query) -> Any:
        page = int(query["page"])
        return numbered(query, 1300, 2000) if page % 2 else {"items": [], "total": 2000}

    summary = pull(monkeypatch, Api(answer), tmp_path / "out.jsonl", PAGE)
    assert summary["warnings"][0] == "the API promised 2,000 rows and gave 650"
    assert len(summary["warnings"]) == 51


@pytest.mark.parametrize(
    ("paging", "more", "part"),
    [
        (Paging("cursor"), {"paging": {"next_cursor": "x"}}, "'next_cursor'; names like it: paging.next_cursor;"),
        (Paging("next-url", next="links.next"), {"links": {}, "next": "/x"}, "'links.next'; names like it: next;"),
        (Paging("next-url", next='"@odata.nextLink"'), {}, "names no next page at '\"@odata.nextLink\"';"),
        (Paging("link"), {}, "has no Link header"),
    ],
)
def test_a_first_page_without_a_place_for_the_next_may_not_be_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paging: Paging, more: dict[str, Any], part: str
) -> None:
    """With a wrong --next one page of a thousand came, with exit code 0 and no word."""
    rows = [{"id": number} for number in range(10)]
    out, api = tmp_path / "out.jsonl", Api(lambda query: {"items": rows, "total": 10, **more})
    summary = pull(monkeypatch, api, out, paging)
    assert summary["short"]
    assert part in summary["warnings"][0]
    assert not pull(monkeypatch, api, out, paging, most_pages=1)["short"]
    summary = pull(monkeypatch, api, tmp_path / "t.jsonl", replace(paging, total="total"))
    assert (summary["short"], summary["warnings"]) == (False, [])


@pytest.mark.parametrize("paging", [Paging("cursor"), Paging("link")])
def test_a_first_page_that_is_no_full_one_is_taken_for_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paging: Paging
) -> None:
    """APIs that leave the field out on their last page have lists of one page, too: said, and no failure."""
    api = Api(lambda query: {"items": [{"id": number} for number in range(7)]})
    summary = pull(monkeypatch, api, tmp_path / "out.jsonl", paging)
    assert (summary["short"], len(summary["warnings"])) == (False, 1)


@pytest.mark.parametrize(
    ("paging", "more", "fields"),
    [
        (Paging("cursor"), {"next_cursor": None}, ()),
        (Paging("cursor", next="links.next"), {"links": None}, ()),
        (Paging("cursor", next='"a.b\\"c"'), {'a.b"c': None}, ()),
        (Paging("cursor", next="has_more && items[-1].id"), {"has_more": False}, ()),
        (Paging("link"), {}, [("Link", '</rows>; rel="first"')]),
    ],
)
def test_a_first_page_that_says_that_it_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paging: Paging, more: dict[str, Any], fields: Any
) -> None:
    """Null is an end; so is a Link header in which only others are named."""
    body = orjson.dumps({"items": [{"id": 1}], **more})
    summary = pull(monkeypatch, Api(lambda query: Response(200, fields, body, url=URL)), tmp_path / "o.jsonl", paging)
    assert (summary["short"], summary["warnings"]) == (False, [])


def test_a_first_page_without_a_place_for_the_next_from_python() -> None:
    """It is a warning there."""
    with pytest.warns(PullWarning, match="no Link header"):
        run_virtual(pages_of(Api(lambda query: [{"id": 1}]), LinkHeader()))


def test_an_api_that_ignores_the_page_is_known_by_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row held the time, so no page was equal to another: it asked for ever, and dropped every row."""
    asked = 0

    def answer(query: Query) -> Any:
        nonlocal asked
        asked += 1
        return [{"id": row, "age": asked} for row in range(10)]

    with pytest.raises(UsageError, match="ignore the parameter 'page'"):
        pull(monkeypatch, Api(answer), tmp_path / "out.jsonl", Paging("page"), key="id", most_pages=100)


@pytest.mark.parametrize("in_flight", [1, 8])
def test_pages_that_overlap_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_flight: int) -> None:
    """The API ignores the size and leaves out rows after it cut the page, so offsets are no longer where it says."""

    def answer(query: Query) -> Any:
        start = int(query["offset"])
        return [{"id": row} for row in range(start, min(1000, start + 10)) if row % 10 < 7]

    flow, out = Flow(in_flight=in_flight), tmp_path / "out.jsonl"
    summary = pull(monkeypatch, Api(answer), out, Paging("offset"), flow=flow)
    assert len(ids(out)) > len(set(ids(out)))
    assert "so rows come twice" in summary["warnings"][0]
    assert pull(monkeypatch, Api(answer), out, Paging("offset"), flow=flow, key="id", fresh=True)["warnings"] == []


def test_rows_that_are_all_alike_do_not_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an id, equal rows are no sign of anything."""

    def answer(query: Query) -> Any:
        page = int(query["page"])
        return [{"page": page}, *[{"ok": True}] * 4] if page < 9 else []

    assert pull(monkeypatch, Api(answer), tmp_path / "out.jsonl", Paging("page"))["warnings"] == []


@pytest.mark.parametrize(("claimed", "said"), [(None, True), (9, True), (3, False)])
def test_no_content_in_the_middle_of_a_chain_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claimed: int | None, said: bool
) -> None:
    """It names no next page, so 3 pages of 9 came, with exit code 0; where the total agrees it is an end."""

    def answer(query: Query) -> Any:
        page = int(query.get("cursor", 0))
        return Response(204) if page == 3 else {"items": [{"id": page}], "next_cursor": page + 1, "total": claimed}

    paging = Paging("cursor", rows="items", total=None if claimed is None else "total")
    summary = pull(monkeypatch, Api(answer), tmp_path / "out.jsonl", paging)
    assert summary["rows"] == 3
    assert any("HTTP 204" in text for text in summary["warnings"]) is said
    assert summary["short"] is (claimed == 9)


@pytest.mark.parametrize("paging", [Paging(), Paging("offset"), Paging("cursor")])
@pytest.mark.parametrize(
    ("response", "part"),
    [
        (
            Response(200, [("Content-Type", "text/html")], b"<!doctype html><title>Sign in</title>"),
            "a --header to log in",
        ),
        (Response(401, (), b'{"error":"who?"}'), "--header 'Authorization: Bearer"),
    ],
)
def test_a_first_page_that_asks_who_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paging: Paging, response: Response, part: str
) -> None:
    """A page for people, or a 401: what it wants is most likely a header, so that is said."""
    with pytest.raises(UsageError, match=part):
        pull(monkeypatch, Api(lambda query: response), tmp_path / "out.jsonl", paging)
