"""Every style of pagination against every way to mislead: it ends, with each row once, or says clearly why not.

Through the whole command line, over real sockets; compared with the data set of the API row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.testing import FaultPlan, PagedApi, SlidingLog, most_in_any_window
from penstock.testing.paged_api import STYLES

from .paged import CHAINED, COUNTABLE, PAGE_SIZE, Pulled, listening, options_of, pull

ROWS = 95
PAGES = 10
BEYOND = 12
"""Pages that may be asked for beyond the last one to see that it was the last."""

pytestmark = pytest.mark.real

Run = Callable[..., Pulled]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Pull all of an API, and compare each row that came with the data set."""

    def play(api: PagedApi, *more: str, total: bool = True, page_size: int = PAGE_SIZE, **server: Any) -> Pulled:
        with listening(api, **server) as (url, _):
            options = options_of(api.style, page_size=page_size, total=total)
            pulled = pull(url, tmp_path / "out.jsonl", [*options, *more], capsys)
        compare(api, pulled)
        return pulled

    return play


def compare(api: PagedApi, pulled: Pulled) -> None:
    """Whatever happened: no row twice, none that is not as the API has it, and as many as the summary says."""
    numbers = pulled.numbers
    assert len(numbers) == len(set(numbers)), f"doubled: {pulled.said}"
    assert all(row == api.dataset[row["id"]] for row in pulled.rows)
    if pulled.summary:
        assert pulled.summary["rows"] == len(numbers)


def make(style: Any, **settings: Any) -> PagedApi:
    """The API of most tests."""
    return PagedApi(**{"rows": ROWS, "page_size": PAGE_SIZE, "style": style, **settings})


def whole(api: PagedApi, pulled: Pulled) -> None:
    """All rows, and the run says that all is well."""
    assert pulled.numbers == list(range(api.rows)), pulled.said
    assert pulled.code == 0, pulled.said


# What is in order.


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("total", [True, False], ids=["total", "no total"])
@pytest.mark.parametrize("rows", [0, 1, 10, 95, 100])
def test_plain(run: Run, style: str, total: bool, rows: int) -> None:
    """Every row once; no page is asked for twice, few beyond the end."""
    api = make(style, rows=rows, show_total=total)
    # A first page without a Link header may be one of many, unless the user says that it is all there is.
    only_page = ["--max-pages", "1"] if style == "link" and 0 < rows <= 10 and not total else []
    pulled = run(api, *only_page, total=total)
    whole(api, pulled)
    assert all(count == 1 for count in api.asked.values())
    assert len(api.asked) <= max(1, rows // 10) + (BEYOND if style in COUNTABLE else 1)
    if total:
        assert pulled.summary["rows_promised"] == rows
    assert pulled.summary["warnings"] == []


@pytest.mark.parametrize("style", STYLES)
def test_an_api_that_gives_fewer_rows_a_page_than_asked_for(run: Run, style: str) -> None:
    """Asked for 50 it gives 10: an offset that goes on by 50 would lose four rows of five."""
    api = make(style, max_page_size=10)
    whole(api, run(api, page_size=50))


@pytest.mark.parametrize("style", STYLES)
def test_an_api_that_gives_fewer_rows_and_no_total(run: Run, style: str) -> None:
    """The same where only looking ahead tells that there is more."""
    api = make(style, max_page_size=10, show_total=False)
    whole(api, run(api, page_size=50, total=False))


@pytest.mark.parametrize("style", STYLES)
def test_a_flaky_api(run: Run, style: str) -> None:
    """Throttling, errors, resets and torn answers cost attempts, not rows."""
    api = make(style, show_total=style != "page")
    kinds = ("429", "503", "reset", "truncated", "garbage_json")
    faults = FaultPlan(3, dict.fromkeys(kinds, 0.06), retry_after=0)
    # A fixed number in flight: what a 429 does to the adaptive pace is not for this test to wait for.
    patience = ["--retry-budget", "100%", "--in-flight", "8"]
    pulled = run(api, *patience, total=style != "page", faults=faults)
    whole(api, pulled)
    assert pulled.summary["retries"] > 0


@pytest.mark.parametrize("style", COUNTABLE)
def test_the_limit_is_kept(tmp_path: Path, style: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Pages at once, and never more than the limit: the strictest limiter refuses none."""
    api = make(style)
    arrivals = tmp_path / "arrivals"
    with listening(api, limiter=SlidingLog(4, 0.25), arrivals_log=arrivals) as (url, server):
        options = [*options_of(style), "--limit", "4/250ms", "--guard", "50ms"]
        pulled = pull(url, tmp_path / "out.jsonl", options, capsys)
        assert server.statistics().limit_violations == 0
    whole(api, pulled)
    from penstock.testing import read_arrivals

    assert most_in_any_window(read_arrivals(arrivals), 0.25) <= 4


# Chains that lead back.


@pytest.mark.parametrize("style", CHAINED)
@pytest.mark.parametrize(
    ("turn_back", "pages"),
    [({5: 2}, 6), ({3: 3}, 4), ({1: 0}, 2), ({9: 0}, 10)],
    ids=["cycle", "stands still", "A-B-A", "the last leads to the first"],
)
def test_a_cycle(run: Run, style: str, turn_back: dict[int, int], pages: int) -> None:
    """It ends, says that the API leads in a circle, and has what came before that once."""
    api = make(style, turn_back=turn_back, show_total=False)
    pulled = run(api, total=False)
    assert pulled.numbers == list(range(ROWS))[: pages * PAGE_SIZE]
    assert pulled.code in (1, 3), pulled.said
    assert "before" in pulled.said or "circle" in pulled.said or "cycle" in pulled.said, pulled.said


@pytest.mark.parametrize("style", CHAINED)
def test_a_first_page_that_leads_to_itself(run: Run, style: str) -> None:
    """It looks like an API that does not know the parameter, so nothing is kept, and the user is asked to look."""
    pulled = run(make(style, turn_back={0: 0}, show_total=False), total=False)
    assert (pulled.code, pulled.numbers) == (2, [])
    assert "same rows" in pulled.errors


@pytest.mark.parametrize("style", CHAINED)
def test_a_cycle_after_everything_has_come_is_an_end(run: Run, style: str) -> None:
    """The last page leads to the first, and the total says that it is the last: nothing is missing."""
    api = make(style, turn_back={9: 0})
    pulled = run(api)
    assert pulled.numbers == list(range(ROWS))
    assert pulled.code in (0, 1)
    assert pulled.summary["rows_promised"] == ROWS
    assert pulled.said.strip()


@pytest.mark.parametrize("style", CHAINED)
def test_a_cycle_back_to_before_a_restart(tmp_path: Path, style: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What led somewhere in an earlier session is known in the next: no row comes twice."""
    api = make(style, malformed={6: "no_rows"}, show_total=False)
    out, options = tmp_path / "out.jsonl", options_of(style, total=False)
    with listening(api) as (url, _):
        assert pull(url, out, options, capsys).code == 3
        api.malformed, api.turn_back = {}, {8: 2}
        pulled = pull(url, out, options, capsys)
    compare(api, pulled)
    assert pulled.numbers == list(range(90))
    assert pulled.code in (1, 3)
    assert api.asked[0] == api.asked[3] == 1


@pytest.mark.parametrize("style", STYLES)
def test_pages_that_never_empty_after_a_restart(tmp_path: Path, style: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the pages of an earlier session held is known in the next."""
    api = make(style, rows=100, beyond_end="first", always_next=True, show_total=False, malformed={7: "no_rows"})
    out, options = tmp_path / "out.jsonl", [*options_of(style, total=False), "--in-flight", "1"]
    with listening(api) as (url, _):
        assert pull(url, out, options, capsys).code == 3
        api.malformed = {}
        pulled = pull(url, out, options, capsys)
    compare(api, pulled)
    assert pulled.numbers == list(range(100))
    assert len(api.asked) < PAGES + 60


# Pages without rows.


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("total", [True, False], ids=["total", "no total"])
@pytest.mark.parametrize("empty", [{3}, {4, 5}, {2, 5, 8}], ids=["one", "two in a row", "three"])
def test_an_empty_page_is_not_the_end(run: Run, style: str, total: bool, empty: set[int]) -> None:
    """Behind a page without rows there are more, and they come."""
    api = make(style, empty_pages=empty, show_total=total)
    pulled = run(api, total=total)
    assert pulled.numbers == list(range(ROWS)), pulled.said
    # An honest total counts what lies in the gap as well, so fewer rows came than were promised.
    assert pulled.code == (1 if total else 0), pulled.said


@pytest.mark.parametrize("style", CHAINED)
def test_empty_pages_for_ever_end(run: Run, style: str) -> None:
    """Ever new tokens, and never a row again: it does not ask for ever."""
    api = make(style, show_total=False, always_next=True)
    pulled = run(api, total=False)
    assert pulled.numbers == list(range(ROWS))
    assert pulled.code in (1, 3)
    assert pulled.said.strip()
    assert len(api.asked) < 2000


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("every", [4, 10, 13])
def test_rows_that_are_counted_but_left_out(run: Run, style: str, every: int) -> None:
    """An API that filters after it cut the page: its pages are short, the first as well, and no row comes twice."""
    api = make(style, hide_every=every, show_total=False)
    pulled = run(api, total=False)
    assert pulled.numbers == list(range(ROWS)), pulled.said


# Tokens that look like none.


@pytest.mark.parametrize("style", CHAINED)
@pytest.mark.parametrize("token", ["", 0, "0", "null"])
@pytest.mark.parametrize("page", [1, 4])
def test_a_token_that_looks_like_none(run: Run, style: str, token: str | int, page: int) -> None:
    """0 is a token like others, and `""` where the total says that there are more rows: else it is the end."""
    total = token == "" and style == "cursor"
    api = make(style, tokens={page: token}, show_total=total)
    whole(api, run(api, total=total))


@pytest.mark.parametrize("total", [True, False], ids=["total", "no total"])
@pytest.mark.parametrize("style", ["cursor", "next-url"])
def test_the_end_said_with_an_empty_string(run: Run, style: str, total: bool) -> None:
    """Very common: each row once, without a call more and without a word."""
    api = make(style, end="empty", show_total=total)
    pulled = run(api, total=total)
    whole(api, pulled)
    assert set(api.asked.values()) == {1}
    assert pulled.summary["warnings"] == []


def test_an_api_that_refuses_the_empty_token_with_which_it_ends(run: Run) -> None:
    """It says `""` for the end, and 400 to whoever asks for that: all rows came, and the run says what happened."""
    api = make("cursor", end="empty", show_total=False, refuses_empty_token=True)
    pulled = run(api, total=False)
    assert pulled.numbers == list(range(ROWS)), pulled.said
    assert pulled.code in (0, 1, 3)
    assert pulled.code == 0 or '""' in pulled.said or "empty" in pulled.said, pulled.said


# Totals that lie.


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("claimed", [1, 30, 90, 94])
def test_a_total_that_is_too_low(run: Run, style: str, claimed: int) -> None:
    """What lies beyond it comes too, and the user is told."""
    api = make(style, claimed_total=claimed)
    pulled = run(api)
    assert pulled.numbers == list(range(ROWS)), pulled.said
    assert pulled.said.strip(), "a total that lies is worth a warning"


@pytest.mark.parametrize("style", STYLES)
def test_a_total_of_nothing_while_there_are_rows(run: Run, style: str) -> None:
    """`total: 0` and ten rows: not a silent short result."""
    pulled = run(make(style, claimed_total=0))
    assert pulled.numbers == list(range(ROWS)), pulled.said
    assert pulled.said.strip()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("claimed", [96, 200, 100_000])
def test_a_total_that_is_too_high(run: Run, style: str, claimed: int) -> None:
    """It ends where the rows end, long before the pages that were promised; fewer than promised is exit 1."""
    api = make(style, claimed_total=claimed)
    pulled = run(api)
    assert pulled.numbers == list(range(ROWS)), pulled.said
    assert pulled.code == 1, pulled.said
    assert pulled.summary["rows_promised"] == claimed
    assert len(api.asked) < 1000


# Rows that repeat.


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("total", [True, False], ids=["total", "no total"])
@pytest.mark.parametrize("every", [9, 25])
def test_repeated_rows_are_dropped_by_their_key(run: Run, style: str, total: bool, every: int) -> None:
    """With --key each row is written once, and the others are counted."""
    api = make(style, repeat_every=every, show_total=total)
    pulled = run(api, "--key", "id", total=total)
    assert pulled.numbers == list(range(ROWS)), pulled.said
    assert pulled.summary["duplicates"] == api.length - ROWS > 0
    # The total counts them as well, so it cannot be told from one that counts rows which never came.
    assert pulled.code == (1 if total else 0), pulled.said


# Pages that never empty.


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("beyond", ["last", "first"])
@pytest.mark.parametrize("rows", [95, 100])
def test_pages_that_never_empty(run: Run, style: str, beyond: str, rows: int) -> None:
    """An API that repeats a page for whatever lies beyond its end: each row once, and a word about it."""
    api = make(style, rows=rows, beyond_end=beyond, always_next=True, show_total=False)
    pulled = run(api, total=False)
    assert pulled.numbers == list(range(rows)), pulled.said
    assert pulled.said.strip()
    assert len(api.asked) < PAGES + 60


@pytest.mark.parametrize("style", COUNTABLE)
def test_with_a_total_nobody_asks_for_the_pages_that_never_empty(run: Run, style: str) -> None:
    """What repeats beyond the promised pages is of no interest."""
    api = make(style, beyond_end="last")
    whole(api, run(api))


@pytest.mark.parametrize("style", COUNTABLE)
@pytest.mark.parametrize("total", [True, False], ids=["total", "no total"])
def test_an_api_that_ignores_the_parameter(run: Run, style: str, total: bool) -> None:
    """The first page for ever: an error that names the parameter."""
    api = make(style, ignores_page=True, show_total=total)
    pulled = run(api, total=total)
    assert pulled.code in (2, 3), pulled.said
    assert f"'{style}'" in pulled.said
    assert len(api.asked) < 60


@pytest.mark.parametrize("style", CHAINED)
def test_an_api_that_ignores_the_cursor(run: Run, style: str) -> None:
    """The first page for ever, under a token that leads to itself."""
    api = make(style, ignores_page=True, show_total=False)
    pulled = run(api, total=False)
    assert pulled.code != 0, pulled.said
    assert pulled.said.strip()
    assert sum(api.asked.values()) < 10


@pytest.mark.parametrize("style", COUNTABLE)
@pytest.mark.parametrize("total", [True, False], ids=["total", "no total"])
@pytest.mark.parametrize("rows", [95, 100])
def test_a_404_beyond_the_end(run: Run, style: str, total: bool, rows: int) -> None:
    """With --stop-on 404 it is the end; with a total it is not even needed."""
    api = make(style, rows=rows, beyond_end="404", show_total=total)
    whole(api, run(api, *([] if total else ["--stop-on", "404"]), total=total))


@pytest.mark.parametrize("style", COUNTABLE)
def test_a_404_that_nobody_expected(run: Run, style: str) -> None:
    """All rows came, but the run cannot know that: exit 1, and the word that helps."""
    pulled = run(make(style, beyond_end="404", show_total=False), total=False)
    assert pulled.numbers == list(range(ROWS))
    assert pulled.code == 1
    assert "--stop-on 404" in pulled.said


@pytest.mark.parametrize("style", COUNTABLE)
def test_the_end_is_a_short_page(run: Run, style: str) -> None:
    """With --stop-on short the last page is known by itself."""
    api = make(style, show_total=False)
    whole(api, run(api, "--stop-on", "short", total=False))


# Answers that are not what was said.


BROKEN = {
    "offset": ["no_rows", "rows_not_a_list", "negative_total", "wrong_total"],
    "page": ["no_rows", "rows_not_a_list", "negative_total", "wrong_total"],
    "cursor": ["no_rows", "rows_not_a_list", "wrong_next", "negative_total"],
    "next-url": ["no_rows", "rows_not_a_list", "wrong_next", "wrong_total"],
    "link": ["no_rows", "rows_not_a_list"],
}


@pytest.mark.parametrize(("style", "how"), [(style, how) for style, all_ in BROKEN.items() for how in all_])
def test_a_first_answer_that_is_not_what_was_said(run: Run, style: str, how: str) -> None:
    """One clear error with what the API answered, exit 2, and nothing is left behind."""
    pulled = run(make(style, malformed={0: how}))
    assert pulled.code == 2, pulled.said
    assert pulled.errors.strip().count("\n") == 0
    assert "Traceback" not in pulled.errors
    shown = '"error":"internal"' if how == "no_rows" else '"items":'
    assert shown in pulled.errors
    assert not pulled.out.exists()


@pytest.mark.parametrize(("style", "how"), [(style, how) for style, all_ in BROKEN.items() for how in all_])
def test_a_later_answer_that_is_not_what_was_said(
    tmp_path: Path, style: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 3 with the answer; when the API is well again, the same command goes on to the end."""
    api = make(style, malformed={4: how})
    out = tmp_path / "out.jsonl"
    with listening(api) as (url, _):
        pulled = pull(url, out, options_of(style), capsys)
        compare(api, pulled)
        assert pulled.code == 3, pulled.said
        assert ('"error":"internal"' if how == "no_rows" else '"items":') in pulled.errors
        api.malformed = {}
        again = pull(url, out, options_of(style), capsys)
    compare(api, again)
    whole(api, again)
    assert api.asked[0] == 1, "what was done is not asked for again"


@pytest.mark.parametrize("style", STYLES)
def test_a_page_that_fails_for_good_is_fetched_by_the_same_command(
    tmp_path: Path, style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Countable: the others come, exit 1. A chain: it stops there, exit 3. Then the same command fetches the rest."""
    api = make(style, malformed={4: "error"})
    out = tmp_path / "out.jsonl"
    with listening(api) as (url, _):
        options = [*options_of(style), "--attempts", "2", "--in-flight", "4"]
        pulled = pull(url, out, options, capsys)
        compare(api, pulled)
        missing = set(range(ROWS)) - set(pulled.numbers)
        if style in COUNTABLE:
            assert (pulled.code, missing) == (1, set(range(40, 50))), pulled.said
        else:
            assert (pulled.code, missing) == (3, set(range(40, 95))), pulled.said
        api.malformed = {}
        asked_before = sum(api.asked.values())
        again = pull(url, out, options, capsys)
    compare(api, again)
    whole(api, again)
    assert sum(api.asked.values()) - asked_before <= (2 if style in COUNTABLE else 6)
