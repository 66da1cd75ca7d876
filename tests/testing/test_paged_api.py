"""The paged API: what each style serves, and each way to mislead; then once over sockets, and as a process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.testing import PagedApi, Reply, ServedRequest
from penstock.testing.paged_api import STYLES
from penstock.testing.paged_server import main

SRC = Path(__file__).parents[2] / "src"


def ask(api: PagedApi, query: str = "", path: str = "/rows") -> Reply:
    """Ask without a socket."""
    target = f"{path}?{query}" if query else path
    return api(ServedRequest("GET", target.encode(), {"host": "api.test"}, b""))


def body(api: PagedApi, query: str = "") -> Any:
    """The answer as JSON."""
    return orjson.loads(ask(api, query).body)


def numbers(answer: Any) -> list[int]:
    """The rows of an answer, by number."""
    return [row["id"] for row in (answer if isinstance(answer, list) else answer["items"])]


def walk(api: PagedApi, most: int = 1000) -> list[int]:
    """Every row that is served, in order, by a client that trusts the API."""
    found: list[int] = []
    query = {"offset": "offset=0", "page": f"page={api.first_page}"}.get(api.style, "")
    for count in range(1, most + 1):
        reply = ask(api, query)
        page = orjson.loads(reply.body)
        found += numbers(page)
        if api.style in ("offset", "page"):
            if count * api.page_size >= api.length:
                break
            query = f"offset={count * api.page_size}" if api.style == "offset" else f"page={api.first_page + count}"
            continue
        if api.style == "link":
            match = re.search(r'<([^>]*)>; rel="next"', reply.headers.get("Link", ""))
            following = match and match[1].partition("?")[2]
        elif api.style == "next-url":
            following = page["next"] and page["next"].partition("?")[2]
        else:
            following = None if page["next"] is None else f"cursor={page['next']}"
        if following is None:
            break
        query = following
    return found


@pytest.mark.parametrize("style", STYLES)
@given(rows=st.integers(0, 60), page_size=st.integers(1, 25), bare=st.booleans())
def test_a_trusting_client_gets_each_row_once_in_order(style: Any, rows: int, page_size: int, bare: bool) -> None:
    """Whatever the number of rows and the size of a page."""
    api = PagedApi(rows=rows, style=style, page_size=page_size)
    if bare and style not in ("cursor", "next-url"):
        api.rows_key = None
    assert walk(api) == list(range(rows))
    assert all(count == 1 for count in api.asked.values())
    assert sorted(api.asked) == list(range(max(1, -(-rows // page_size))))


@given(
    rows=st.integers(0, 60),
    page_size=st.integers(1, 12),
    repeat_every=st.integers(1, 20),
    hide_every=st.sampled_from([0, 2, 3, 11]),
    empty=st.sets(st.integers(0, 12), max_size=4),
)
def test_gaps_and_repeats_take_nothing_away(
    rows: int, page_size: int, repeat_every: int, hide_every: int, empty: set[int]
) -> None:
    """Behind gaps and between repeats all rows are served; the total counts positions, as a database does."""
    api = PagedApi(rows=rows, page_size=page_size, repeat_every=repeat_every, hide_every=hide_every, empty_pages=empty)
    found = walk(api)
    assert list(dict.fromkeys(found)) == list(range(rows))
    assert len(found) == rows + (max(0, rows - 1) // repeat_every)
    assert body(api)["total"] == api.length >= len(found)


def test_a_repeated_row_was_served_on_a_page_before() -> None:
    """What `--key` is for: the same row on two pages."""
    api = PagedApi(rows=30, page_size=10, repeat_every=9)
    assert numbers(body(api, "offset=0")) == [*range(9), 0]
    assert numbers(body(api, "offset=10")) == [*range(9, 18), 9]
    assert numbers(body(api, "offset=30")) == [27, 28, 29]


def test_a_row_that_is_left_out_has_a_place() -> None:
    """Of ten rows that a page should have, the first is missing, and the next page goes on after ten."""
    api = PagedApi(rows=20, page_size=10, hide_every=10)
    assert numbers(body(api, "offset=0")) == list(range(9))
    assert numbers(body(api, "offset=10")) == list(range(9, 18))
    assert body(api)["total"] == 23


def test_rows_are_what_the_dataset_says() -> None:
    """A client's rows can be compared with the dataset, field by field; about as long as asked for."""
    api = PagedApi(rows=200, page_size=200, row_bytes=300)
    items = body(api)["items"]
    assert items == [api.dataset[number] for number in range(200)]
    assert len({orjson.dumps(each) for each in items}) == 200
    assert all(abs(len(orjson.dumps(each)) - 300) < 25 for each in items)
    with pytest.raises(IndexError, match="no row 200"):
        _ = api.dataset[200]


def test_the_size_of_a_page_is_capped_without_a_word() -> None:
    """Asked for 1,000 rows, it gives 7."""
    api = PagedApi(rows=20, max_page_size=7)
    assert numbers(body(api, "limit=1000&offset=7")) == list(range(7, 14))


@pytest.mark.parametrize(
    ("turn_back", "pages"),
    [({3: 3}, [0, 1, 2, 3, 3, 3]), ({1: 0}, [0, 1, 0, 1, 0, 1]), ({4: 2}, [0, 1, 2, 3, 4, 2])],
)
@pytest.mark.parametrize("style", ["cursor", "next-url", "link"])
def test_a_cursor_that_turns_back(style: Any, turn_back: dict[int, int], pages: list[int]) -> None:
    """A page whose next is one before: a cycle of any length."""
    api = PagedApi(rows=50, page_size=10, style=style, turn_back=turn_back)
    assert [number // 10 for number in walk(api, most=6)[::10]] == pages


def test_tokens_can_be_empty_or_zero() -> None:
    """`""` and 0 are tokens of real pages."""
    api = PagedApi(rows=50, page_size=10, style="cursor", tokens={1: "", 3: 0})
    assert walk(api) == list(range(50))
    assert body(api)["next"] == ""
    assert numbers(body(api, "cursor="))[0] == 10
    assert body(api, "cursor=t20")["next"] == 0


@pytest.mark.parametrize(("end", "told"), [("null", {"next": None}), ("missing", {}), ("empty", {"next": ""})])
def test_the_end_is_said_in_three_ways(end: Any, told: dict[str, Any]) -> None:
    """Null, nothing, or the empty string."""
    api = PagedApi(rows=10, page_size=10, style="cursor", end=end)
    assert {key: value for key, value in body(api).items() if key == "next"} == told


@pytest.mark.parametrize(("beyond", "found"), [("empty", []), ("last", [8, 9]), ("first", [0, 1, 2, 3])])
def test_beyond_the_end(beyond: Any, found: list[int]) -> None:
    """Beyond the end is nothing, or a page once more; a token API may go on for ever."""
    api = PagedApi(rows=10, page_size=4, beyond_end=beyond)
    assert numbers(body(api, "offset=12")) == found
    endless = PagedApi(rows=10, page_size=4, style="cursor", beyond_end=beyond, always_next=True)
    assert numbers(body(endless, "cursor=t12")) == found
    assert [body(endless, f"cursor=t{start}")["next"] for start in (8, 12, 16)] == ["t12", "t16", "t20"]


def test_beyond_the_end_there_may_be_a_404() -> None:
    """Page 3 of 3 is there, page 4 is not."""
    api = PagedApi(rows=10, page_size=4, style="page", beyond_end="404")
    assert [ask(api, f"page={page}").status for page in (1, 3, 4)] == [200, 200, 404]


def test_it_may_ignore_the_page() -> None:
    """Whatever is asked for, the first page comes, and its token leads to itself."""
    api = PagedApi(rows=30, page_size=10, style="cursor", ignores_page=True)
    assert [body(api, f"cursor=t{start}")["next"] for start in (10, 20)] == ["t10", "t10"]
    assert numbers(body(api, "cursor=t20")) == list(range(10))


def test_the_total_may_be_hidden_or_a_lie() -> None:
    """No total, or whatever one wants it to be."""
    assert "total" not in body(PagedApi(rows=5, show_total=False))
    assert body(PagedApi(rows=5, claimed_total=-3))["total"] == -3
    assert body(PagedApi(rows=5, claimed_total="5"))["total"] == "5"


def test_malformed_answers_are_on_the_page_that_was_named() -> None:
    """Each kind, on page 1 only."""
    answers: dict[str, Any] = {}
    for how in ("no_rows", "rows_not_a_list", "wrong_next", "negative_total", "wrong_total"):
        api = PagedApi(rows=9, page_size=3, style="cursor", show_total=False, malformed={1: how})
        answers[how] = body(api, "cursor=t3")
        assert numbers(body(api, "cursor=t6")) == [6, 7, 8]
    assert "items" not in answers["no_rows"]
    assert answers["rows_not_a_list"]["items"] == "none"
    assert isinstance(answers["wrong_next"]["next"], dict)
    assert (answers["negative_total"]["total"], answers["wrong_total"]["total"]) == (-1, "many")
    page = ask(PagedApi(rows=9, page_size=3, malformed={1: "not_json"}), "offset=3")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html")
    assert ask(PagedApi(rows=9, page_size=3, malformed={1: "error"}), "offset=3").status == 500
    assert ask(PagedApi(rows=9, page_size=3, style="link", malformed={0: "wrong_next"})).headers["Link"]


def test_urls_keep_the_query_and_may_be_relative() -> None:
    """A filter stays in the next URL."""
    api = PagedApi(rows=9, page_size=3, style="next-url")
    assert body(api, "q=a%20b&limit=3")["next"] == "http://api.test/rows?q=a+b&limit=3&cursor=t3"
    api.relative_urls = True
    assert body(api)["next"] == "/rows?cursor=t3"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "offset=-1", "offset=x"])
def test_what_cannot_be_read_is_refused(query: str) -> None:
    """The server answers a ValueError with 400."""
    with pytest.raises(ValueError, match=r"limit|invalid|before"):
        ask(PagedApi(rows=9), query)


def test_an_unknown_token_is_refused() -> None:
    """A token that was never given. An empty one is none, for most APIs."""
    strict = PagedApi(rows=9, style="cursor", refuses_empty_token=True)
    for api, token in [(PagedApi(rows=9, style="cursor"), "zzz"), (strict, "")]:
        with pytest.raises(ValueError, match="no token"):
            ask(api, f"cursor={token}")
    assert numbers(body(PagedApi(rows=9, style="cursor"), "cursor=")) == list(range(9))


@pytest.mark.parametrize(
    "settings",
    [
        {"style": "scroll"},
        {"page_size": 0},
        {"max_page_size": 0},
        {"repeat_every": -1},
        {"hide_every": 1},
        {"malformed": {0: "odd"}},
        {"tokens": {1: "0", 2: 0}},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    """At once, not at the first request."""
    with pytest.raises(ValueError, match=r"."):
        PagedApi(rows=5, **settings)


@pytest.mark.real
def test_a_process_serves_pages_and_says_which_were_asked_for(tmp_path: Path) -> None:
    """All options reach the API; the log of pages is at /asked and in the file of the end."""
    port_file, stats = tmp_path / "port", tmp_path / "stats.json"
    options = ["--rows", "50", "--style", "cursor", "--page-size", "10", "--token", '1=""', "--turn-back", "4=2"]
    options += ["--empty-page", "3", "--no-total", "--limit", "3/1h", "--port-file", str(port_file)]
    options += ["--stats-out", str(stats)]
    command = [sys.executable, "-W", "error", "-m", "penstock.testing.paged_server", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(SRC)}) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            root = f"http://127.0.0.1:{int(port_file.read_text())}"

            def fetch(path: str) -> Any:
                with urllib.request.urlopen(root + path, timeout=10) as answer:
                    return orjson.loads(answer.read())

            first, fourth = fetch("/rows"), fetch("/rows?cursor=t40")
            assert (numbers(first), first["next"], "total" in first) == (list(range(10)), "", False)
            assert (numbers(fourth), fourth["next"]) == (list(range(30, 40)), "t20")
            assert fetch("/asked") == {"0": 1, "4": 1}
            with pytest.raises(urllib.error.HTTPError, match="429"):
                fetch("/rows")
            server.send_signal(signal.SIGTERM)
            assert server.wait(10) == 0
        finally:
            server.kill()
    ended = orjson.loads(stats.read_bytes())
    assert (ended["answered"], ended["limit_violations"], ended["asked"]) == (3, 1, {"0": 1, "4": 1})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--turn-back", "5"], "PAGE=VALUE"),
        (["--malformed", "1=odd"], "cannot be malformed"),
        (["--claimed-total", "x"], "line 1"),
        (["--limit", "often"], "cannot read the limit"),
    ],
)
def test_wrong_options_are_refused(options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit status 2."""
    with pytest.raises(SystemExit) as ended:
        main(["--rows", "5", *options])
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
