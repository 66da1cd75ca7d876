"""`penstock pull` where the API is honest: begun in the middle, cut short, found out by itself, into tables."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from penstock.testing import PagedApi
from penstock.testing.paged_api import STYLES

from .paged import CHAINED, COUNTABLE, STYLE_OPTIONS, Pulled, listening, options_of, pull

ROWS = 95

pytestmark = pytest.mark.real

Run = Callable[..., Pulled]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Pull from an API; `{url}` in an option is the URL of its rows."""

    def play(api: PagedApi, options: list[str], out: str = "out.jsonl", query: str = "") -> Pulled:
        with listening(api) as (url, _):
            filled = [option.replace("{url}", url) for option in options]
            return pull(url + query, tmp_path / out, filled, capsys)

    return play


def make(style: Any, **settings: Any) -> PagedApi:
    """The API of these tests."""
    return PagedApi(**{"rows": ROWS, "page_size": 10, "style": style, **settings})


@pytest.mark.parametrize(
    ("style", "start"),
    [
        ("offset", "50"),
        ("page", "6"),
        ("cursor", "t50"),
        ("next-url", "{url}?cursor=t50&limit=10"),
        ("link", "{url}?cursor=t50&limit=10"),
    ],
)
def test_it_begins_where_it_is_told_to(run: Run, style: str, start: str) -> None:
    """--start is an offset, a page number, a token or a URL; what lies before it is not asked for."""
    api = make(style, show_total=False)
    pulled = run(api, [*options_of(style, total=False), "--start", start])
    assert (pulled.code, pulled.numbers) == (0, list(range(50, ROWS))), pulled.said
    assert min(api.asked) == 5


@pytest.mark.parametrize("style", STYLES)
def test_it_stops_after_so_many_pages(run: Run, style: str) -> None:
    """--max-pages is exact."""
    api = make(style, show_total=False)
    pulled = run(api, [*options_of(style, total=False), "--max-pages", "3"])
    assert pulled.numbers == list(range(30)), pulled.said
    assert sorted(api.asked) == [0, 1, 2]


@pytest.mark.parametrize("style", CHAINED)
def test_auto_finds_what_an_answer_tells(run: Run, style: str) -> None:
    """A token, a URL or a Link header is found in the first answer, and said."""
    api = make(style, next_key="next_cursor" if style == "cursor" else "next")
    pulled = run(api, [])
    assert pulled.code == 0, pulled.said
    assert pulled.numbers == list(range(ROWS))
    assert f"--paginate {style}" in pulled.errors


@pytest.mark.parametrize("style", COUNTABLE)
def test_auto_does_not_guess_at_parameters(run: Run, style: str) -> None:
    """Where an answer says nothing of how to go on, all rows come or it is refused, never a part of them."""
    pulled = run(make(style), [])
    assert (pulled.code == 2 and pulled.rows == []) or pulled.numbers == list(range(ROWS)), pulled.said
    assert "--paginate" in pulled.errors


def test_auto_asks_for_the_name_of_a_parameter(run: Run) -> None:
    """A token under a name that says nothing of its parameter: nothing is kept, and the options to give are named."""
    pulled = run(make("cursor", cursor_param="odd"), [])
    assert (pulled.code, pulled.rows) == (2, [])
    assert "--cursor-param NAME --rows items --total total --next next" in pulled.errors


@pytest.mark.parametrize("style", COUNTABLE)
def test_auto_believes_the_parameters_in_the_url(run: Run, style: str) -> None:
    """`?offset=0&limit=10` and `?page=1&limit=10` say how the API counts."""
    query = "?offset=0&limit=10" if style == "offset" else "?page=1&limit=10"
    pulled = run(make(style), [], query=query)
    assert pulled.code == 0, pulled.said
    assert pulled.numbers == list(range(ROWS))


@pytest.mark.parametrize("style", ["next-url", "link"])
def test_urls_without_a_host(run: Run, style: str) -> None:
    """They are relative to the page that names them."""
    pulled = run(make(style, relative_urls=True), options_of(style))
    assert (pulled.code, pulled.numbers) == (0, list(range(ROWS))), pulled.said


@pytest.mark.parametrize("style", [*COUNTABLE, "link"])
def test_an_answer_that_is_the_list(run: Run, style: str) -> None:
    """Without --rows, and without a total."""
    api = make(style, rows_key=None)
    pulled = run(api, [*STYLE_OPTIONS[style], "--page-size", "10", "--size-param", "limit"])
    assert (pulled.code, pulled.numbers) == (0, list(range(ROWS))), pulled.said


def test_a_finished_run_is_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same command again asks for nothing."""
    api = make("cursor")
    with listening(api) as (url, _):
        for _ in range(2):
            pulled = pull(url, tmp_path / "out.jsonl", options_of("cursor"), capsys)
            assert (pulled.code, pulled.numbers) == (0, list(range(ROWS)))
    assert set(api.asked.values()) == {1}


@pytest.mark.parametrize("style", ["page", "cursor"])
def test_rows_become_a_table(run: Run, tmp_path: Path, style: str) -> None:
    """CSV, SQLite and Parquet hold what JSON lines hold, with the types of each."""
    api = make(style)
    wanted = [api.dataset[number] for number in range(ROWS)]
    for ending in ("csv", "sqlite", "parquet"):
        pulled = run(api, options_of(style), f"out.{ending}")
        assert pulled.code == 0, pulled.said
        assert sorted(read(tmp_path / f"out.{ending}"), key=lambda row: row["id"]) == wanted


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a table."""
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return found
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [typed(row) for row in csv.DictReader(file)]
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        (name,) = (row[0] for row in database.execute("select name from sqlite_master where type = 'table'"))
        rows = [dict(row) for row in database.execute(f"select * from {name}")]  # noqa: S608
    return [{**row, "active": bool(row["active"])} for row in rows]


def typed(row: dict[str, str]) -> dict[str, Any]:
    """A row of CSV with the types that it had."""
    numbers = {
        "id": int(row["id"]),
        "score": float(row["score"]),
        "parent": int(row["parent"]) if row["parent"] else None,
    }
    return {**row, **numbers, "active": row["active"].lower() == "true"}
